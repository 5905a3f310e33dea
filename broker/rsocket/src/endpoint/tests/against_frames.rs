use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::wire::ErrorCode;

#[tokio::test]
async fn the_frames_of_each_interaction() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let call = async {
        near.request_response(Message::new("q").with_metadata("m"))
            .await
    };
    let peer = async {
        let flags = Flags::METADATA;
        raw.expect(1, FrameType::REQUEST_RESPONSE, flags, b"\0\0\x01mq")
            .await;
        raw.send(1, FrameType::PAYLOAD, next_complete(), b"answer")
            .await;
    };
    assert_eq!(tokio::join!(call, peer).0.unwrap().data, "answer");

    near.fire_and_forget(Message::new("f")).await.unwrap();
    raw.expect(3, FrameType::REQUEST_FNF, Flags::NONE, b"f")
        .await;
    near.metadata_push("p").await.unwrap();
    raw.expect(0, FrameType::METADATA_PUSH, Flags::METADATA, b"p")
        .await;

    let items = near
        .request_stream(Message::new("s"), Credit::window(4))
        .await
        .unwrap();
    raw.expect(5, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x04s")
        .await;
    raw.send(5, FrameType::PAYLOAD, Flags::NEXT, b"1").await;
    raw.send(5, FrameType::PAYLOAD, Flags::COMPLETE, b"").await;
    assert_eq!(collect(items).await.unwrap(), ["1"]);
}

/// Conformance 49: the bare C that python answers an empty request with.
#[tokio::test]
async fn an_empty_answer_is_an_answer() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let call = async { near.request_response(Message::new("")).await };
    let peer = async {
        raw.next().await;
        raw.send(1, FrameType::PAYLOAD, Flags::COMPLETE, b"").await;
    };
    assert_eq!(tokio::join!(call, peer).0.unwrap(), Message::default());
}

#[tokio::test]
async fn credit_is_granted_again_when_half_was_taken() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let mut items = near
        .request_stream(Message::new(""), Credit::window(4))
        .await
        .unwrap();
    raw.expect(1, FrameType::REQUEST_STREAM, Flags::NONE, &u32_bytes(4))
        .await;
    for _ in 0..4 {
        raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"item").await;
    }
    for _ in 0..2 {
        items.next().await.unwrap().unwrap();
    }
    raw.expect(1, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(2))
        .await;
    drop(items);
    raw.expect(1, FrameType::CANCEL, Flags::NONE, b"").await;
}

/// Conformance 74, 75: no item before it is asked for; the first, in the request, takes no credit.
#[tokio::test]
async fn a_channel_grants_and_keeps_to_credit() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let rest = stream::iter((0..3).map(|at| Ok(Message::new(at.to_string()))));
    let items = near
        .request_channel(Message::new("first"), rest, Credit::window(4))
        .await
        .unwrap();
    raw.expect(
        1,
        FrameType::REQUEST_CHANNEL,
        Flags::NONE,
        b"\0\0\0\x04first",
    )
    .await;
    // Nothing before it is asked for.
    near.metadata_push("no item").await.unwrap();
    raw.expect(0, FrameType::METADATA_PUSH, Flags::METADATA, b"no item")
        .await;
    raw.send(1, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(2))
        .await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"0").await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"1").await;
    raw.send(1, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(1))
        .await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"2").await;
    // The end needs no credit.
    raw.expect(1, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
    raw.send(1, FrameType::PAYLOAD, Flags::COMPLETE, b"").await;
    assert!(collect(items).await.unwrap().is_empty());
}

