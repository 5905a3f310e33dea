use std::future::poll_fn;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::super::socket::Socket;
use super::super::{FrameIo, Peer, TransportKind};
use super::*;

fn io(stream: DuplexStream, role: Role, frame_max: usize) -> FrameIo {
    let channel = Channel::Plain(Socket::memory(stream));
    let socket = WebSocket::new(channel, role, ReadBuffer::default(), frame_max);
    FrameIo::websocket(socket, TransportKind::WebSocket, Peer::Memory)
}

/// A server end of ours and a client end of a library's.
async fn pair(pipe: usize, frame_max: usize) -> (FrameIo, WebSocketStream<DuplexStream>) {
    let (near, far) = duplex(pipe);
    let theirs = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (io(near, Role::Server, frame_max), theirs)
}

fn binary(bytes: impl Into<Bytes>) -> Message {
    Message::Binary(bytes.into())
}

/// Conformance 7.
#[tokio::test]
async fn one_message_is_one_frame_both_ways() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    theirs.send(binary(&b"frame one"[..])).await.unwrap();
    theirs.send(binary(&b"frame two"[..])).await.unwrap();
    assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame one");
    assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame two");

    let large = Bytes::from(vec![9; 40_000]);
    ours.push(b"header", Body::Copy(b"+copy"));
    ours.push(b"header", Body::Share(large.clone()));
    ours.push(b"header", Body::Copy(b""));
    // With WebSocket's own headers.
    assert_eq!(ours.queued(), 2 + 11 + 4 + 40_006 + 2 + 6);
    ours.flush().await.unwrap();
    assert_eq!(ours.queued(), 0);
    assert_eq!(
        theirs.next().await.unwrap().unwrap().into_data(),
        "header+copy"
    );
    assert_eq!(
        theirs.next().await.unwrap().unwrap().into_data()[6..],
        large
    );
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), "header");
}

#[tokio::test]
async fn a_slow_pipe_gets_everything_in_order() {
    let (mut ours, mut theirs) = pair(100, 1000).await;
    for at in 0..300u32 {
        ours.push(
            &at.to_be_bytes(),
            Body::Copy(&vec![at as u8; at as usize * 3]),
        );
    }
    let write = async { ours.flush().await.unwrap() };
    let read = async {
        for at in 0..300u32 {
            let message = theirs.next().await.unwrap().unwrap().into_data();
            assert_eq!(message[..4], at.to_be_bytes());
            assert_eq!(message.len(), 4 + at as usize * 3);
        }
    };
    tokio::join!(write, read);
}

/// Conformance 8: of ping.
#[tokio::test]
async fn a_ping_is_answered_while_reading() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    theirs
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    theirs.send(binary(&b"frame one"[..])).await.unwrap();
    assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame one");
    let pong = theirs.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("are you there".into()));
}

/// Conformance 8: of continuations.
#[tokio::test]
async fn a_message_in_continuations_is_one_frame() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    let parts = [
        Frame::message("frame", OpCode::Data(Data::Binary), false),
        Frame::message(" in ", OpCode::Data(Data::Continue), false),
        Frame::message("parts", OpCode::Data(Data::Continue), true),
    ];
    for part in parts {
        theirs.send(Message::Frame(part)).await.unwrap();
    }
    assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame in parts");
}

#[tokio::test]
async fn what_is_no_frame_is_an_error() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    theirs.send(Message::Text("hello".into())).await.unwrap();
    assert!(matches!(
        ours.next_frame().await.unwrap(),
        Err(NetError::TextMessage)
    ));

    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    theirs.send(binary(vec![0; 5])).await.unwrap();
    let fault = ours.next_frame().await.unwrap();
    assert!(matches!(fault, Err(NetError::FrameTooShort { len: 5 })));

    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    theirs.send(binary(vec![0; 1000])).await.unwrap();
    assert_eq!(ours.next_frame().await.unwrap().unwrap().len(), 1000);
    theirs.send(binary(vec![0; 1001])).await.unwrap();
    let fault = ours.next_frame().await.unwrap();
    assert!(matches!(
        fault,
        Err(NetError::FrameTooLong {
            len: 1001,
            max: 1000
        })
    ));
}

