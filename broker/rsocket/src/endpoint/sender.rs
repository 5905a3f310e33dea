use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::{Limits, Message};
use crate::engine::resume::Session;
use crate::engine::{Violation, fragments};
use crate::net::{Body, FrameIo, NetError};
use crate::wire::{
    ErrorCode, ErrorFrame, FRAME_LEN_MAX, Keepalive, Lease, MetadataPush, Payload, Request, Resume,
    ResumeOk, Setup, StreamId, cancel, request_n,
};

/// Writes frames to a connection; large data goes without being copied.
///
/// Frames of streams queue here and go to the transport a little at a time, so that those of the
/// connection overtake them: a KEEPALIVE answer behind megabytes of payload would come too late.
/// Without a transport, frames of streams are kept by the session, if there is one, and all others
/// are gone.
#[derive(Debug)]
pub(super) struct Sender {
    io: Option<FrameIo>,
    pub(super) session: Option<Session>,
    backlog: VecDeque<(Bytes, Bytes)>,
    backlog_len: usize,
    /// The peer was asked what it has received, and has not said it yet.
    asked: bool,
    /// The peer does say what it has received.
    acknowledges: bool,
    scratch: BytesMut,
    /// Metadata and data of one frame, together.
    piece: usize,
}

impl Sender {
    pub(super) fn new(limits: &Limits) -> Self {
        let piece = limits.mtu.min(FRAME_LEN_MAX).saturating_sub(OVERHEAD);
        Self {
            io: None,
            session: None,
            backlog: VecDeque::new(),
            backlog_len: 0,
            asked: false,
            acknowledges: false,
            scratch: BytesMut::new(),
            piece: piece.max(64),
        }
    }

    // ---- the transport

    pub(super) fn attach(&mut self, io: FrameIo) {
        self.io = Some(io);
        self.asked = false;
    }

    pub(super) fn detach(&mut self) -> Option<FrameIo> {
        // What waited here is kept by the session, or of no use without its connection.
        self.backlog = VecDeque::new();
        self.backlog_len = 0;
        self.io.take()
    }

    /// Sends again what the peer has not received.
    pub(super) fn replay(&mut self) {
        let Some(session) = &self.session else {
            return;
        };
        for kept in session.replay() {
            self.backlog_len += kept.len();
            self.backlog
                .push_back((kept.head.clone(), kept.body.clone()));
        }
        self.fill();
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let Some(io) = &mut self.io else {
            return Poll::Pending;
        };
        let frame = ready!(io.poll_frame(cx));
        if let (Some(Ok(bytes)), Some(session)) = (&frame, &mut self.session) {
            session.on_received(bytes);
        }
        Poll::Ready(frame)
    }

