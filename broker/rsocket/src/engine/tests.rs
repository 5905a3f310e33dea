//! The table of `mod.rs`, row by row, and the life of each interaction. Numbers are those of the
//! conformance list.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::wire::{
    ErrorCode, ErrorFrame, Flags, Frame, FrameType, Header, Interaction, Payload, Request, Setup,
    Side, StreamId, Version, cancel, request_n,
};

fn id(id: u32) -> StreamId {
    StreamId::from_wire(id)
}

fn server() -> Connection<u32> {
    connection(Side::Server)
}

fn connection(side: Side) -> Connection<u32> {
    let keepalive = KeepaliveTimer::server(Duration::from_secs(90), Instant::now());
    Connection::new(Terms {
        side,
        keepalive,
        streams_max: 4,
    })
}

fn request(interaction: Interaction) -> Request<'static> {
    Request {
        interaction,
        initial_n: u32::from(interaction.has_credit()) * 3,
        follows: false,
        complete: false,
        metadata: None,
        data: b"q",
    }
}

fn payload(text: &str) -> Payload<'static> {
    Payload {
        follows: text.contains('F'),
        complete: text.contains('C'),
        next: text.contains('N'),
        metadata: None,
        data: b"p",
    }
}

fn bytes(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out);
    out
}

fn bare(stream: u32, frame_type: u8, flags: Flags, body: &[u8]) -> Vec<u8> {
    let mut out = Header::new(id(stream), FrameType(frame_type), flags)
        .encode()
        .to_vec();
    out.extend_from_slice(body);
    out
}

/// What an event was, in a form that tests can compare.
fn handle(connection: &mut Connection<u32>, bytes: &[u8]) -> String {
    match connection.handle(Frame::decode(bytes).unwrap()) {
        Event::Ignored => "ignored".into(),
        Event::Request { id, request } => format!("request {id} {:?}", request.interaction),
        Event::Payload {
            id,
            mut owner,
            flags,
            part,
        } => {
            let owned = *owner.get();
            let state = if owner.ended() { "ended" } else { "open" };
            format!("payload {id} {owned} {:#05x} {part:?} {state}", flags.0)
        }
        Event::RequestN { id, n, .. } => format!("credit {id} {n}"),
        Event::Cancelled { id, owner } => format!("cancelled {id} {owner}"),
        Event::HalfCancelled { id, owner } => {
            format!(
                "half-cancelled {id} {}",
                if owner.ended() { "ended" } else { "open" }
            )
        }
        Event::Failed { id, code, .. } => format!("failed {id} {code}"),
        Event::Refused { id, code, .. } => format!("refused {id} {code}"),
        Event::Ping { position, data } => format!("ping {position} {}", data.len()),
        Event::Pong { position } => format!("pong {position}"),
        Event::Lease {
            ttl_ms,
            requests,
            metadata,
        } => format!("lease {requests} {ttl_ms}ms {metadata:?}"),
        Event::MetadataPush { .. } => "push".into(),
        Event::Draining => "draining".into(),
        Event::Closed { code, .. } => format!("closed {code}"),
        Event::Violation(violation) => format!("violation {}", violation.code),
    }
}

/// A connection whose peer opened stream 1.
fn with_stream(interaction: Interaction) -> Connection<u32> {
    let mut connection = server();
    assert_eq!(connection.accept(id(1), &request(interaction), 7), None);
    connection
}

/// A connection on which we, the server, opened stream 2.
fn with_own(interaction: Interaction) -> Connection<u32> {
    let mut connection = server();
    assert_eq!(connection.open(&request(interaction), 9), Ok((id(2), None)));
    connection
}

fn receive(connection: &mut Connection<u32>, stream: u32, text: &str) -> String {
    let frame = bytes(|out| payload(text).encode(id(stream), out));
    handle(connection, &frame)
}

#[test]
fn a_request_is_offered_and_its_answer_ends_it() {
    let mut c = server();
    let frame = bytes(|out| request(Interaction::Response).encode(id(1), out));
    assert_eq!(handle(&mut c, &frame), "request #1 Response");
    assert_eq!(c.accept(id(1), &request(Interaction::Response), 7), None);
    assert_eq!(c.sent(id(1), &payload("NC")), Sent::Ended(7));
    assert_eq!(c.sent(id(1), &payload("NC")), Sent::Refused);
    assert!(c.is_empty());
}

