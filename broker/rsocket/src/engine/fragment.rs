//! Messages in pieces (spec "Fragmentation and Reassembly"), for endpoints. A relay passes
//! fragments through and needs none of this.

use bytes::{Bytes, BytesMut};

/// A message: what an item, a request or a reply carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub metadata: Option<Bytes>,
    pub data: Bytes,
}

impl Message {
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self {
            metadata: None,
            data: data.into(),
        }
    }

    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<Bytes>) -> Self {
        Self {
            metadata: Some(metadata.into()),
            ..self
        }
    }
}

/// A message outgrew the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub limit: usize,
}

/// Collects the fragments of one message.
#[derive(Debug)]
pub struct Assembler {
    metadata: Option<BytesMut>,
    data: BytesMut,
    limit: usize,
}

impl Assembler {
    /// `limit` bounds metadata and data together, in bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            metadata: None,
            data: BytesMut::new(),
            limit,
        }
    }

    pub fn push(&mut self, metadata: Option<&[u8]>, data: &[u8]) -> Result<(), TooLarge> {
        let held = self.metadata.as_ref().map_or(0, BytesMut::len) + self.data.len();
        if held + metadata.map_or(0, <[u8]>::len) + data.len() > self.limit {
            return Err(TooLarge { limit: self.limit });
        }
        if let Some(metadata) = metadata {
            self.metadata
                .get_or_insert_default()
                .extend_from_slice(metadata);
        }
        self.data.extend_from_slice(data);
        Ok(())
    }

    pub fn finish(self) -> Message {
        Message {
            metadata: self.metadata.map(BytesMut::freeze),
            data: self.data.freeze(),
        }
    }
}

/// Cuts a message so that metadata and data of one fragment are at most `size` bytes together:
/// metadata first, then data. At least one fragment comes out. The flag says whether more follow.
pub fn fragments(message: &Message, size: usize) -> impl Iterator<Item = (Message, bool)> {
    // Below 64 bytes several peers refuse a fragment that is not the last.
    let size = size.max(64);
    let mut metadata = message.metadata.clone();
    let mut data = message.data.clone();
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let mut room = size;
        let head = metadata.take().map(|mut rest| {
            let part = rest.split_to(rest.len().min(room));
            room -= part.len();
            if !rest.is_empty() {
                metadata = Some(rest);
            }
            part
        });
        let body = if metadata.is_none() {
            data.split_to(data.len().min(room))
        } else {
            Bytes::new()
        };
        done = metadata.is_none() && data.is_empty();
        Some((
            Message {
                metadata: head,
                data: body,
            },
            !done,
        ))
    })
}