    pub(super) fn queued(&self) -> usize {
        self.backlog_len + self.io.as_ref().map_or(0, FrameIo::queued)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.fill();
            let Some(io) = &mut self.io else {
                return Poll::Ready(Ok(()));
            };
            ready!(io.poll_flush(cx))?;
            if self.backlog.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Hands frames of streams to the transport as long as it has little to do.
    fn fill(&mut self) {
        let Some(io) = &mut self.io else {
            return;
        };
        while io.queued() < IO_HIGH
            && let Some((head, body)) = self.backlog.pop_front()
        {
            self.backlog_len -= head.len() + body.len();
            io.push(&head, as_body(&body));
        }
        if self.backlog.is_empty() && self.backlog.capacity() > BACKLOG_KEPT {
            self.backlog = VecDeque::new();
        }
    }

    // ---- frames

    /// The message as it goes into frames; the flag says whether more follow.
    pub(super) fn pieces<'m>(
        &self,
        message: &'m Message,
    ) -> impl Iterator<Item = (Message, bool)> + use<'m> {
        fragments(message, self.piece)
    }

    pub(super) fn setup(&mut self, setup: &Setup<'_>) {
        self.connection_frame(|out| setup.encode(out), &Bytes::new());
    }

    pub(super) fn resume_ok(&mut self, ok: ResumeOk) {
        self.connection_frame(|out| ok.encode(out), &Bytes::new());
    }

    pub(super) fn lease(&mut self, lease: &Lease<'_>) {
        self.connection_frame(|out| lease.encode(out), &Bytes::new());
    }

    /// `request` without its data, which is `data`.
    pub(super) fn request(&mut self, id: StreamId, request: &Request<'_>, data: &Bytes) {
        let head = Request {
            data: &[],
            ..*request
        };
        self.stream_frame(|out| head.encode(id, out), data);
    }

    /// `payload` without its data, which is `data`.
    pub(super) fn payload(&mut self, id: StreamId, payload: &Payload<'_>, data: &Bytes) {
        let head = Payload {
            data: &[],
            ..*payload
        };
        self.stream_frame(|out| head.encode(id, out), data);
    }

    pub(super) fn error(&mut self, id: StreamId, code: ErrorCode, text: &str) {
        let encode = |out: &mut BytesMut| ErrorFrame::new(code, clip(text)).encode(id, out);
        if id.is_connection() {
            self.connection_frame(encode, &Bytes::new());
        } else {
            self.stream_frame(encode, &Bytes::new());
        }
    }

    pub(super) fn request_n(&mut self, id: StreamId, n: u32) {
        self.stream_frame(
            |out| out.extend_from_slice(&request_n(id, n)),
            &Bytes::new(),
        );
    }

    pub(super) fn cancel(&mut self, id: StreamId) {
        self.stream_frame(|out| out.extend_from_slice(&cancel(id)), &Bytes::new());
    }

    pub(super) fn keepalive(&mut self, respond: bool, data: &[u8]) {
        let keepalive = Keepalive {
            respond,
            position: self.session.as_ref().map_or(0, Session::received),
            data,
        };
        self.connection_frame(|out| keepalive.encode(out), &Bytes::new());
    }

    pub(super) fn metadata_push(&mut self, metadata: &Bytes) {
        self.connection_frame(|out| MetadataPush { metadata: &[] }.encode(out), metadata);
    }

    /// What the peer says it has received.
    pub(super) fn on_position(&mut self, position: u64) -> Result<(), Violation> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        self.asked = false;
        self.acknowledges |= position > 0;
        session.on_position(position)?;
        self.ask_for_position();
        Ok(())
    }

    /// Whether to wait for the peer to say what it has received, rather than give up what it may
    /// ask for. One that never says is not waited for.
    pub(super) fn must_wait(&self) -> bool {
        let full = |session: &Session| session.sent().is_nearly_full();
        self.acknowledges && self.session.as_ref().is_some_and(full)
    }

    fn connection_frame(&mut self, encode: impl FnOnce(&mut BytesMut), data: &Bytes) {
        self.encode(encode);
        if let Some(io) = &mut self.io {
            io.push(&self.scratch, as_body(data));
        }
    }

    fn stream_frame(&mut self, encode: impl FnOnce(&mut BytesMut), data: &Bytes) {
        self.encode(encode);
        if let Some(session) = &mut self.session {
            session.on_sent(&self.scratch, data.clone(), data.len());
        }
        match &mut self.io {
            None => {}
            Some(io) if self.backlog.is_empty() && io.queued() < IO_HIGH => {
                io.push(&self.scratch, as_body(data));
            }
            Some(_) => {
                let head = Bytes::copy_from_slice(&self.scratch);
                self.backlog_len += head.len() + data.len();
                self.backlog.push_back((head, data.clone()));
            }
        }
        self.ask_for_position();
    }

    /// Between its KEEPALIVEs a fast sender would give up frames that the peer has long received.
    fn ask_for_position(&mut self) {
        let half = |session: &Session| session.sent().is_half_full();
        if !self.asked && self.session.as_ref().is_some_and(half) && self.io.is_some() {
            self.asked = true;
            self.keepalive(true, &[]);
        }
    }

    fn encode(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        if self.scratch.capacity() > SCRATCH_MAX {
            self.scratch = BytesMut::new();
        }
        self.scratch.clear();
        encode(&mut self.scratch);
    }
}

/// The first frame of a transport that continues a session.
pub(super) fn resume_frame(resume: &Resume<'_>) -> Bytes {
    let mut frame = BytesMut::new();
    resume.encode(&mut frame);
    frame.freeze()
}

fn as_body(data: &Bytes) -> Body<'_> {
    if data.len() < SHARE_MIN {
        Body::Copy(data)
    } else {
        Body::Share(data.clone())
    }
}

type Received = Result<Bytes, NetError>;

/// Header, initial request-n and metadata length.
const OVERHEAD: usize = 6 + 4 + 3;

/// From here on data is chained rather than copied.
const SHARE_MIN: usize = 4096;

const SCRATCH_MAX: usize = 16 * 1024;

/// A transport that still has so much to write gets no more frames of streams.
const IO_HIGH: usize = 256 * 1024;

/// An empty backlog keeps room for so many frames.
const BACKLOG_KEPT: usize = 64;

/// An error text that fits one frame with room to spare.
fn clip(text: &str) -> &[u8] {
    let end = text.floor_char_boundary(64 * 1024);
    &text.as_bytes()[..end]
}