/// Conformance 73: a channel is answered by credit, and the window is kept full.
#[tokio::test]
async fn a_responder_grants_its_window_and_tops_it_up() {
    let limits = Limits {
        channel_window: 4,
        ..Limits::default()
    };
    let (mut raw, _served) = Raw::client(limits, echo()).await;
    raw.send(
        1,
        FrameType::REQUEST_CHANNEL,
        Flags::NONE,
        b"\0\0\0\x09first",
    )
    .await;
    raw.expect(1, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(4))
        .await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"first")
        .await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"a").await;
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, b"a").await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"b").await;
    let (next, after) = (raw.next().await, raw.next().await);
    let kinds = [next.0, after.0];
    assert!(kinds.contains(&FrameType::REQUEST_N) && kinds.contains(&FrameType::PAYLOAD));
    raw.send(1, FrameType::PAYLOAD, Flags::COMPLETE, b"").await;
    raw.expect(1, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
}

#[tokio::test]
async fn a_dropped_channel_half_is_cancelled_by_its_responder() {
    let handler = Responder::new().channel(|_, rest| {
        drop(rest);
        stream::pending()
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    raw.send(1, FrameType::REQUEST_CHANNEL, Flags::NONE, &u32_bytes(1))
        .await;
    assert_eq!(raw.next().await.0, FrameType::REQUEST_N);
    raw.expect(1, FrameType::CANCEL, Flags::NONE, b"").await;
}

/// Conformance 97: our fragments, frame by frame.
#[tokio::test]
async fn a_large_message_goes_in_fragments_metadata_first() {
    let limits = Limits {
        mtu: 64 + 13,
        ..Limits::default()
    };
    let (near, mut raw) = Raw::server(ConnectOptions::new().limits(limits)).await;
    let message = Message::new(bytes(80)).with_metadata(bytes(100));
    let items = near
        .request_stream(message, Credit::window(2))
        .await
        .unwrap();
    let (frame_type, _, flags, body) = raw.next().await;
    assert_eq!(frame_type, FrameType::REQUEST_STREAM);
    assert_eq!(flags, Flags::METADATA.with(Flags::FOLLOWS));
    assert_eq!(
        body,
        [&b"\0\0\0\x02\0\0\x40"[..], &bytes(100)[..64]].concat()
    );
    let (frame_type, _, flags, body) = raw.next().await;
    assert_eq!(frame_type, FrameType::PAYLOAD);
    assert_eq!(
        flags,
        Flags::METADATA.with(Flags::FOLLOWS).with(Flags::NEXT)
    );
    assert_eq!(
        body,
        [&b"\0\0\x24"[..], &bytes(100)[64..], &bytes(80)[..28]].concat()
    );
    raw.expect(1, FrameType::PAYLOAD, Flags::NEXT, &bytes(80)[28..])
        .await;
    // And back: fragments make one item.
    raw.send(
        1,
        FrameType::PAYLOAD,
        Flags::NEXT.with(Flags::FOLLOWS),
        b"frag",
    )
    .await;
    raw.send(1, FrameType::PAYLOAD, next_complete(), b"ments")
        .await;
    assert_eq!(collect(items).await.unwrap(), ["fragments"]);
}

#[tokio::test]
async fn a_request_in_fragments_is_one_request() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"one ")
        .await;
    raw.send(
        1,
        FrameType::PAYLOAD,
        Flags::NEXT.with(Flags::FOLLOWS),
        b"two ",
    )
    .await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"three").await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"one two three")
        .await;
    // A channel that is complete with its first item, and credit before it is whole.
    raw.send(
        3,
        FrameType::REQUEST_CHANNEL,
        Flags::FOLLOWS,
        b"\0\0\0\x01a",
    )
    .await;
    raw.send(3, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(1))
        .await;
    raw.send(3, FrameType::PAYLOAD, next_complete(), b"b").await;
    raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"ab").await;
    raw.expect(3, FrameType::PAYLOAD, Flags::COMPLETE, b"")
        .await;
}

