//! Every interaction crosses, under two numbers.

use jackfield_rsocket::wire::Interaction;

use super::*;

#[test]
fn a_request_and_its_answer_cross_under_two_numbers() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        for (near, far) in [(1, 2), (5, 4)] {
            caller
                .request(near, request(Interaction::Response, 0, &metadata))
                .await;
            assert_eq!(echo.sees().await, seen(far, "Response n=0 hello"));
            echo.payload(far, "NC", b"world").await;
            assert_eq!(caller.sees().await, seen(near, "payload NC world"));
        }
    });
}

/// Conformance 129.
#[test]
fn two_callers_with_the_same_ids_never_meet() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let (mut one, mut two) = (world.caller().await, world.caller().await);
        let metadata = to("echo.Service.say");
        one.request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 2);
        two.request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 4);
        echo.payload(4, "NC", b"for two").await;
        echo.payload(2, "NC", b"for one").await;
        assert_eq!(one.sees().await, seen(1, "payload NC for one"));
        assert_eq!(two.sees().await, seen(1, "payload NC for two"));
    });
}

#[test]
fn the_metadata_and_all_bytes_arrive_unchanged() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        for len in [0, 1, 4000, 5000, 1 << 20] {
            let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let whole = Request {
                data: &data,
                ..request(Interaction::Response, 0, &metadata)
            };
            let near = 2 * len as u32 + 1;
            let sending = caller.request(near, whole);
            let (_, frame) = tokio::join!(sending, echo.raw());
            let frame = frame.unwrap();
            let frame = Frame::decode(&frame).unwrap();
            let Body::Request(request) = frame.body else {
                panic!("a request")
            };
            assert_eq!(request.metadata, Some(&metadata[..]));
            assert!(request.data == data, "{len}");
            let far = frame.header.stream_id.get();
            let (_, reply) = tokio::join!(echo.payload(far, "NC", &data), caller.raw());
            let reply = reply.unwrap();
            let Body::Payload(payload) = Frame::decode(&reply).unwrap().body else {
                panic!()
            };
            assert!(payload.data == data, "{len}");
        }
    });
}

/// Conformance 52.
#[test]
fn fire_and_forget_leaves_nothing_behind() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.tell");
        caller
            .request(1, request(Interaction::FireAndForget, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "FireAndForget n=0 hello"));
        let unknown = to("nobody.there");
        caller
            .request(3, request(Interaction::FireAndForget, 0, &unknown))
            .await;
        echo.payload(2, "NC", b"unasked").await;
        caller.sees_nothing().await;
        assert_eq!(world.plane.directory.apps()[0].in_flight, 0);
    });
}

#[test]
fn a_stream_runs_on_its_own_credit_until_complete() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 3, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Stream n=3 hello"));
        echo.payload(2, "N", b"one").await;
        assert_eq!(caller.sees().await, seen(1, "payload N one"));
        caller.request_n(1, 7).await;
        assert_eq!(echo.sees().await, seen(2, "credit 7"));
        echo.payload(2, "FN", b"tw").await;
        echo.payload(2, "", b"o").await;
        assert_eq!(caller.sees().await, seen(1, "payload FN tw"));
        // Strict peers close on a continuation without N.
        assert_eq!(caller.sees().await, seen(1, "payload N o"));
        echo.payload(2, "C", b"").await;
        assert_eq!(caller.sees().await, seen(1, "payload C "));
        echo.payload(2, "N", b"late").await;
        caller.sees_nothing().await;
    });
}

/// Conformance 69, 80.
#[test]
fn cancel_crosses_and_ends_the_stream() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        for (near, far, interaction) in [
            (1, 2, Interaction::Stream),
            (3, 4, Interaction::Response),
            (5, 6, Interaction::Channel),
        ] {
            let n = u32::from(interaction.has_credit()) * 3;
            caller
                .request(near, request(interaction, n, &metadata))
                .await;
            assert_eq!(echo.sees().await.stream, far);
            caller.cancel(near).await;
            assert_eq!(echo.sees().await, seen(far, "cancel"));
            echo.payload(far, "N", b"late").await;
            caller.sees_nothing().await;
        }
        assert_eq!(world.plane.directory.apps()[0].in_flight, 0);
    });
}