/// What the close message says that follows these bytes of a client; read as bytes, because the
/// library's own client does not break rules.
async fn goodbye_to(bytes: &[u8]) -> Option<u16> {
    let (near, mut far) = duplex(1 << 20);
    let mut near = io(near, Role::Server, 1000);
    far.write_all(bytes).await.unwrap();
    far.shutdown().await.unwrap();
    while let Some(Ok(_)) = near.next_frame().await {}
    near.shutdown().await.unwrap();
    assert!(near.next_frame().await.is_none(), "the rest is thrown away");
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    let code = answer.strip_prefix(&[0x88, 2])?;
    Some(u16::from_be_bytes(code.try_into().ok()?))
}

/// Conformance 8, 9: of text, and of a message over the limit.
#[tokio::test]
async fn a_fault_is_told_by_the_code_of_the_close_message() {
    let mask = [0; 4];
    let frame = |head: &[u8], body: &[u8]| [head, &mask, body].concat();
    for (what, bytes, code) in [
        ("text", frame(&[0x81, 0x85], b"hello"), 1003),
        (
            "too long",
            frame(&[0x82, 0xFE, 0x03, 0xE9], &[0; 1001]),
            1009,
        ),
        ("shorter than a header", frame(&[0x82, 0x85], &[0; 5]), 1002),
        ("unmasked", b"\x82\x06header".to_vec(), 1002),
        ("compressed", frame(&[0xC2, 0x86], b"header"), 1002),
        ("no such type", frame(&[0x83, 0x86], b"header"), 1002),
        ("nothing to continue", frame(&[0x80, 0x86], b"header"), 1002),
        ("a ping in parts", frame(&[0x09, 0x80], b""), 1002),
        (
            "a ping of 126",
            frame(&[0x89, 0xFE, 0, 126], &[0; 126]),
            1002,
        ),
    ] {
        assert_eq!(goodbye_to(&bytes).await, Some(code), "{what}");
    }
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    ours.shutdown().await.unwrap();
    let goodbye = theirs.next().await.unwrap().unwrap();
    let Message::Close(Some(goodbye)) = goodbye else {
        panic!("a close message with a code")
    };
    assert_eq!(goodbye.code, CloseCode::Normal, "nobody is to blame");
}

#[tokio::test]
async fn continuations_together_are_held_to_the_limit() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    for (data, last) in [(Data::Binary, false), (Data::Continue, true)] {
        let part = Frame::message(vec![0; 600], OpCode::Data(data), last);
        theirs.send(Message::Frame(part)).await.unwrap();
    }
    let fault = ours.next_frame().await.unwrap();
    assert!(matches!(
        fault,
        Err(NetError::FrameTooLong {
            len: 1200,
            max: 1000
        })
    ));
}

#[tokio::test]
async fn both_kinds_of_end_are_clean() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    theirs.close(None).await.unwrap();
    assert!(ours.next_frame().await.is_none());
    let (mut ours, theirs) = pair(1 << 20, 1000).await;
    drop(theirs);
    assert!(ours.next_frame().await.is_none());
}

#[tokio::test]
async fn shutdown_flushes_and_says_goodbye() {
    let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
    ours.push(b"header", Body::Copy(b""));
    ours.shutdown().await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), "header");
    assert!(theirs.next().await.unwrap().unwrap().is_close());
    assert!(theirs.next().await.is_none());
}