/// Conformance 54, 83.
#[test]
fn a_request_on_an_id_in_use_is_ignored() {
    let mut c = with_stream(Interaction::Stream);
    let frame = bytes(|out| request(Interaction::Channel).encode(id(1), out));
    assert_eq!(handle(&mut c, &frame), "ignored");
    assert_eq!(c.get(id(1)), Some(&7));
}

/// Conformance 55, 56.
#[test]
fn parity_is_checked_and_stream_zero_ignored() {
    let frame = bytes(|out| request(Interaction::Response).encode(id(2), out));
    assert_eq!(
        handle(&mut server(), &frame),
        "violation CONNECTION_ERROR (0x101)"
    );
    let frame = bytes(|out| request(Interaction::Response).encode(id(0), out));
    assert_eq!(handle(&mut server(), &frame), "ignored");
    let frame = bytes(|out| request(Interaction::Response).encode(id(901), out));
    assert_eq!(handle(&mut server(), &frame), "request #901 Response");
}

/// Conformance 65, 66, 68.
#[test]
fn zero_credit_breaks_at_most_its_own_stream() {
    for interaction in [Interaction::Stream, Interaction::Channel] {
        let zero = Request {
            initial_n: 0,
            ..request(interaction)
        };
        let frame = bytes(|out| zero.encode(id(1), out));
        assert_eq!(handle(&mut server(), &frame), "refused #1 INVALID (0x204)");
    }
    let mut c = with_stream(Interaction::Stream);
    assert_eq!(handle(&mut c, &request_n(id(1), 0)), "ignored");
    assert_eq!(handle(&mut c, &request_n(id(1), 5)), "credit #1 5");
    assert_eq!(handle(&mut c, &request_n(id(3), 5)), "ignored");
    assert_eq!(handle(&mut c, &request_n(id(0), 5)), "ignored");
    let mut c = with_stream(Interaction::Response);
    assert_eq!(handle(&mut c, &request_n(id(1), 5)), "ignored");
}

#[test]
fn streams_are_bounded() {
    let mut c = server();
    for n in 0..4 {
        assert_eq!(
            c.accept(id(2 * n + 1), &request(Interaction::Stream), n),
            None
        );
    }
    let frame = bytes(|out| request(Interaction::Response).encode(id(9), out));
    assert_eq!(handle(&mut c, &frame), "refused #9 REJECTED (0x202)");
    // Our own streams are counted apart.
    for _ in 0..4 {
        assert!(c.open(&request(Interaction::Stream), 0).is_ok());
    }
    let refused = c.open(&request(Interaction::Stream), 5);
    assert_eq!(refused, Err((Exhausted::TooMany, 5)));
}

/// Conformance 49, 51: the first whole payload answers, whatever its flags.
#[test]
fn one_payload_answers_a_request() {
    for (text, flags, part) in [
        ("NC", "0x060", "Item { last: true }"),
        ("N", "0x060", "Item { last: true }"),
        ("C", "0x040", "End"),
    ] {
        let mut c = with_own(Interaction::Response);
        let expected = format!("payload #2 9 {flags} {part} ended");
        assert_eq!(receive(&mut c, 2, text), expected, "{text}");
        assert_eq!(receive(&mut c, 2, "NC"), "ignored");
    }
}

/// Conformance 84, 86, 89: fragments keep N, F with C is C alone, neither N nor C is dropped.
#[test]
fn fragments_are_sanitised() {
    let mut c = with_own(Interaction::Stream);
    assert_eq!(receive(&mut c, 2, ""), "ignored");
    assert_eq!(
        receive(&mut c, 2, "FN"),
        "payload #2 9 0x0a0 Item { last: false } open"
    );
    assert_eq!(
        receive(&mut c, 2, "F"),
        "payload #2 9 0x0a0 Item { last: false } open"
    );
    assert_eq!(
        receive(&mut c, 2, ""),
        "payload #2 9 0x020 Item { last: true } open"
    );
    assert_eq!(
        receive(&mut c, 2, "FNC"),
        "payload #2 9 0x060 Item { last: true } ended"
    );

    let mut c = with_own(Interaction::Response);
    assert_eq!(
        receive(&mut c, 2, "FN"),
        "payload #2 9 0x0a0 Item { last: false } open"
    );
    assert_eq!(
        receive(&mut c, 2, "C"),
        "payload #2 9 0x060 Item { last: true } ended"
    );
}

