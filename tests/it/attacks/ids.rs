//! Stream ids of every wrong kind, at the responder that the neighbour uses as well.

use super::{
    alone, broker,
    neighbour::{Neighbour, ROUTE},
    peer::{
        CANCEL, CONNECTION_ERROR, ERROR, Hello, NEXT, PAYLOAD, Peer, REQUEST_CHANNEL,
        REQUEST_RESPONSE, call, frame,
    },
};
use crate::broker::Broker;

const MAX: u32 = 0x7FFF_FFFF;

/// A request with this id is served, and answered with `id` on the wire.
fn served(peer: &mut Peer, on_the_wire: u32, id: u32) {
    peer.send(&call(on_the_wire, ROUTE, b"hello"))
        .expect("it reads");
    let told = peer.next_of(id).expect("an answer");
    assert_eq!(
        (told.kind, &told.body[..]),
        (PAYLOAD, &b"hello"[..]),
        "id {on_the_wire:#x}"
    );
}

/// The connection goes on as if nothing had been said.
fn unmoved(broker: &Broker, bytes: &[u8]) {
    let mut peer = Peer::hello(broker, &Hello::default());
    peer.send(bytes).expect("it reads");
    served(&mut peer, 101, 101);
}

/// The connection ends with CONNECTION_ERROR.
fn ends(broker: &Broker, bytes: &[u8]) {
    let mut peer = Peer::hello(broker, &Hello::default());
    peer.send(bytes).expect("it reads");
    assert_eq!(peer.farewell(), Some(CONNECTION_ERROR));
}

#[test]
fn stream_ids_of_every_wrong_kind() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    neighbour.during("stream ids", || {
        // Zero, with and without the reserved bit: ignored (conformance 56).
        for id in [0, 1 << 31] {
            unmoved(&broker, &call(id, ROUTE, b""));
            unmoved(&broker, &frame(id, PAYLOAD, NEXT, b"x"));
            unmoved(&broker, &frame(id, CANCEL, 0, b""));
        }
        // Even, which is the server's (55).
        for id in [2, MAX - 1, (1 << 31) + 2] {
            ends(&broker, &call(id, ROUTE, b""));
        }
        // Never used, or not any more (125).
        for kind in [0x08, CANCEL, PAYLOAD, ERROR] {
            unmoved(&broker, &frame(77, kind, NEXT, &[0, 0, 2, 1]));
            unmoved(&broker, &frame(78, kind, NEXT, &[0, 0, 2, 1]));
        }
        let mut peer = Peer::hello(&broker, &Hello::default());
        // Descending, with gaps, the largest, and the smallest behind it: numbers are the client's.
        for id in [MAX, MAX - 2, 1001, 7, 5, 3, 1] {
            served(&mut peer, id, id);
        }
        // The reserved bit is masked (10).
        served(&mut peer, (1 << 31) + 9, 9);
        // Used again when it is free.
        served(&mut peer, 1, 1);
        in_use(&mut peer);
    });
}

/// A request with an id in use is ignored, whatever its kind: one answer comes, to the first (54).
fn in_use(peer: &mut Peer) {
    let mut bytes = call(11, ROUTE, b"first");
    bytes.extend(call(11, ROUTE, b"second"));
    bytes.extend(frame(11, REQUEST_CHANNEL, 0, &[0, 0, 0, 1]));
    bytes.extend(frame(11, REQUEST_RESPONSE, 0, b""));
    bytes.extend(call(13, ROUTE, b"last"));
    peer.send(&bytes).expect("it reads");
    let mut told = Vec::new();
    loop {
        let next = peer.next().expect("an answer");
        let last = next.stream == 13;
        told.push(next);
        if last {
            break;
        }
    }
    let first: Vec<_> = told.iter().filter(|told| told.stream == 11).collect();
    assert_eq!(first.len(), 1, "{told:?}");
    assert_eq!(&first[0].body[..], b"first");
}
