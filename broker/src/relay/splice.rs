//! The two ends of one spliced stream: the near stream and the far stream are the same stream under
//! two numbers.
//!
//! Each end is what its link hangs on the stream. An end that is dropped without having been
//! finished tells the other side, so no path can forget: a lost requester cancels, a lost responder
//! fails its calls.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jackfield_rsocket::wire::{ErrorCode, Interaction};

use super::{
    assembly::Assembly,
    calls::CallMetrics,
    faults::Trouble,
    handle::Handle,
    item::{Close, Item},
    refusal::{Outcome, Refusal},
    shaper::Shaper,
    ticket::{End, Ticket},
    traced::TraceId,
    waiting::Waiting,
};
use crate::directory::Load;

/// What a link hangs on a stream.
#[derive(Debug)]
pub(super) enum Splice {
    /// The peer is the requester.
    Near(Box<Near>),
    /// The peer is the responder.
    Far(Box<Far>),
    /// The peer's request is not routed yet: its metadata is still arriving.
    Waiting(Box<Waiting>),
}

impl Splice {
    /// Whether the stream belongs to this ticket, and not to a later one of the same number.
    pub(super) fn is_of(&self, ticket: &Arc<Ticket>) -> bool {
        match self {
            Self::Near(near) => Arc::ptr_eq(&near.ticket, ticket),
            Self::Far(far) => Arc::ptr_eq(&far.ticket, ticket),
            Self::Waiting(_) => false,
        }
    }

    /// The link ends in the middle of the call. True if that is one call more that was cut.
    pub(super) fn cut(&self) -> bool {
        match self {
            Self::Near(near) => near.ticket.cut(),
            Self::Far(far) => far.ticket.cut(),
            Self::Waiting(_) => true,
        }
    }

    /// Whether nothing may be sent back on the stream.
    pub(super) fn is_silent(&self) -> bool {
        match self {
            Self::Near(near) => near.silent,
            Self::Waiting(waiting) => waiting.request.interaction == Interaction::FireAndForget,
            Self::Far(_) => false,
        }
    }
}

/// The requester's end.
#[derive(Debug)]
pub(super) struct Near {
    pub(super) ticket: Arc<Ticket>,
    /// Credit for replies.
    pub(super) shaper: Shaper,
    /// Fragments of the request are still coming: credit is summed, not passed on.
    pub(super) partial: bool,
    /// When the reply, or the first item of one, is due.
    pub(super) deadline: Option<Instant>,
    pub(super) call: Call,
    /// The message that the peer is in the middle of.
    pub(super) message: Assembly,
    /// More than the request was sent behind it, so that it cannot go elsewhere.
    pub(super) followed: bool,
    /// Fire-and-forget: nothing may come back.
    pub(super) silent: bool,
    /// What goes wrong with the call.
    pub(super) trouble: Option<Box<Trouble>>,
    finished: bool,
}

/// One call being measured.
#[derive(Debug)]
pub(super) struct Call {
    metrics: Arc<CallMetrics>,
    began: Instant,
    trace: Option<TraceId>,
    /// A stream's first item was seen.
    answered: bool,
}

impl Call {
    pub(super) const fn new(
        metrics: Arc<CallMetrics>,
        began: Instant,
        trace: Option<TraceId>,
    ) -> Self {
        Self {
            metrics,
            began,
            trace,
            answered: false,
        }
    }

    /// A reply or an item was sent to the requester.
    pub(super) fn answered(&mut self, now: Instant) {
        if !self.answered {
            self.answered = true;
            self.metrics.first_item(now - self.began, self.trace);
        }
    }

    fn ended(&self, outcome: Outcome, after: Duration) {
        self.metrics.ended(outcome, after, self.trace);
    }
}

impl Near {
    pub(super) fn new(ticket: Arc<Ticket>, shaper: Shaper, partial: bool, call: Call) -> Self {
        Self {
            ticket,
            shaper,
            partial,
            deadline: None,
            call,
            message: Assembly::default(),
            followed: false,
            silent: false,
            trouble: None,
            finished: false,
        }
    }

    /// The first item is due so long after the request; a reply as a whole.
    pub(super) fn due(mut self, timeout: Option<Duration>) -> Self {
        self.deadline = timeout.map(|timeout| self.call.began + timeout);
        self
    }

    /// An item was sent to the requester.
    pub(super) fn answered(&mut self, now: Instant) {
        self.call.answered(now);
    }

    pub(super) fn is_stream(&self) -> bool {
        self.call.metrics.is_stream()
    }

    /// The responder said something: a stream has no deadline any more.
    pub(super) fn heard(&mut self) {
        if self.is_stream() {
            self.deadline = None;
        }
    }

    /// The stream has ended and the other side knows.
    pub(super) fn finish(mut self, outcome: Outcome, now: Instant) {
        self.finished = true;
        self.call.ended(outcome, now - self.call.began);
    }

    /// The requester gave up, or is made to: takes the request back, or cancels it.
    pub(super) fn cancel(self, outcome: Outcome, now: Instant) {
        self.tell_far();
        self.finish(outcome, now);
    }

    fn tell_far(&self) {
        if self.ticket.withdraw() {
            self.ticket.far.retract(&self.ticket);
        } else if self.ticket.is_stamped() {
            let close = Item::Close {
                ticket: self.ticket.clone(),
                to: End::Far,
                how: Close::Cancel,
            };
            let _ = self.ticket.far.push(&self.ticket.near, close);
        }
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        if !self.finished {
            self.tell_far();
            self.call
                .ended(Outcome::Cancelled, self.call.began.elapsed());
        }
    }
}

/// The responder's end.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) ticket: Arc<Ticket>,
    /// Credit for a channel's items.
    pub(super) shaper: Shaper,
    /// The message that the peer is in the middle of.
    pub(super) message: Assembly,
    _load: Load<Arc<Handle>>,
    finished: bool,
}

impl Far {
    pub(super) fn new(ticket: Arc<Ticket>, shaper: Shaper, load: Load<Arc<Handle>>) -> Self {
        Self {
            ticket,
            shaper,
            message: Assembly::default(),
            _load: load,
            finished: false,
        }
    }

    pub(super) fn finish(mut self) {
        self.finished = true;
    }

    /// Fails the call towards the requester.
    pub(super) fn fail(mut self, refusal: &Refusal) {
        self.tell_near(refusal);
        self.finished = true;
    }

    fn tell_near(&self, refusal: &Refusal) {
        let how = Close::Error {
            code: refusal.code(),
            text: Bytes::from(refusal.text()),
            lost: *refusal == Refusal::ProviderLost,
        };
        let close = Item::Close {
            ticket: self.ticket.clone(),
            to: End::Near,
            how,
        };
        let _ = self.ticket.near.push(&self.ticket.far, close);
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if !self.finished {
            self.tell_near(&Refusal::ProviderLost);
        }
    }
}

/// How an ERROR that reached the requester counts.
pub(super) fn outcome_of(code: ErrorCode, lost: bool) -> Outcome {
    match code {
        _ if lost => Outcome::Lost,
        ErrorCode::REJECTED => Outcome::Refused,
        _ => Outcome::AppError,
    }
}