#[tokio::test]
async fn a_cancelled_channel_tells_both_halves() {
    let (seen, sees) = tokio::sync::oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let handler = Responder::new().channel(move |_, mut rest| {
        let seen = seen.lock().unwrap().take().unwrap();
        tokio::spawn(async move { seen.send(rest.next().await) });
        stream::pending()
    });
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    raw.send(1, FrameType::REQUEST_CHANNEL, Flags::NONE, &u32_bytes(1))
        .await;
    raw.send(1, FrameType::CANCEL, Flags::NONE, b"").await;
    let error = sees.await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, CallError::Failed(failure) if failure.code == ErrorCode::CANCELED));
}

/// Conformance 43, 44.
#[tokio::test(start_paused = true)]
async fn the_client_keeps_alive_and_gives_a_silent_peer_up() {
    let options = ConnectOptions {
        keepalive: Duration::from_secs(5),
        lifetime: Duration::from_secs(12),
        ..ConnectOptions::new()
    };
    let (near, mut raw) = Raw::server(options).await;
    let began = tokio::time::Instant::now();
    raw.expect(0, FrameType::KEEPALIVE, Flags::RESPOND, &[0; 8])
        .await;
    raw.expect(0, FrameType::KEEPALIVE, Flags::RESPOND, &[0; 8])
        .await;
    assert_eq!(began.elapsed().as_secs(), 10);
    // Any frame is a sign of life.
    raw.send(0, FrameType::KEEPALIVE, Flags::NONE, &[0; 8])
        .await;
    assert!(matches!(near.closed().await, Closed::Silent));
    assert_eq!(began.elapsed().as_secs(), 22);
}

/// Conformance 43.
#[tokio::test(start_paused = true)]
async fn the_server_answers_pings_and_gives_a_silent_peer_up() {
    let (mut raw, served) = Raw::client(Limits::default(), echo()).await;
    raw.send(
        0,
        FrameType::KEEPALIVE,
        Flags::RESPOND,
        b"\0\0\0\0\0\0\0\x05ping",
    )
    .await;
    raw.expect(
        0,
        FrameType::KEEPALIVE,
        Flags::NONE,
        b"\0\0\0\0\0\0\0\0ping",
    )
    .await;
    let began = tokio::time::Instant::now();
    raw.expect_end().await;
    assert_eq!(began.elapsed().as_secs(), 90);
    drop(raw);
    assert!(matches!(served.await.unwrap(), Closed::Silent));
}

/// Conformance 12.
#[tokio::test]
async fn a_malformed_frame_ends_the_connection_with_an_error() {
    let (mut raw, served) = Raw::client(Limits::default(), echo()).await;
    // Metadata longer than the frame.
    raw.send(
        1,
        FrameType::REQUEST_RESPONSE,
        Flags::METADATA,
        b"\0\0\x09m",
    )
    .await;
    let (frame_type, id, _, body) = raw.next().await;
    assert_eq!(
        (frame_type, id, &body[..4]),
        (FrameType::ERROR, 0, &u32_bytes(0x101)[..])
    );
    raw.expect_end().await;
    drop(raw);
    assert!(matches!(served.await.unwrap(), Closed::Violation(_)));
}

#[tokio::test]
async fn a_first_frame_that_is_no_setup_is_answered() {
    let (client, server) = memory(FRAME_MAX);
    let nobody = |_: Introduced, _: Requester| -> Result<Arc<dyn Handler>, Failure> {
        panic!("nobody introduced itself")
    };
    let mut raw = Raw(client);
    let peer = async {
        raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"")
            .await;
        let (frame_type, id, _, body) = raw.next().await;
        assert_eq!(
            (frame_type, id, &body[..4]),
            (FrameType::ERROR, 0, &u32_bytes(1)[..])
        );
        raw.expect_end().await;
        drop(raw);
    };
    let (closed, ()) = tokio::join!(accept(server, Limits::default(), &nobody), peer);
    assert!(matches!(closed, Closed::Violation(_)));
}

