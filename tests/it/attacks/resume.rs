//! Sessions: guessed, stolen, and stormed.

use std::time::{Duration, Instant};

use super::{
    Memory, alone, broker, descriptors, duration,
    neighbour::{Neighbour, ROUTE},
    peer::{
        Hello, KEEPALIVE, PAYLOAD, Peer, REJECTED_RESUME, REJECTED_SETUP, RESPOND, RESUME,
        RESUME_OK, bare, call, frame, framed, registers,
    },
    size, until,
};
use crate::broker::Broker;

const TOKEN_LEN: usize = 16;

pub(super) fn token(number: u64) -> [u8; TOKEN_LEN] {
    let mut token = *b"session 00000000";
    token[8..].copy_from_slice(&number.to_be_bytes());
    token
}

fn resume(token: &[u8], received: u64, available: u64) -> Vec<u8> {
    framed(&resume_bare(token, received, available))
}

/// RESUME without a length.
pub(super) fn resume_bare(token: &[u8], received: u64, available: u64) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend_from_slice(&(token.len() as u16).to_be_bytes());
    body.extend_from_slice(token);
    body.extend_from_slice(&received.to_be_bytes());
    body.extend_from_slice(&available.to_be_bytes());
    bare(0, RESUME, 0, &body)
}

/// A session that has made one call, and how many bytes that count came.
fn session(broker: &Broker, token: &[u8]) -> (Peer, u64) {
    let mut peer = Peer::hello(
        broker,
        &Hello {
            token: Some(token),
            ..Hello::default()
        },
    );
    peer.send(&call(1, ROUTE, b"first")).expect("it reads");
    let answer = peer.next_of(1).expect("an answer");
    (peer, 6 + answer.body.len() as u64)
}

fn come_back(broker: &Broker, token: &[u8], received: u64) -> Option<Peer> {
    let mut peer = Peer::silent(broker);
    peer.send(&resume(token, received, 0)).expect("it reads");
    (peer.next()?.kind == RESUME_OK).then_some(peer)
}

/// Wrong and guessed tokens open nothing, and the session they are after is untouched.
#[test]
fn guessed_tokens_open_nothing() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    let (mut owner, received) = session(&broker, &token(1));
    let memory = Memory::of(&broker);
    neighbour.during("guessed tokens", || {
        let good = token(1);
        let mut guesses: Vec<Vec<u8>> = (0..TOKEN_LEN)
            .map(|at| {
                let mut near = good.to_vec();
                near[at] ^= 1;
                near
            })
            .collect();
        guesses.extend([
            good[..15].to_vec(),
            [&good[..], b"\0"].concat(),
            Vec::new(),
            vec![0; 65_535],
        ]);
        guesses.extend((2..size(500, 20_000)).map(|number| token(number).to_vec()));
        // The broker waits a while for the loser to close, so nobody waits for it.
        for guess in guesses {
            let mut peer = Peer::silent(&broker);
            peer.send(&resume(&guess, 0, 0)).expect("it reads");
            let told = peer.next().expect("an answer");
            assert_eq!(told.code(), Some(REJECTED_RESUME), "{guess:?}");
        }
    });
    // Its own transport still works, and so does coming back.
    owner
        .send(&call(3, ROUTE, b"still mine"))
        .expect("it reads");
    let answer = owner.next_of(3).expect("an answer");
    let received = received + 6 + answer.body.len() as u64;
    drop(owner);
    let mut owner = come_back(&broker, &token(1), received).expect("it is its owner's");
    owner.send(&call(5, ROUTE, b"back")).expect("it reads");
    assert_eq!(owner.next_of(5).map(|told| told.kind), Some(PAYLOAD));
    memory.assert_grew_less_than(&broker, 24);
}

/// A session is taken over by whoever has its token: that is what a token is. Its earlier transport
/// is told so, and its owner can see the theft.
///
/// A session that began with a certificate is bound to it, see `identity`.
#[test]
fn a_stolen_token_is_noticed() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    neighbour.during("a stolen token", || {
        let (mut owner, received) = session(&broker, &token(7));
        let mut thief = come_back(&broker, &token(7), received).expect("the token is right");
        assert_eq!(owner.farewell(), Some(0x101), "the owner is told");
        thief.send(&call(3, ROUTE, b"")).expect("it reads");
        assert_eq!(thief.next_of(3).map(|told| told.kind), Some(PAYLOAD));
        // A token in use starts no second session.
        let mut second = Peer::hello(
            &broker,
            &Hello {
                token: Some(&token(7)),
                ..Hello::default()
            },
        );
        assert_eq!(second.farewell(), Some(REJECTED_SETUP));
        // A position that was never sent is refused, and costs whoever is attached nothing.
        assert!(come_back(&broker, &token(7), 1 << 40).is_none());
        thief.send(&call(5, ROUTE, b"")).expect("it reads");
        assert_eq!(thief.next_of(5).map(|told| told.kind), Some(PAYLOAD));
        assert!(come_back(&broker, &token(7), received).is_some());
    });
}

