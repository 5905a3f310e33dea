//! A message in fragments, on its way through: not put together here, but bounded in size and time.

use std::time::{Duration, Instant};

use jackfield_rsocket::engine::Part;

use super::refusal::Refusal;

/// The message that one direction of a stream is in the middle of, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Assembly {
    bytes: usize,
    began: Option<Instant>,
}

impl Assembly {
    /// A frame of the direction passes, with so many bytes.
    pub(super) fn pass(
        &mut self,
        len: usize,
        part: Part,
        limit: usize,
        now: Instant,
    ) -> Result<(), Refusal> {
        let last = match part {
            Part::Request { last } | Part::Item { last } => last,
            Part::End => true,
        };
        // A message in one frame is bounded by the frame.
        let alone = last && self.bytes == 0;
        if !alone && self.bytes + len > limit {
            return Err(Refusal::MessageTooLarge);
        }
        if last {
            *self = Self::default();
        } else {
            self.bytes += len;
            self.began.get_or_insert(now);
        }
        Ok(())
    }

    /// Whether the message should have been whole by now, `limit` after its first fragment.
    pub(super) fn overdue(&self, now: Instant, limit: Duration) -> bool {
        self.began.is_some_and(|began| now >= began + limit)
    }
}
