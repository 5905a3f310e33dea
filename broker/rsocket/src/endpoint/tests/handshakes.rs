//! The beginning of a connection. Numbers are those of the conformance list.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::net::Listener;
use crate::wire::{Setup, Version};

const SETUP: &[u8] = b"\0\0\0\0\x04\0\0\x01\0\0\0\0\x4E\x20\0\x01\x5F\x90\x01m\x01d";

/// A socket to a server of ours, where bytes are written as they are.
async fn socket(server: Server) -> TcpStream {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let (host, port) = (listener.uri().host().to_owned(), listener.uri().port());
    tokio::spawn(server.listen(listener));
    TcpStream::connect((host, port)).await.unwrap()
}

fn prefixed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_be_bytes()[1..], frame].concat()
}

fn frame(id: u32, frame_type: FrameType, flags: Flags, body: &[u8]) -> Vec<u8> {
    let header = Header::new(StreamId::from_wire(id), frame_type, flags).encode();
    [&header[..], body].concat()
}

/// What comes back until the end: nothing, or the code of one ERROR on stream zero.
async fn answer(mut socket: TcpStream) -> Option<u32> {
    let mut read = Vec::new();
    socket.read_to_end(&mut read).await.unwrap();
    let (prefix, frame) = read.split_at_checked(3)?;
    assert_eq!(
        prefix,
        &(frame.len() as u32).to_be_bytes()[1..],
        "one frame"
    );
    assert_eq!(frame[..6], [0, 0, 0, 0, 0x2C, 0]);
    Some(u32::from_be_bytes(frame[6..10].try_into().unwrap()))
}

/// Conformance 7, 17, 18, 19, 20, 21: a wrong first frame is answered over a real socket, and the
/// answer can be read to the end although more was sent behind it. One with a length prefix inside,
/// which a stream's frame would have around it, is wrong like any other.
#[tokio::test]
async fn every_wrong_first_frame_is_answered() {
    let setup = |at: usize, bytes: &[u8]| {
        let mut setup = SETUP.to_vec();
        setup[at..at + bytes.len()].copy_from_slice(bytes);
        setup
    };
    let mut wrong = vec![
        setup(3, &[1]),
        setup(6, &[0, 2, 0, 0]),
        setup(6, &[0, 1, 0, 1]),
        setup(6, &[0, 0, 0, 2]),
        setup(10, &[0; 4]),
        setup(10, &[0x80, 0, 0, 1]),
        setup(14, &[0; 4]),
        frame(1, FrameType::RESUME, Flags::NONE, &[0; 22]),
        prefixed(SETUP),
    ];
    for frame_type in 0..64 {
        if !matches!(frame_type, 0x01 | 0x0D) {
            wrong.push(frame(0, FrameType(frame_type), Flags::NONE, &[0; 22]));
            wrong.push(frame(1, FrameType(frame_type), Flags::IGNORE, &[0; 22]));
        }
    }
    for first in wrong {
        let mut socket = socket(Server::answering(echo())).await;
        let more = prefixed(&[7; 60_000]);
        let all = [prefixed(&first), more].concat();
        socket.write_all(&all).await.unwrap();
        assert_eq!(answer(socket).await, Some(1), "{first:02x?}");
    }
}

/// Conformance 6, 22, 23: cut anywhere, a SETUP is refused and nobody waits.
#[tokio::test]
async fn a_setup_cut_anywhere_is_refused() {
    for len in 0..SETUP.len() {
        let mut socket = socket(Server::answering(echo())).await;
        socket.write_all(&prefixed(&SETUP[..len])).await.unwrap();
        assert_eq!(answer(socket).await, Some(1), "{len}");
    }
    // Lengths that point behind the end: of the token, of either MIME type, of the metadata.
    for (flags, rest) in [
        (Flags::RESUME, &b"\0\x20token\x01m\x01d"[..]),
        (Flags::NONE, b"\x09m\x01d"),
        (Flags::NONE, b"\x01m\x09d"),
        (Flags::METADATA, b"\x01m\x01d\0\0\x09m"),
    ] {
        let body = [&SETUP[6..18], rest].concat();
        let mut socket = socket(Server::answering(echo())).await;
        let setup = frame(0, FrameType::SETUP, flags, &body);
        socket.write_all(&prefixed(&setup)).await.unwrap();
        assert_eq!(answer(socket).await, Some(1), "{rest:02x?}");
    }
}