/// Conformance 93: a request's last fragment may carry any of N and C.
#[test]
fn request_fragments_end_by_any_last_fragment() {
    for (last, complete) in [
        ("", "0x020"),
        ("N", "0x020"),
        ("C", "0x020"),
        ("NC", "0x020"),
    ] {
        let mut c = server();
        let first = Request {
            follows: true,
            ..request(Interaction::Response)
        };
        assert_eq!(c.accept(id(1), &first, 7), None);
        let more = receive(&mut c, 1, "FN");
        assert_eq!(more, "payload #1 7 0x0a0 Request { last: false } open");
        let expected = format!("payload #1 7 {complete} Request {{ last: true }} open");
        assert_eq!(receive(&mut c, 1, last), expected, "{last}");
        assert_eq!(receive(&mut c, 1, "N"), "ignored");
    }
    let mut c = server();
    let first = Request {
        follows: true,
        ..request(Interaction::FireAndForget)
    };
    assert_eq!(c.accept(id(1), &first, 7), None);
    assert_eq!(
        receive(&mut c, 1, "N"),
        "payload #1 7 0x020 Request { last: true } ended"
    );
    assert!(c.is_empty());
}

/// Conformance 52: a whole fire-and-forget leaves nothing behind.
#[test]
fn fire_and_forget_ends_with_its_request() {
    let mut c = server();
    assert_eq!(
        c.accept(id(1), &request(Interaction::FireAndForget), 7),
        Some(7)
    );
    assert_eq!(
        c.open(&request(Interaction::FireAndForget), 9),
        Ok((id(2), Some(9)))
    );
    assert!(c.is_empty());
}

/// Conformance 76, 77, 82: a channel ends when both directions have.
#[test]
fn channels_close_by_halves() {
    let mut c = with_stream(Interaction::Channel);
    assert_eq!(
        receive(&mut c, 1, "N"),
        "payload #1 7 0x020 Item { last: true } open"
    );
    assert_eq!(receive(&mut c, 1, "C"), "payload #1 7 0x040 End open");
    assert_eq!(receive(&mut c, 1, "N"), "ignored");
    assert_eq!(c.sent(id(1), &payload("N")), Sent::Open);
    assert_eq!(c.sent(id(1), &payload("C")), Sent::Ended(7));

    let mut c = with_stream(Interaction::Channel);
    assert_eq!(c.sent(id(1), &payload("C")), Sent::Open);
    assert_eq!(
        receive(&mut c, 1, "N"),
        "payload #1 7 0x020 Item { last: true } open"
    );
    assert_eq!(
        receive(&mut c, 1, "NC"),
        "payload #1 7 0x060 Item { last: true } ended"
    );

    let mut c = server();
    let whole = Request {
        complete: true,
        ..request(Interaction::Channel)
    };
    assert_eq!(c.accept(id(1), &whole, 7), None);
    assert_eq!(receive(&mut c, 1, "N"), "ignored");
    assert_eq!(c.sent(id(1), &payload("NC")), Sent::Ended(7));
}

/// C of a fragmented REQUEST_CHANNEL is accepted on its first frame as on its last.
#[test]
fn a_fragmented_channel_may_complete_with_its_first_frame() {
    let mut c = server();
    let first = Request {
        follows: true,
        complete: true,
        ..request(Interaction::Channel)
    };
    assert_eq!(c.accept(id(1), &first, 7), None);
    assert_eq!(
        receive(&mut c, 1, "N"),
        "payload #1 7 0x060 Request { last: true } open"
    );
    assert_eq!(receive(&mut c, 1, "N"), "ignored");
    assert_eq!(c.sent(id(1), &payload("NC")), Sent::Ended(7));
}

