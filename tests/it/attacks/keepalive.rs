//! Silence, and its opposite.

use std::time::{Duration, Instant};

use super::{
    Memory, alone, broker, duration,
    neighbour::{Neighbour, ROUTE},
    peer::{ERROR, Hello, KEEPALIVE, Peer, RESPOND, call, frame, registers},
    size,
};

/// Whoever says nothing for the lifetime it named itself is closed, and its calls end.
#[test]
fn keepalive_silence_ends_connections_and_their_calls() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("silence", || {
        let metadata = registers("attacks.Deaf", None);
        let hello = Hello {
            lifetime_ms: 1000,
            metadata: &metadata,
            ..Hello::default()
        };
        let mut deaf: Vec<Peer> = (0..size(50, 1000))
            .map(|_| Peer::hello(&broker, &hello))
            .collect();
        let mut caller = Peer::hello(&broker, &Hello::default());
        let began = Instant::now();
        let mut id = 1;
        // Until one of them is known, there is nobody to call.
        let ended = loop {
            caller
                .send(&call(id, "attacks.Deaf.call", b""))
                .expect("it reads");
            let told = caller.next_of(id).expect("every call ends");
            assert_eq!(told.kind, ERROR);
            if told.code() == Some(0x203) {
                break began.elapsed();
            }
            id += 2;
        };
        assert!(ended < Duration::from_secs(20), "{ended:?}");
        for peer in &mut deaf {
            assert!(peer.is_closed_within(Duration::from_secs(20)));
        }
    });
    memory.assert_grew_less_than(&broker, 32);
}

/// Answers that nobody reads are not collected: of KEEPALIVE only the newest waits.
#[test]
fn keepalive_flood_of_a_peer_that_does_not_read() {
    let _alone = alone();
    let broker = broker("stall = \"60s\"");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let sent = neighbour.during("keepalive flood", || {
        let mut peer = Peer::hello(&broker, &Hello::default());
        let ping = frame(0, KEEPALIVE, RESPOND, &[7; 8 + 1000]).repeat(16);
        let end = Instant::now() + duration();
        let mut sent: u64 = 0;
        while Instant::now() < end && peer.send(&ping).is_ok() {
            sent += 16;
        }
        sent
    });
    println!("{sent} keepalives of 1 kB");
    assert!(sent > 5000, "more than sockets hold: {sent}");
    memory.assert_grew_less_than(&broker, 16);
    let mut peer = Peer::hello(&broker, &Hello::default());
    peer.send(&call(1, ROUTE, b"others go on"))
        .expect("it reads");
    assert_eq!(
        peer.next_of(1).map(|told| told.body).as_deref(),
        Some(&b"others go on"[..])
    );
}
