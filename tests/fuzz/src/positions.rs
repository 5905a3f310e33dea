use bytes::Bytes;
use jackfield_rsocket::engine::resume::{ReplayBuffer, ResumeError};

use crate::input::Input;

/// What is kept to be sent again is what a list of all frames says: positions are exact, nothing is
/// lost unless there was no room, and the room is kept to.
pub fn positions(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = 64 << (input.byte() % 12);
    let mut buffer = ReplayBuffer::new(limit);
    // Every frame ever sent, with the position it begins at.
    let mut sent: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut position = 0;
    let mut acknowledged = 0;
    let mut steps = 0;
    while !input.is_empty() && steps < 400 {
        steps += 1;
        match input.byte() % 4 {
            0 | 1 => {
                let len = match input.byte() % 8 {
                    7 => 4000 + input.below(256) * 64,
                    _ => 6 + input.below(200),
                };
                let frame = input.filler(len);
                let (head, body) = frame.split_at(6);
                let pinned = body.len() << (input.byte() % 3);
                let before = buffer.len();
                let given_up = buffer.push(head, Bytes::copy_from_slice(body), pinned);
                assert_eq!(buffer.len() + given_up, before + 1);
                sent.push((position, frame));
                position += len as u64;
            }
            2 => {
                let to = near(&mut input, &sent, position);
                let answer = buffer.acknowledge(to);
                assert_eq!(answer.is_err(), to > position);
                if answer.is_ok() {
                    acknowledged = to.max(acknowledged);
                }
            }
            _ => resume(&buffer, near(&mut input, &sent, position), &sent, position),
        }
        check(&buffer, &sent, position, acknowledged, limit);
    }
}

/// A position that somebody might name: where a frame begins, beside it, or anywhere.
fn near(input: &mut Input<'_>, sent: &[(u64, Vec<u8>)], position: u64) -> u64 {
    let begin = |at: usize| sent.get(at).map_or(position, |(start, _)| *start);
    match input.byte() % 5 {
        0 | 1 => begin(sent.len().saturating_sub(input.below(8))),
        2 => begin(input.below(sent.len() + 1)),
        3 => begin(input.below(sent.len() + 1)).wrapping_add(1),
        _ => u64::from(input.number()) << (input.byte() % 32),
    }
}

fn resume(buffer: &ReplayBuffer, from: u64, sent: &[(u64, Vec<u8>)], position: u64) {
    let boundary = from == position || sent.iter().any(|(start, _)| *start == from);
    match buffer.replay_from(from) {
        Ok(frames) => {
            assert!(boundary);
            let again: Vec<u8> = frames
                .flat_map(|kept| [&kept.head[..], &kept.body].concat())
                .collect();
            let lost: Vec<u8> = sent
                .iter()
                .filter(|(start, _)| *start >= from)
                .flat_map(|(_, frame)| frame.clone())
                .collect();
            assert!(again == lost, "all that came behind {from}, and no more");
        }
        Err(ResumeError::Ahead { .. }) => assert!(from > position),
        Err(ResumeError::Gone { first, .. }) => assert!(from < first),
        Err(ResumeError::Inside { .. }) => assert!(!boundary),
    }
    assert_eq!(buffer.check(from).is_ok(), buffer.replay_from(from).is_ok());
}

fn check(
    buffer: &ReplayBuffer,
    sent: &[(u64, Vec<u8>)],
    position: u64,
    acknowledged: u64,
    limit: usize,
) {
    assert_eq!(buffer.position(), position);
    let first = buffer.first_available();
    assert!(first == position || sent.iter().any(|(start, _)| *start == first));
    assert!(
        buffer.bytes() <= limit || buffer.is_empty(),
        "{} of {limit}",
        buffer.bytes()
    );
    // Without eviction everything that is not acknowledged is there.
    let unacknowledged = sent
        .iter()
        .find(|(start, frame)| start + frame.len() as u64 > acknowledged)
        .map_or(position, |(start, _)| *start);
    assert!(first >= unacknowledged);
    if buffer.evicted() == 0 {
        assert_eq!(first, unacknowledged);
    }
}