/// Conformance 80, 81, 69.
#[test]
fn cancel_ends_a_stream_and_half_a_channel() {
    let mut c = with_stream(Interaction::Stream);
    assert_eq!(handle(&mut c, &cancel(id(1))), "cancelled #1 7");
    assert_eq!(handle(&mut c, &cancel(id(1))), "ignored");

    let mut c = with_own(Interaction::Channel);
    assert_eq!(handle(&mut c, &cancel(id(2))), "half-cancelled #2 open");
    assert_eq!(handle(&mut c, &cancel(id(2))), "ignored");
    assert_eq!(c.sent(id(2), &payload("N")), Sent::Refused);
    assert_eq!(handle(&mut c, &request_n(id(2), 3)), "ignored");
    assert_eq!(
        receive(&mut c, 2, "NC"),
        "payload #2 9 0x060 Item { last: true } ended"
    );

    let mut c = with_own(Interaction::Stream);
    assert_eq!(handle(&mut c, &cancel(id(2))), "ignored");

    let mut c = with_stream(Interaction::Channel);
    assert_eq!(c.sent_half_cancel(id(1)), Sent::Open);
    assert_eq!(receive(&mut c, 1, "N"), "ignored");
    assert_eq!(c.sent_half_cancel(id(1)), Sent::Refused);
}

/// Conformance 59, 78, 79 and the legal range of codes on a stream.
#[test]
fn errors_end_streams_with_legal_codes() {
    let error = |stream, code| {
        bytes(|out| ErrorFrame::new(ErrorCode(code), b"why").encode(id(stream), out))
    };
    let mut c = with_own(Interaction::Stream);
    assert_eq!(handle(&mut c, &error(2, 0x301)), "failed #2 0x00000301");
    assert_eq!(handle(&mut c, &error(2, 0x301)), "ignored");
    let mut c = with_own(Interaction::Stream);
    assert_eq!(
        handle(&mut c, &error(2, 0x101)),
        "failed #2 APPLICATION_ERROR (0x201)"
    );
    let mut c = with_stream(Interaction::Channel);
    assert_eq!(
        handle(&mut c, &error(1, 0x201)),
        "failed #1 APPLICATION_ERROR (0x201)"
    );
    let mut c = with_stream(Interaction::Stream);
    assert_eq!(handle(&mut c, &error(1, 0x201)), "ignored");
}

/// Conformance 33, 34, 35, 46, 105, 122, 123, 124, 125, 126, 127.
#[test]
fn frames_out_of_context_are_ignored_or_end_the_connection() {
    let rows: &[(Vec<u8>, &str)] = &[
        (bare(0, 0x01, Flags::NONE, &[0; 14]), "ignored"),
        (bare(0, 0x02, Flags::NONE, &[0; 8]), "ignored"),
        (bare(1, 0x02, Flags::NONE, &[0; 8]), "ignored"),
        (bare(0, 0x03, Flags::RESPOND, &[0; 9]), "ping 0 1"),
        (bare(0, 0x03, Flags::NONE, &[0; 9]), "pong 0"),
        (bare(1, 0x03, Flags::RESPOND, &[0; 9]), "ignored"),
        (bare(0, 0x0C, Flags::NONE, b"m"), "push"),
        (bare(1, 0x0C, Flags::NONE, b"m"), "ignored"),
        (
            bare(0, 0x0D, Flags::NONE, &[0; 22]),
            "violation CONNECTION_ERROR (0x101)",
        ),
        (bare(0, 0x0E, Flags::NONE, &[0; 8]), "ignored"),
        (bare(0, 0x0F, Flags::IGNORE, b""), "ignored"),
        (
            bare(1, 0x0F, Flags::NONE, b""),
            "violation CONNECTION_ERROR (0x101)",
        ),
        (bare(1, 0x3F, Flags::IGNORE, &[0; 4]), "ignored"),
        (
            bare(1, 0x3F, Flags::NONE, &[0; 4]),
            "violation CONNECTION_ERROR (0x101)",
        ),
        (bare(0, 0x0B, Flags::NONE, &[0, 0, 0, 3]), "ignored"),
        (
            bare(0, 0x0B, Flags::NONE, &[0, 0, 1, 1]),
            "closed CONNECTION_ERROR (0x101)",
        ),
        (bare(0, 0x0B, Flags::NONE, &[0, 0, 1, 2]), "draining"),
        (bare(5, 0x0A, Flags::NEXT, b"p"), "ignored"),
        (bare(5, 0x0B, Flags::NONE, &[0, 0, 2, 1]), "ignored"),
        (bare(5, 0x09, Flags::NONE, b""), "ignored"),
        (bare(5, 0x08, Flags::NONE, &[0, 0, 0, 1]), "ignored"),
    ];
    for (frame, expected) in rows {
        assert_eq!(handle(&mut server(), frame), *expected, "{frame:02x?}");
    }
    // A client does listen to its server's refusal.
    let refusal = bare(0, 0x0B, Flags::NONE, &[0, 0, 0, 3]);
    let closed = handle(&mut connection(Side::Client), &refusal);
    assert_eq!(closed, "closed REJECTED_SETUP (0x003)");
}

