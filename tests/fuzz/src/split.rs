//! A transport read from bytes that arrive in pieces.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use jackfield_rsocket::net::{FrameIo, NetError, TransportKind, memory_bytes};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer closed between two frames.
    Clean,
    /// What came is no frame.
    Fault,
    /// The bytes ended inside a frame or message.
    Cut,
}

/// Frames, and how it ended.
pub(crate) type Read = (Vec<Bytes>, End);

/// Whether the transport asked to be polled again.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where to cut a byte stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cuts<'a> {
    Nowhere,
    Everywhere,
    /// Into pieces of these lengths, again and again.
    Into(&'a [u8]),
}

/// What a transport reads when these bytes arrive cut like this. `hello` is sent first, in one piece.
pub(crate) fn read(
    kind: TransportKind,
    frame_max: usize,
    hello: &[u8],
    bytes: &[u8],
    cuts: Cuts<'_>,
) -> Read {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    let (opening, mut peer) = memory_bytes(kind, frame_max);
    let mut opening = pin!(opening);
    write(&mut peer, hello, cx);
    let mut io = match opening.as_mut().poll(cx) {
        Poll::Ready(Ok(io)) => io,
        other => panic!("the handshake is good: {other:?}"),
    };
    drain(&mut peer, cx);
    let mut frames = Vec::new();
    for piece in pieces(bytes, cuts) {
        write(&mut peer, piece, cx);
        if let Some(end) = take(&mut io, &mut frames, &woken, cx) {
            return (frames, end);
        }
        drain(&mut peer, cx);
    }
    let closed = pin!(tokio::io::AsyncWriteExt::shutdown(&mut peer)).poll(cx);
    assert!(closed.is_ready());
    let end = take(&mut io, &mut frames, &woken, cx);
    (frames, end.expect("it ends with its bytes"))
}

/// Reads until there is nothing more now, or the end.
fn take(
    io: &mut FrameIo,
    frames: &mut Vec<Bytes>,
    woken: &Woken,
    cx: &mut Context<'_>,
) -> Option<End> {
    loop {
        woken.0.store(false, Ordering::Relaxed);
        match io.poll_frame(cx) {
            // It only lets others have their turn.
            Poll::Pending if woken.0.load(Ordering::Relaxed) => {}
            Poll::Pending => return None,
            Poll::Ready(None) => return Some(End::Clean),
            Poll::Ready(Some(Ok(frame))) => frames.push(frame),
            Poll::Ready(Some(Err(NetError::Truncated))) => return Some(End::Cut),
            Poll::Ready(Some(Err(_))) => return Some(End::Fault),
        }
    }
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: Cuts<'a>) -> impl Iterator<Item = &'a [u8]> {
    let mut turn = 0;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let len = match cuts {
            Cuts::Nowhere => bytes.len(),
            // A long stream is cut behind each byte at its beginning only, for time.
            Cuts::Everywhere if turn < 600 => 1,
            Cuts::Everywhere => 61,
            Cuts::Into(lengths) => lengths
                .get(turn % lengths.len().max(1))
                .copied()
                .unwrap_or(1)
                .into(),
        };
        turn += 1;
        let (piece, rest) = bytes.split_at(len.clamp(1, bytes.len()));
        bytes = rest;
        Some(piece)
    })
}

/// Inputs are shorter than the pipe, so a write is never held up.
fn write(peer: &mut DuplexStream, mut bytes: &[u8], cx: &mut Context<'_>) {
    while !bytes.is_empty() {
        match std::pin::Pin::new(&mut *peer).poll_write(cx, bytes) {
            Poll::Ready(Ok(written)) => bytes = &bytes[written..],
            // It has ended on its own account.
            Poll::Ready(Err(_)) => return,
            Poll::Pending => panic!("the pipe is full"),
        }
    }
}

/// Takes what the transport says: pongs, closes.
fn drain(peer: &mut DuplexStream, cx: &mut Context<'_>) {
    let mut room = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        match std::pin::Pin::new(&mut *peer).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            _ => return,
        }
    }
}
