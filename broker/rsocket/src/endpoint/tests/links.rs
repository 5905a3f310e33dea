//! What concerns a whole connection: keepalive, push, and frames that do not belong there. Numbers
//! are those of the conformance list.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;

use super::*;

/// Conformance 40, 41, 42: the same data comes back, once, with our position and not theirs.
#[tokio::test]
async fn keepalive_is_answered_with_its_data() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    for len in [0, 1, 1000] {
        let says = [&77u64.to_be_bytes()[..], &bytes(len)].concat();
        let hears = [&0u64.to_be_bytes()[..], &bytes(len)].concat();
        raw.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &says)
            .await;
        raw.expect(0, FrameType::KEEPALIVE, Flags::NONE, &hears)
            .await;
        raw.send(0, FrameType::KEEPALIVE, Flags::NONE, &says).await;
    }
    raw.quiet().await;
}

/// Conformance 45: an answer does not wait behind 64 MiB of payload.
#[tokio::test]
async fn keepalive_overtakes_payload() {
    let limits = Limits {
        mtu: 16 * 1024,
        ..Limits::default()
    };
    let handler = Responder::new().response(async |_| Ok(Message::new(vec![7; 64 << 20])));
    let (mut raw, _served) = Raw::client(limits, handler).await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"")
        .await;
    // Half a megabyte has come, so all of it is under way.
    let mut read = 0;
    while read < 512 * 1024 {
        read += raw.next().await.3.len();
    }
    raw.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &[0; 8])
        .await;
    let mut behind = 0;
    loop {
        let (frame_type, _, _, body) = raw.next().await;
        if frame_type == FrameType::KEEPALIVE {
            break;
        }
        behind += body.len();
        assert!(behind < 1 << 20, "a megabyte of payload came before it");
    }
    // The rest is still whole.
    let mut read = read + behind;
    loop {
        let (_, _, flags, body) = raw.next().await;
        read += body.len();
        if !flags.contains(Flags::FOLLOWS) {
            break;
        }
    }
    assert_eq!(read, 64 << 20);
}

/// Conformance 47: a flood is answered when it is read, and cut when it is not; it never piles up.
#[tokio::test]
async fn a_flood_of_keepalive_piles_up_nowhere() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    let header = Header::new(StreamId::CONNECTION, FrameType::KEEPALIVE, Flags::RESPOND).encode();
    let body = [0; 1008];
    for _ in 0..1000 {
        for _ in 0..100 {
            raw.0.push(&header, Body::Copy(&body[..8]));
        }
        raw.0.flush().await.unwrap();
        for _ in 0..100 {
            assert_eq!(raw.next().await.0, FrameType::KEEPALIVE);
        }
    }
    let limits = Limits {
        message: 1 << 20,
        ..Limits::default()
    };
    let (mut raw, served) = Raw::client(limits, echo()).await;
    let mut sent = 0;
    while !served.is_finished() {
        raw.0.push(&header, Body::Copy(&body));
        sent += body.len();
        let flushed = tokio::time::timeout(Duration::from_secs(10), raw.0.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            break;
        }
        assert!(sent < 40 << 20, "17 MiB of answers are the limit");
    }
    drop(raw);
    assert!(matches!(
        served.await.unwrap(),
        Closed::Stalled | Closed::Net(_)
    ));
}

/// Conformance 6, 12: a frame that is too short, or whose metadata is too long, ends the connection
/// with an answer; with the Ignore flag it is dropped.
#[tokio::test]
async fn malformed_frames_end_the_connection_or_are_dropped() {
    for (frame_type, body) in [
        (FrameType::LEASE, &b"\0\0\0\0\0\0\0"[..]),
        (FrameType::KEEPALIVE, b"\0\0\0\0\0\0\0"),
        (FrameType::REQUEST_STREAM, b"\0\0\0"),
        (FrameType::REQUEST_CHANNEL, b"\0\0\0"),
        (FrameType::REQUEST_N, b"\0\0\0"),
        (FrameType::ERROR, b"\0\0\0"),
        (FrameType::RESUME_OK, b"\0\0\0\0\0\0\0"),
        (FrameType::EXT, b"\0\0\0"),
        (FrameType::REQUEST_RESPONSE, b"\0\0\x02m"),
        (FrameType::REQUEST_FNF, b"\0\0"),
        (FrameType::PAYLOAD, b"\0\0\x02m"),
    ] {
        let id = u32::from(frame_type.0 > 3);
        let flags = Flags::METADATA;
        let (mut raw, served) = Raw::client(Limits::default(), echo()).await;
        raw.send(id, frame_type, flags.with(Flags::IGNORE), body)
            .await;
        raw.quiet().await;
        raw.send(id, frame_type, flags, body).await;
        raw.expect_error(0, ErrorCode::CONNECTION_ERROR).await;
        raw.expect_end().await;
        drop(raw);
        assert!(matches!(served.await.unwrap(), Closed::Violation(_)));
    }
}

