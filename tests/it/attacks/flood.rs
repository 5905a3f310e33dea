//! Connections by the thousand.

use std::time::Instant;

use super::{
    Memory, alone, broker, descriptors, metric,
    neighbour::{Neighbour, ROUTE},
    peer::{Hello, PAYLOAD, Peer, call, framed},
    size, until,
};

/// From one address come no more than its share; from another one still gets in.
#[test]
fn a_connection_flood_from_one_address_leaves_room_for_others() {
    let _alone = alone();
    let broker = broker("pending = 200\npending-per-address = 50\nsetup-timeout = \"5s\"");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let before = descriptors(&broker);
    neighbour.during("flood", || {
        let began = Instant::now();
        let mut open = Vec::new();
        let mut guests = 0;
        while open.len() < size(2000, 12_000) {
            open.push(Peer::silent(&broker));
            if open.len() % 400 == 200 {
                let mut guest = Peer::silent_from(&broker, 2);
                guest
                    .send(&framed(&Hello::default().bare()))
                    .expect("it reads");
                guest.send(&call(1, ROUTE, b"let me in")).expect("it reads");
                let answer = guest.next_of(1).expect("an answer");
                assert_eq!(
                    (answer.kind, &answer.body[..]),
                    (PAYLOAD, &b"let me in"[..])
                );
                guests += 1;
            }
        }
        assert!(guests >= 5);
        // Beyond the share of the address they are closed at once, though the time is not up.
        until("the rest is closed", || descriptors(&broker) <= before + 60);
        println!("{} connections in {:?}", open.len(), began.elapsed());
    });
    assert!(
        metric(&broker, "jackfield_refused_total") > 1000.0
            || metric(&broker, "jackfield_connections_refused") > 1000.0
    );
    memory.assert_grew_less_than(&broker, 32);
}

/// Those that do introduce themselves are held to `connections`.
#[test]
fn established_connections_are_held_to_their_limit() {
    let _alone = alone();
    let broker = broker("connections = 100\npending = 50\npending-per-address = 50");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("established", || {
        let mut open = Vec::new();
        for _ in 0..size(300, 3000) {
            let mut peer = Peer::silent(&broker);
            // One that was closed at once cannot be written to.
            let _ = peer.send(&framed(&Hello::default().bare()));
            let _ = peer.send(&call(1, ROUTE, b""));
            open.push(peer);
        }
        let served = open.iter_mut().filter_map(|peer| peer.next_of(1)).count();
        println!("{served} of {} were served", open.len());
        assert!((1..100).contains(&served), "{served}");
    });
    memory.assert_grew_less_than(&broker, 32);
}
