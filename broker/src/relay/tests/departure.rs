//! Requests that were not sent yet: taken back, or sent elsewhere.

use super::*;

/// Two applications of one service, of which the first is the one that is picked next.
async fn first_and_busy(world: &World, caller: &mut Peer) -> (Peer, Peer) {
    let metadata = to("echo.Service.say");
    let mut busy = world.echo().await;
    caller
        .request(1, request(Interaction::Response, 0, &metadata))
        .await;
    assert_eq!(busy.sees().await.stream, 2);
    (world.echo().await, busy)
}

/// A responder announces its end while requests are on their way to it: they were not sent, so
/// another takes them, fire-and-forget too.
#[test]
fn what_comes_back_unsent_goes_elsewhere() {
    run(async {
        for (interaction, expected) in [
            (Interaction::Response, "Response n=0 hello"),
            (Interaction::FireAndForget, "FireAndForget n=0 hello"),
            (Interaction::Stream, "Stream n=7 hello"),
        ] {
            let world = World::new();
            let mut caller = world.caller().await;
            let (mut first, mut busy) = first_and_busy(&world, &mut caller).await;
            // The caller's link runs first and hands the request over; then the first application's
            // link reads that it is leaving, before it looks at its outbox.
            let metadata = to("echo.Service.say");
            caller.request(3, request(interaction, 7, &metadata)).await;
            first.error(0, 0x102, "leaving").await;
            assert_eq!(busy.sees().await, seen(4, expected));
            first.sees_nothing().await;
            caller.sees_nothing().await;
        }
    });
}

/// With nobody else there, the caller reads why it was not taken, and that it may try again.
#[test]
fn what_nobody_else_takes_is_refused_with_the_reason() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        echo.error(0, 0x102, "leaving").await;
        let text = "RST-910429: echo.Service did not take the request, because it is closing; \
                    try again later";
        let refused = seen(1, format!("error REJECTED (0x202) {text}"));
        assert_eq!(caller.sees().await, refused);

        let world = World::with(|limits| limits.streams = 1);
        let mut echo = world.echo().await;
        let (mut one, mut other) = (world.caller().await, world.caller().await);
        one.request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.stream, 2);
        other
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        let refused = other.sees().await;
        assert!(
            refused.what.contains("it has limits.streams open streams"),
            "{refused:?}"
        );
    });
}

/// A request that is cancelled before it was sent gives its room back at once, however long the
/// responder reads nothing.
#[test]
fn a_withdrawn_request_leaves_nothing_in_the_outbox() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let large = vec![7; 100_000];
        let ids = || (1..41).step_by(2);
        for near in ids() {
            let request = Request {
                data: &large,
                ..request(Interaction::Response, 0, &metadata)
            };
            caller.request(near, request).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let waiting = world.plane.links.outbox_bytes();
        assert!(waiting > 1_000_000, "{waiting}");
        for near in ids() {
            caller.cancel(near).await;
        }
        // A source whose share is full is read again after a rest.
        tokio::time::sleep(Duration::from_secs(1)).await;
        // What is left are the CANCELs of those that had been sent.
        let waiting = world.plane.links.outbox_bytes();
        assert!(waiting < 20 * 100, "{waiting}");
        // The application reads only what was sent: each request, and that it was cancelled.
        let (mut requests, mut cancels) = (0, 0);
        while let Ok(frame) =
            tokio::time::timeout(Duration::from_millis(1), echo.io.next_frame()).await
        {
            match Frame::decode(&frame.unwrap().unwrap()).unwrap().body {
                Body::Request(_) => requests += 1,
                Body::Cancel => cancels += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(requests > 0 && requests < 20, "{requests}");
        assert_eq!(cancels, requests);
    });
}

/// A caller that asks and cancels without end leaves no turns behind in an outbox that is not read.
#[test]
fn requests_and_cancels_leave_no_turns_behind() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let large = vec![7; 100_000];
        for near in [1, 3, 5, 7] {
            let request = Request {
                data: &large,
                ..request(Interaction::Response, 0, &metadata)
            };
            caller.request(near, request).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut other = world.caller().await;
        for near in (1..2001).step_by(2) {
            let ask = request(Interaction::Response, 0, &metadata);
            other.request(near, ask).await;
            other.sees_nothing().await;
            other.cancel(near).await;
            other.sees_nothing().await;
        }
        let slot = world.plane.directory.find("echo.Service").unwrap();
        let turns = slot.candidates()[0].link.outbox.turns();
        assert!(turns <= 2, "{turns} turns");
        echo.raw().await;
    });
}

/// An order reaches a link at once, also one whose peer reads nothing.
#[test]
fn an_order_reaches_a_link_whose_peer_does_not_read() {
    run(async {
        let world = World::new();
        let app = r#"{"name":"echo","uuid":"0c5f7a52-0000-4000-8000-000000000001"}"#;
        let mut first = world.app(app, r#"{"published":["echo.Service"]}"#).await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.tell");
        let large = vec![7; 100_000];
        for near in (1..11).step_by(2) {
            let told = Request {
                data: &large,
                ..request(Interaction::FireAndForget, 0, &metadata)
            };
            caller.request(near, told).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = tokio::time::Instant::now();
        let mut second = world.dial();
        let entries = [
            (Mime::APPLICATION, app),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ];
        second.setup(&entries).await;
        while first.raw().await.is_some() {}
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
    });
}
