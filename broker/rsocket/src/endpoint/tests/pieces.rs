//! Messages in fragments. Numbers are those of the conformance list.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;

use super::*;
use crate::wire::{FRAME_LEN_MAX, Payload};

fn follows(flags: Flags) -> Flags {
    flags.with(Flags::FOLLOWS)
}

/// A message of so much metadata and data; no two bytes of either at the same place are alike.
fn message(metadata: usize, data: usize) -> Message {
    let message = Message::new(bytes(data));
    match metadata {
        0 => message,
        _ => message.with_metadata(bytes(metadata + 100).slice(100..)),
    }
}

/// Conformance 3: the largest frame there is, there and back.
#[tokio::test]
async fn the_largest_frame_crosses() {
    let (client, far) = memory(FRAME_LEN_MAX);
    let server = Server::answering(echo());
    tokio::spawn(async move { server.accept(far).await });
    let mut raw = Raw(client);
    raw.setup(Flags::NONE, b"").await;
    let body = bytes(FRAME_LEN_MAX - 6);
    let header = Header::new(
        StreamId::from_wire(1),
        FrameType::REQUEST_RESPONSE,
        Flags::NONE,
    );
    raw.0.push(&header.encode(), Body::Share(body.clone()));
    raw.0.flush().await.unwrap();
    let write = async {
        let mut got = BytesMut::new();
        loop {
            let (_, _, flags, part) = raw.next().await;
            got.extend_from_slice(&part);
            if flags.contains(Flags::COMPLETE) {
                break got;
            }
        }
    };
    assert!(write.await == body);
}

/// Conformance 86, 87: every kind of message, whole and in pieces of every number, with metadata
/// that ends at every place of a fragment.
#[tokio::test]
async fn pieces_make_the_same_message() {
    // 64 bytes of metadata and data together in each frame.
    let limits = Limits {
        mtu: 64 + 13,
        ..Limits::default()
    };
    let (told, mut tell) = mpsc::channel(1);
    let handler = echo()
        .stream(|request| stream::iter([Ok(request)]))
        .fire_and_forget(move |request| {
            let told = told.clone();
            async move { told.send(request).await.unwrap() }
        });
    let options = ConnectOptions::new().limits(limits);
    let pair = pair(options, limits, handler).await;
    let near = &pair.near;
    let mut sizes: Vec<(usize, usize)> = (0..=130).map(|metadata| (metadata, 10)).collect();
    sizes.extend([
        (0, 128),
        (128, 0),
        (64, 64),
        (3200, 3200),
        (0, 6400),
        (6400, 0),
    ]);
    for (metadata, data) in sizes {
        let sent = message(metadata, data);
        let got = near.request_response(sent.clone()).await.unwrap();
        assert!(got == sent, "{metadata} {data}");
        let one = near.request_stream(sent.clone(), Credit::exactly(1));
        let got = one.await.unwrap().next().await.unwrap().unwrap();
        assert!(got == sent, "{metadata} {data}");
        let items = stream::iter([Ok(sent.clone())]);
        let channel = near.request_channel(sent.clone(), items, Credit::default());
        let got: Vec<_> = channel.await.unwrap().map(Result::unwrap).collect().await;
        assert!(got == [sent.clone(), sent.clone()], "{metadata} {data}");
        near.fire_and_forget(sent.clone()).await.unwrap();
        assert!(tell.recv().await.unwrap() == sent, "{metadata} {data}");
    }
}

/// Conformance 88: pieces of several streams may come in any order.
#[tokio::test]
async fn interleaved_pieces_find_their_messages() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    for id in [1, 3, 5] {
        raw.send(id, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, &[id as u8])
            .await;
    }
    for part in 0..20u8 {
        for id in [1, 3, 5] {
            raw.send(
                id,
                FrameType::PAYLOAD,
                follows(Flags::NEXT),
                &[id as u8, part],
            )
            .await;
        }
    }
    for id in [5, 1, 3] {
        raw.send(id, FrameType::PAYLOAD, Flags::NEXT, b"").await;
        let expected: Vec<u8> = [id as u8]
            .into_iter()
            .chain((0..20).flat_map(|part| [id as u8, part]))
            .collect();
        raw.expect(id, FrameType::PAYLOAD, next_complete(), &expected)
            .await;
    }
}

