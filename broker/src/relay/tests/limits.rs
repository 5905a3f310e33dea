//! Rows of the queue table: what is configured is what holds.

use std::net::{IpAddr, Ipv4Addr};

use tokio::time::Instant;

use super::*;

/// A keepalive that wants an answer.
async fn ping(peer: &mut Peer) {
    let ping = Keepalive {
        respond: true,
        position: 0,
        data: b"there?",
    };
    peer.send(|out| ping.encode(out)).await;
}

/// How long a keepalive waits behind requests for an application that reads nothing.
async fn answered_after(pause: Duration) -> Duration {
    let world = World::with(|limits| {
        limits.outbox = 80_000;
        limits.pause = pause;
    });
    let _lazy = world.echo().await;
    let mut caller = world.caller().await;
    let metadata = to("echo.Service.take");
    let request = Request {
        data: &[7; 9000],
        ..request(Interaction::FireAndForget, 0, &metadata)
    };
    let before = Instant::now();
    let sending = async {
        for number in 0..40 {
            caller.request(2 * number + 1, request).await;
        }
        ping(&mut caller).await;
        caller.sees().await
    };
    assert_eq!(sending.await, seen(0, "keepalive false there?"));
    let paused = &world.plane.metrics.slow_peers;
    assert!(paused.with_label_values(&["source_paused"]).get() >= 1);
    before.elapsed()
}

#[test]
fn a_source_that_has_filled_its_share_rests() {
    run(async {
        assert!(answered_after(Duration::from_millis(10)).await < Duration::from_secs(1));
        assert!(answered_after(Duration::from_secs(7)).await >= Duration::from_secs(7));
    });
}

#[test]
fn metadata_in_fragments_has_a_bound_of_bytes_pieces_and_time() {
    run(async {
        let world = World::with(|limits| {
            limits.metadata = 200;
            limits.metadata_fragments = 2;
            limits.metadata_timeout = Duration::from_secs(2);
        });
        let _echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let first = Request {
            follows: true,
            data: b"",
            ..request(Interaction::Response, 0, &metadata[..5])
        };
        let text = "routing metadata of a fragmented request is too long or too late";
        let refused = |stream| seen(stream, format!("error INVALID (0x204) RST-910413: {text}"));
        // Time.
        let before = Instant::now();
        caller.request(1, first).await;
        assert_eq!(caller.sees().await, refused(1));
        let waited = before.elapsed();
        assert!(
            waited >= Duration::from_secs(2) && waited < Duration::from_secs(3),
            "{waited:?}"
        );
        // Pieces.
        caller.request(3, first).await;
        for _ in 0..3 {
            let more = Payload {
                metadata: Some(b""),
                ..payload("FN", b"")
            };
            caller.send(|out| more.encode(id(3), out)).await;
        }
        assert_eq!(caller.sees().await, refused(3));
        assert!(before.elapsed() < Duration::from_secs(4), "in no time");
        // Bytes.
        let large = [7; 300];
        let first = Request {
            metadata: Some(&large),
            ..first
        };
        caller.request(5, first).await;
        assert_eq!(caller.sees().await, refused(5));
        assert_eq!(world.plane.metrics.refusals("metadata_too_long"), 3);
    });
}

#[test]
fn a_message_has_the_time_that_is_configured() {
    run(async {
        let world = World::with(|limits| limits.assembly_timeout = Duration::from_secs(3));
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 5, &metadata))
            .await;
        echo.sees().await;
        let before = Instant::now();
        echo.payload(2, "FN", b"begun").await;
        caller.sees().await;
        assert!(caller.sees().await.what.contains("not finished in time"));
        assert_eq!(world.plane.metrics.refusals("message_unfinished"), 1);
        let waited = before.elapsed();
        assert!(
            waited >= Duration::from_secs(3) && waited < Duration::from_secs(4),
            "{waited:?}"
        );
    });
}

#[test]
fn a_socket_that_takes_nothing_is_closed() {
    run(async {
        let world = World::with(|limits| limits.stall = Duration::from_secs(5));
        let mut echo = world.echo().await;
        let mut lazy = world.caller().await;
        let metadata = to("echo.Service.count");
        lazy.request(1, request(Interaction::Stream, 99, &metadata))
            .await;
        echo.sees().await;
        let before = Instant::now();
        // More than a pipe holds.
        for _ in 0..2 {
            echo.payload(2, "N", &[7; 50_000]).await;
        }
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        let waited = before.elapsed();
        assert!(
            waited >= Duration::from_secs(5) && waited < Duration::from_secs(6),
            "{waited:?}"
        );
        let closed = world
            .plane
            .metrics
            .slow_peers
            .with_label_values(&["closed"]);
        assert_eq!(closed.get(), 1);
    });
}

#[test]
fn setup_has_the_time_that_is_configured() {
    run(async {
        let world = World::with(|limits| limits.setup_timeout = Duration::from_secs(2));
        let before = Instant::now();
        let mut silent = world.dial();
        assert!(
            silent
                .sees()
                .await
                .what
                .contains("RST-500402: no SETUP within")
        );
        assert_eq!(before.elapsed().as_secs(), 2);
    });
}

#[test]
fn connections_are_bounded_in_all_and_half_open_ones_by_address() {
    run(async {
        let world = World::with(|limits| {
            limits.connections = 3;
            limits.pending_per_address = 1;
        });
        let admit = |last| {
            world
                .plane
                .links
                .admit(Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))))
        };
        let one = admit(1).unwrap();
        let refused = admit(1).unwrap_err();
        assert_eq!(refused.as_str(), "pending_per_address");
        assert!(refused.text().contains("limits.pending-per-address"));
        let _another = admit(2).unwrap();
        drop(one);
        let _one = admit(1).unwrap();
        let _open = world.caller().await;
        assert_eq!(admit(3).unwrap_err().as_str(), "connections");
    });
}

#[test]
fn streams_of_a_caller_are_bounded() {
    run(async {
        let world = World::with(|limits| limits.streams = 1);
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 5, &metadata))
            .await;
        echo.sees().await;
        caller
            .request(3, request(Interaction::Stream, 5, &metadata))
            .await;
        let refused = caller.sees().await;
        assert_eq!(refused.stream, 3);
        assert!(refused.what.starts_with("error REJECTED"), "{refused:?}");
        assert_eq!(world.plane.metrics.refusals("streams"), 1);
    });
}