/// Conformance 4, 5: a length no frame can have is answered before anything of its body has come,
/// as a first frame and later.
#[tokio::test]
async fn impossible_lengths_are_answered_at_once() {
    let limits = Limits {
        frame: 1000,
        ..Limits::default()
    };
    for len in [0, 1, 2, 3, 4, 5, 1001, 0xFF_FFFF_u32] {
        let prefix = &len.to_be_bytes()[1..];
        for (before, code) in [(vec![], 0x001), (prefixed(SETUP), 0x101)] {
            let server = Server::answering(echo()).with(limits);
            let mut socket = socket(server).await;
            let all = [&before[..], prefix].concat();
            socket.write_all(&all).await.unwrap();
            assert_eq!(answer(socket).await, Some(code), "{len}");
        }
    }
}

/// Conformance 1, 2, 16, 29: acceptance is silent, and what was pipelined behind SETUP is served in
/// order, in one segment or byte by byte.
#[tokio::test]
async fn requests_behind_a_setup_are_served() {
    let mut all = prefixed(SETUP);
    for (id, data) in [(1, b"one"), (3, b"two"), (5, b"six")] {
        all.extend(prefixed(&frame(
            id,
            FrameType::REQUEST_RESPONSE,
            Flags::NONE,
            data,
        )));
    }
    for step in [all.len(), 1] {
        let mut socket = socket(Server::answering(echo())).await;
        socket.set_nodelay(true).unwrap();
        for piece in all.chunks(step) {
            socket.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut read = vec![0; 3 * 12];
        socket.read_exact(&mut read).await.unwrap();
        let replies: Vec<&[u8]> = read.chunks(12).map(|reply| &reply[9..]).collect();
        assert_eq!(replies, [b"one", b"two", b"six"]);
    }
}

/// Conformance 30: what was pipelined behind a SETUP that is refused is not done.
#[tokio::test]
async fn requests_behind_a_refused_setup_are_not_served() {
    let acceptor = |_, _| Err(Failure::rejected("nobody"));
    let mut socket = socket(Server::new(acceptor)).await;
    let request = frame(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q");
    let all = [prefixed(SETUP), prefixed(&request)].concat();
    socket.write_all(&all).await.unwrap();
    assert_eq!(answer(socket).await, Some(3));

    // Refused by the protocol itself, and the handler would tell.
    let handler = echo().fire_and_forget(async |_| panic!("it was served"));
    let (mut raw, served) = Raw::dial(&Server::answering(handler));
    raw.setup(Flags::LEASE, b"").await;
    raw.send(1, FrameType::REQUEST_FNF, Flags::NONE, b"").await;
    raw.expect_error(0, ErrorCode::UNSUPPORTED_SETUP).await;
    raw.expect_end().await;
    drop(raw);
    assert!(matches!(served.await.unwrap(), Closed::Violation(_)));
}

/// Conformance 31: while somebody decides, what is pipelined waits on the client's side of the
/// pipe.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_somebody_decides() {
    let server = Server::deciding(|who: Introduced, _| async move {
        let known = who.setup.bearer_token() == Some("known");
        tokio::time::sleep(Duration::from_secs(if known { 5 } else { 50 })).await;
        Ok(Arc::new(echo()) as Arc<dyn Handler>)
    });
    for (token, answer) in [
        ("known", None),
        ("unknown", Some(ErrorCode::REJECTED_SETUP)),
    ] {
        let (mut raw, _served) = Raw::dial(&server);
        let message = Message::new("").bearer(token).unwrap();
        let metadata = message.metadata.unwrap();
        let len = (metadata.len() as u32).to_be_bytes();
        let body = [&SETUP[6..], &len[1..], &metadata].concat();
        raw.send(0, FrameType::SETUP, Flags::METADATA, &body).await;
        let request = Header::new(
            StreamId::from_wire(1),
            FrameType::REQUEST_RESPONSE,
            Flags::NONE,
        );
        raw.0.push(&request.encode(), Body::Copy(b"q"));
        for _ in 0..100 {
            let push = Header::new(
                StreamId::CONNECTION,
                FrameType::METADATA_PUSH,
                Flags::METADATA,
            );
            raw.0.push(&push.encode(), Body::Copy(&bytes(10_000)));
        }
        let all = raw.0.queued();
        let flushed = tokio::time::timeout(Duration::from_secs(4), raw.0.flush()).await;
        assert!(flushed.is_err(), "the pipe is full");
        // What the pipe holds, and one read of the server.
        assert!(all - raw.0.queued() <= (64 + 16) << 10);
        match answer {
            None => {
                raw.0.flush().await.unwrap();
                raw.expect(1, FrameType::PAYLOAD, next_complete(), b"q")
                    .await;
            }
            Some(code) => {
                assert_eq!(raw.expect_error(0, code).await, "not decided in time");
            }
        }
    }
}

/// Conformance 24, 25: what resume asks of a SETUP.
#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let resume = ServeOptions {
        resume: Some(ResumeOptions::default()),
        ..ServeOptions::default()
    };
    for (options, token) in [
        (ServeOptions::default(), &b"sixteen bytes ok"[..]),
        (resume, b""),
        (resume, b"fifteen bytes !"),
    ] {
        let (mut raw, _served) = Raw::dial(&Server::answering(echo()).with(options));
        raw.setup(Flags::RESUME, token).await;
        raw.expect_error(0, ErrorCode::REJECTED_SETUP).await;
        raw.expect_end().await;
    }
}

