use std::io;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::{Limits, Message};
use crate::engine::fragments;
use crate::net::{Body, FrameIo};
use crate::wire::{
    ErrorCode, ErrorFrame, FRAME_LEN_MAX, Keepalive, MetadataPush, Payload, Request, Setup,
    StreamId, cancel, request_n,
};

/// Writes frames to a connection; large data goes without being copied.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) io: FrameIo,
    scratch: BytesMut,
    /// Metadata and data of one frame, together.
    piece: usize,
}

impl Sender {
    pub(super) fn new(io: FrameIo, limits: &Limits) -> Self {
        let piece = limits.mtu.min(FRAME_LEN_MAX).saturating_sub(OVERHEAD);
        Self {
            io,
            scratch: BytesMut::new(),
            piece: piece.max(64),
        }
    }

    /// The message as it goes into frames; the flag says whether more follow.
    pub(super) fn pieces<'m>(
        &self,
        message: &'m Message,
    ) -> impl Iterator<Item = (Message, bool)> + use<'m> {
        fragments(message, self.piece)
    }

    pub(super) fn setup(&mut self, setup: &Setup<'_>) {
        self.push(|out| setup.encode(out), &Bytes::new());
    }

    /// `request` without its data, which is `data`.
    pub(super) fn request(&mut self, id: StreamId, request: &Request<'_>, data: &Bytes) {
        let head = Request {
            data: &[],
            ..*request
        };
        self.push(|out| head.encode(id, out), data);
    }

    /// `payload` without its data, which is `data`.
    pub(super) fn payload(&mut self, id: StreamId, payload: &Payload<'_>, data: &Bytes) {
        let head = Payload {
            data: &[],
            ..*payload
        };
        self.push(|out| head.encode(id, out), data);
    }

    pub(super) fn error(&mut self, id: StreamId, code: ErrorCode, text: &str) {
        self.push(
            |out| ErrorFrame::new(code, clip(text)).encode(id, out),
            &Bytes::new(),
        );
    }

    pub(super) fn request_n(&mut self, id: StreamId, n: u32) {
        self.io.push(&request_n(id, n), Body::Copy(&[]));
    }

    pub(super) fn cancel(&mut self, id: StreamId) {
        self.io.push(&cancel(id), Body::Copy(&[]));
    }

    pub(super) fn keepalive(&mut self, respond: bool, data: &[u8]) {
        let keepalive = Keepalive {
            respond,
            position: 0,
            data,
        };
        self.push(|out| keepalive.encode(out), &Bytes::new());
    }

    pub(super) fn metadata_push(&mut self, metadata: &Bytes) {
        self.push(|out| MetadataPush { metadata: &[] }.encode(out), metadata);
    }

    pub(super) fn queued(&self) -> usize {
        self.io.queued()
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_flush(cx)
    }

    fn push(&mut self, encode: impl FnOnce(&mut BytesMut), data: &Bytes) {
        self.scratch.clear();
        encode(&mut self.scratch);
        let body = if data.len() < SHARE_MIN {
            Body::Copy(data)
        } else {
            Body::Share(data.clone())
        };
        self.io.push(&self.scratch, body);
        if self.scratch.capacity() > SCRATCH_MAX {
            self.scratch = BytesMut::new();
        }
    }
}

/// Header, initial request-n and metadata length.
const OVERHEAD: usize = 6 + 4 + 3;

/// From here on data is chained rather than copied.
const SHARE_MIN: usize = 4096;

const SCRATCH_MAX: usize = 16 * 1024;

/// An error text that fits one frame with room to spare.
fn clip(text: &str) -> &[u8] {
    let end = text.floor_char_boundary(64 * 1024);
    &text.as_bytes()[..end]
}
