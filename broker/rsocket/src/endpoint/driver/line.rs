//! The transport under a connection: lost, replaced, given up.
//!
//! ```text
//!          loss, with a session          RESUME_OK, or the client's RESUME
//!   Up ───────────────────────────► Down ─────────────────────────────────► Up, streams go on
//!    │                                │ window over, or refused
//!    └─ loss, without ─► streams fail ┴─► Down ─ a new SETUP ─► Up    or the end
//! ```

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;

use super::super::opening::{Opening, Redial};
use super::super::sender::resume_frame;
use super::super::server::refuse;
use super::super::{Closed, Failure};
use super::{Driver, LINGER, now, take_leave};
use crate::engine::{Connection, Terms, Violation};
use crate::net::FrameIo;
use crate::wire::{Body, ErrorCode, Frame, Side, StreamId};

/// What to do when the transport is lost.
pub(in super::super) enum Recovery {
    /// A server's client did not ask to resume.
    Never,
    /// A server waits so long for its client to come back.
    Park(Duration),
    /// A client dials again, if it may.
    Dial(Box<Opening>),
}

/// Whether there is a transport.
pub(super) enum Line {
    Up {
        since: Instant,
    },
    Down {
        /// When the session is over; without a session there is no hurry.
        until: Option<Instant>,
        redial: Option<Redial>,
    },
}

impl Driver {
    pub(super) const fn is_down(&self) -> bool {
        matches!(self.line, Line::Down { .. })
    }

    pub(super) const fn down_until(&self) -> Option<Instant> {
        match self.line {
            Line::Down { until, .. } => until,
            Line::Up { .. } => None,
        }
    }

    /// The transport is gone, or of no use any more. An error is the end of the connection.
    pub(super) fn lose(&mut self, reason: Closed) -> Result<(), Closed> {
        // A peer that took its leave will not come back.
        let resumes = self.out.session.is_some() && !self.connection.peer_draining();
        let until = match &self.recovery {
            Recovery::Park(window) if resumes && reason.is_loss() => now() + *window,
            Recovery::Dial(opening) if resumes && reason.is_loss() => {
                let window = opening
                    .resume
                    .map_or(Duration::ZERO, |resume| resume.window);
                now() + window
            }
            _ => return self.start_over(reason),
        };
        self.go_down();
        let redial = match (&self.recovery, &self.out.session) {
            (Recovery::Dial(opening), Some(session)) => {
                opening.redial(Some(resume_frame(&session.resume())), self.failed)
            }
            _ => None,
        };
        self.line = Line::Down {
            until: Some(until),
            redial,
        };
        Ok(())
    }

    /// Every stream fails; a client that may dials for a connection without them.
    pub(super) fn start_over(&mut self, reason: Closed) -> Result<(), Closed> {
        let Recovery::Dial(opening) = &self.recovery else {
            return Err(reason);
        };
        if opening.reconnect.is_none() || !reason.may_redial() || self.closing {
            return Err(reason);
        }
        let Some(redial) = opening.redial(None, self.failed) else {
            return Err(reason);
        };
        self.go_down();
        self.out.session = None;
        self.fail_all(&reason);
        self.line = Line::Down {
            until: None,
            redial: Some(redial),
        };
        Ok(())
    }

    fn go_down(&mut self) {
        if let Line::Up { since } = self.line {
            // A connection that held for a while was no failed attempt.
            let held = now() - since > LASTING;
            self.failed = if held {
                0
            } else {
                self.failed.saturating_add(1)
            };
        }
        drop(self.out.detach());
        self.held = None;
        self.shared.set_up(false);
    }

    /// A turn without a transport; false when there is nothing to do but wait.
    pub(super) fn turn_down(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let mut progress = self.take_inbox()?;
        if let Line::Down {
            redial: Some(redial),
            ..
        } = &mut self.line
            && let Poll::Ready(opened) = redial.as_mut().poll(cx)
        {
            let (io, answer) = opened?;
            match answer {
                None => self.begin(io)?,
                Some(answer) => self.resumed(io, &answer)?,
            }
            progress = true;
        }
        if !progress && self.down_until().is_some_and(|until| until <= now()) {
            self.start_over(Closed::Expired)?;
            progress = true;
        }
        if self.is_down() && self.closing && self.is_idle() {
            return Err(Closed::Local);
        }
        Ok(progress)
    }

    fn up(&mut self) {
        self.line = Line::Up { since: now() };
        self.shared.set_up(true);
    }

