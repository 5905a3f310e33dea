//! The end of a broker: what may finish does, what is cut is told and counted once. Conformance 138.

use tokio::task::{JoinHandle, spawn_local};

use super::*;

const DRAINING: &str = "error CONNECTION_CLOSE (0x102) RST-910503: broker is draining";
const STOPPING: &str = "error CONNECTION_ERROR (0x101) RST-910503: broker is stopping";

/// Begins to drain; when this returns every link has been told.
async fn drain(world: &World, grace: Duration) -> JoinHandle<usize> {
    let plane = world.plane.clone();
    let draining = spawn_local(async move { plane.links.drain(grace).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    draining
}

#[test]
fn links_close_one_by_one_as_they_become_idle() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let (mut idle, mut busy) = (world.caller().await, world.caller().await);
        let metadata = to("echo.Service.count");
        busy.request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        echo.sees().await;
        let draining = drain(&world, Duration::from_secs(30)).await;
        assert_eq!(idle.sees().await, seen(0, DRAINING));
        assert!(idle.raw().await.is_none());
        // Credit and items still cross.
        echo.payload(2, "N", b"item").await;
        assert_eq!(busy.sees().await, seen(1, "payload N item"));
        busy.request_n(1, 5).await;
        assert_eq!(echo.sees().await, seen(2, "credit 5"));
        busy.cancel(1).await;
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        assert_eq!(busy.sees().await, seen(0, DRAINING));
        assert_eq!(echo.sees().await, seen(0, DRAINING));
        drop((idle, busy, echo));
        assert_eq!(draining.await.unwrap(), 0, "a cancelled call is not cut");
    });
}

#[test]
fn at_the_end_of_grace_calls_are_cut_and_counted_once() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let (mut one, mut two) = (world.caller().await, world.caller().await);
        let metadata = to("echo.Service.count");
        for (peer, streams) in [(&mut one, &[1, 3][..]), (&mut two, &[1][..])] {
            for stream in streams {
                peer.request(*stream, request(Interaction::Stream, 9, &metadata))
                    .await;
                echo.sees().await;
            }
        }
        let before = tokio::time::Instant::now();
        let draining = drain(&world, Duration::from_secs(20)).await;
        for peer in [&mut one, &mut two, &mut echo] {
            let last = loop {
                let seen = peer.sees().await;
                if seen.stream == 0 {
                    break seen;
                }
                // The other link may have ended first.
                assert!(
                    seen.what == "cancel" || seen.what.contains("RST-910499"),
                    "{seen:?}"
                );
            };
            assert_eq!(last, seen(0, STOPPING));
        }
        assert_eq!(before.elapsed().as_secs(), 20);
        drop((one, two, echo));
        assert_eq!(draining.await.unwrap(), 3);
    });
}

#[test]
fn no_grace_is_at_once() {
    run(async {
        let world = World::new();
        let mut caller = world.caller().await;
        let draining = drain(&world, Duration::ZERO).await;
        let goodbye = caller.sees().await;
        assert!(
            goodbye == seen(0, STOPPING) || goodbye == seen(0, DRAINING),
            "{goodbye:?}"
        );
        drop(caller);
        assert_eq!(draining.await.unwrap(), 0);
    });
}

#[test]
fn who_comes_too_late_is_told() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut busy = world.caller().await;
        let metadata = to("echo.Service.count");
        busy.request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        echo.sees().await;
        let mut late = world.dial();
        let draining = drain(&world, Duration::from_secs(30)).await;
        assert!(world.plane.links.draining());
        let refused = world.plane.links.admit(None).unwrap_err();
        assert!(refused.text().starts_with("RST-910503"));
        // It was half-open; now it is a link, and idle.
        late.setup(&[]).await;
        assert_eq!(late.sees().await, seen(0, DRAINING));
        // A responder that is draining is no candidate, and nobody is told to try it.
        assert!(!world.plane.links.views().is_empty());
        busy.request(3, request(Interaction::Response, 0, &metadata))
            .await;
        assert!(busy.sees().await.what.contains("RST-910503"));
        echo.payload(2, "NC", b"last").await;
        busy.sees().await;
        drop((late, busy, echo));
        assert_eq!(draining.await.unwrap(), 0);
    });
}