#[test]
fn a_draining_peer_gets_no_new_streams() {
    let mut c = with_own(Interaction::Stream);
    assert_eq!(
        handle(&mut c, &bare(0, 0x0B, Flags::NONE, &[0, 0, 1, 2])),
        "draining"
    );
    assert_eq!(
        c.open(&request(Interaction::Stream), 1),
        Err((Exhausted::Draining, 1))
    );
    assert_eq!(
        receive(&mut c, 2, "NC"),
        "payload #2 9 0x060 Item { last: true } ended"
    );
}

/// Conformance 57, 58, 140: ids wrap and skip those in use.
#[test]
fn ids_wrap_and_skip_those_in_use() {
    let mut c = server();
    let stream = request(Interaction::Stream);
    assert_eq!(c.open(&stream, 1), Ok((id(2), None)));
    c.start_ids_at(id(0x7FFF_FFFE));
    assert_eq!(c.open(&stream, 2), Ok((id(0x7FFF_FFFE), None)));
    assert_eq!(c.open(&stream, 3), Ok((id(4), None)));
}

/// Conformance 43, 44.
#[test]
fn silence_ends_a_connection_and_any_frame_prolongs_it() {
    let start = Instant::now();
    let seconds = Duration::from_secs;
    let mut timer = KeepaliveTimer::client(seconds(20), seconds(90), start);
    assert_eq!(timer.next_timeout(), Some(start + seconds(20)));
    assert_eq!(timer.handle_timeout(start + seconds(19)), Timeout::Nothing);
    assert_eq!(
        timer.handle_timeout(start + seconds(20)),
        Timeout::SendKeepalive
    );
    assert_eq!(timer.next_timeout(), Some(start + seconds(40)));
    timer.heard(start + seconds(60));
    assert_eq!(
        timer.handle_timeout(start + seconds(149)),
        Timeout::SendKeepalive
    );
    assert_eq!(
        timer.handle_timeout(start + seconds(150)),
        Timeout::PeerGone
    );
    // A 1 ms lifetime would cut every healthy peer.
    let timer = KeepaliveTimer::server(Duration::from_millis(1), start);
    assert_eq!(timer.next_timeout(), Some(start + seconds(1)));
}

