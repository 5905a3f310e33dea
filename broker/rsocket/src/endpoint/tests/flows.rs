//! The life of streams, played against a server of ours. Numbers are those of the conformance list.

use std::time::Duration;

use futures_util::{FutureExt, TryStreamExt, future, stream};
use tokio::sync::mpsc;

use super::*;

/// Counts without an end, or up to the number it is asked for.
fn counting() -> Responder {
    echo().stream(|request| {
        let count = std::str::from_utf8(&request.data).unwrap().parse();
        let count: u32 = count.unwrap_or(u32::MAX);
        stream::iter((0..count).map(|at| Ok(Message::new(at.to_string()))))
    })
}

async fn items(raw: &mut Raw, id: u32, range: std::ops::Range<u32>) {
    for at in range {
        raw.expect(
            id,
            FrameType::PAYLOAD,
            Flags::NEXT,
            at.to_string().as_bytes(),
        )
        .await;
    }
}

async fn request_n(raw: &mut Raw, id: u32, n: u32) {
    raw.send(id, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(n))
        .await;
}

/// Conformance 49: one answer of three kinds, and nothing behind it.
#[tokio::test]
async fn a_request_has_one_answer() {
    let handler = Responder::new().response(async |request: Message| match &request.data[..] {
        b"item" => Ok(request),
        b"empty" => Ok(Message::default()),
        _ => Err(Failure::new(ErrorCode(0x301), "no")),
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    let ask = FrameType::REQUEST_RESPONSE;
    raw.send(1, ask, Flags::NONE, b"item").await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"item")
        .await;
    raw.send(3, ask, Flags::NONE, b"empty").await;
    raw.expect(3, FrameType::PAYLOAD, next_complete(), b"")
        .await;
    raw.send(5, ask, Flags::NONE, b"").await;
    assert_eq!(raw.expect_error(5, ErrorCode(0x301)).await, "no");
    raw.quiet().await;
}

/// Conformance 50: after CANCEL nothing comes, and the handler is stopped.
#[tokio::test(start_paused = true)]
async fn a_cancelled_request_has_no_answer() {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let handler = Responder::new().response(move |request| {
        let tell = tell.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = tell.send(()).await;
            Ok(request)
        }
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"")
        .await;
    raw.quiet().await;
    raw.send(1, FrameType::CANCEL, Flags::NONE, b"").await;
    let waited = tokio::time::timeout(Duration::from_secs(9), raw.next()).await;
    assert!(waited.is_err());
    assert!(told.recv().now_or_never().is_none());
}

/// Conformance 53: a thousand requests at once, answered in any order, each with its own.
#[tokio::test(start_paused = true)]
async fn a_thousand_requests_do_not_mix() {
    let handler = Responder::new().response(async |request: Message| {
        let at: u64 = std::str::from_utf8(&request.data).unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(at * 7919 % 1000)).await;
        Ok(request)
    });
    let near = served_by(handler).await;
    let mut order = Vec::new();
    let calls = (0..1000u32).map(|at| {
        let near = near.clone();
        async move {
            let reply = near.request_response(Message::new(at.to_string())).await;
            assert_eq!(reply.unwrap().data, at.to_string());
            at
        }
    });
    let mut calls: stream::FuturesUnordered<_> = calls.collect();
    while let Some(at) = calls.next().await {
        order.push(at);
    }
    assert_eq!(order.len(), 1000);
    assert!(!order.is_sorted(), "they were answered out of order");
}

