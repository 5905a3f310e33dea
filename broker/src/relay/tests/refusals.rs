//! The table of refusals, bad input, and frames that must never reach the far side.

use jackfield_rsocket::wire::{Flags, FrameType, Header, Interaction};

use super::*;

async fn call(caller: &mut Peer, stream: u32, metadata: &[u8]) -> String {
    caller
        .request(stream, request(Interaction::Response, 0, metadata))
        .await;
    let seen = caller.sees().await;
    assert_eq!(seen.stream, stream);
    seen.what
}

/// Conformance 132: metadata that cannot be read fails its own request; the next one is served.
#[test]
fn what_cannot_be_routed_is_refused_with_a_reason() {
    run(async {
        let world = World::new();
        let _echo = world.echo().await;
        let mut caller = world.caller().await;
        let other = CompositeBuilder::new()
            .push(Mime::TEXT, b"x")
            .finish()
            .unwrap();
        let table: [(&[u8], &str); 6] = [
            (
                &to("nobody.here.say"),
                "error INVALID (0x204) RST-900404: service not found: nobody.here",
            ),
            (
                &to("echo.Service.say:9"),
                "error INVALID (0x204) RST-900404: service not found: echo.Service:9",
            ),
            (
                &to("dc!echo.Service.say"),
                "error INVALID (0x204) RST-900404: service not found: dc!echo.Service",
            ),
            (
                &to("echo.Service.say?e=ip:9.9.9.9&"),
                "error INVALID (0x204) RST-900405: service echo.Service has no instance at endpoint ip:9.9.9.9",
            ),
            (
                &other,
                "error INVALID (0x204) RST-600404: request has no routing metadata (0x7E or 0x50)",
            ),
            (
                b"\xFE\x00\x00\xFFx",
                "error INVALID (0x204) RST-600500: composite metadata cannot be read",
            ),
        ];
        for (at, (metadata, expected)) in table.into_iter().enumerate() {
            let what = call(&mut caller, 2 * at as u32 + 1, metadata).await;
            assert!(what.starts_with(expected), "{what}\n{expected}");
        }
    });
}

/// A name without a method is a service all the same, and group, version and tags are matched.
#[test]
fn services_are_found_by_every_spelling() {
    run(async {
        let world = World::new();
        let services = r#"{"published":["dc1!com.example.User:1.0.0", "plain"]}"#;
        let app = r#"{"name":"users","ip":"10.0.0.7","uuid":"u-1","metadata":{"zone":"eu"}}"#;
        let mut users = world.app(app, services).await;
        let mut caller = world.caller().await;
        for (at, route) in [
            "dc1!com.example.User.find:1.0.0",
            "dc1!com.example.User:1.0.0",
            "plain",
            "plain.method",
            "plain.method?e=ip:10.0.0.7",
            "plain.method?e=uuid:u-1",
            "plain.method?e=id:u-1",
            "plain.method?e=zone:eu&",
            "plain.method?e=zone:eu,ip:10.0.0.7",
        ]
        .into_iter()
        .enumerate()
        {
            let near = 2 * at as u32 + 1;
            caller
                .request(near, request(Interaction::Response, 0, &to(route)))
                .await;
            let far = users.sees().await.stream;
            users.payload(far, "NC", b"yes").await;
            assert_eq!(caller.sees().await, seen(near, "payload NC yes"), "{route}");
        }
    });
}

/// Conformance 134: no frame that upsets some peer harms the responder or another caller.
#[test]
fn poison_frames_stay_with_their_sender() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut good = world.caller().await;
        let metadata = to("echo.Service.count");
        good.request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 2);
        let frame = |stream, frame_type, flags, body: &[u8]| {
            let mut out = Header::new(id(stream), FrameType(frame_type), flags)
                .encode()
                .to_vec();
            out.extend_from_slice(body);
            out
        };
        let mut far = 2;
        for (poison, ends) in [
            (frame(0, 0x0C, Flags::METADATA, b"push"), false),
            (frame(1, 0x0C, Flags::METADATA, b"push"), false),
            (frame(1, 0x0F, Flags::IGNORE, b""), false),
            (frame(1, 0x0F, Flags::NONE, b""), true),
            (frame(1, 0x3F, Flags::NONE, &[0, 0, 0, 1]), true),
            (
                frame(1, 0x0A, Flags::METADATA.with(Flags::NEXT), &[0, 0, 9, 1]),
                true,
            ),
            (frame(1, 0x08, Flags::NONE, &[0; 4]), false),
            (frame(1, 0x0A, Flags::NONE, b"neither"), false),
            (frame(0, 0x09, Flags::NONE, b""), false),
            (frame(0, 0x0A, Flags::NEXT, b"p"), false),
            (frame(0, 0x04, Flags::NONE, b"p"), false),
            (frame(2, 0x04, Flags::NONE, b"p"), true),
            (frame(3, 0x06, Flags::NONE, &[0; 4]), false),
            (frame(0, 0x0B, Flags::NONE, &[0, 0, 1, 1]), true),
            (frame(0, 0x01, Flags::NONE, &[0; 14]), false),
            (frame(0, 0x0D, Flags::NONE, &[0; 22]), true),
        ] {
            let mut bad = world.caller().await;
            bad.request(1, request(Interaction::Channel, 1, &metadata))
                .await;
            let opened = echo.sees().await;
            far += 2;
            assert_eq!(opened, seen(far, "Channel n=1 hello"));
            bad.send_raw(&poison).await;
            if ends {
                assert_eq!(echo.sees().await, seen(far, "cancel"), "{poison:02x?}");
            } else {
                echo.sees_nothing().await;
                bad.cancel(1).await;
                assert_eq!(echo.sees().await, seen(far, "cancel"), "{poison:02x?}");
            }
            echo.payload(2, "N", b"go on").await;
            assert_eq!(
                good.sees().await,
                seen(1, "payload N go on"),
                "{poison:02x?}"
            );
        }
    });
}

