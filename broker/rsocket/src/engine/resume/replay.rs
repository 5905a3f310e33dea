use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Why a session cannot go on from a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResumeError {
    /// The peer says that it has more than was ever sent.
    #[error("position {asked} was never sent, the last is {sent}")]
    Ahead { asked: u64, sent: u64 },
    /// The frames behind the position are not kept any more.
    #[error("position {asked} is not kept any more, the first is {first}")]
    Gone { asked: u64, first: u64 },
    /// The position is in the middle of a frame.
    #[error("position {asked} is inside a frame")]
    Inside { asked: u64 },
}

impl ResumeError {
    /// The same in words that can be sent to anybody.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ahead { .. } => "position is beyond what was sent",
            Self::Gone { .. } => "position is not kept any more",
            Self::Inside { .. } => "position is inside a frame",
        }
    }
}

/// What was sent and may have to be sent again, oldest first, bounded in bytes.
///
/// **When it is full** the oldest frames are given up, whole. Sending goes on and nothing else is
/// harmed, but from then on the session can be resumed only by a peer that has received what was
/// given up; any other is refused with [`ResumeError::Gone`]. While a session has no transport
/// nothing can arrive, so an owner who sees [`Self::push`] give up a frame then may end the session
/// at once.
///
/// Small frames are copied one behind the other, because a slice would keep alive the whole buffer
/// it was read into. A large body is shared, and counts with what its sender says it holds on to.
#[derive(Debug)]
pub struct ReplayBuffer {
    frames: VecDeque<Entry>,
    /// Where copies go until it is full. Each chunk is freed with the last frame in it.
    chunk: BytesMut,
    /// Memory that the frames hold on to.
    bytes: usize,
    limit: usize,
    position: u64,
    /// What frames given up because of the limit add up to.
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    start: u64,
    frame: Kept,
    pinned: usize,
}

/// One frame: its bytes are `head` and then `body`, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub head: Bytes,
    pub body: Bytes,
}

impl Kept {
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReplayBuffer {
    /// Keeps frames for at most `limit` bytes of memory.
    pub fn new(limit: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            chunk: BytesMut::new(),
            bytes: 0,
            limit,
            position: 0,
            evicted: 0,
        }
    }

    /// Everything sent so far, in bytes.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Where the oldest frame begins that can be sent again.
    pub fn first_available(&self) -> u64 {
        self.frames
            .front()
            .map_or(self.position, |entry| entry.start)
    }

    /// Memory held, with what is pinned and what the bookkeeping takes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is time to ask the peer what it has received, before frames are given up.
    pub const fn is_half_full(&self) -> bool {
        self.bytes > self.limit / 2
    }

    /// Whether a sender that can wait should: nothing is given up yet, and soon will be.
    pub const fn is_nearly_full(&self) -> bool {
        self.bytes > self.limit - self.limit / 4
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of frames that had to be given up since the beginning.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Keeps a frame that is being sent, which must be one that [`counts`](super::counts). Its
    /// bytes are `head` and then `body`; `pinned` is what a shared body keeps alive, its own length
    /// or that of the buffer it is a slice of. Returns how many frames were given up to make room.
    pub fn push(&mut self, head: &[u8], body: Bytes, pinned: usize) -> usize {
        let start = self.position;
        let len = head.len() + body.len();
        self.position += len as u64;
        let (frame, pinned) = if len <= COPY_MAX {
            (self.copy(head, &body), len)
        } else {
            let pinned = pinned.max(body.len()) + head.len();
            let head = Bytes::copy_from_slice(head);
            (Kept { head, body }, pinned)
        };
        let pinned = pinned + size_of::<Entry>();
        self.bytes += pinned;
        self.frames.push_back(Entry {
            start,
            frame,
            pinned,
        });
        self.evict()
    }

    fn copy(&mut self, head: &[u8], body: &[u8]) -> Kept {
        let len = head.len() + body.len();
        let mut own = BytesMut::new();
        let chunk = if len > CHUNK_SHARE {
            own.reserve(len);
            &mut own
        } else {
            if self.chunk.capacity() < len {
                self.chunk = BytesMut::with_capacity(CHUNK);
            }
            &mut self.chunk
        };
        chunk.extend_from_slice(head);
        chunk.extend_from_slice(body);
        Kept {
            head: chunk.split().freeze(),
            body: Bytes::new(),
        }
    }

    fn evict(&mut self) -> usize {
        let mut given_up = 0;
        while self.bytes > self.limit {
            let Some(frame) = self.release_first() else {
                break;
            };
            self.evicted += frame as u64;
            given_up += 1;
        }
        given_up
    }

    /// Lets go of the oldest frame; its length.
    fn release_first(&mut self) -> Option<usize> {
        let entry = self.frames.pop_front()?;
        self.bytes -= entry.pinned;
        if self.frames.is_empty() {
            // A session at rest holds no memory here.
            self.chunk = BytesMut::new();
            self.frames = VecDeque::new();
        }
        Some(entry.frame.len())
    }

    /// The peer has everything before `position`: lets go of it. Zero, and what was acknowledged or
    /// given up before, says nothing new and changes nothing.
    pub fn acknowledge(&mut self, position: u64) -> Result<(), ResumeError> {
        if position > self.position {
            return Err(ResumeError::Ahead {
                asked: position,
                sent: self.position,
            });
        }
        while let Some(first) = self.frames.front()
            && first.start + first.frame.len() as u64 <= position
        {
            self.release_first();
        }
        Ok(())
    }

    /// The frames from `position` on, to be sent again as they are.
    pub fn replay_from(
        &self,
        position: u64,
    ) -> Result<impl ExactSizeIterator<Item = &Kept>, ResumeError> {
        let at = self.find(position)?;
        Ok(self.frames.range(at..).map(|entry| &entry.frame))
    }

    /// Everything that is kept.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Kept> {
        self.frames.iter().map(|entry| &entry.frame)
    }

    /// Whether the session could go on from `position`.
    pub fn check(&self, position: u64) -> Result<(), ResumeError> {
        self.find(position).map(drop)
    }

    fn find(&self, asked: u64) -> Result<usize, ResumeError> {
        let (first, sent) = (self.first_available(), self.position);
        if asked > sent {
            return Err(ResumeError::Ahead { asked, sent });
        }
        if asked < first {
            return Err(ResumeError::Gone { asked, first });
        }
        if asked == sent {
            return Ok(self.frames.len());
        }
        self.frames
            .binary_search_by_key(&asked, |entry| entry.start)
            .map_err(|_| ResumeError::Inside { asked })
    }
}

/// Frames up to this are copied: the crossover from which sharing is cheaper is 2 to 4 KiB.
const COPY_MAX: usize = 4096;

/// Small copies share chunks of this size; at most two are partly used, which the count leaves out.
const CHUNK: usize = 4096;

/// Larger copies have memory of their own, so that little of a chunk is wasted.
const CHUNK_SHARE: usize = CHUNK / 16;