/// Conformance 33, 35: a second SETUP and the refusals of a client mean nothing.
#[tokio::test]
async fn a_second_setup_and_a_clients_refusal_mean_nothing() {
    let (mut raw, _served) = Raw::client(Limits::default(), echo()).await;
    raw.setup(Flags::RESUME.with(Flags::LEASE), b"token").await;
    for code in 1..=4 {
        raw.send(0, FrameType::ERROR, Flags::NONE, &u32_bytes(code))
            .await;
    }
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"q")
        .await;
}

/// Conformance 36, 37: MIME types and payload arrive as they were sent, whatever they are.
#[tokio::test]
async fn the_acceptor_sees_what_was_said() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = Server::new({
        let seen = Arc::clone(&seen);
        move |introduced: Introduced, _| {
            seen.lock().unwrap().push(introduced);
            Ok(Arc::new(echo()))
        }
    })
    .with(ServeOptions {
        resume: Some(ResumeOptions::default()),
        ..ServeOptions::default()
    });
    let mut number = 0u8;
    for mime in [0, 1, 127, 128, 255].map(|len| vec![0xE9; len]) {
        for token in [false, true] {
            for (metadata, data) in [
                (None, ""),
                (None, "data"),
                (Some("metadata"), ""),
                (Some("metadata"), "data"),
                (Some(""), ""),
            ] {
                number += 1;
                let name = [number; 16];
                let setup = Setup {
                    version: Version::V1_0,
                    keepalive_ms: 1,
                    lifetime_ms: 0x7FFF_FFFF,
                    resume_token: token.then_some(&name[..]),
                    lease: false,
                    metadata_mime: &mime,
                    data_mime: b"application/json",
                    metadata: metadata.map(str::as_bytes),
                    data: data.as_bytes(),
                };
                let mut frame = BytesMut::new();
                setup.encode(&mut frame);
                let (mut raw, _served) = Raw::dial(&server);
                raw.0.push(&frame, Body::Copy(&[]));
                raw.quiet().await;
                let introduced = seen.lock().unwrap().pop().unwrap();
                assert_eq!(introduced.setup.metadata.as_deref(), setup.metadata);
                assert_eq!(introduced.setup.data, data);
                assert_eq!(introduced.data_mime, "application/json");
                assert_eq!(
                    introduced.metadata_mime.chars().count(),
                    mime.len(),
                    "bytes that are no text are replaced, not refused"
                );
            }
        }
    }
}