/// Conformance 59, 79: codes and text of the responder arrive unchanged.
#[test]
fn errors_arrive_unchanged() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.fail");
        for (at, code, name) in [
            (0, 0x201, "APPLICATION_ERROR (0x201)"),
            (1, 0x301, "0x00000301"),
            (2, 0xFFFF_FFFE, "0xfffffffe"),
        ] {
            caller
                .request(2 * at + 1, request(Interaction::Response, 0, &metadata))
                .await;
            let far = echo.sees().await.stream;
            echo.error(far, code, "no luck").await;
            assert_eq!(
                caller.sees().await,
                seen(2 * at + 1, format!("error {name} no luck"))
            );
        }
    });
}

/// Conformance 73, 76, 77, 78, 81, 82.
#[test]
fn channels_run_both_ways_and_close_by_halves() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.talk");

        caller
            .request(1, request(Interaction::Channel, 5, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Channel n=5 hello"));
        echo.request_n(2, 2).await;
        assert_eq!(caller.sees().await, seen(1, "credit 2"));
        caller.payload(1, "N", b"a").await;
        assert_eq!(echo.sees().await, seen(2, "payload N a"));
        echo.payload(2, "N", b"A").await;
        assert_eq!(caller.sees().await, seen(1, "payload N A"));
        caller.payload(1, "C", b"").await;
        assert_eq!(echo.sees().await, seen(2, "payload C "));
        caller.payload(1, "N", b"after the end").await;
        echo.sees_nothing().await;
        echo.payload(2, "NC", b"B").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC B"));

        // The responder wants no more, and goes on itself.
        caller
            .request(3, request(Interaction::Channel, 5, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 4);
        echo.cancel(4).await;
        assert_eq!(caller.sees().await, seen(3, "cancel"));
        echo.payload(4, "N", b"still here").await;
        assert_eq!(caller.sees().await, seen(3, "payload N still here"));
        echo.payload(4, "C", b"").await;
        assert_eq!(caller.sees().await, seen(3, "payload C "));

        // An ERROR of the requester ends both directions.
        caller
            .request(5, request(Interaction::Channel, 5, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 6);
        caller.error(5, 0x201, "enough").await;
        assert_eq!(
            echo.sees().await,
            seen(6, "error APPLICATION_ERROR (0x201) enough")
        );
        echo.payload(6, "N", b"late").await;
        caller.sees_nothing().await;
    });
}

/// Conformance 86, 92, 131: a request routed by metadata that came in two pieces.
#[test]
fn metadata_in_pieces_routes_when_it_is_whole() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let (head, tail) = metadata.split_at(7);
        for (near, interaction) in [
            (1, Interaction::Stream),
            (3, Interaction::FireAndForget),
            (5, Interaction::Response),
        ] {
            let n = u32::from(interaction.has_credit()) * 2;
            let first = Request {
                follows: true,
                data: b"",
                ..request(interaction, n, head)
            };
            caller.request(near, first).await;
            if interaction == Interaction::Stream {
                caller.request_n(near, 4).await;
            }
            echo.sees_nothing().await;
            let rest = Payload {
                metadata: Some(tail),
                ..payload("N", b"data")
            };
            caller.send(|out| rest.encode(id(near), out)).await;
            let far = near + 1;
            let expected = seen(far, format!("{interaction:?} n={n} +"));
            assert_eq!(echo.sees().await, expected);
            assert_eq!(echo.sees().await, seen(far, "payload N data"));
            if interaction == Interaction::Stream {
                // Credit for a half-sent request goes behind its last fragment.
                assert_eq!(echo.sees().await, seen(far, "credit 4"));
            }
        }
    });
}

#[test]
fn an_app_may_call_itself_and_be_called() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let metadata = to("echo.Service.say");
        echo.request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
        echo.payload(2, "NC", b"me").await;
        assert_eq!(echo.sees().await, seen(1, "payload NC me"));
    });
}