    // ---- the client

    /// Introduces itself over a fresh transport.
    pub(super) fn begin(&mut self, io: FrameIo) -> Result<(), Closed> {
        let Recovery::Dial(opening) = &self.recovery else {
            return Err(Closed::Local);
        };
        let session = opening
            .session()
            .map_err(|error| Closed::Net(Arc::new(error.into())))?;
        self.out.attach(io);
        self.out.setup(&opening.setup(session.as_ref()));
        self.out.session = session;
        let terms = Terms {
            side: Side::Client,
            keepalive: opening.keepalive(),
            streams_max: self.limits.streams,
        };
        let lease = opening.lease;
        self.connection = Connection::new(terms);
        self.lease(lease);
        self.up();
        self.grant();
        Ok(())
    }

    /// The answer to our RESUME.
    fn resumed(&mut self, mut io: FrameIo, answer: &Bytes) -> Result<(), Closed> {
        let frame = Frame::decode(answer).ok();
        let frame = frame.filter(|frame| frame.header.stream_id.is_connection());
        let judged = match (frame.map(|frame| frame.body), &mut self.out.session) {
            (Some(Body::ResumeOk(ok)), Some(session)) => session.continue_with(ok),
            (Some(Body::Error(error)), _) => {
                let failure = Failure::from_wire(error.code, error.data);
                return self.lost_session(Closed::Error(failure));
            }
            _ => Err(Violation {
                code: ErrorCode::CONNECTION_ERROR,
                text: "the answer to RESUME is neither RESUME_OK nor ERROR",
            }),
        };
        if let Err(Violation { code, text }) = judged {
            let text = text.to_owned();
            tokio::spawn(async move { refuse(&mut io, code, &text).await });
            return self.lost_session(Closed::Expired);
        }
        self.go_on(io);
        Ok(())
    }

    /// The server does not know the session any more. That is no refusal of the client.
    fn lost_session(&mut self, reason: Closed) -> Result<(), Closed> {
        self.fail_all(&reason);
        match self.start_over(Closed::Expired) {
            Err(_) => Err(reason),
            Ok(()) => Ok(()),
        }
    }

    fn go_on(&mut self, io: FrameIo) {
        self.out.attach(io);
        self.connection.reattached(now());
        self.leases.reset();
        self.up();
        self.out.replay();
        self.grant();
    }

    // ---- the server

    /// The client came back with a RESUME, perhaps before we missed it.
    pub(super) fn take_over(&mut self, mut io: FrameIo, resume: &Bytes) -> Result<(), Closed> {
        let judged = match (
            Frame::decode(resume).map(|frame| frame.body),
            &mut self.out.session,
        ) {
            (Ok(Body::Resume(resume)), Some(session)) => session.accept(&resume),
            _ => Err(crate::engine::resume::UNKNOWN_TOKEN),
        };
        let ok = match judged {
            Ok(ok) => ok,
            Err(Violation { code, text }) => {
                // The client must not try again, so nobody will ever come for the streams.
                tokio::spawn(async move { refuse(&mut io, code, text).await });
                return Err(Closed::Error(Failure::new(code, text)));
            }
        };
        if !self.is_down() {
            let text = "the session goes on over another connection";
            self.out
                .error(StreamId::CONNECTION, ErrorCode::CONNECTION_ERROR, text);
        }
        self.leave();
        self.out.attach(io);
        self.out.resume_ok(ok);
        if let Some(io) = self.out.detach() {
            self.go_on(io);
        }
        Ok(())
    }

    // ---- both

    /// Whether the peer is closing and there will be another connection: new calls wait for that.
    pub(super) fn moves_on(&self) -> bool {
        let redials = |opening: &Opening| opening.reconnect.is_some() && opening.dial.is_some();
        self.connection.peer_draining()
            && !self.closing
            && matches!(&self.recovery, Recovery::Dial(opening) if redials(opening))
    }

    /// Ends the transport without haste, so that what was said last arrives.
    pub(super) fn leave(&mut self) {
        if let Some(mut old) = self.out.detach() {
            tokio::spawn(async move { timeout(LINGER, take_leave(&mut old)).await });
        }
    }

    pub(super) fn fail_all(&mut self, reason: &Closed) {
        for (_, _, mut call) in self.connection.drain() {
            call.inbound.fail(reason.clone().into());
        }
    }
}

/// A connection that lasted so long is no failed attempt when it ends.
const LASTING: Duration = Duration::from_secs(10);
