//! Messages in fragments that have no end.

use std::time::{Duration, Instant};

use super::{
    Memory, alone, broker, duration,
    neighbour::{Neighbour, ROUTE},
    peer::{
        ERROR, FOLLOWS, Hello, METADATA, NEXT, PAYLOAD, Peer, REQUEST_RESPONSE, call, frame, route,
        with_metadata,
    },
    size,
};
use crate::broker::Broker;

const LIMITS: &str = "message = \"1MiB\"\noutbox = \"1MiB\"\noutbox-hard = \"4MiB\"";

/// Sends fragments on `streams` streams in turn, begun with this metadata, until the time is up. The
/// streams that have ended begin anew. Returns how many ended with an ERROR.
fn endless(broker: &Broker, streams: u32, metadata: &[u8], fragment: &[u8], flags: u16) -> usize {
    let mut peer = Peer::hello(broker, &Hello::default());
    let limit = Some(Duration::from_millis(1));
    let begin = |stream: u32| {
        let body = with_metadata(metadata, b"");
        frame(stream, REQUEST_RESPONSE, METADATA | FOLLOWS, &body)
    };
    let mut ids: Vec<u32> = (0..streams).map(|at| 2 * at + 1).collect();
    let mut next = 2 * streams + 1;
    for id in &ids {
        peer.send(&begin(*id)).expect("it reads");
    }
    let mut ended = 0;
    let end = Instant::now() + duration();
    while Instant::now() < end {
        for id in &ids {
            let sent = peer.send(&frame(*id, PAYLOAD, flags | FOLLOWS | NEXT, fragment));
            sent.expect("the connection lives");
        }
        // What has come meanwhile.
        peer.stream.set_read_timeout(limit).expect("a limit");
        let mut head = [0];
        while peer.stream.peek(&mut head).is_ok_and(|seen| seen == 1) {
            peer.stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .expect("a limit");
            let told = peer.next().expect("the connection lives");
            peer.stream.set_read_timeout(limit).expect("a limit");
            if told.kind != ERROR {
                continue;
            }
            assert_ne!(told.stream, 0, "the connection lives: {told:?}");
            ended += 1;
            if let Some(id) = ids.iter_mut().find(|id| **id == told.stream) {
                *id = next;
                next += 2;
                peer.send(&begin(*id)).expect("it reads");
            }
        }
    }
    // The connection is as good as ever.
    peer.stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a limit");
    peer.send(&call(next, ROUTE, b"still here"))
        .expect("it reads");
    let answer = peer.next_of(next).expect("an answer");
    assert_eq!(&answer.body[..], b"still here");
    ended
}

fn attack(what: &str, streams: u32, metadata: &[u8], fragment: &[u8], flags: u16) -> usize {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let ended = neighbour.during(what, || {
        endless(&broker, streams, metadata, fragment, flags)
    });
    println!("{ended} streams were ended");
    memory.assert_grew_less_than(&broker, 32);
    ended
}

#[test]
fn endless_fragments_on_one_stream() {
    let ended = attack("one stream", 1, &route(ROUTE), &[7; 16 * 1024], 0);
    assert!(ended >= 1, "a message beyond its limit ends its stream");
}

#[test]
fn endless_fragments_on_a_thousand_streams() {
    attack(
        "a thousand streams",
        size(1000, 10_000),
        &route(ROUTE),
        &[7; 1024],
        0,
    );
}

/// Metadata that never becomes whole, so that nothing can be routed.
#[test]
fn endless_metadata_on_a_thousand_streams() {
    // The head of an entry that is longer than all that comes.
    let entry = [0xFD, 0xFF, 0xFF, 0xFF];
    let fragment = with_metadata(&[7; 100], b"");
    let ended = attack("metadata", size(1000, 10_000), &entry, &fragment, METADATA);
    assert!(ended >= 1, "metadata beyond its limit ends its stream");
}