/// Conformance 54, 83: an id in use is in use; the handler is called once.
#[tokio::test]
async fn an_id_in_use_stays_with_its_stream() {
    let (tell, mut told) = mpsc::channel(9);
    let handler = echo().channel(move |first, rest| {
        tell.try_send(first.data).unwrap();
        rest.map_err(|error| Failure::application(error.to_string()))
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    for data in [&b"\0\0\0\x09first"[..], b"\0\0\0\x09again"] {
        raw.send(1, FrameType::REQUEST_CHANNEL, Flags::NONE, data)
            .await;
    }
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    raw.expect(1, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(64))
        .await;
    raw.send(1, FrameType::PAYLOAD, next_complete(), b"item")
        .await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"item")
        .await;
    raw.expect(1, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
    assert_eq!(told.recv().await.unwrap(), "first");
    assert!(told.try_recv().is_err());
}

/// Conformance 61, 62, 66: as many items as were asked for, and silence; credits add up, zero is
/// none.
#[tokio::test]
async fn items_come_as_they_are_asked_for() {
    let (mut raw, _served) = Raw::client(Limits::default(), counting()).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x03")
        .await;
    items(&mut raw, 1, 0..3).await;
    raw.quiet().await;
    request_n(&mut raw, 1, 0).await;
    raw.quiet().await;
    request_n(&mut raw, 1, 2).await;
    request_n(&mut raw, 1, 3).await;
    items(&mut raw, 1, 3..8).await;
    raw.quiet().await;
}

/// Conformance 63: never one too many, over a hundred thousand items and credits of any size.
#[tokio::test]
async fn credit_is_kept_to_exactly() {
    let (mut raw, _served) = Raw::client(Limits::default(), counting()).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x01")
        .await;
    items(&mut raw, 1, 0..1).await;
    let (mut at, mut seed) = (1, 7u32);
    while at < 100_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let n = 1 + (seed >> 16) % 500;
        request_n(&mut raw, 1, n).await;
        items(&mut raw, 1, at..at + n).await;
        at += n;
        raw.quiet().await;
    }
}

/// Conformance 64: a source that ends says so, with credit left or without.
#[tokio::test]
async fn an_end_needs_no_credit() {
    let (mut raw, _served) = Raw::client(Limits::default(), counting()).await;
    for (id, count) in [(1, 0), (3, 2), (5, 5)] {
        let body = [&u32_bytes(5)[..], count.to_string().as_bytes()].concat();
        raw.send(id, FrameType::REQUEST_STREAM, Flags::NONE, &body)
            .await;
        items(&mut raw, id, 0..count).await;
        raw.expect(id, FrameType::PAYLOAD, Flags::COMPLETE, b"")
            .await;
    }
    raw.quiet().await;
}

/// Conformance 67: 2^31-1 twice is a number like any other.
#[tokio::test]
async fn endless_credit_is_a_count() {
    let (mut raw, _served) = Raw::client(Limits::default(), counting()).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x012000")
        .await;
    items(&mut raw, 1, 0..1).await;
    for _ in 0..3 {
        request_n(&mut raw, 1, 0x7FFF_FFFF).await;
    }
    items(&mut raw, 1, 1..2000).await;
    raw.expect(1, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
}

/// Conformance 65: a stream that asks for nothing is invalid, and nothing else is.
#[tokio::test]
async fn a_request_for_no_items_is_invalid() {
    let (mut raw, _served) = Raw::client(Limits::default(), counting()).await;
    for (id, frame_type) in [
        (1, FrameType::REQUEST_STREAM),
        (3, FrameType::REQUEST_CHANNEL),
    ] {
        raw.send(id, frame_type, Flags::NONE, &u32_bytes(0)).await;
        raw.expect_error(id, ErrorCode::INVALID).await;
    }
    raw.quiet().await;
}

/// Conformance 69: CANCEL ends the items, stops the source, and frees the id.
#[tokio::test]
async fn a_cancelled_stream_is_over() {
    let (tell, mut told) = mpsc::channel::<()>(1);
    let tell = std::sync::Mutex::new(Some(tell));
    let handler = echo().stream(move |_| {
        let tell = tell.lock().unwrap().take();
        stream::iter(0..9u32).map(move |at| {
            let _ = &tell;
            Ok(Message::new(at.to_string()))
        })
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x01")
        .await;
    items(&mut raw, 1, 0..1).await;
    raw.send(1, FrameType::CANCEL, Flags::NONE, b"").await;
    assert!(told.recv().await.is_none(), "the source is dropped");
    request_n(&mut raw, 1, 5).await;
    raw.quiet().await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x02")
        .await;
    items(&mut raw, 1, 0..2).await;
}

/// Conformance 70: behind an ERROR there is nothing, whatever credit is left.
#[tokio::test]
async fn nothing_follows_an_error() {
    let handler = echo().stream(|_| {
        let item = |at| match at {
            0..3u32 => Ok(Message::new(at.to_string())),
            _ => Err(Failure::application("enough")),
        };
        stream::iter(0u32..).map(item)
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x09")
        .await;
    items(&mut raw, 1, 0..3).await;
    raw.expect_error(1, ErrorCode::APPLICATION_ERROR).await;
    request_n(&mut raw, 1, 9).await;
    raw.quiet().await;
}

/// Conformance 71: a consumer that takes its items one by one slows down nobody but itself.
#[tokio::test(start_paused = true)]
async fn a_slow_consumer_holds_up_nobody() {
    let near = served_by(counting()).await;
    let slow = near
        .request_stream(Message::new("1000"), Credit::window(1))
        .await
        .unwrap();
    let slow = slow.try_for_each(|_| tokio::time::sleep(Duration::from_secs(1)).map(Ok));
    let began = tokio::time::Instant::now();
    let quick = async {
        let all = near.request_stream(Message::new("50000"), Credit::default());
        assert_eq!(collect(all.await.unwrap()).await.unwrap().len(), 50_000);
        began.elapsed()
    };
    let (slow, quick) = future::join(async { slow.await.map(|()| began.elapsed()) }, quick).await;
    // The clock only moves when everybody waits for it.
    assert!(quick < Duration::from_secs(3), "{quick:?}");
    assert!(slow.unwrap() >= Duration::from_secs(1000));
}

/// Conformance 76, 77, 82: the two directions of a channel end one by one, and what comes behind an
/// end is nothing.
#[tokio::test]
async fn directions_end_one_by_one() {
    let handler = echo().channel(|first, rest| {
        let rest = rest.map(|item| item.map_err(|error| Failure::application(error.to_string())));
        let more = stream::iter((0..2u32).map(|at| Ok(Message::new(at.to_string()))));
        match &first.data[..] {
            b"behind" => rest.chain(more).left_stream(),
            _ => {
                // Takes all there is, and has ended itself long before.
                tokio::spawn(rest.for_each(|_| future::ready(())));
                stream::empty().right_stream()
            }
        }
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    let open = FrameType::REQUEST_CHANNEL;
    // The requester ends first, with its request.
    raw.send(1, open, Flags::COMPLETE, b"\0\0\0\x09behind")
        .await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"late").await;
    items(&mut raw, 1, 0..2).await;
    raw.expect(1, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
    // The responder ends first; the id is free when the requester has ended too.
    raw.send(3, open, Flags::NONE, b"\0\0\0\x09").await;
    assert_eq!(raw.next().await.0, FrameType::REQUEST_N);
    raw.expect(3, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
    raw.send(3, FrameType::PAYLOAD, Flags::NEXT, b"item").await;
    raw.send(3, open, Flags::NONE, b"\0\0\0\x09").await;
    raw.quiet().await;
    raw.send(3, FrameType::PAYLOAD, Flags::COMPLETE, b"").await;
    raw.send(3, FrameType::PAYLOAD, Flags::NEXT, b"late").await;
    raw.quiet().await;
    raw.send(3, open, Flags::NONE, b"\0\0\0\x09").await;
    assert_eq!(raw.next().await.0, FrameType::REQUEST_N);
}

/// Conformance 78, 80: ERROR and CANCEL of the requester end both directions of a channel, and its
/// responder's source.
#[tokio::test]
async fn a_requester_ends_a_channel_whole() {
    for frame_type in [FrameType::ERROR, FrameType::CANCEL] {
        let (tell, mut told) = mpsc::channel(1);
        let tell = std::sync::Mutex::new(Some(tell));
        let handler = echo().channel(move |_, rest| {
            let tell = tell.lock().unwrap().take().unwrap();
            tokio::spawn({
                let tell = tell.clone();
                async move { tell.send(collect(rest).await).await.unwrap() }
            });
            stream::pending().map(move |()| {
                let _ = &tell;
                Ok(Message::new(""))
            })
        });
        let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
        raw.send(1, FrameType::REQUEST_CHANNEL, Flags::NONE, b"\0\0\0\x09")
            .await;
        assert_eq!(raw.next().await.0, FrameType::REQUEST_N);
        raw.send(1, frame_type, Flags::NONE, b"\0\0\x02\x01why")
            .await;
        // The items it was sent fail, and its own source is dropped: every sender is gone.
        assert!(told.recv().await.unwrap().is_err());
        assert!(told.recv().await.is_none());
        raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"late").await;
        raw.quiet().await;
    }
}

/// Conformance 84, 85: an item with nothing in it is an item; a payload that says nothing is none.
#[tokio::test]
async fn an_empty_item_is_an_item() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    raw.send(1, FrameType::REQUEST_CHANNEL, Flags::NONE, b"\0\0\0\x09")
        .await;
    assert_eq!(raw.next().await.0, FrameType::REQUEST_N);
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"").await;
    raw.send(1, FrameType::PAYLOAD, Flags::NONE, b"neither")
        .await;
    raw.quiet().await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"").await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"").await;
}
