//! Metadata as large as a frame can be.

use super::{
    Memory, alone, broker,
    neighbour::{Neighbour, ROUTE},
    peer::{
        ERROR, Hello, INVALID, METADATA, PAYLOAD, Peer, REQUEST_RESPONSE, frame, framed,
        with_metadata,
    },
    size,
};

/// The most that fits a frame, with its head and length.
const MOST: usize = 0x00FF_FFFF - 6 - 3;

/// Empty entries of a type that nobody knows, and no route.
fn entries() -> Vec<u8> {
    [0xAA, 0, 0, 0].repeat(MOST / 4)
}

/// A routing entry that begins with a good route; all the other tags are different every time.
fn tags(len: usize, number: u32) -> Vec<u8> {
    let mut tags = vec![ROUTE.len() as u8];
    tags.extend_from_slice(ROUTE.as_bytes());
    let tag = [&[200_u8][..], format!("{number:200}").as_bytes()].concat();
    while tags.len() + tag.len() <= len - 4 {
        tags.extend_from_slice(&tag);
    }
    let mut metadata = vec![0xFE];
    metadata.extend(with_metadata(&tags, b""));
    metadata
}

#[test]
fn metadata_of_sixteen_mebibytes_is_read_and_not_kept() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("16 MiB of metadata", || {
        let mut peer = Peer::hello(&broker, &Hello::default());
        let empty = with_metadata(&entries(), b"");
        for at in 0..size(3, 30) {
            let id = 2 * at + 1;
            peer.send(&frame(id, REQUEST_RESPONSE, METADATA, &empty))
                .expect("it reads");
            assert_eq!(peer.next_of(id).map(|told| told.kind), Some(ERROR));
        }
    });
    // The frame itself, once where it is read; and what an allocator keeps of such sizes.
    memory.assert_grew_less_than(&broker, 96);
}

/// What a link remembers of its routes is bounded in bytes, not only in number; and what is larger
/// than any route needs is refused.
#[test]
fn routes_with_large_metadata_are_not_remembered() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    let mut peer = Peer::hello(&broker, &Hello::default());
    let before = broker.memory_now();
    let many = size(512, 5120);
    neighbour.during("routes of 60 KiB", || {
        for at in 0..many {
            let id = 2 * at + 1;
            let body = with_metadata(&tags(60 * 1024, at), b"");
            peer.send(&frame(id, REQUEST_RESPONSE, METADATA, &body))
                .expect("it reads");
            assert_eq!(peer.next_of(id).map(|told| told.kind), Some(PAYLOAD));
        }
        let body = with_metadata(&tags(1 << 20, 0), b"");
        let id = 2 * many + 1;
        peer.send(&frame(id, REQUEST_RESPONSE, METADATA, &body))
            .expect("it reads");
        assert_eq!(peer.next_of(id).and_then(|told| told.code()), Some(INVALID));
    });
    let grown = broker.memory_now().saturating_sub(before);
    println!(
        "{many} routes of 60 KiB: memory grew by {} KiB",
        grown >> 10
    );
    assert!(grown < 12 << 20, "the link keeps {grown} bytes");
}

#[test]
fn setup_metadata_of_sixteen_mebibytes_is_refused() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("16 MiB in SETUP", || {
        let metadata = vec![0x80 | 0x51; MOST - 200];
        let hello = Hello {
            metadata: &metadata,
            ..Hello::default()
        };
        let setup = framed(&hello.bare());
        for _ in 0..size(3, 30) {
            let mut peer = Peer::silent(&broker);
            peer.send(&setup).expect("it reads");
            let code = peer.farewell().expect("a reason");
            assert_eq!(code, 0x101, "refused by its length");
        }
    });
    memory.assert_grew_less_than(&broker, 96);
}

/// Whoever has not introduced itself makes the broker hold little: a first frame that says it is as
/// large as a frame can be is refused by its length, before its bytes.
#[test]
fn a_first_frame_of_sixteen_mebibytes_is_refused_by_its_length() {
    let _alone = alone();
    let broker = broker("pending-per-address = 64");
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("first frames of 16 MiB", || {
        for _ in 0..size(50, 1000) {
            let mut peer = Peer::silent(&broker);
            peer.send(b"\xFF\xFF\xFF\0\0\0\0\x04").expect("it reads");
            let code = peer.farewell().expect("a reason");
            assert_eq!(code, 0x101);
        }
    });
    memory.assert_grew_less_than(&broker, 16);
}
