//! One source that pushes, at a responder which others share.

use std::time::Instant;

use super::{
    Memory, alone, broker, duration,
    neighbour::{Neighbour, ROUTE},
    peer::{Hello, METADATA, Peer, REQUEST_FNF, REQUEST_RESPONSE, frame, route, with_metadata},
};

const LIMITS: &str = "outbox = \"4MiB\"\noutbox-hard = \"16MiB\"";

/// Requests of this kind and size at the neighbour's own responder, as fast as they are taken.
fn attack(what: &str, kind: u8, len: usize) {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let sent = neighbour.during(what, || {
        let mut peer = Peer::hello(&broker, &Hello::default());
        let mut answers = Peer {
            stream: peer.stream.try_clone().expect("a socket"),
        };
        let body = with_metadata(&route(ROUTE), &vec![7; len]);
        let end = Instant::now() + duration();
        let mut sent = 0;
        let reader = std::thread::spawn(move || while answers.next().is_some() {});
        while Instant::now() < end {
            let id = 2 * sent + 1;
            peer.send(&frame(id, kind, METADATA, &body))
                .expect("the connection lives");
            sent += 1;
        }
        let _ = peer.stream.shutdown(std::net::Shutdown::Both);
        reader.join().expect("it read to the end");
        sent
    });
    println!("{sent} requests of {len} bytes");
    assert!(sent > 10);
    memory.assert_grew_less_than(&broker, 64);
}

#[test]
fn big_requests_at_a_shared_responder() {
    attack("big requests", REQUEST_RESPONSE, 1 << 20);
}

#[test]
fn big_fire_and_forget_at_a_shared_responder() {
    attack("big fire-and-forget", REQUEST_FNF, 1 << 20);
}

#[test]
fn small_fire_and_forget_at_a_shared_responder() {
    attack("small fire-and-forget", REQUEST_FNF, 16);
}
