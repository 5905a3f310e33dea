//! What a link itself says on its connection: ERROR, KEEPALIVE, LEASE.
//!
//! None of it passes by the outbox. What a peer causes and does not read is bounded where the writer
//! is flushed (`link.rs`).

use bytes::{Bytes, BytesMut};
use jackfield_rsocket::{
    net::Body,
    wire::{ErrorCode, ErrorFrame, Keepalive, StreamId},
};

use super::link::{Link, WRITER_MAX};

impl Link {
    /// Queues a frame built by us.
    pub(super) fn send(&mut self, frame: &[u8]) {
        self.counts.frames_out += 1;
        self.counts.bytes_out += frame.len() as u64;
        self.line.push(frame, Body::Copy(b""));
    }

    /// The same, encoded into memory that is used again.
    pub(super) fn say(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut frame = std::mem::take(&mut self.scratch);
        frame.clear();
        encode(&mut frame);
        self.send(&frame);
        self.scratch = frame;
    }

    /// An ERROR of one of the peer's streams.
    pub(super) fn send_error(&mut self, id: StreamId, code: ErrorCode, text: &[u8]) {
        self.say(|frame| ErrorFrame::new(code, text).encode(id, frame));
    }

    pub(super) fn on_ping(&mut self, data: &[u8]) {
        if self.line.queued() < WRITER_MAX {
            self.answer_ping(data);
        } else {
            self.ping = Some(Bytes::copy_from_slice(data));
        }
    }

    pub(super) fn answer_ping(&mut self, data: &[u8]) {
        let answer = Keepalive {
            respond: false,
            position: self.line.received(),
            data,
        };
        self.say(|frame| answer.encode(frame));
    }

    /// Sends a LEASE if one is due.
    pub(super) fn grant_lease(&mut self) {
        let Some(grant) = &mut self.grant else { return };
        if !self.line.is_attached() || self.ending.is_some() {
            return;
        }
        if let Some(lease) = grant.issue(self.now) {
            self.say(|frame| lease.encode(frame));
        }
    }

    /// Over a new transport no lease of the old one is good.
    pub(super) fn begin_leases_anew(&mut self) {
        self.permits.reset();
        if let Some(grant) = &mut self.grant {
            grant.reset();
            self.me.set_barred(true);
        }
    }
}
