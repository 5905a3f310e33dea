//! A session outlives its transport: it is parked without one, and goes on over the next.
//!
//! While it is parked nothing is read, written or taken out of its outbox: backpressure holds who
//! sends to it, as a slow reader would. It takes no new requests; those that were not sent go back.

use std::{sync::Arc, task::Context};

use bytes::Bytes;
use jackfield_rsocket::{
    engine::resume::Token,
    net::FrameIo,
    wire::{ErrorCode, Resume, Version},
};

use super::{
    accept::say_no, ending::Ending, handle::Order, line::CannotResume, link::Link,
    links::Admission, plane::Plane, refusal::Untaken,
};

/// What a RESUME says.
#[derive(Debug)]
pub(super) struct Claim {
    token: Bytes,
    last_received: u64,
    first_available: u64,
}

impl Claim {
    pub(super) fn of(resume: &Resume<'_>) -> Self {
        Self {
            token: Bytes::copy_from_slice(resume.token),
            last_received: resume.last_received,
            first_available: resume.first_available,
        }
    }

    fn frame(&self) -> Resume<'_> {
        Resume {
            version: Version::V1_0,
            token: &self.token,
            last_received: self.last_received,
            first_available: self.first_available,
        }
    }
}

/// A transport whose first frame was RESUME, on its way to the session's owner.
#[derive(Debug)]
pub(super) struct Returning {
    io: FrameIo,
    claim: Claim,
    /// It is half-open until the session has it, and whatever transport loses is until it is closed:
    /// a storm of them is held to the same limit as any other.
    admission: Admission,
}

impl Returning {
    pub(super) const fn new(io: FrameIo, claim: Claim, admission: Admission) -> Self {
        Self {
            io,
            claim,
            admission,
        }
    }
}

/// Finds the session that a new transport wants to go on with, and hands the transport over.
pub(super) async fn come_back(returning: Returning, plane: &Arc<Plane>) {
    let token = Token::copy_from(&returning.claim.token);
    // Who shows another certificate is answered as if there were no session: a token that was
    // guessed or stolen is of no use to find out.
    let link = token
        .and_then(|token| plane.sessions.find(&token))
        .filter(|link| link.is_same_peer(&returning.io));
    let refused = match link {
        Some(link) => link.knock(returning).err(),
        None => Some(Box::new(returning)),
    };
    if let Some(mut returning) = refused {
        let text = "RST-910410: no such session: it ended, or was never here; connect with SETUP";
        plane.metrics.session("refused");
        say_no(&mut returning.io, ErrorCode::REJECTED_RESUME, text).await;
    }
}

impl Link {
    /// The transport ended. The session goes on without one for a while, if it can be resumed; if
    /// not, `why` is given back.
    pub(super) fn park(&mut self, why: Ending) -> Result<(), Ending> {
        let Ending::Lost(text) = &why else {
            return Err(why);
        };
        let (Some(_), Order::Serve) = (self.line.session(), self.me.order()) else {
            return Err(why);
        };
        self.line.detach();
        self.pause = None;
        self.ping = None;
        self.me.set_parked(true);
        self.weighed = None;
        self.parked_until = Some(self.now + self.plane.limits.resume_window);
        if self.plane.links.may_log("RST-910411") {
            tracing::info!(code = "RST-910411", link = %self.me.id, streams = self.connection.len(), "transport lost, session parked: {text}");
        }
        Ok(())
    }

    /// A turn of a session without a transport.
    pub(super) fn keep_parked(&mut self, cx: &Context<'_>) {
        // Whoever places something here wakes us, so that it is weighed.
        for opening in self.me.outbox.take_openings(cx.waker()) {
            opening.give_back(Untaken::Parked);
        }
        let bytes = self.line.kept() + self.me.outbox.bytes();
        if self.weighed.replace(bytes) != Some(bytes) {
            let dropped = self.plane.sessions.park(&self.me, bytes);
            (0..dropped).for_each(|_| self.plane.metrics.session("dropped"));
        }
        if self.parked_until.is_some_and(|until| self.now >= until) {
            self.plane.metrics.session("expired");
            self.ending = Some(Ending::Peer(
                "not resumed within limits.resume-window".into(),
            ));
        }
    }

    /// A new transport wants to go on with the session.
    pub(super) fn on_returning(&mut self, returning: Returning) {
        let Returning {
            io,
            claim,
            admission,
        } = returning;
        let peer = io.peer();
        if self.me.order() == Order::Forget {
            self.plane.metrics.session("refused");
            let text = "RST-910410: too many sessions without a transport".into();
            return end_later(io, admission, ErrorCode::REJECTED_RESUME, text);
        }
        match self.line.attach(io, &claim.frame()) {
            Ok(earlier) => {
                self.parked_until = None;
                self.me.set_parked(false);
                self.plane.sessions.unpark(self.me.id);
                self.connection.reattached(self.now);
                self.begin_leases_anew();
                self.plane.metrics.session("resumed");
                if self.plane.links.may_log("RST-910412") {
                    tracing::info!(code = "RST-910412", link = %self.me.id, %peer, streams = self.connection.len(), "session resumed");
                }
                // One that still owes its peer something will not carry a goodbye either.
                if let Some(earlier) = earlier.filter(|earlier| earlier.queued() == 0) {
                    let text = "RST-910412: the session goes on over another transport";
                    end_later(earlier, admission, ErrorCode::CONNECTION_ERROR, text.into());
                }
            }
            Err(refused) => {
                let CannotResume { io, why } = *refused;
                self.plane.metrics.session("refused");
                let text = format!("RST-910410: {}", why.text);
                end_later(io, admission, why.code, text);
                // The client gives up on it, so nobody will ask again; unless it has come back already by another
                // transport, and this one is late.
                if !self.line.is_attached() {
                    let why = format!("cannot be resumed: {}", why.text);
                    self.ending = Some(Ending::Peer(why));
                }
            }
        }
    }
}

/// Says why, and closes, beside whatever else the thread does.
fn end_later(mut io: FrameIo, admission: Admission, code: ErrorCode, text: String) {
    tokio::task::spawn_local(async move {
        say_no(&mut io, code, &text).await;
        drop(admission);
    });
}
