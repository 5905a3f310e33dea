//! Slow loris: connections that never finish to introduce themselves.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use super::{
    Memory, alone, broker, duration,
    neighbour::Neighbour,
    peer::{Hello, Peer, framed},
    size,
};
use crate::broker::{Broker, Transport};

const LIMITS: &str = "setup-timeout = \"1s\"\npending = 128\npending-per-address = 64";

/// Keeps `count` connections open that say `bytes` one byte at a time, opens new ones when they are
/// closed, and returns how many were.
fn loris(broker: &Broker, transport: Transport, count: usize, bytes: &[u8]) -> usize {
    let end = Instant::now() + Duration::from_secs(3).max(duration());
    let mut peers: Vec<(Peer, usize)> = Vec::new();
    let mut closed = 0;
    while Instant::now() < end {
        while peers.len() < count
            && let Ok(peer) = Peer::try_silent(broker, transport)
        {
            peer.stream.set_nonblocking(true).expect("a socket");
            peers.push((peer, 0));
        }
        let before = peers.len();
        peers.retain_mut(|(peer, said)| {
            let byte = bytes[*said % bytes.len()];
            *said += 1;
            peer.stream.write_all(&[byte]).is_ok() && !is_closed(peer)
        });
        closed += before - peers.len();
        thread::sleep(Duration::from_millis(50));
    }
    // Whoever is left is closed in time, too: bytes do not buy any.
    for (peer, _) in &mut peers {
        peer.stream.set_nonblocking(false).expect("a socket");
        assert!(peer.is_closed_within(Duration::from_secs(20)));
    }
    closed
}

fn is_closed(peer: &Peer) -> bool {
    // An ERROR may stand before the end, so it is not enough to look for zero bytes.
    let mut room = [0; 512];
    match peer.stream.peek(&mut room) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

fn attack(transport: Transport, bytes: &[u8]) {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let closed = neighbour.during(transport.name(), || {
        loris(&broker, transport, size(60, 1000), bytes)
    });
    println!("{closed} connections were closed");
    assert!(closed >= 60, "only {closed} were closed");
    memory.assert_grew_less_than(&broker, 24);
}

#[test]
fn slow_loris_before_setup() {
    attack(Transport::Tcp, &framed(&Hello::default().bare()));
}

#[test]
fn slow_loris_in_the_websocket_handshake() {
    let mut head = b"GET /rsocket HTTP/1.1\r\nHost: h\r\n".to_vec();
    (0..100).for_each(|n| head.extend(format!("X-{n}: y\r\n").bytes()));
    attack(Transport::Ws, &head);
}

/// A head without an end is not collected without an end.
#[test]
fn endless_headers_in_the_websocket_handshake() {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("endless headers", || {
        for _ in 0..size(10, 100) {
            let mut peer = Peer::try_silent(&broker, Transport::Ws).expect("it accepts");
            let _ = peer.send(b"GET /rsocket HTTP/1.1\r\n");
            let line = format!("X: {}\r\n", "y".repeat(1000));
            let mut said = 0;
            while said < 64 << 20 && peer.send(line.as_bytes()).is_ok() {
                said += line.len();
            }
            assert!(said < 64 << 20, "it reads on and on");
        }
    });
    memory.assert_grew_less_than(&broker, 24);
}
