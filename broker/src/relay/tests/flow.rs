//! Credit, bounds, time, and peers that vanish.

use jackfield_rsocket::wire::Interaction;

use super::*;

/// Conformance 137, and credit shaping: endless credit is passed on by windows.
#[test]
fn endless_credit_is_shaped() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 0x7FFF_FFFF, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Stream n=16 hello"));
        for _ in 0..8 {
            echo.payload(2, "N", &[7; 4096]).await;
            caller.raw().await.unwrap();
        }
        assert_eq!(echo.sees().await, seen(2, "credit 24"));
        // Both directions of a channel alike.
        caller
            .request(3, request(Interaction::Channel, 1, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(4, "Channel n=1 hello"));
        echo.request_n(4, 0x7FFF_FFFF).await;
        assert_eq!(caller.sees().await, seen(3, "credit 16"));
        caller.request_n(1, 0x7FFF_FFFF).await;
        echo.sees_nothing().await;
    });
}

/// Conformance 72: a responder that ignores credit is cut at the hard mark.
#[test]
fn a_reader_that_stops_loses_its_stream_and_nothing_else() {
    run(async {
        let world = World::with(|limits| {
            limits.outbox = 1 << 20;
            limits.outbox_hard = 4 << 20;
        });
        let mut echo = world.echo().await;
        let (mut lazy, mut busy) = (world.caller().await, world.caller().await);
        let metadata = to("echo.Service.count");
        lazy.request(1, request(Interaction::Stream, 1, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 2);
        // The reader takes nothing: its pipe fills, then its outbox.
        let mut cut = false;
        for _ in 0..200 {
            echo.payload(2, "N", &[7; 65_536]).await;
            assert!(world.plane.links.outbox_bytes() <= 4 << 20);
            if let Ok(frame) =
                tokio::time::timeout(Duration::from_millis(1), echo.io.next_frame()).await
            {
                let frame = frame.unwrap().unwrap();
                assert_eq!(Frame::decode(&frame).unwrap().body, Body::Cancel);
                cut = true;
                break;
            }
        }
        assert!(cut);
        busy.request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(4, "Response n=0 hello"));
        echo.payload(4, "NC", b"fine").await;
        assert_eq!(busy.sees().await, seen(1, "payload NC fine"));
        let last = loop {
            let frame = lazy.sees().await;
            if !frame.what.starts_with("payload") {
                break frame;
            }
        };
        let text = "RST-910498: reader is too slow for this stream";
        assert_eq!(last, seen(1, format!("error CANCELED (0x203) {text}")));
    });
}

/// Conformance 135: what was forwarded is CANCELED; a second responder takes new calls.
#[test]
fn a_responder_that_vanishes_ends_its_calls_at_once() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        caller
            .request(3, request(Interaction::Stream, 9, &metadata))
            .await;
        echo.sees().await;
        echo.sees().await;
        drop(echo);
        let mut lost = [caller.sees().await, caller.sees().await];
        lost.sort_by_key(|seen| seen.stream);
        let text =
            "error CANCELED (0x203) RST-910499: responder's connection ended during the call";
        assert_eq!(lost, [seen(1, text), seen(3, text)]);
        caller
            .request(5, request(Interaction::Response, 0, &metadata))
            .await;
        let text = "error INVALID (0x204) RST-900404: service not found: echo.Service";
        let text = text.replace("echo.Service", "echo");
        assert!(caller.sees().await.what.starts_with(&text[..40]));
        let mut echo = world.echo().await;
        caller
            .request(7, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 2);
    });
}

/// Conformance 128: a requester that vanishes cancels what it asked for.
#[test]
fn a_requester_that_vanishes_cancels_its_calls() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        caller
            .request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        let partial = Request {
            follows: true,
            ..request(Interaction::Response, 0, &metadata)
        };
        caller.request(3, partial).await;
        assert_eq!(echo.sees().await.stream, 2);
        assert_eq!(echo.sees().await.stream, 4);
        drop(caller);
        let mut ended = [echo.sees().await, echo.sees().await];
        ended.sort_by_key(|seen| seen.stream);
        assert_eq!(ended, [seen(2, "cancel"), seen(4, "cancel")]);
    });
}

