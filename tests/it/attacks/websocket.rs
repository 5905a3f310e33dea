//! Compression, masking and other tricks on WebSocket.

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use super::{
    Memory, alone, broker, duration,
    neighbour::{Neighbour, ROUTE},
    peer::{Hello, METADATA, PAYLOAD, REQUEST_RESPONSE, bare, route, with_metadata},
    ws_peer::{BINARY, CONTINUATION, PING, TEXT, WsFrame, WsPeer},
};
use crate::broker::Broker;

const LIMITS: &str = "frame = \"1MiB\"\nstall = \"60s\"";
const PROTOCOL: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const TOO_BIG: u16 = 1009;

/// A client that has introduced itself.
fn hello(broker: &Broker) -> WsPeer {
    let mut peer = WsPeer::connect(broker);
    let setup = Hello::default().bare();
    peer.send(&WsFrame::of(BINARY, &setup)).expect("it reads");
    peer
}

fn served(peer: &mut WsPeer) {
    peer.send_bytes(&call()).expect("it reads");
    answered(peer);
}

/// A call of the neighbour's service.
fn call() -> Vec<u8> {
    let body = with_metadata(&route(ROUTE), b"hello");
    let call = bare(1, REQUEST_RESPONSE, METADATA, &body);
    WsFrame::of(BINARY, &call).bytes()
}

fn answered(peer: &mut WsPeer) {
    loop {
        let (opcode, message) = peer.next().expect("an answer");
        // Answers to pings may come first.
        if opcode == BINARY {
            assert_eq!(message[4] >> 2, PAYLOAD);
            assert!(message.ends_with(b"hello"));
            return;
        }
    }
}

#[test]
fn what_breaks_the_rules_of_websocket_is_told_by_code() {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let good = bare(
        1,
        REQUEST_RESPONSE,
        METADATA,
        &with_metadata(&route(ROUTE), b""),
    );
    let binary = WsFrame::of(BINARY, &good);
    let part = |last, opcode| WsFrame {
        last,
        ..WsFrame::of(opcode, b"part")
    };
    neighbour.during("broken rules", || {
        let mut peer = hello(&broker);
        assert!(peer.head.starts_with("http/1.1 101"), "{}", peer.head);
        assert!(
            !peer.head.contains("sec-websocket-extensions"),
            "{}",
            peer.head
        );
        served(&mut peer);
        for (what, frames, code) in [
            // What nobody agreed to compress.
            (
                "RSV1",
                vec![WsFrame {
                    reserved: 4,
                    ..binary.clone()
                }],
                PROTOCOL,
            ),
            (
                "RSV2",
                vec![WsFrame {
                    reserved: 2,
                    ..binary.clone()
                }],
                PROTOCOL,
            ),
            (
                "RSV3 on a ping",
                vec![WsFrame {
                    reserved: 1,
                    ..WsFrame::of(PING, b"")
                }],
                PROTOCOL,
            ),
            (
                "unmasked",
                vec![WsFrame {
                    masked: false,
                    ..binary.clone()
                }],
                PROTOCOL,
            ),
            ("a ping in parts", vec![part(false, PING)], PROTOCOL),
            (
                "a ping of 126 bytes",
                vec![WsFrame::of(PING, &[0; 126])],
                PROTOCOL,
            ),
            (
                "2^63 bytes",
                vec![WsFrame {
                    claims: Some(1 << 63),
                    ..binary.clone()
                }],
                TOO_BIG,
            ),
            (
                "2^64 - 1 bytes",
                vec![WsFrame {
                    claims: Some(u64::MAX),
                    ..binary.clone()
                }],
                TOO_BIG,
            ),
            (
                "over the limit",
                vec![WsFrame {
                    claims: Some((1 << 20) + 1),
                    ..binary.clone()
                }],
                TOO_BIG,
            ),
            (
                "a continuation of nothing",
                vec![part(true, CONTINUATION)],
                PROTOCOL,
            ),
            (
                "a message in a message",
                vec![part(false, BINARY), part(true, BINARY)],
                PROTOCOL,
            ),
            ("an unknown kind", vec![part(true, 3)], PROTOCOL),
            ("an unknown control", vec![part(true, 11)], PROTOCOL),
            ("text", vec![part(true, TEXT)], UNSUPPORTED),
        ] {
            let mut peer = hello(&broker);
            for frame in &frames {
                peer.send(frame).expect("it reads");
            }
            assert_eq!(peer.close_code(), Some(code), "{what}");
        }
    });
    memory.assert_grew_less_than(&broker, 24);
}

/// Continuations with bytes come to the limit; those without come to nothing, for as long as they
/// like.
#[test]
fn endless_continuations() {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    neighbour.during("continuations", || {
        let part = |opcode, body| {
            WsFrame {
                last: false,
                ..WsFrame::of(opcode, body)
            }
            .bytes()
        };
        let mut peer = hello(&broker);
        peer.send_bytes(&part(BINARY, b"begin")).expect("it reads");
        let more = part(CONTINUATION, &[7; 1000]).repeat(64);
        // Beyond the limit it is told so, and what it still says is thrown away, for a while.
        let end = Instant::now() + Duration::from_secs(20);
        while peer.send_bytes(&more).is_ok() {
            assert!(Instant::now() < end, "it takes more than its limit");
        }

        let mut peer = hello(&broker);
        let body = with_metadata(&route(ROUTE), b"hello");
        let call = bare(1, REQUEST_RESPONSE, METADATA, &body);
        peer.send_bytes(&part(BINARY, &call[..9]))
            .expect("it reads");
        let nothing = part(CONTINUATION, b"").repeat(4096);
        let end = Instant::now() + duration();
        while Instant::now() < end {
            peer.send_bytes(&nothing).expect("it reads");
        }
        // It was a message all the same.
        peer.send(&WsFrame::of(CONTINUATION, &call[9..]))
            .expect("it reads");
        let (_, message) = peer.next().expect("an answer");
        assert!(message.ends_with(b"hello"));
    });
    memory.assert_grew_less_than(&broker, 24);
}

/// Pongs that nobody reads are not collected.
#[test]
fn a_ping_flood_of_a_peer_that_does_not_read() {
    let _alone = alone();
    let broker = broker(LIMITS);
    let mut neighbour = Neighbour::start(&broker);
    let memory = Memory::of(&broker);
    let mut peers: Vec<WsPeer> = (0..4).map(|_| hello(&broker)).collect();
    let pings = WsFrame::of(PING, &[7; 125]).bytes().repeat(512);
    let left = neighbour.during("ping flood", || {
        let end = Instant::now() + duration().max(Duration::from_secs(4));
        thread::scope(|scope| {
            let flood = |peer| scope.spawn(|| WsPeer::flood(peer, &pings, end));
            let floods: Vec<_> = peers.iter_mut().map(flood).collect();
            let done = floods
                .into_iter()
                .map(|flood| flood.join().expect("it floods"));
            done.map(|(times, left)| {
                println!("{} pings", times * 512);
                left
            })
            .collect::<Vec<_>>()
        })
    });
    memory.assert_grew_less_than(&broker, 16);
    // Whoever reads again is answered, and served.
    let mut writer = peers[0].writer();
    let rest = [left[0], &call()[..]].concat();
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&rest).expect("it reads"));
        answered(&mut peers[0]);
    });
}
