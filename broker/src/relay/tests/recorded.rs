//! Calls of a foreign tool from its recorded bytes: `rsc.hex` says what they are and how they were recorded.

use super::*;

const RSC: &str = include_str!("rsc.hex");
const USERS: &str = "com.alibaba.user.UserService";
const DISCOVERY: &str = "com.alibaba.rsocket.discovery.DiscoveryService";

/// One connection: what it was about, SETUP, and what was sent after it.
struct Recorded {
    about: &'static str,
    setup: Vec<u8>,
    frames: Vec<Vec<u8>>,
}

fn recorded() -> Vec<Recorded> {
    let mut all = Vec::new();
    for paragraph in RSC.split("\n# ").skip(1) {
        let mut lines = paragraph.lines().filter(|line| !line.is_empty());
        let about = lines.next().unwrap();
        let mut frames = lines.map(bytes_of);
        all.push(Recorded {
            about,
            setup: frames.next().unwrap(),
            frames: frames.collect(),
        });
    }
    all
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Each call reaches the service that it names, with its metadata as it was written; what follows it on its stream
/// follows it there.
#[test]
fn rsc_calls_from_its_own_bytes() {
    run(async {
        let world = World::new();
        let about = r#"{"name":"users","ip":"127.0.0.1"}"#;
        let services = format!(r#"["{USERS}","{DISCOVERY}"]"#);
        let mut users = world.app(about, &services).await;
        let (mut interactions, mut connected) = (Vec::new(), Vec::new());
        for Recorded {
            about,
            setup,
            frames,
        } in recorded()
        {
            let mut rsc = world.dial();
            rsc.send_raw(&setup).await;
            rsc.send_raw(&frames[0]).await;
            let arrived = users.raw().await.unwrap();
            let (sent, arrived) = (Frame::decode(&frames[0]), Frame::decode(&arrived));
            let (Ok(sent), Ok(arrived)) = (sent, arrived) else {
                panic!("{about}")
            };
            let far = arrived.header.stream_id;
            let (Body::Request(sent), Body::Request(arrived)) = (sent.body, arrived.body) else {
                panic!("{about}: {:?}", arrived.body)
            };
            assert_eq!(arrived.metadata, sent.metadata, "{about}");
            assert_eq!(arrived.data, sent.data, "{about}");
            assert_eq!(arrived.interaction, sent.interaction, "{about}");
            interactions.push(sent.interaction);
            if sent.interaction.has_credit() {
                users.payload(far.get(), "N", b"x").await;
                assert_eq!(rsc.sees().await, seen(1, "payload N x"), "{about}");
            }
            for frame in &frames[1..] {
                rsc.send_raw(frame).await;
                let meant = Peer::describe(&Bytes::copy_from_slice(frame)).what;
                assert_eq!(users.sees().await, seen(far.get(), meant), "{about}");
            }
            if frames.len() == 1 && sent.interaction != Interaction::FireAndForget {
                users.payload(far.get(), "NC", b"x").await;
                assert_eq!(rsc.sees().await, seen(1, "payload NC x"), "{about}");
            }
            connected.push(rsc);
        }
        for interaction in [
            Interaction::Response,
            Interaction::FireAndForget,
            Interaction::Stream,
            Interaction::Channel,
        ] {
            assert!(interactions.contains(&interaction), "{interaction:?}");
        }
        let apps = world.plane.directory.apps();
        let rsc = apps.iter().filter(|app| app.name == "cli").count();
        assert_eq!(
            rsc,
            recorded().len() - 1,
            "but for who says nothing of itself"
        );
        assert!(apps.iter().all(|app| !app.uuid.is_empty()));
    });
}