#[test]
fn calls_without_an_answer_time_out() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        caller
            .request(3, request(Interaction::Stream, 9, &metadata))
            .await;
        caller
            .request(5, request(Interaction::Stream, 9, &metadata))
            .await;
        for _ in 0..3 {
            echo.sees().await;
        }
        echo.payload(6, "N", b"in time").await;
        assert_eq!(caller.sees().await, seen(5, "payload N in time"));
        let begun = tokio::time::Instant::now();
        let mut late = [caller.sees().await, caller.sees().await];
        late.sort_by_key(|seen| seen.stream);
        let text = "error CANCELED (0x203) RST-910504: no answer in time";
        assert_eq!(late, [seen(1, text), seen(3, text)]);
        let waited = begun.elapsed();
        assert!(
            waited >= Duration::from_secs(29) && waited < Duration::from_secs(31),
            "{waited:?}"
        );
        let mut cancelled = [echo.sees().await, echo.sees().await];
        cancelled.sort_by_key(|seen| seen.stream);
        assert_eq!(cancelled, [seen(2, "cancel"), seen(4, "cancel")]);
    });
}

/// Conformance 98: metadata that never becomes whole is given up.
#[test]
fn metadata_that_never_ends_is_given_up() {
    run(async {
        let world = World::new();
        let _echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let first = Request {
            follows: true,
            data: b"",
            ..request(Interaction::Response, 0, &metadata[..5])
        };
        caller.request(1, first).await;
        let text = "routing metadata of a fragmented request is too long or too late";
        let expected = seen(1, format!("error INVALID (0x204) RST-910413: {text}"));
        assert_eq!(caller.sees().await, expected);
        // Too many pieces, in no time (conformance 95).
        caller.request(3, first).await;
        for _ in 0..17 {
            let more = Payload {
                metadata: Some(b""),
                ..payload("FN", b"")
            };
            caller.send(|out| more.encode(id(3), out)).await;
        }
        assert_eq!(
            caller.sees().await,
            Seen {
                stream: 3,
                ..expected
            }
        );
    });
}

/// Conformance 40, 41, 43.
#[test]
fn keepalive_is_answered_and_silence_ends_the_connection() {
    run(async {
        let world = World::new();
        let mut caller = world.caller().await;
        for data in [&b""[..], b"k", &[b'x'; 1000]] {
            let keepalive = Keepalive {
                respond: true,
                position: 77,
                data,
            };
            caller.send(|out| keepalive.encode(out)).await;
            let frame = caller.raw().await.unwrap();
            let answer = Keepalive {
                respond: false,
                position: 0,
                data,
            };
            assert_eq!(Frame::decode(&frame).unwrap().body, Body::Keepalive(answer));
        }
        let unasked = Keepalive {
            respond: false,
            position: 0,
            data: b"",
        };
        caller.send(|out| unasked.encode(out)).await;
        let begun = tokio::time::Instant::now();
        let goodbye = caller.sees().await;
        assert!(
            goodbye
                .what
                .starts_with("error CONNECTION_ERROR (0x101) RST-910408"),
            "{goodbye:?}"
        );
        assert!(begun.elapsed() >= Duration::from_secs(89));
        assert!(caller.raw().await.is_none());
    });
}

/// Conformance 138.
#[test]
fn drain_lets_streams_finish() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        echo.sees().await;
        let plane = world.plane.clone();
        let drain =
            tokio::task::spawn_local(
                async move { plane.links.drain(Duration::from_secs(30)).await },
            );
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        caller
            .request(3, request(Interaction::Response, 0, &metadata))
            .await;
        let text = "error REJECTED (0x202) RST-910503: broker is draining; connect to another one";
        assert_eq!(caller.sees().await, seen(3, text));
        echo.payload(2, "NC", b"last").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC last"));
        let goodbye = seen(
            0,
            "error CONNECTION_CLOSE (0x102) RST-910503: broker is draining",
        );
        assert_eq!(caller.sees().await, goodbye);
        assert_eq!(echo.sees().await, goodbye);
        drop((caller, echo));
        assert_eq!(drain.await.unwrap(), 0);
        assert!(world.plane.links.admit(None).is_err());
    });
}