/// Conformance 17, 24, 27, 30: the ERROR is readable, then the connection ends, and nothing that
/// was pipelined behind is done.
#[test]
fn a_wrong_first_frame_is_answered_and_the_connection_ends() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let metadata = to("echo.Service.say");
        let mut early = world.dial();
        early
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        let what = early.sees().await;
        assert_eq!(what.stream, 0);
        assert!(
            what.what
                .starts_with("error INVALID_SETUP (0x001) RST-500402"),
            "{what:?}"
        );
        assert!(early.raw().await.is_none());

        let mut garbage = world.dial();
        garbage.send_raw(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(garbage.sees().await.what.starts_with("error INVALID_SETUP"));
        echo.sees_nothing().await;
    });
}

/// Conformance 32.
#[test]
fn a_connection_that_says_nothing_is_closed() {
    run(async {
        let world = World::new();
        let mut silent = world.dial();
        let begun = tokio::time::Instant::now();
        let goodbye = silent.sees().await;
        assert!(
            goodbye
                .what
                .starts_with("error INVALID_SETUP (0x001) RST-500402"),
            "{goodbye:?}"
        );
        assert!(silent.raw().await.is_none());
        assert!(begun.elapsed() >= Duration::from_secs(10));
    });
}

/// Conformance 33: what registers, what does not, and who gives way.
#[test]
fn registering_is_easy_and_checked() {
    run(async {
        let world = World::new();
        let mut lone = world.dial();
        lone.setup(&[(Mime::SERVICE_REGISTRY, r#"["lone"]"#)]).await;
        let mut named = world.dial();
        named
            .setup(&[(Mime::APPLICATION, r#"{"name":"orders"}"#)])
            .await;
        let mut broken = world.dial();
        broken.setup(&[(Mime::APPLICATION, "{")]).await;
        let refusal = broken.sees().await;
        let expected =
            "error REJECTED_SETUP (0x003) RST-500402: application metadata cannot be read";
        assert!(refusal.what.starts_with(expected), "{refusal:?}");
        while world.plane.directory.apps().len() < 2 {
            tokio::task::yield_now().await;
        }
        let apps = world.plane.directory.apps();
        assert_eq!(apps[0].name, "orders");
        assert!(apps.iter().all(|app| app.uuid.len() == 36));
        assert_eq!(world.plane.directory.services()[0].key, "lone");
        drop(lone);
        while !world.plane.directory.services().is_empty() {
            tokio::task::yield_now().await;
        }
        // A second SETUP changes nothing.
        named
            .setup(&[(Mime::SERVICE_REGISTRY, r#"["late"]"#)])
            .await;
        named.sees_nothing().await;
        assert!(world.plane.directory.services().is_empty());
    });
}

#[test]
fn half_open_connections_are_bounded() {
    run(async {
        let world = World::with(|limits| limits.pending = 2);
        let (_one, _two) = (world.dial(), world.dial());
        assert!(world.plane.links.admit(None).is_err());
        drop(_one);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(world.plane.links.admit(None).is_ok());
    });
}

/// Conformance 133: nothing comes back on a fire-and-forget without a route; it is counted, and the
/// fragments behind it are swallowed.
#[test]
fn a_fire_and_forget_that_leads_nowhere_is_counted_and_swallowed() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let nowhere = to("nobody.here.tell");
        let other = CompositeBuilder::new()
            .push(Mime::TEXT, b"x")
            .finish()
            .unwrap();
        for (stream, metadata) in [(1, &nowhere), (3, &other)] {
            let begun = Request {
                follows: true,
                ..request(Interaction::FireAndForget, 0, metadata)
            };
            caller.request(stream, begun).await;
            caller.payload(stream, "FN", b"more").await;
            caller.payload(stream, "N", b"and the last").await;
        }
        let whole = request(Interaction::FireAndForget, 0, &nowhere);
        caller.request(5, whole).await;
        caller.sees_nothing().await;
        echo.sees_nothing().await;
        let metrics = &world.plane.metrics;
        assert_eq!(metrics.refusals("unknown_service"), 2);
        assert_eq!(metrics.refusals("no_route"), 1);
        let there = to("echo.Service.tell");
        let told = request(Interaction::FireAndForget, 0, &there);
        caller.request(7, told).await;
        assert_eq!(echo.sees().await, seen(2, "FireAndForget n=0 hello"));
    });
}