/// Conformance 89, 93: F with C is the end, and any flags make a last fragment of a request.
#[tokio::test]
async fn the_last_piece_is_known() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    let last = [
        Flags::NONE,
        Flags::NEXT,
        Flags::COMPLETE,
        next_complete(),
        follows(Flags::COMPLETE),
        follows(next_complete()),
    ];
    for (id, flags) in (0..).map(|at| 2 * at + 1).zip(last) {
        raw.send(id, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"a")
            .await;
        raw.send(id, FrameType::PAYLOAD, flags, b"b").await;
        raw.expect(id, FrameType::PAYLOAD, next_complete(), b"ab")
            .await;
    }
}

/// Conformance 90, 96: CANCEL in the middle of a request ends it undone; a new request on an id
/// whose first is not whole is ignored.
#[tokio::test]
async fn half_a_request_is_none() {
    let handler = echo().fire_and_forget(async |request| panic!("{request:?} was cancelled"));
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    for frame_type in [FrameType::REQUEST_RESPONSE, FrameType::REQUEST_FNF] {
        raw.send(1, frame_type, Flags::FOLLOWS, b"half").await;
        raw.send(1, FrameType::CANCEL, Flags::NONE, b"").await;
        raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"rest").await;
        raw.quiet().await;
    }
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"first ")
        .await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"second")
        .await;
    raw.send(1, FrameType::PAYLOAD, Flags::NEXT, b"whole").await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"first whole")
        .await;
    raw.quiet().await;
}

/// Conformance 91: ERROR in the middle of a reply discards what has come of it.
#[tokio::test]
async fn half_a_reply_is_none() {
    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let call = async { near.request_response(Message::new("")).await };
    let peer = async {
        raw.next().await;
        raw.send(1, FrameType::PAYLOAD, follows(Flags::NEXT), b"half")
            .await;
        raw.send(1, FrameType::ERROR, Flags::NONE, b"\0\0\x02\x01why")
            .await;
        raw.send(1, FrameType::PAYLOAD, next_complete(), b"rest")
            .await;
    };
    let error = tokio::join!(call, peer).0.unwrap_err();
    assert!(matches!(error, CallError::Failed(failure) if failure.text == "why"));
}

/// Conformance 92: an item takes one unit of credit, in however many pieces it goes.
#[tokio::test]
async fn an_item_in_pieces_takes_one_credit() {
    let limits = Limits {
        mtu: 64 + 13,
        ..Limits::default()
    };
    let handler = echo().stream(|_| stream::iter([Ok(message(100, 100)), Ok(message(100, 100))]));
    let (mut raw, _served) = Raw::client(limits, handler).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x01")
        .await;
    for another in [true, false] {
        for last in [false, false, false, true] {
            let (frame_type, _, flags, _) = raw.next().await;
            assert_eq!(frame_type, FrameType::PAYLOAD);
            assert_eq!(flags.contains(Flags::FOLLOWS), !last);
        }
        if another {
            raw.quiet().await;
            raw.send(1, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(1))
                .await;
        }
    }
}

/// Conformance 52, 94, 95: endless fragments meet the limit of a message, on their own stream; a
/// fire-and-forget is dropped without a word.
#[tokio::test]
async fn endless_pieces_meet_a_limit() {
    let limits = Limits {
        message: 1000,
        ..Limits::default()
    };
    let handler = echo().fire_and_forget(async |request| panic!("{request:?} was too large"));
    let (mut raw, _served) = Raw::client(limits, handler).await;
    raw.send(
        1,
        FrameType::REQUEST_RESPONSE,
        Flags::FOLLOWS,
        b"0123456789",
    )
    .await;
    raw.send(3, FrameType::REQUEST_FNF, Flags::FOLLOWS, b"0123456789")
        .await;
    for _ in 0..200 {
        for id in [1, 3] {
            raw.send(id, FrameType::PAYLOAD, follows(Flags::NEXT), b"0123456789")
                .await;
        }
    }
    raw.expect_error(1, ErrorCode::INVALID).await;
    raw.send(5, FrameType::REQUEST_FNF, Flags::NONE, &bytes(1001))
        .await;
    raw.quiet().await;
    // And as a reply: the call fails, its stream is cancelled, the next is answered.
    let (near, mut raw) = Raw::server(ConnectOptions::new().limits(limits)).await;
    let call = async { near.request_response(Message::new("")).await };
    let peer = async {
        raw.next().await;
        for _ in 0..11 {
            raw.send(1, FrameType::PAYLOAD, follows(Flags::NEXT), &bytes(100))
                .await;
        }
        raw.expect(1, FrameType::CANCEL, Flags::NONE, b"").await;
    };
    let error = tokio::join!(call, peer).0.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { limit: 1000 }));
}

