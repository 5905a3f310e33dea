//! Reading frames off a byte stream: a 24-bit length, then that many bytes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::read_buffer::ReadBuffer;
use super::{FRAME_MIN, NetError};

/// The inbound half of a stream transport.
#[derive(Debug)]
pub(super) struct Framed {
    buffer: ReadBuffer,
    frame_max: usize,
}

impl Framed {
    pub(super) const fn set_frame_max(&mut self, frame_max: usize) {
        self.frame_max = frame_max;
    }

    pub(super) fn new(frame_max: usize) -> Self {
        Self {
            buffer: ReadBuffer::default(),
            frame_max,
        }
    }

    /// The next frame without its length; none at a clean end.
    pub(super) fn poll_frame(
        &mut self,
        socket: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, NetError>>> {
        loop {
            let missing = match self.split() {
                Ok(Split::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Split::Missing(missing)) => missing,
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            };
            match ready!(self.buffer.poll_fill(missing, socket, cx)) {
                Ok(0) if self.buffer.filled().is_empty() => return Poll::Ready(None),
                Ok(0) => return Poll::Ready(Some(Err(NetError::Truncated))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    fn split(&mut self) -> Result<Split, NetError> {
        let filled = self.buffer.filled();
        let Some(&[a, b, c]) = filled.first_chunk::<PREFIX>() else {
            return Ok(Split::Missing(PREFIX - filled.len()));
        };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if len < FRAME_MIN {
            return Err(NetError::FrameTooShort { len });
        }
        if len > self.frame_max {
            return Err(NetError::FrameTooLong {
                len,
                max: self.frame_max,
            });
        }
        if let missing @ 1.. = (PREFIX + len).saturating_sub(filled.len()) {
            return Ok(Split::Missing(missing));
        }
        self.buffer.skip(PREFIX);
        Ok(Split::Frame(self.buffer.take(len).freeze()))
    }
}

enum Split {
    Frame(Bytes),
    /// At least so many bytes are wanted.
    Missing(usize),
}

const PREFIX: usize = 3;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::super::FRAME_MAX;
    use super::*;

    fn wire(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for frame in frames {
            wire.extend_from_slice(&(frame.len() as u32).to_be_bytes()[1..]);
            wire.extend_from_slice(frame);
        }
        wire
    }

    async fn next(
        framed: &mut Framed,
        socket: &mut DuplexStream,
    ) -> Option<Result<Bytes, NetError>> {
        poll_fn(|cx| framed.poll_frame(socket, cx)).await
    }

    /// Writes the pieces one by one, each only after the reader has taken the one before.
    async fn read_all(pieces: Vec<Vec<u8>>, frame_max: usize) -> Vec<Result<Bytes, NetError>> {
        let (mut near, mut far) = duplex(64 * 1024);
        let mut framed = Framed::new(frame_max);
        let mut frames = Vec::new();
        let mut read = async || {
            while let Some(frame) = next(&mut framed, &mut far).await {
                let ended = frame.is_err();
                frames.push(frame);
                if ended {
                    break;
                }
            }
        };
        let write = async {
            for piece in pieces {
                let _ = near.write_all(&piece).await;
                tokio::task::yield_now().await;
            }
            drop(near);
        };
        tokio::join!(read(), write);
        frames
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// Conformance 1.
    #[tokio::test]
    async fn every_split_gives_the_same_frames() {
        let frames = vec![vec![1; 6], (0..90).collect(), vec![2; 7]];
        let wire = wire(&frames);
        let bytewise = wire.iter().map(|&byte| vec![byte]).collect();
        let read = read_all(bytewise, 100).await;
        assert_eq!(
            read.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
            frames
        );
        for at in 0..=wire.len() {
            let (head, tail) = wire.split_at(at);
            let read = read_all(vec![head.to_vec(), tail.to_vec()], 100).await;
            assert_eq!(
                read.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
                frames,
                "{at}"
            );
        }
    }

    /// Conformance 2.
    #[tokio::test]
    async fn frames_of_one_read_share_its_buffer_and_an_idle_reader_has_none() {
        let (mut near, mut far) = duplex(1024);
        let mut framed = Framed::new(100);
        near.write_all(&wire(&[vec![1; 6], vec![2; 6]]))
            .await
            .unwrap();
        let first = next(&mut framed, &mut far).await.unwrap().unwrap();
        let second = next(&mut framed, &mut far).await.unwrap().unwrap();
        assert_eq!(
            first.as_ptr() as usize + 6 + PREFIX,
            second.as_ptr() as usize
        );
        let idle = poll_fn(|cx| Poll::Ready(framed.poll_frame(&mut far, cx))).await;
        assert!(idle.is_pending());
        assert!(framed.buffer.owns_nothing());
    }

    /// Conformance 3.
    #[tokio::test]
    async fn the_largest_frame_passes_and_its_buffer_goes() {
        let large: Vec<u8> = (0..FRAME_MAX).map(|at| at as u8).collect();
        let frames = [vec![1; 6], large, vec![2; 6]];
        let (mut near, mut far) = duplex(256 * 1024);
        let bytes = wire(&frames);
        let write = tokio::spawn(async move {
            near.write_all(&bytes).await.unwrap();
            near
        });
        let mut framed = Framed::new(FRAME_MAX);
        for frame in &frames {
            assert!(next(&mut framed, &mut far).await.unwrap().unwrap() == *frame);
        }
        assert!(!framed.buffer.is_oversize());
        drop(write.await.unwrap());
        assert!(next(&mut framed, &mut far).await.is_none());
    }

    /// Conformance 4, 5: what the endpoint answers is said there.
    #[tokio::test]
    async fn a_length_is_judged_before_its_body_arrives() {
        for (prefix, fault) in [([0, 0, 101], "101"), ([0xFF; 3], "16777215")] {
            let mut read = read_all(vec![prefix.to_vec()], 100).await;
            let got = read.pop().unwrap().unwrap_err();
            assert!(matches!(got, NetError::FrameTooLong { max: 100, .. }));
            assert!(got.to_string().contains(fault));
        }
        for len in 0..6 {
            let mut read = read_all(vec![vec![0, 0, len]], 100).await;
            let got = read.pop().unwrap().unwrap_err();
            assert!(matches!(got, NetError::FrameTooShort { len: short } if short == len as usize));
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_an_error() {
        assert!(read_all(vec![], 100).await.is_empty());
        for cut in 1..9 {
            let part = wire(&[vec![0; 6]])[..cut].to_vec();
            let mut read = read_all(vec![part], 100).await;
            assert!(
                matches!(read.pop().unwrap().unwrap_err(), NetError::Truncated),
                "{cut}"
            );
            assert!(read.is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_of_any_size_in_pieces_of_any_size(
            sizes in proptest::collection::vec(prop_oneof![6usize..200, 4_000usize..40_000], 1..12),
            cut in 1usize..30_000,
        ) {
            let frames: Vec<Vec<u8>> =
                sizes.iter().map(|&size| (0..size).map(|at| (at ^ size) as u8).collect()).collect();
            let pieces = wire(&frames).chunks(cut).map(<[u8]>::to_vec).collect();
            let read = block_on(read_all(pieces, FRAME_MAX));
            let read: Vec<_> = read.into_iter().map(Result::unwrap).collect();
            prop_assert_eq!(read, frames);
        }
    }
}