/// Conformance 121, 122: a push is delivered with and without its flag, from stream zero alone, and
/// not answered.
#[tokio::test]
async fn a_push_is_delivered_and_not_answered() {
    let (pushed, mut push) = mpsc::channel(9);
    let handler = echo().metadata_push(move |metadata| pushed.try_send(metadata).unwrap());
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    for (id, flags, body) in [
        (0, Flags::METADATA, "with"),
        (1, Flags::METADATA, "nowhere"),
        (0, Flags::NONE, "without"),
    ] {
        let body = body.as_bytes();
        raw.send(id, FrameType::METADATA_PUSH, flags, body).await;
    }
    raw.quiet().await;
    assert_eq!(push.recv().await.unwrap(), "with");
    assert_eq!(push.recv().await.unwrap(), "without");
    assert!(push.try_recv().is_err());
}

/// Conformance 46, 56, 68, 105, 123, 125: what makes no sense where it is changes nothing.
#[tokio::test]
async fn frames_out_of_place_change_nothing() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    for frame_type in [0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0E, 0x02] {
        raw.send(
            0,
            FrameType(frame_type),
            Flags::NEXT,
            b"\0\0\0\x01\0\0\0\x01",
        )
        .await;
    }
    for frame_type in [0x02, 0x03, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0E] {
        for id in [1, 2, 99, 100] {
            raw.send(
                id,
                FrameType(frame_type),
                Flags::NEXT,
                b"\0\0\x02\x01\0\0\0\x01",
            )
            .await;
        }
    }
    raw.send(0, FrameType::EXT, Flags::IGNORE, &[0; 4]).await;
    raw.send(1, FrameType(0x2A), Flags::IGNORE, &[]).await;
    raw.quiet().await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"q")
        .await;
}

/// Conformance 55, 124: what the other side numbers, and what nobody knows and nobody may ignore,
/// ends the connection; gaps do not.
#[tokio::test]
async fn frames_that_cannot_be_ignored_end_the_connection() {
    for (id, frame_type) in [
        (2, FrameType::REQUEST_RESPONSE),
        (1, FrameType::EXT),
        (0, FrameType(0x2A)),
    ] {
        let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
        raw.send(901, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
            .await;
        raw.expect(901, FrameType::PAYLOAD, next_complete(), b"q")
            .await;
        raw.send(id, frame_type, Flags::NONE, &[0; 4]).await;
        raw.expect_error(0, ErrorCode::CONNECTION_ERROR).await;
        raw.expect_end().await;
    }
}

/// Conformance 126, 127: CONNECTION_ERROR ends everything, CONNECTION_CLOSE only what is new.
#[tokio::test]
async fn the_peer_ends_the_connection() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let items = near
        .request_stream(Message::new(""), Credit::default())
        .await
        .unwrap();
    raw.next().await;
    raw.send(0, FrameType::ERROR, Flags::NONE, b"\0\0\x01\x02later")
        .await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"runs on")
        .await;
    raw.send(0, FrameType::ERROR, Flags::NONE, b"\0\0\x01\x01now")
        .await;
    let (ended, closed) = tokio::join!(items.collect::<Vec<_>>(), near.closed());
    assert_eq!(ended[0].as_ref().unwrap().data, "runs on");
    let said = |closed: &Closed| matches!(closed, Closed::Error(failure) if failure.text == "now");
    assert!(matches!(&ended[1], Err(CallError::Closed(closed)) if said(closed)));
    assert!(said(&closed));
    raw.expect_end().await;
}

/// A handler's source is dropped when its requester's connection goes.
#[tokio::test]
async fn a_connection_that_goes_stops_its_handlers() {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let handler = echo().stream(move |_| {
        let tell = tell.clone();
        stream::pending().map(move |()| {
            let _ = &tell;
            Ok(Message::new(""))
        })
    });
    let (mut raw, served) = Raw::client(Limits::default(), handler).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, &u32_bytes(1))
        .await;
    raw.quiet().await;
    drop(raw);
    assert!(matches!(served.await.unwrap(), Closed::Peer));
    // All senders are gone: the handler's own with the server, the stream's with the stream.
    assert!(told.recv().await.is_none());
}