/// One session that comes back again and again, before its earlier transports have closed.
#[test]
fn resume_storms_leave_one_session_and_no_descriptors() {
    let _alone = alone();
    let broker = broker("pending = 64\npending-per-address = 32");
    let mut neighbour = Neighbour::start(&broker);
    let (first, mut received) = session(&broker, &token(9));
    let memory = Memory::of(&broker);
    let before = descriptors(&broker);
    let most = neighbour.during("resume storm", || {
        let mut open = vec![first];
        let mut most = 0;
        let mut id = 3;
        let end = Instant::now() + duration();
        while Instant::now() < end || open.len() < 100 {
            // Beyond its share of half-open connections the address is turned away for a while.
            let Some(mut peer) = try_come_back(&broker, &token(9), received) else {
                most = most.max(descriptors(&broker));
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            peer.send(&call(id, ROUTE, b"again")).expect("it reads");
            let answer = peer.next_of(id).expect("an answer");
            received += 6 + answer.body.len() as u64;
            id += 2;
            open.push(peer);
            most = most.max(descriptors(&broker));
        }
        println!("{} transports", open.len());
        most
    });
    println!("descriptors: {before} before, {most} at most");
    assert!(
        most < before + 64 + 16,
        "{before} descriptors became {most}"
    );
    memory.assert_grew_less_than(&broker, 24);
    until("all but one are closed", || {
        descriptors(&broker) <= before + 2
    });
}

fn try_come_back(broker: &Broker, token: &[u8], received: u64) -> Option<Peer> {
    let mut peer = Peer::silent(broker);
    peer.send(&resume(token, received, 0)).ok()?;
    (peer.next()?.kind == RESUME_OK).then_some(peer)
}

/// Unknown tokens count as half-open until they are closed, so they cannot fill the broker.
#[test]
fn a_storm_of_unknown_tokens_is_held_to_the_half_open_limit() {
    let _alone = alone();
    let broker = broker("pending = 64\npending-per-address = 32");
    let mut neighbour = Neighbour::start(&broker);
    let before = descriptors(&broker);
    let most = neighbour.during("unknown tokens", || {
        let mut open = Vec::new();
        let mut most = 0;
        for number in 0..size(600, 5000) {
            let mut peer = Peer::silent(&broker);
            let _ = peer.send(&resume(&token(number), 0, 0));
            open.push(peer);
            most = most.max(descriptors(&broker));
        }
        most
    });
    println!("descriptors: {before} before, {most} at most");
    // Its share, those that are being told that it is used up, and a few.
    assert!(
        most < before + 32 + 64 + 24,
        "{before} descriptors became {most}"
    );
}

/// A SETUP that is refused for another reason does not keep its token for ever.
#[test]
fn a_refused_setup_gives_its_token_back() {
    let _alone = alone();
    let broker = broker("");
    let mut neighbour = Neighbour::start(&broker);
    neighbour.during("refused", || {
        let metadata = registers("attacks.Owned", Some("the-uuid"));
        let mut owner = Peer::hello(
            &broker,
            &Hello {
                metadata: &metadata,
                ..Hello::default()
            },
        );
        owner
            .send(&frame(0, KEEPALIVE, RESPOND, &[0; 8]))
            .expect("it reads");
        assert_eq!(owner.next().map(|told| told.kind), Some(KEEPALIVE));
        // The uuid is another address's.
        let hello = Hello {
            token: Some(&token(5)),
            metadata: &metadata,
            ..Hello::default()
        };
        for _ in 0..3 {
            let mut mallory = Peer::silent_from(&broker, 2);
            mallory.send(&framed(&hello.bare())).expect("it reads");
            assert_eq!(mallory.farewell(), Some(REJECTED_SETUP));
        }
        // Nobody has the token.
        let mut nobody = Peer::silent(&broker);
        nobody.send(&resume(&token(5), 0, 0)).expect("it reads");
        nobody
            .stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a limit");
        assert_eq!(
            nobody.next().and_then(|told| told.code()),
            Some(REJECTED_RESUME)
        );
        let (mut fresh, _) = session(&broker, &token(5));
        fresh.send(&call(3, ROUTE, b"")).expect("it reads");
        assert_eq!(fresh.next_of(3).map(|told| told.kind), Some(PAYLOAD));
    });
}
