//! Frames with other metadata than they came with: what a plugin's rewrite does to the bytes of a
//! request.

use bytes::{BufMut, Bytes, BytesMut};
use jackfield_rsocket::wire::Flags;

use super::{
    item::{Part, RequestPart},
    waiting::Waiting,
};

impl RequestPart {
    /// The request with other metadata. When it outgrows the frame, its data follows as a fragment:
    /// metadata stays in front of data.
    pub(super) fn with_metadata(
        self,
        metadata: &[u8],
        data: &[u8],
        frame_max: usize,
    ) -> (Self, Option<Part>) {
        if metadata.is_empty() {
            return (self.bare(data), None);
        }
        let fits = 13 + metadata.len() + data.len() <= frame_max;
        let body = block(metadata, if fits { data } else { b"" });
        let flags = self.flags.with(Flags::METADATA);
        if fits {
            return (
                Self {
                    flags,
                    pinned: body.len(),
                    body,
                    ..self
                },
                None,
            );
        }
        let rest = Part {
            flags: Flags::NEXT
                .with_if(Flags::FOLLOWS, flags.contains(Flags::FOLLOWS))
                // F together with C would be read as the last fragment.
                .with_if(
                    Flags::COMPLETE,
                    flags.contains(Flags::COMPLETE) && !flags.contains(Flags::FOLLOWS),
                ),
            body: Bytes::copy_from_slice(data),
            pinned: data.len(),
            whole: false,
        };
        let flags = flags.with(Flags::FOLLOWS).without(Flags::COMPLETE);
        (
            Self {
                flags,
                pinned: body.len(),
                body,
                ..self
            },
            Some(rest),
        )
    }
}

impl RequestPart {
    /// The request without metadata: of somebody who takes none.
    fn bare(self, data: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(data);
        Self {
            flags: self.flags.without(Flags::METADATA),
            pinned: body.len(),
            body,
            ..self
        }
    }
}

impl Waiting {
    /// The held frames as they came; or, with other metadata, all of it in the first frame and
    /// fragments with data only.
    pub(super) fn with_metadata(self, metadata: Option<Bytes>) -> (RequestPart, Vec<Part>) {
        let Self {
            request, fragments, ..
        } = self;
        let Some(metadata) = metadata else {
            return (request, fragments);
        };
        let body = block(&metadata, b"");
        let fragments = fragments.into_iter().map(Part::without_metadata).collect();
        let flags = request.flags.with(Flags::METADATA);
        (
            RequestPart {
                flags,
                pinned: body.len(),
                body,
                ..request
            },
            fragments,
        )
    }
}

impl Part {
    fn without_metadata(self) -> Self {
        if !self.flags.contains(Flags::METADATA) {
            return self;
        }
        // The engine has checked the length against the frame.
        let length = self
            .body
            .iter()
            .take(3)
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        let body = self.body.slice((3 + length).min(self.body.len())..);
        Self {
            flags: self.flags.without(Flags::METADATA),
            body,
            ..self
        }
    }
}

/// A metadata block followed by data.
fn block(metadata: &[u8], data: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(3 + metadata.len() + data.len());
    body.put_uint(metadata.len() as u64, 3);
    body.put_slice(metadata);
    body.put_slice(data);
    body.freeze()
}