#[tokio::test]
async fn an_overlong_frame_fails_the_flush() {
    let (mut ours, _theirs) = pair(64, 1000).await;
    ours.push(b"header", Body::Share(vec![0; FRAME_MAX].into()));
    assert_eq!(
        ours.flush().await.unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn a_client_s_messages_are_masked_each_anew() {
    let (near, far) = duplex(1 << 20);
    let mut ours = io(near, Role::Client, 1 << 20);
    let mut theirs = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    for len in [0, 1, 119, 120, 5000, 70_000, 300_000] {
        let sent = Bytes::from(vec![7; len]);
        for body in [Body::Copy(&sent), Body::Share(sent.clone())] {
            ours.push(b"header", body);
        }
        let read = async {
            for _ in 0..2 {
                let message = theirs.next().await.unwrap().unwrap().into_data();
                assert!(message.starts_with(b"header") && message[6..] == sent);
            }
            theirs.send(binary(vec![1; len + 6])).await.unwrap();
        };
        let (flushed, ()) = tokio::join!(ours.flush(), read);
        flushed.unwrap();
        assert_eq!(ours.next_frame().await.unwrap().unwrap().len(), len + 6);
    }
    let mut masks = Masks::default();
    let some: Vec<_> = (0..10).map(|_| masks.next()).collect();
    assert!(some.windows(2).all(|pair| pair[0] != pair[1]));
}

#[tokio::test]
async fn a_server_that_masks_is_refused() {
    let (near, mut far) = duplex(1 << 20);
    let mut ours = io(near, Role::Client, 1000);
    far.write_all(b"\x82\x86\0\0\0\0header").await.unwrap();
    let fault = ours.next_frame().await.unwrap();
    assert!(matches!(fault, Err(NetError::WebSocket(_))));
}

/// What a peer sends is the same, however the network cuts it.
#[tokio::test]
async fn every_cut_gives_the_same_frames() {
    let mask = [1, 2, 3, 4];
    let frame = |first: u8, body: &[u8]| {
        let mut masked = body.to_vec();
        unmask(&mut masked, mask);
        [&[first, 0x80 | body.len() as u8][..], &mask, &masked].concat()
    };
    let wire = [
        frame(0x82, b"frame one"),
        frame(0x02, b"frame"),
        frame(0x89, b"ping"),
        frame(0x00, b" in"),
        frame(0x80, b" parts"),
        frame(0x8A, b"pong"),
        frame(0x88, &[0x03, 0xE8]),
    ]
    .concat();
    for cut in 0..=wire.len() {
        let (near, mut far) = duplex(1 << 20);
        let mut ours = io(near, Role::Server, 1000);
        let (head, tail) = wire.split_at(cut);
        let write = async {
            far.write_all(head).await.unwrap();
            tokio::task::yield_now().await;
            far.write_all(tail).await.unwrap();
        };
        let read = async {
            assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame one");
            assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame in parts");
            assert!(ours.next_frame().await.is_none(), "{cut}");
        };
        tokio::join!(read, write);
        ours.shutdown().await.unwrap();
        drop(ours);
        let mut answers = Vec::new();
        far.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers, b"\x8A\x04ping\x88\x02\x03\xE8", "{cut}");
    }
}

#[tokio::test]
async fn an_end_inside_a_message_is_an_error() {
    for bytes in [
        &b"\x82"[..],
        b"\x82\x86\0\0\0\0head",
        b"\x02\x86\0\0\0\0header",
    ] {
        let (near, mut far) = duplex(1 << 20);
        let mut ours = io(near, Role::Server, 1000);
        far.write_all(bytes).await.unwrap();
        drop(far);
        let end = ours.next_frame().await.unwrap();
        assert!(matches!(end, Err(NetError::Truncated)), "{bytes:?}");
    }
}

/// A peer that asks without end and reads no answer makes nothing grow.
#[tokio::test]
async fn endless_pings_queue_few_answers() {
    let (near, mut far) = duplex(1000);
    let mut ours = io(near, Role::Server, 1000);
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
    for _ in 0..500 {
        far.write_all(&ping).await.unwrap();
        let read = poll_fn(|cx| Poll::Ready(ours.poll_frame(cx))).await;
        assert!(read.is_pending());
        // What is being written, and the answer to the last ping.
        assert!(ours.queued() <= 2 * 127, "{}", ours.queued());
        tokio::task::yield_now().await;
    }
    assert_eq!(ours.bytes_read(), 500 * ping.len() as u64);
    assert_eq!(ours.bytes_written(), 1000, "the pipe is full");
}

/// An idle connection owns no buffer, whatever has passed it.
#[tokio::test]
async fn large_messages_leave_nothing_behind() {
    let (near, far) = duplex(1 << 20);
    let channel = Channel::Plain(Socket::memory(near));
    let mut ours = WebSocket::new(channel, Role::Server, ReadBuffer::default(), FRAME_MAX);
    let mut theirs = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    let large = Bytes::from(vec![3; 4 << 20]);
    let send = theirs.send(binary(large.clone()));
    let (sent, frame) = tokio::join!(send, poll_fn(|cx| ours.poll_frame(cx)));
    sent.unwrap();
    ours.push(b"header", Body::Share(frame.unwrap().unwrap()));
    let flush = poll_fn(|cx| ours.poll_flush(cx));
    let (flushed, message) = tokio::join!(flush, theirs.next());
    flushed.unwrap();
    assert_eq!(message.unwrap().unwrap().len(), large.len() + 6);
    let idle = poll_fn(|cx| Poll::Ready(ours.poll_frame(cx))).await;
    assert!(idle.is_pending());
    assert!(ours.buffer.owns_nothing() && ours.out.owns_nothing());
    assert_eq!(ours.queued(), 0);
}
