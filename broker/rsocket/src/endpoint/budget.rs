//! What messages take, of many connections together: a message counts from its first byte until the last part of it is
//! let go.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that may be held at once. Clones share them; see [`ConnectOptions::memory`](super::ConnectOptions::memory).
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

/// A part of a [`Budget`]; it is given back when this is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// None when there is not so much left. Nobody waits: what is held may be held for long.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let bytes = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        permit.ok().map(Share)
    }
}

impl Share {
    /// Takes over what another share holds, of the same budget.
    pub fn add(&mut self, more: Self) {
        self.0.merge(more.0);
    }

    /// The bytes, which take this share for as long as anybody holds them.
    pub fn of(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held {
            bytes,
            _share: self,
        })
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_with_the_last_of_its_bytes() {
        let budget = Budget::new(10);
        let mut share = budget.take(4).unwrap();
        share.add(budget.take(4).unwrap());
        assert!(budget.take(3).is_none());
        let bytes = share.of(Bytes::from_static(b"12345678"));
        let part = bytes.slice(2..3);
        drop(bytes);
        assert!(budget.take(3).is_none(), "a part of it is still held");
        assert_eq!(part, "3");
        drop(part);
        assert!(budget.take(10).is_some());
    }
}