/// Conformance 17 to 21, 24 and 27.
#[test]
fn first_frames_are_judged() {
    let setup = |flags: u16, rest: &[u8]| bare(0, 0x01, Flags(flags), rest);
    let good = [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good;
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let token = [&good[..12], &[0, 1, b't', 0, 0]].concat();
    let rows: &[(Vec<u8>, Option<ErrorCode>)] = &[
        (setup(0, &good), None),
        (setup(0, &with(0, &[0, 2])), Some(ErrorCode::INVALID_SETUP)),
        (setup(0, &with(2, &[0, 1])), Some(ErrorCode::INVALID_SETUP)),
        (
            setup(0, &with(0, &[0, 0, 0, 2])),
            Some(ErrorCode::INVALID_SETUP),
        ),
        (setup(0, &with(4, &[0; 4])), Some(ErrorCode::INVALID_SETUP)),
        (setup(0, &with(8, &[0; 4])), Some(ErrorCode::INVALID_SETUP)),
        (setup(0, &good[..13]), Some(ErrorCode::INVALID_SETUP)),
        (setup(0x80, &token), Some(ErrorCode::REJECTED_SETUP)),
        (setup(0x40, &good), Some(ErrorCode::UNSUPPORTED_SETUP)),
        (
            bare(1, 0x01, Flags::NONE, &good),
            Some(ErrorCode::INVALID_SETUP),
        ),
        (
            bare(1, 0x0D, Flags::NONE, &[0; 22]),
            Some(ErrorCode::INVALID_SETUP),
        ),
        (
            bare(0, 0x0D, Flags::NONE, &[0; 22]),
            Some(ErrorCode::REJECTED_RESUME),
        ),
        (
            bare(1, 0x04, Flags::NONE, b""),
            Some(ErrorCode::INVALID_SETUP),
        ),
        (
            bare(0, 0x03, Flags::NONE, &[0; 8]),
            Some(ErrorCode::INVALID_SETUP),
        ),
    ];
    for (frame, refusal) in rows {
        let judged = judge_first(Frame::decode(frame), Offer::default());
        assert_eq!(
            judged.err().map(|violation| violation.code),
            *refusal,
            "{frame:02x?}"
        );
    }
}

/// Conformance 24, 25, 27, 107: what is offered is taken, what is not is refused by its name.
#[test]
fn resume_and_leases_are_judged_by_what_is_offered() {
    let setup = |token: Option<&'static [u8]>, lease| Setup {
        version: Version::V1_0,
        keepalive_ms: 1,
        lifetime_ms: 1,
        resume_token: token,
        lease,
        metadata_mime: b"",
        data_mime: b"",
        metadata: None,
        data: b"",
    };
    let judge = |setup: Setup<'_>, resume, lease| {
        let frame = bytes(|out| setup.encode(out));
        match judge_first(Frame::decode(&frame), Offer { resume, lease }) {
            Ok(First::Setup { token, .. }) => Ok(token.is_some()),
            Ok(First::Resume(_)) => panic!("it was a SETUP"),
            Err(violation) => Err(violation.code),
        }
    };
    let good = Some(&b"sixteen bytes ok"[..]);
    let rejected = Err(ErrorCode::REJECTED_SETUP);
    assert_eq!(judge(setup(good, false), true, false), Ok(true));
    assert_eq!(judge(setup(good, false), false, true), rejected);
    assert_eq!(judge(setup(Some(b""), false), true, false), rejected);
    let short = Some(&b"fifteen bytes !"[..]);
    assert_eq!(judge(setup(short, false), true, true), rejected);
    assert_eq!(judge(setup(None, true), false, true), Ok(false));
    let unsupported = Err(ErrorCode::UNSUPPORTED_SETUP);
    assert_eq!(judge(setup(None, true), true, false), unsupported);
    assert_eq!(judge(setup(good, true), true, true), Ok(true));

    let offer = |resume, lease| Offer { resume, lease };
    let judge = |stream, offer| {
        let frame = resume_frame(stream);
        judge_first(Frame::decode(&frame), offer)
            .map(drop)
            .map_err(|refused| refused.code)
    };
    assert_eq!(judge(0, offer(true, false)), Ok(()));
    assert_eq!(
        judge(0, offer(false, true)),
        Err(ErrorCode::REJECTED_RESUME)
    );
    assert_eq!(judge(1, offer(true, true)), Err(ErrorCode::INVALID_SETUP));
}

/// A RESUME with an empty token.
fn resume_frame(stream: u32) -> Vec<u8> {
    bare(stream, 0x0D, Flags::NONE, &[0; 22])
}