/// Conformance 94: a message that outgrows its limit ends its stream, in either direction.
#[test]
fn a_message_in_fragments_is_bounded() {
    run(async {
        let world = World::with(|limits| limits.message = 100);
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let text = "error CANCELED (0x203) RST-910413: message is larger than limits.message";
        let partial = Request {
            follows: true,
            ..request(Interaction::Response, 0, &metadata)
        };
        caller.request(1, partial).await;
        assert_eq!(echo.sees().await.what, "Response n=0 hello+");
        caller.payload(1, "FN", &[7; 60]).await;
        assert!(echo.sees().await.what.starts_with("payload FN"));
        caller.payload(1, "FN", &[7; 60]).await;
        assert_eq!(caller.sees().await, seen(1, text));
        assert_eq!(echo.sees().await, seen(2, "cancel"));

        caller
            .request(3, request(Interaction::Stream, 5, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 4);
        echo.payload(4, "N", &[7; 300]).await;
        assert!(caller.sees().await.what.starts_with("payload N"));
        echo.payload(4, "FN", &[7; 60]).await;
        echo.payload(4, "N", &[7; 60]).await;
        assert!(caller.sees().await.what.starts_with("payload FN"));
        assert_eq!(caller.sees().await, seen(3, text));
        assert_eq!(echo.sees().await, seen(4, "cancel"));
    });
}

/// What requests with metadata in pieces hold is bounded for the connection, and given back.
#[test]
fn metadata_in_pieces_is_bounded_for_the_connection() {
    run(async {
        let world = World::new();
        let mut caller = world.caller().await;
        let piece = vec![0; 30_000];
        let first = Request {
            follows: true,
            data: b"",
            ..request(Interaction::Response, 0, &piece)
        };
        // An entry of 30,000 zero bytes that goes on: nothing to route by yet.
        let mut metadata = vec![0x7A | 0x80, 0xFF, 0xFF, 0xFF];
        metadata.extend_from_slice(&piece);
        let first = Request {
            metadata: Some(&metadata),
            ..first
        };
        caller.request(1, first).await;
        caller.request(3, first).await;
        caller.sees_nothing().await;
        caller.request(5, first).await;
        let refused = caller.sees().await;
        assert_eq!(refused.stream, 5);
        assert!(refused.what.contains("RST-910413"), "{refused:?}");
        caller.cancel(1).await;
        caller.request(7, first).await;
        caller.sees_nothing().await;
    });
}

#[test]
fn fire_and_forget_is_bounded_and_counted() {
    run(async {
        let world = World::with(|limits| limits.fire_and_forget = 2);
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.tell");
        for stream in [1, 3, 5] {
            caller
                .request(stream, request(Interaction::FireAndForget, 0, &metadata))
                .await;
        }
        assert_eq!(echo.sees().await.stream, 2);
        assert_eq!(echo.sees().await.stream, 4);
        echo.sees_nothing().await;
        caller.sees_nothing().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        caller
            .request(7, request(Interaction::FireAndForget, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 6);
    });
}

/// A reader that is slow for a while is held and then goes on, however many streams share it.
#[test]
fn credit_held_back_by_a_full_outbox_is_made_up() {
    run(async {
        let world = World::with(|limits| limits.outbox = 64 << 10);
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        let mut granted = [0u32; 2];
        for (at, near) in [(0, 1), (1, 3)] {
            caller
                .request(near, request(Interaction::Stream, 0x7FFF_FFFF, &metadata))
                .await;
            assert!(echo.sees().await.what.starts_with("Stream n=16"));
            granted[at] = 16;
        }
        // The responder uses all its credit at once; the reader reads on and on.
        let mut received = 0;
        while received < 2000 {
            for (at, far) in [(0, 2), (1, 4)] {
                while granted[at] > 0 {
                    granted[at] -= 1;
                    let item = payload("N", &[7; 8000]);
                    let mut frame = BytesMut::new();
                    item.encode(id(far), &mut frame);
                    echo.io.push(&frame, Chunk::Copy(b""));
                }
            }
            let (flushed, _) = tokio::join!(echo.io.flush(), async {
                while let Ok(Some(frame)) =
                    tokio::time::timeout(Duration::from_millis(1), caller.io.next_frame()).await
                {
                    frame.unwrap();
                    received += 1;
                }
            });
            flushed.unwrap();
            while let Ok(Some(frame)) =
                tokio::time::timeout(Duration::from_millis(1), echo.io.next_frame()).await
            {
                let frame = frame.unwrap();
                let frame = Frame::decode(&frame).unwrap();
                let Body::RequestN(n) = frame.body else {
                    panic!("{frame:?}")
                };
                granted[usize::from(frame.header.stream_id == id(4))] += n;
            }
            assert!(granted != [0, 0], "stalled after {received} items");
        }
    });
}

/// One connection of an application replaces the other, which is told and closed.
#[test]
fn an_earlier_connection_of_the_same_uuid_gives_way() {
    run(async {
        let world = World::new();
        let app = r#"{"name":"echo","uuid":"0c5f7a52-0000-4000-8000-000000000001"}"#;
        let mut first = world.app(app, r#"{"published":["echo.Service"]}"#).await;
        let mut second = world.dial();
        let entries = [
            (Mime::APPLICATION, app),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ];
        second.setup(&entries).await;
        let goodbye = first.sees().await;
        assert!(goodbye.what.contains("RST-500409"), "{goodbye:?}");
        assert!(first.raw().await.is_none());
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(second.sees().await, seen(2, "Response n=0 hello"));
    });
}

/// What follows a request that is not sent yet must not be lost: such a request goes nowhere else.
#[test]
fn a_refusing_responder_sends_a_call_elsewhere_whole_or_not_at_all() {
    run(async {
        let world = World::new();
        let mut first = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.talk");
        // It announces its end: requests on their way come back.
        first.error(0, 0x102, "leaving").await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        let refused = caller.sees().await;
        assert!(
            refused
                .what
                .starts_with("error REJECTED (0x202) RST-910429"),
            "{refused:?}"
        );
        let mut second = world.echo().await;
        caller
            .request(3, request(Interaction::Channel, 1, &metadata))
            .await;
        caller.request_n(3, 10).await;
        assert_eq!(second.sees().await, seen(2, "Channel n=1 hello"));
        assert_eq!(second.sees().await, seen(2, "credit 10"));
    });
}

/// A peer that causes refusals and reads none of them is closed, not stored for.
#[test]
fn refusals_that_nobody_reads_are_bounded() {
    run(async {
        let world = World::with(|limits| {
            limits.outbox = 64 << 10;
            limits.outbox_hard = 128 << 10;
            limits.frame = 64 << 10;
        });
        let mut caller = world.caller().await;
        let metadata = to(&"nobody.here".repeat(10));
        let mut sent = 0u32;
        while world.plane.links.views().len() == 1 {
            assert!(sent < 100_000, "never closed");
            let mut frames = BytesMut::new();
            for _ in 0..50 {
                frames.clear();
                request(Interaction::Response, 0, &metadata).encode(id(2 * sent + 1), &mut frames);
                caller.io.push(&frames, Chunk::Copy(b""));
                sent += 1;
            }
            // Its own writes go through as long as the broker reads.
            let _ = tokio::time::timeout(Duration::from_millis(1), caller.io.flush()).await;
        }
    });
}

/// Conformance 98: a message that is begun and never finished ends its stream, in either direction.
#[test]
fn a_message_that_never_ends_is_given_up() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        let text =
            "error CANCELED (0x203) RST-910413: message in fragments was not finished in time";
        caller
            .request(1, request(Interaction::Stream, 5, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 2);
        echo.payload(2, "FN", b"begun").await;
        assert_eq!(caller.sees().await, seen(1, "payload FN begun"));
        assert_eq!(caller.sees().await, seen(1, text));
        assert_eq!(echo.sees().await, seen(2, "cancel"));

        let first = Keepalive {
            respond: false,
            position: 0,
            data: b"",
        };
        caller.send(|out| first.encode(out)).await;
        caller
            .request(3, request(Interaction::Channel, 5, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 4);
        echo.payload(4, "N", b"answer").await;
        assert_eq!(caller.sees().await, seen(3, "payload N answer"));
        caller.payload(3, "FN", b"begun").await;
        assert_eq!(echo.sees().await, seen(4, "payload FN begun"));
        assert_eq!(caller.sees().await, seen(3, text));
        assert_eq!(echo.sees().await, seen(4, "cancel"));
    });
}

/// Life and progress are counted in bytes: a frame may take as long as it likes, either way, while
/// something of it moves.
#[test]
fn a_slow_line_is_neither_silent_nor_stalled() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let large = vec![7; 1 << 20];
        let mut frame = BytesMut::new();
        Request {
            data: &large,
            ..request(Interaction::Response, 0, &metadata)
        }
        .encode(id(1), &mut frame);
        // A pipe full a minute, of a lifetime of 90 seconds.
        caller.io.push(&frame, Chunk::Copy(b""));
        let begun = tokio::time::Instant::now();
        while poll_once(caller.io.flush()).await.is_none() {
            echo.sees_nothing().await;
            echo.keepalive().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(begun.elapsed() > Duration::from_secs(600));
        // A pipe full in 20 seconds, of a `stall` of 30.
        let begun = tokio::time::Instant::now();
        let arrived = loop {
            match poll_once(echo.io.next_frame()).await {
                Some(frame) => break frame.unwrap().unwrap(),
                None => {
                    echo.keepalive().await;
                    caller.keepalive().await;
                    tokio::time::sleep(Duration::from_secs(20)).await;
                }
            }
        };
        assert_eq!(arrived.len(), frame.len());
        assert!(begun.elapsed() > Duration::from_secs(200));
    });
}