#[tokio::test]
async fn messages_of_a_budget_take_no_more_than_it_has() {
    let budget = Budget::new(1000);
    let mut options = ConnectOptions::new();
    options.memory = Some(budget.clone());
    let (near, mut raw) = Raw::server(options).await;
    let call = async { near.request_response(Message::new("")).await };
    let others = budget.take(500).unwrap();
    let peer = async {
        raw.next().await;
        for _ in 0..6 {
            raw.send(1, FrameType::PAYLOAD, follows(Flags::NEXT), &bytes(100))
                .await;
        }
        raw.expect(1, FrameType::CANCEL, Flags::NONE, b"").await;
    };
    let error = tokio::join!(call, peer).0.unwrap_err();
    assert!(matches!(error, CallError::Full));
    assert!(budget.take(501).is_none());
    // What was given up is given back; what arrives counts until it is let go.
    let call = async { near.request_response(Message::new("")).await };
    let peer = async {
        raw.next().await;
        let last = Flags::NEXT.with(Flags::COMPLETE);
        raw.send(3, FrameType::PAYLOAD, last, &bytes(500)).await;
    };
    let reply = tokio::join!(call, peer).0.unwrap();
    assert!(budget.take(1).is_none());
    drop(reply);
    assert!(budget.take(500).is_some());
    drop(others);
}

/// Conformance 97: what we cut ourselves is what the strictest peer takes.
#[tokio::test]
async fn our_own_pieces_are_as_they_should_be() {
    // Asked for less than 64 bytes in a frame, which several peers refuse.
    let limits = Limits {
        mtu: 30,
        ..Limits::default()
    };
    let (mut raw, _served) = Raw::client(limits, echo()).await;
    let sent = message(150, 150);
    let request = Payload {
        follows: false,
        complete: false,
        next: true,
        metadata: sent.metadata.as_deref(),
        data: &sent.data,
    };
    let mut body = BytesMut::new();
    request.encode(StreamId::from_wire(1), &mut body);
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::METADATA, &body[6..])
        .await;
    let (mut metadata, mut data) = (Vec::new(), Vec::new());
    loop {
        let frame = raw.0.next_frame().await.unwrap().unwrap();
        let Frame { header, body } = Frame::decode(&frame).unwrap();
        let crate::wire::Body::Payload(payload) = body else {
            panic!("{body:?}")
        };
        assert!(payload.next && payload.complete != payload.follows);
        assert!(
            payload.metadata.is_none() || data.is_empty(),
            "metadata first"
        );
        assert!(frame.len() >= 64 || payload.complete, "{}", frame.len());
        metadata.extend_from_slice(payload.metadata.unwrap_or_default());
        data.extend_from_slice(payload.data);
        if !header.flags.contains(Flags::FOLLOWS) {
            break;
        }
    }
    assert_eq!(
        (Some(metadata.into()), data.into()),
        (sent.metadata, sent.data)
    );
}

/// Conformance 98: a message that is begun and not finished is given up in time, whoever began it;
/// one that is finished is not.
#[tokio::test(start_paused = true)]
async fn a_message_has_a_minute_to_become_whole() {
    let handler = echo().fire_and_forget(async |request| panic!("{request:?} was not whole"));
    let (mut raw, _served) = Raw::client(Limits::default(), handler).await;
    let began = tokio::time::Instant::now();
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"never")
        .await;
    raw.send(3, FrameType::REQUEST_FNF, Flags::FOLLOWS, b"never")
        .await;
    raw.send(5, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"in ")
        .await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    raw.send(5, FrameType::PAYLOAD, Flags::NEXT, b"time").await;
    raw.expect(5, FrameType::PAYLOAD, next_complete(), b"in time")
        .await;
    raw.expect_error(1, ErrorCode::INVALID).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    for id in [1, 3] {
        raw.send(id, FrameType::PAYLOAD, Flags::NEXT, b"late").await;
    }
    raw.quiet().await;

    let (near, mut raw) = Raw::server(ConnectOptions::new()).await;
    let items = near
        .request_stream(Message::new(""), Credit::default())
        .await
        .unwrap();
    raw.next().await;
    raw.send(1, FrameType::PAYLOAD, follows(Flags::NEXT), b"never")
        .await;
    let error = tokio::join!(collect(items), async {
        // Alive, and nothing else.
        loop {
            let (frame_type, id, ..) = raw.next().await;
            if frame_type == FrameType::CANCEL {
                break assert_eq!(id, 1);
            }
            raw.send(0, FrameType::KEEPALIVE, Flags::NONE, &[0; 8])
                .await;
        }
    });
    assert!(matches!(error.0.unwrap_err(), CallError::Unfinished));
}
