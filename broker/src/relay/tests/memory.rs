//! What the relay gives up at each stage of memory being short, and that it takes it up again.

use super::*;
use crate::relay::pressure::MemoryStage;

impl World {
    fn memory(&self, stage: MemoryStage) {
        self.plane.links.set_memory_stage(stage);
    }
}

/// Items until the reader's window is used up; how many more were asked for after each.
async fn credit_after_items(responder: &mut Peer, caller: &mut Peer, items: usize) -> Vec<String> {
    let mut asked = Vec::new();
    for _ in 0..items {
        responder.payload(2, "N", b"item").await;
        caller.sees().await;
        tokio::task::yield_now().await;
    }
    while let Ok(Some(frame)) =
        tokio::time::timeout(Duration::from_millis(1), responder.io.next_frame()).await
    {
        if let Body::RequestN(n) = Frame::decode(&frame.unwrap()).unwrap().body {
            asked.push(format!("credit {n}"));
        }
    }
    asked
}

#[test]
fn the_first_stage_grants_one_item_at_a_time() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 0x7FFF_FFFF, &metadata))
            .await;
        assert_eq!(echo.sees().await.what, "Stream n=16 hello");
        world.memory(MemoryStage::HoldCredit);
        // Half of the window would be topped up; all of it must be used, and then one by one.
        assert!(
            credit_after_items(&mut echo, &mut caller, 15)
                .await
                .is_empty()
        );
        for _ in 0..3 {
            let asked = credit_after_items(&mut echo, &mut caller, 1).await;
            assert_eq!(asked, ["credit 1"]);
        }
        assert_eq!(world.plane.metrics.credit_held.get(), 18);
        // New requests are still taken.
        let other = to("echo.Service.say");
        caller
            .request(3, request(Interaction::Response, 0, &other))
            .await;
        assert_eq!(echo.sees().await.what, "Response n=0 hello");
        // Memory is free: the window opens again.
        world.memory(MemoryStage::Normal);
        let asked = credit_after_items(&mut echo, &mut caller, 1).await;
        assert_eq!(asked, ["credit 32"]);
    });
}

#[test]
fn the_second_stage_rejects_new_requests_and_lets_streams_go_on() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        caller
            .request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        echo.sees().await;
        world.memory(MemoryStage::RefuseRequests);
        caller
            .request(3, request(Interaction::Response, 0, &metadata))
            .await;
        let text = "error REJECTED (0x202) RST-910507: broker is short of memory; try again later";
        assert_eq!(caller.sees().await, seen(3, text));
        caller
            .request(5, request(Interaction::FireAndForget, 0, &metadata))
            .await;
        echo.payload(2, "NC", b"last").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC last"));
        echo.sees_nothing().await;
        // Connections are still taken.
        let mut other = world.caller().await;
        world.memory(MemoryStage::HoldCredit);
        other
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await.what, "Response n=0 hello");
    });
}

#[test]
fn the_third_stage_refuses_new_connections() {
    run(async {
        let world = World::new();
        world.memory(MemoryStage::RefuseConnections);
        let refused = world.plane.links.admit(None).unwrap_err();
        assert_eq!(refused.as_str(), "memory_connections");
        world.memory(MemoryStage::RefuseRequests);
        world.caller().await.sees_nothing().await;
    });
}

#[test]
fn the_third_stage_cuts_streams_whose_readers_are_behind() {
    run(async {
        let world = World::with(|limits| limits.outbox = 200_000);
        let mut echo = world.echo().await;
        let (mut hog, metadata) = (world.caller().await, to("echo.Service.count"));
        hog.request(1, request(Interaction::Stream, 0x7FFF_FFFF, &metadata))
            .await;
        echo.sees().await;
        for _ in 0..5 {
            echo.payload(2, "N", &[7; 100_000]).await;
        }
        echo.sees_nothing().await;
        world.memory(MemoryStage::RefuseConnections);
        echo.payload(2, "N", &[7; 100_000]).await;
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        world.memory(MemoryStage::Normal);
        hog.request(3, request(Interaction::Stream, 0x7FFF_FFFF, &metadata))
            .await;
        echo.sees().await;
        for _ in 0..5 {
            echo.payload(4, "N", &[7; 100_000]).await;
        }
        echo.sees_nothing().await;
    });
}

#[test]
fn shedding_closes_the_link_for_which_most_waits() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut reader = world.caller().await;
        let mut hog = world.caller().await;
        let metadata = to("echo.Service.count");
        for peer in [&mut hog, &mut reader] {
            peer.request(1, request(Interaction::Stream, 0x7FFF_FFFF, &metadata))
                .await;
            echo.sees().await;
        }
        for stream in [2, 4] {
            echo.payload(stream, "N", &[7; 100_000]).await;
        }
        reader.sees().await;
        for _ in 0..7 {
            echo.payload(2, "N", &[7; 100_000]).await;
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            world.plane.links.shed(1 << 20),
            None,
            "nobody holds that much"
        );
        let shed = world.plane.links.shed(64 * 1024).expect("one is shed");
        assert!(shed > 600_000, "{shed}");
        assert_eq!(world.plane.links.shed(64 * 1024), None, "only once");
        // Its stream is cancelled at the responder, and the other reader goes on.
        loop {
            let seen = echo.sees().await;
            if seen.what == "cancel" {
                assert_eq!(seen.stream, 2);
                break;
            }
        }
        echo.payload(4, "NC", b"more").await;
        assert_eq!(reader.sees().await, seen(1, "payload NC more"));
        assert_eq!(world.plane.links.outbox_bytes(), 0);
        drop(hog);
    });
}