/// Conformance 139: ten thousand idle connections beside a hundred busy ones cost what the busy ones do.
/// Nobody wakes an idle one, and its keepalives are answered.
#[test]
fn idle_connections_rest() {
    const IDLE: usize = 10_000;
    run(async {
        let world = World::with(|limits| limits.pending = IDLE);
        let mut echo = world.echo().await;
        let metadata = to("echo.Service.say");
        let mut idle = Vec::new();
        let mut busy = Vec::new();
        for _ in 0..IDLE {
            idle.push(world.caller().await);
        }
        for _ in 0..100 {
            busy.push(world.caller().await);
        }
        echo.sees_nothing().await;
        let (mut calls, before) = (0, crate::relay::link::turns());
        let end = tokio::time::Instant::now() + Duration::from_secs(60);
        let mut near = 1;
        while tokio::time::Instant::now() < end {
            for caller in &mut busy {
                let ask = request(Interaction::Response, 0, &metadata);
                caller.request(near, ask).await;
                let asked = echo.sees().await;
                echo.payload(asked.stream, "NC", b"reply").await;
                assert_eq!(caller.sees().await, seen(near, "payload NC reply"));
                calls += 1;
            }
            near += 2;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        // A call is a few turns at either end; besides, every link looks at its own clock now and then.
        let turns = crate::relay::link::turns() - before;
        assert!(
            turns < 20 * calls + 4 * IDLE,
            "{turns} turns for {calls} calls"
        );
        for caller in &mut idle {
            let keepalive = Keepalive {
                respond: true,
                position: 0,
                data: b"k",
            };
            caller.send(|out| keepalive.encode(out)).await;
            assert_eq!(caller.sees().await, seen(0, "keepalive false k"));
        }
    });
}