/// Conformance 105, 106: LEASE means something where both ends said so, and on stream zero.
#[test]
fn leases_are_told_where_they_were_agreed_on() {
    let lease = |stream, flags, rest: &[u8]| {
        bare(
            stream,
            0x02,
            flags,
            &[&[0, 0, 0, 9, 0, 0, 0, 3], rest].concat(),
        )
    };
    let mut c = server().with_leases(true);
    let told = handle(&mut c, &lease(0, Flags::NONE, b""));
    assert_eq!(told, "lease 3 9ms None");
    let told = handle(&mut c, &lease(0, Flags::METADATA, b"m"));
    assert_eq!(told, "lease 3 9ms Some([109])");
    assert_eq!(handle(&mut c, &lease(1, Flags::NONE, b"")), "ignored");
    assert_eq!(
        handle(&mut server(), &lease(0, Flags::NONE, b"")),
        "ignored"
    );
}

/// Conformance 42: positions travel both ways as values.
#[test]
fn keepalive_tells_the_peers_position() {
    let keepalive = |respond, position: u64| {
        let flags = Flags::NONE.with_if(Flags::RESPOND, respond);
        bare(
            0,
            0x03,
            flags,
            &[&position.to_be_bytes()[..], b"data"].concat(),
        )
    };
    assert_eq!(handle(&mut server(), &keepalive(true, 77)), "ping 77 4");
    assert_eq!(handle(&mut server(), &keepalive(false, 78)), "pong 78");
    let masked = handle(&mut server(), &keepalive(false, u64::MAX));
    assert_eq!(masked, format!("pong {}", u64::MAX >> 1));
}

/// A connection that was parked is not given up for the silence of that time.
#[test]
fn deadlines_begin_anew_with_a_new_transport() {
    let start = Instant::now();
    let mut c = server();
    c.reattached(start + Duration::from_secs(500));
    let later = start + Duration::from_secs(589);
    assert_eq!(c.handle_timeout(later), Timeout::Nothing);
    assert_eq!(
        c.handle_timeout(later + Duration::from_secs(1)),
        Timeout::PeerGone
    );
}

proptest! {
    /// Conformance 86, 87, 97: whatever the sizes, fragments join to the same message, metadata
    /// first.
    #[test]
    fn fragments_join_again(
        metadata in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
        data in proptest::collection::vec(any::<u8>(), 0..300),
        size in 64usize..130,
    ) {
        let message = Message { metadata: metadata.map(Into::into), data: data.into() };
        let mut assembler = Assembler::new(1000);
        let mut more = true;
        for (part, follows) in fragments(&message, size) {
            prop_assert!(more);
            let metadata_len = part.metadata.as_ref().map_or(0, |metadata| metadata.len());
            prop_assert!(!follows || metadata_len + part.data.len() == size);
            assembler.push(part.metadata.as_deref(), &part.data).unwrap();
            more = follows;
        }
        prop_assert!(!more);
        prop_assert_eq!(assembler.finish(), message);
    }

    /// Whatever a peer sends, the table never holds an ended stream and never loses count.
    #[test]
    fn any_frames_leave_a_consistent_table(
        frames in proptest::collection::vec((0u32..8, 1u8..16, any::<u16>(), 0u8..3), 0..60),
    ) {
        let mut c = server();
        for (stream, frame_type, flags, n) in frames {
            let mut body = vec![0; 14];
            body[3] = n;
            let flags = Flags(flags & 0x2FF);
            let frame = bare(stream, frame_type, flags, &body);
            let Ok(frame) = Frame::decode(&frame) else { continue };
            let event = c.handle(frame);
            if let Event::Request { id, request } = event {
                c.accept(id, &request, id.get());
            } else if matches!(event, Event::Violation(_) | Event::Closed { .. }) {
                break;
            }
            if stream % 3 == 0 {
                let _ = c.open(&request(Interaction::Channel), 0);
            }
            prop_assert!(c.len() <= 8);
        }
        let held = c.len();
        prop_assert_eq!(c.drain().count(), held);
    }
}

#[test]
fn an_assembler_is_bounded() {
    let mut assembler = Assembler::new(10);
    assert_eq!(assembler.push(Some(b"12345"), b"67890"), Ok(()));
    assert_eq!(assembler.push(None, b"1"), Err(TooLarge { limit: 10 }));
}
