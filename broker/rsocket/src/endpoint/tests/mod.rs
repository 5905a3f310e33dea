//! Both faces against each other, and each against a peer that is played frame by frame.

mod against_frames;
mod both_faces;
mod flows;
mod handshakes;
mod leases;
mod lifelines;
mod links;
mod pieces;
mod sessions;
mod storms;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::*;
use crate::net::{Body, FrameIo, memory};
use crate::wire::{ErrorCode, Flags, Frame, FrameType, Header, StreamId};

const FRAME_MAX: usize = 1 << 20;

/// A client and a server in memory, each with its handler, and the server's way to call back.
struct Pair {
    near: Requester,
    far: Requester,
    server: JoinHandle<Closed>,
}

async fn pair(options: ConnectOptions, limits: Limits, handler: impl Handler) -> Pair {
    let (client, server) = memory(FRAME_MAX);
    let near = attach(client, options).unwrap();
    let (hand_over, far) = tokio::sync::oneshot::channel();
    let hand_over = std::sync::Mutex::new(Some(hand_over));
    let handler: Arc<dyn Handler> = Arc::new(handler);
    let server = tokio::spawn(async move {
        let acceptor = |_: Introduced, far: Requester| {
            let hand_over = hand_over.lock().unwrap().take().unwrap();
            hand_over.send(far).unwrap();
            Ok(Arc::clone(&handler))
        };
        accept(server, limits, &acceptor).await
    });
    Pair {
        near,
        far: far.await.unwrap(),
        server,
    }
}

async fn served_by(handler: impl Handler) -> Requester {
    let pair = pair(ConnectOptions::new(), Limits::default(), handler).await;
    // The server lives on without its requester.
    drop((pair.far, pair.server));
    pair.near
}

/// Answers everything with what it was sent; a stream counts up to the number it is asked for.
fn echo() -> Responder {
    Responder::new()
        .response(async |request: Message| Ok(request))
        .stream(|request| {
            let count: u32 = std::str::from_utf8(&request.data).unwrap().parse().unwrap();
            futures_util::stream::iter((0..count).map(|at| Ok(Message::new(at.to_string()))))
        })
        .channel(|first, rest| {
            let rest =
                rest.map(|item| item.map_err(|error| Failure::application(error.to_string())));
            futures_util::stream::iter([Ok(first)]).chain(rest)
        })
}

/// A peer played by hand.
struct Raw(FrameIo);

impl Raw {
    /// The server's side of a client of ours; SETUP is read already.
    async fn server(options: ConnectOptions) -> (Requester, Self) {
        let (client, server) = memory(FRAME_MAX);
        let near = attach(client, options).unwrap();
        let mut raw = Self(server);
        assert_eq!(raw.next().await.0, FrameType::SETUP);
        (near, raw)
    }

    /// The client's side of a server of ours, before it has said anything.
    fn dial(server: &Server) -> (Self, JoinHandle<Closed>) {
        let (client, far) = memory(FRAME_MAX);
        let server = server.clone();
        (
            Self(client),
            tokio::spawn(async move { server.accept(far).await }),
        )
    }

    /// SETUP 1.0, keepalive 20 s, lifetime 90 s, with these flags and perhaps a token.
    async fn setup(&mut self, flags: Flags, token: &[u8]) {
        let mut body = b"\0\x01\0\0\0\0\x4E\x20\0\x01\x5F\x90".to_vec();
        if flags.contains(Flags::RESUME) {
            body.extend_from_slice(&(token.len() as u16).to_be_bytes());
            body.extend_from_slice(token);
        }
        body.extend_from_slice(b"\x01m\x01d");
        self.send(0, FrameType::SETUP, flags, &body).await;
    }

    /// Asks for life and takes the answer: what was said before is dealt with, and nothing came
    /// back.
    async fn quiet(&mut self) {
        let zero = [0; 8];
        self.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &zero)
            .await;
        self.expect(0, FrameType::KEEPALIVE, Flags::NONE, &zero)
            .await;
    }

    /// An ERROR with this code on this stream; its text.
    async fn expect_error(&mut self, id: u32, code: ErrorCode) -> String {
        let (frame_type, got_id, _, body) = self.next().await;
        let got = u32::from_be_bytes(body[..4].try_into().unwrap());
        assert_eq!(
            (frame_type, got_id, ErrorCode(got)),
            (FrameType::ERROR, id, code)
        );
        String::from_utf8(body[4..].to_vec()).unwrap()
    }

    /// The client's side of a server of ours.
    async fn client(limits: Limits, handler: impl Handler) -> (Self, JoinHandle<Closed>) {
        let (client, server) = memory(FRAME_MAX);
        let handler: Arc<dyn Handler> = Arc::new(handler);
        let served = tokio::spawn(async move {
            accept(server, limits, &|_: Introduced, _: Requester| {
                Ok(Arc::clone(&handler))
            })
            .await
        });
        let mut raw = Self(client);
        // 1.0, keepalive 20 s, lifetime 90 s, MIME types of one letter.
        let setup = b"\0\x01\0\0\0\0\x4E\x20\0\x01\x5F\x90\x01m\x01d";
        raw.send(0, FrameType::SETUP, Flags::NONE, setup).await;
        (raw, served)
    }

    async fn send(&mut self, id: u32, frame_type: FrameType, flags: Flags, body: &[u8]) {
        let header = Header::new(StreamId::from_wire(id), frame_type, flags).encode();
        self.0.push(&header, Body::Copy(body));
        self.0.flush().await.unwrap();
    }

    /// Type, stream, flags and what is behind the header.
    async fn next(&mut self) -> (FrameType, u32, Flags, Bytes) {
        let frame = self.0.next_frame().await.unwrap().unwrap();
        let header = Frame::decode(&frame).unwrap().header;
        (
            header.frame_type,
            header.stream_id.get(),
            header.flags,
            frame.slice(6..),
        )
    }

    async fn expect(&mut self, id: u32, frame_type: FrameType, flags: Flags, body: &[u8]) {
        let (got_type, got_id, got_flags, got) = self.next().await;
        assert_eq!(
            (got_type, got_id, got_flags),
            (frame_type, id, flags),
            "{got:?}"
        );
        assert_eq!(got, body);
    }

    async fn expect_end(&mut self) {
        assert!(self.0.next_frame().await.is_none());
    }
}

async fn collect(mut items: Incoming) -> Result<Vec<Bytes>, CallError> {
    let mut all = Vec::new();
    while let Some(item) = items.next().await {
        all.push(item?.data);
    }
    Ok(all)
}

fn u32_bytes(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}

fn next_complete() -> Flags {
    Flags::NEXT.with(Flags::COMPLETE)
}

fn bytes(len: usize) -> Bytes {
    (0..len)
        .map(|at| (at % 251) as u8)
        .collect::<BytesMut>()
        .freeze()
}
