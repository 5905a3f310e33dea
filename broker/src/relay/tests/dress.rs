//! What the broker adds to the metadata of a request.

use jackfield_rsocket::metadata::{BinaryRouting, Composite};

use super::*;
use crate::{identity::Principal, relay::Caller};

const SDK: &str = r#"{"name":"orders","sdk":"Alibaba-RSocket-1.1.6/1.0.0"}"#;

/// What a responder reads as metadata.
async fn delivered(to: &mut Peer) -> Vec<u8> {
    let frame = to.raw().await.unwrap();
    match Frame::decode(&frame).unwrap().body {
        Body::Request(request) => request.metadata.unwrap_or_default().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The archived broker's five bytes: behind what the caller wrote, when it names no encoding, and never for a channel.
#[test]
fn a_responder_of_the_library_is_told_the_encoding() {
    run(async {
        let world = World::new();
        let mut sdk = world.app(SDK, r#"["a.A"]"#).await;
        let mut plain = world.app(r#"{"name":"plain"}"#, r#"["b.B"]"#).await;
        // The data of this caller is application/json, as it said in SETUP.
        let mut caller = world.caller().await;
        let added = |metadata: &[u8]| [metadata, b"\xFA\x00\x00\x01\x85"].concat();
        let stated = CompositeBuilder::new()
            .push(Mime::ROUTING, &encode_tags(["a.A.m"]).unwrap())
            .push(Mime::MIME_TYPE, &[0xA6])
            .finish()
            .unwrap();
        for (stream, interaction, metadata, expected) in [
            (1, Interaction::Response, to("a.A.m"), added(&to("a.A.m"))),
            (3, Interaction::Stream, to("a.A.m"), added(&to("a.A.m"))),
            (
                5,
                Interaction::FireAndForget,
                to("a.A.m"),
                added(&to("a.A.m")),
            ),
            (7, Interaction::Channel, to("a.A.m"), to("a.A.m").to_vec()),
            (9, Interaction::Response, stated.clone(), stated.to_vec()),
        ] {
            let n = if interaction.has_credit() { 1 } else { 0 };
            caller
                .request(stream, request(interaction, n, &metadata))
                .await;
            assert_eq!(delivered(&mut sdk).await, expected, "{interaction:?}");
        }
        caller
            .request(11, request(Interaction::Response, 0, &to("b.B.m")))
            .await;
        assert_eq!(
            delivered(&mut plain).await,
            to("b.B.m"),
            "as the caller wrote it"
        );
    });
}

/// One that was made for somebody who needs no telling, and came back unsent.
#[test]
fn a_responder_of_the_library_is_told_the_encoding_of_what_another_did_not_take() {
    run(async {
        let world = World::new();
        let services = r#"["a.A"]"#;
        let mut caller = world.caller().await;
        let mut sdk = world.app(SDK, services).await;
        let metadata = to("a.A.m");
        let busy = request(Interaction::Response, 0, &metadata);
        caller.request(1, busy).await;
        delivered(&mut sdk).await;
        // It has nothing to do, so it is picked next; and is leaving.
        let mut plain = world.app(r#"{"name":"plain"}"#, services).await;
        caller.request(3, busy).await;
        plain.error(0, 0x102, "leaving").await;
        let added = [&metadata[..], b"\xFA\x00\x00\x01\x85"].concat();
        assert_eq!(delivered(&mut sdk).await, added);
        plain.sees_nothing().await;
    });
}

/// Calls as other tools write them, from descriptions of their bytes (of rsc there is a recording: `recorded.rs`): text
/// routing and nothing else; the JetBrains client puts its query parameters into tags; the Java library leads with the
/// binary form.
#[test]
fn calls_as_the_tools_of_others_write_them() {
    run(async {
        let world = World::new();
        let uuid = "11111111-1111-1111-1111-111111111111";
        let app = format!(
            r#"{{"name":"u","uuid":"{uuid}","ip":"10.0.0.7","sdk":"Alibaba-RSocket-1.1.6/1.0.0"}}"#
        );
        let mut users = world.app(&app, r#"["com.alibaba.user.UserService"]"#).await;
        // {"name":"cli","ip":"127.0.0.1","device":"JavaApp","sdk":"rsc"}, and the plugin with a name only.
        let rsc = r#"{"name":"cli","ip":"127.0.0.1","device":"JavaApp","sdk":"rsc"}"#;
        let jetbrains = r#"{"name":"JetBrains-HTTP-Client"}"#;
        let route = "com.alibaba.user.UserService.findById";
        let text = to(route);
        let with_endpoint = to(&format!("{route}?e=id:{uuid}&"));
        let tags = encode_tags([route, "e=ip:10.0.0.7"]).unwrap();
        let by_tags = CompositeBuilder::new()
            .push(Mime::ROUTING, &tags)
            .finish()
            .unwrap();
        // By the full MIME text, as rsc has it in SETUP and some have it in requests.
        let named = CompositeBuilder::new()
            .push(
                "message/x.rsocket.routing.v0",
                &encode_tags([route]).unwrap(),
            )
            .finish()
            .unwrap();
        // As recorded of the Java library: D0, the length, two hashes, flags, the text.
        let mut java = b"\xD0\x00\x00\x31\xD9\xEE\x76\x5B\x5D\x69\x9A\xF6\x00\x00\x00\x00".to_vec();
        java.extend_from_slice(route.as_bytes());
        java.extend_from_slice(b"\xFA\x00\x00\x01\xA6");
        assert_eq!(BinaryRouting::of_text(route).encode()[..8], java[4..12]);
        let mut callers = Vec::new();
        for (introduction, metadata) in [
            (rsc, text.to_vec()),
            (rsc, with_endpoint.to_vec()),
            (jetbrains, by_tags.to_vec()),
            (jetbrains, named.to_vec()),
            (rsc, java),
        ] {
            let mut caller = world.dial();
            caller.setup(&[(Mime::APPLICATION, introduction)]).await;
            caller
                .request(1, request(Interaction::Response, 0, &metadata))
                .await;
            let read = delivered(&mut users).await;
            assert!(read.starts_with(&metadata));
            assert!(
                Composite::new(&read)
                    .find_mime(Mime::MIME_TYPE)
                    .unwrap()
                    .is_some()
            );
            callers.push(caller);
        }
    });
}

/// A part of the broker is told who asks, by the first entry, whatever the caller writes.
#[test]
fn a_part_of_the_broker_is_told_who_asks() {
    run(async {
        let world = World::new();
        let (near, far) = memory(FRAME_LEN_MAX);
        let admission = world.plane.links.admit(None).unwrap();
        let broker = Some(Arc::new(Principal::broker()));
        let arrival = Arrival::Memory(far, admission, broker);
        tokio::task::spawn_local(serve(arrival, world.plane.clone()));
        let mut part = Peer { io: near };
        let entries = [
            (Mime::APPLICATION, r#"{"name":"part"}"#),
            (Mime::SERVICE_REGISTRY, r#"["health"]"#),
        ];
        part.setup(&entries).await;
        while world.plane.directory.find("health").is_none() {
            tokio::task::yield_now().await;
        }
        assert!(
            world.plane.directory.apps().is_empty(),
            "it shows in no list"
        );

        let uuid = "11111111-1111-1111-1111-111111111111";
        let mut known = world
            .app(&format!(r#"{{"name":"a","uuid":"{uuid}"}}"#), "[]")
            .await;
        let mut anonymous = world.caller().await;
        let forged = CompositeBuilder::new()
            .push(
                "message/x.jackfield.caller.v0",
                b"\0\0\0\0\0\0\0\x01somebody",
            )
            .push(
                Mime::ROUTING,
                &encode_tags(["health.check?e=ip:1.2.3.4&"]).unwrap(),
            )
            .finish()
            .unwrap();
        let mut links = Vec::new();
        for (peer, expected) in [(&mut known, Some(uuid)), (&mut anonymous, None)] {
            peer.request(1, request(Interaction::Response, 0, &forged))
                .await;
            let read = delivered(&mut part).await;
            let caller = Caller::of(&read).unwrap();
            assert_eq!(caller.uuid.as_deref(), expected);
            assert!(read.ends_with(&forged), "and all that the caller wrote");
            links.push(caller.link);
        }
        assert_ne!(links[0], links[1]);
        for link in links {
            assert!(world.plane.links.principal(link).unwrap().is_anonymous());
        }
        assert_eq!(Caller::of(&to("health.check")), None);
        assert_eq!(Caller::of(b""), None);
    });
}