/// Conformance 32.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_introduces_itself_is_dropped() {
    let (_client, server) = memory(FRAME_MAX);
    let nobody = |_: Introduced, _: Requester| Err(Failure::rejected(""));
    let began = tokio::time::Instant::now();
    assert!(matches!(
        accept(server, Limits::default(), &nobody).await,
        Closed::Silent
    ));
    assert_eq!(began.elapsed(), Limits::default().setup_timeout);
}

/// Conformance 127.
#[tokio::test]
async fn a_draining_peer_gets_no_new_requests() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let items = near
        .request_stream(Message::new(""), Credit::window(9))
        .await
        .unwrap();
    raw.next().await;
    raw.send(0, FrameType::ERROR, Flags::NONE, b"\0\0\x01\x02bye")
        .await;
    raw.send(1, FrameType::PAYLOAD, next_complete(), b"the last")
        .await;
    assert_eq!(collect(items).await.unwrap(), ["the last"]);
    let error = near.request_response(Message::new("")).await.unwrap_err();
    assert!(matches!(error, CallError::Unavailable(_)));
    assert!(!near.is_closed());
}

/// A caller that grants everything and takes nothing holds its connection up, not the memory.
#[tokio::test]
async fn endless_credit_does_not_fill_the_memory() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let mut items = near
        .request_stream(Message::new(""), Credit::endless())
        .await
        .unwrap();
    raw.expect(
        1,
        FrameType::REQUEST_STREAM,
        Flags::NONE,
        &u32_bytes(0x7FFF_FFFF),
    )
    .await;
    let header = Header::new(StreamId::from_wire(1), FrameType::PAYLOAD, Flags::NEXT).encode();
    let body = bytes(1000);
    let mut sent = 0usize;
    let mut idle = 0;
    // Until nothing has moved for many turns of everybody.
    while idle < 100 {
        if raw.0.queued() == 0 {
            raw.0.push(&header, Body::Copy(&body));
            sent += 1;
            idle = 0;
        }
        let _ = raw.0.flush().now_or_never();
        tokio::task::yield_now().await;
        idle += 1;
        assert!(sent < 10_000, "the peer is still being read");
    }
    assert!(sent > 4096);
    // The reader wakes up, and so does the connection.
    let all = async {
        for _ in 0..sent {
            items.next().await.unwrap().unwrap();
        }
    };
    let (flushed, ()) = tokio::join!(raw.0.flush(), all);
    flushed.unwrap();
}

/// Requests wait for room when the peer does not read.
#[tokio::test]
async fn callers_wait_when_nothing_is_taken() {
    let limits = Limits {
        queue: 4,
        ..Limits::default()
    };
    let (near, mut raw) = Raw::server(ConnectOptions::new().limits(limits)).await;
    let body = bytes(100_000);
    let mut sent = 0u32;
    loop {
        let tell = near.fire_and_forget(Message::new(body.clone()));
        let Some(told) = tell.now_or_never() else {
            // The driver may just not have had its turn.
            tokio::task::yield_now().await;
            let again = near
                .fire_and_forget(Message::new(body.clone()))
                .now_or_never();
            if again.is_none() {
                break;
            }
            sent += 1;
            continue;
        };
        told.unwrap();
        sent += 1;
        assert!(sent < 100, "one megabyte and four requests are the limit");
    }
    for _ in 0..sent {
        let (frame_type, ..) = raw.next().await;
        assert_eq!(frame_type, FrameType::REQUEST_FNF);
    }
    near.fire_and_forget(Message::new("more")).await.unwrap();
    assert_eq!(raw.next().await.3, "more");
}

#[tokio::test]
async fn a_call_that_is_dropped_before_it_was_sent_is_not_sent() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let call = near.request_response(Message::new("never"));
    // Polled once, so it is in the inbox; the driver has had no turn yet.
    assert!(call.now_or_never().is_none());
    near.fire_and_forget(Message::new("after")).await.unwrap();
    raw.expect(1, FrameType::REQUEST_FNF, Flags::NONE, b"after")
        .await;
}
