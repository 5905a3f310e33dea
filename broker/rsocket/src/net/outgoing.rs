//! Writing frames to a byte stream, in batches.
//!
//! ```text
//! sealed:  [small frames…] [large body] [small frames…] [large body]   tail: [small frames…]
//! ```
//!
//! Small frames are copied one behind the other into the tail, so that a batch of them is one
//! slice. A large body is chained as it is: the tail is sealed in front of it and goes on in the
//! same memory behind it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::{Body, FRAME_MAX, pool};

/// The outbound half of a stream transport.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    sealed: VecDeque<Bytes>,
    /// Always from the pool, never grown.
    tail: BytesMut,
    queued: usize,
    /// A frame that no length prefix can name was pushed; the connection must not go on.
    overlong: bool,
}

impl Outgoing {
    /// Queues one frame: its length, the head, the body.
    pub(super) fn push(&mut self, head: &[u8], body: Body<'_>) {
        let prefix = ((head.len() + body.len()) as u32).to_be_bytes();
        self.push_behind(&prefix[1..], head, body);
    }

    /// Queues one frame behind a prefix of the transport's own.
    pub(super) fn push_behind(&mut self, prefix: &[u8], head: &[u8], body: Body<'_>) {
        let len = head.len() + body.len();
        if len > FRAME_MAX {
            self.overlong = true;
            return;
        }
        self.queued += prefix.len() + len;
        match body {
            Body::Copy(body) => self.copy([prefix, head, body]),
            Body::Share(body) => {
                self.copy([prefix, head, &[]]);
                self.seal();
                self.sealed.push_back(body);
            }
        }
    }

    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// Writes until nothing is left, here or on the way to the socket, or the socket takes no
    /// more.
    pub(super) fn poll_flush(
        &mut self,
        socket: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.overlong {
            let error =
                io::Error::new(io::ErrorKind::InvalidInput, "a frame over 16,777,215 bytes");
            return Poll::Ready(Err(error));
        }
        while self.queued > 0 {
            let written = ready!(self.poll_write(Pin::new(socket), cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.consume(written);
        }
        self.release();
        Pin::new(socket).poll_flush(cx)
    }

    fn poll_write(
        &self,
        socket: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.sealed.is_empty() {
            return socket.poll_write(cx, &self.tail);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let chunks = self
            .sealed
            .iter()
            .map(|chunk| &**chunk)
            .chain([&*self.tail]);
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        socket.poll_write_vectored(cx, &slices[..count])
    }

    fn consume(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(front) = self.sealed.front_mut() {
            let len = front.len();
            if written < len {
                front.advance(written);
                return;
            }
            written -= len;
            self.sealed.pop_front();
        }
        self.tail.advance(written);
    }

    fn copy(&mut self, parts: [&[u8]; 3]) {
        let len = parts.iter().map(|part| part.len()).sum();
        if len > pool::BUFFER {
            self.seal();
            self.sealed.push_back(parts.concat().into());
            return;
        }
        if self.tail.capacity() - self.tail.len() < len {
            self.seal();
            self.tail = pool::take();
        }
        for part in parts {
            self.tail.extend_from_slice(part);
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.sealed.push_back(self.tail.split().freeze());
        }
    }

    /// Gives the memory of a drained queue back.
    fn release(&mut self) {
        if self.tail.capacity() > 0 {
            pool::put(std::mem::take(&mut self.tail));
        }
        if self.sealed.capacity() > SLICES {
            self.sealed = VecDeque::new();
        }
    }
}

/// The most slices one vectored write is given.
const SLICES: usize = 64;

#[cfg(test)]
impl Outgoing {
    pub(super) fn owns_nothing(&self) -> bool {
        self.tail.capacity() == 0 && self.sealed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What arrives at the far end of a pipe that holds `pipe` bytes.
    async fn arrives(mut outgoing: Outgoing, pipe: usize) -> Vec<u8> {
        let (mut near, mut far) = duplex(pipe);
        let mut read = Vec::new();
        let write = async {
            poll_fn(|cx| outgoing.poll_flush(&mut near, cx))
                .await
                .unwrap();
            assert_eq!(outgoing.queued(), 0);
            assert_eq!(
                outgoing.tail.capacity(),
                0,
                "a drained queue owns no buffer"
            );
            drop(near);
        };
        let (_, result) = tokio::join!(write, far.read_to_end(&mut read));
        result.unwrap();
        read
    }

    fn framed(expected: &mut Vec<u8>, frame: &[u8]) {
        expected.extend_from_slice(&(frame.len() as u32).to_be_bytes()[1..]);
        expected.extend_from_slice(frame);
    }

    #[tokio::test]
    async fn golden_bytes() {
        let mut outgoing = Outgoing::default();
        outgoing.push(b"header", Body::Copy(b"+body"));
        outgoing.push(b"header", Body::Share(Bytes::from_static(b"+shared")));
        outgoing.push(b"header", Body::Copy(b""));
        assert_eq!(outgoing.queued(), 3 + 11 + 3 + 13 + 3 + 6);
        let read = arrives(outgoing, 1024).await;
        assert_eq!(
            read,
            b"\0\0\x0Bheader+body\0\0\x0Dheader+shared\0\0\x06header"
        );
    }

    #[test]
    fn a_shared_body_is_not_copied_and_heads_share_memory() {
        let body = Bytes::from(vec![7; 5000]);
        let mut outgoing = Outgoing::default();
        for _ in 0..3 {
            outgoing.push(b"header", Body::Share(body.clone()));
        }
        assert_eq!(outgoing.sealed.len(), 6);
        assert!(
            outgoing
                .sealed
                .iter()
                .skip(1)
                .step_by(2)
                .all(|c| c.as_ptr() == body.as_ptr())
        );
        let heads: Vec<_> = outgoing
            .sealed
            .iter()
            .step_by(2)
            .map(|c| c.as_ptr() as usize)
            .collect();
        assert_eq!(heads, [heads[0], heads[0] + 9, heads[0] + 18]);
    }

    #[tokio::test]
    async fn an_overlong_frame_fails_the_connection_and_sends_nothing() {
        let (mut near, _far) = duplex(64);
        let mut outgoing = Outgoing::default();
        outgoing.push(b"header", Body::Share(vec![0; FRAME_MAX].into()));
        let error = poll_fn(|cx| outgoing.poll_flush(&mut near, cx))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn a_broken_pipe_is_an_error() {
        let (mut near, far) = duplex(64);
        drop(far);
        let mut outgoing = Outgoing::default();
        outgoing.push(b"header", Body::Copy(b""));
        assert!(
            poll_fn(|cx| outgoing.poll_flush(&mut near, cx))
                .await
                .is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_mixture_through_any_pipe(
            bodies in proptest::collection::vec((any::<bool>(), 0usize..20_000), 1..150),
            pipe in 1usize..100_000,
        ) {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for (at, (share, len)) in bodies.into_iter().enumerate() {
                let body = vec![at as u8; if share { len } else { len / 64 }];
                framed(&mut expected, &[b"header", &body[..]].concat());
                match share {
                    true => outgoing.push(b"header", Body::Share(body.into())),
                    false => outgoing.push(b"header", Body::Copy(&body)),
                }
            }
            prop_assert_eq!(outgoing.queued(), expected.len());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert!(runtime.block_on(arrives(outgoing, pipe)) == expected);
        }
    }
}
