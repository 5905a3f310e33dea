//! Time: when a link has to look again, and what is late then.

use std::{
    future::Future,
    task::Context,
    time::{Duration, Instant},
};

use jackfield_rsocket::{
    engine::{Timeout, lease::Grant},
    wire::{ErrorCode, StreamId},
};

use super::{ending::Ending, link::Link, refusal::Refusal, splice::Splice};

/// How often deadlines of streams are looked at.
pub(super) const SWEEP: Duration = Duration::from_millis(100);

impl Link {
    /// Has the clock wake us at the next deadline.
    pub(super) fn arm(&mut self, cx: &mut Context<'_>) {
        let next = self.next_deadline();
        if next != self.timer_at {
            self.timer_at = next;
            self.timer.as_mut().reset(next.into());
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let alive = match self.parked_until {
            Some(until) => Some(until),
            None => self.connection.next_timeout(),
        };
        let mut next = alive.unwrap_or(self.now + Duration::from_secs(60));
        let grant = self.grant.as_ref().filter(|_| self.line.is_attached());
        if let Some(due) = grant.and_then(Grant::next_timeout) {
            next = next.min(due.max(self.now + Duration::from_millis(1)));
        }
        // Every frame moves the keepalive deadline; a timer that is early costs less than resetting it.
        if self.timer_at > self.now && self.timer_at < next {
            next = self.timer_at;
        }
        if !self.connection.is_empty() {
            next = next.min(self.sweep_at.max(self.now + Duration::from_millis(1)));
        }
        if let Some(pause) = &self.pause {
            next = next.min(pause.until);
        }
        if let Some(expires) = self.expires {
            next = next.min(expires);
        }
        if let Some(since) = self.line.stalled_since() {
            next = next.min(since + self.plane.limits.stall);
        }
        next
    }

    pub(super) fn expire(&mut self) {
        if self.line.is_attached() && self.connection.handle_timeout(self.now) == Timeout::PeerGone
        {
            let text = "RST-910408: nothing heard for the max lifetime of SETUP".to_owned();
            // A session that can be resumed loses its transport only.
            self.ending = Some(match self.line.session() {
                Some(_) => Ending::Lost(text),
                None => Ending::Error {
                    code: ErrorCode::CONNECTION_ERROR,
                    text,
                },
            });
        }
        if let Some(since) = self.line.stalled_since()
            && self.now >= since + self.plane.limits.stall
        {
            self.plane
                .metrics
                .slow_peers
                .with_label_values(&["closed"])
                .inc();
            self.ending = Some(Ending::Lost(
                "no progress on the socket: peer does not read".into(),
            ));
        }
        if self.expires.is_some_and(|expires| self.now >= expires)
            && let Some(renewed) = self.me.take_renewed()
        {
            self.expires = renewed.and_then(|expires| self.moment_of(expires));
        }
        if self.expires.is_some_and(|expires| self.now >= expires) {
            // Whether or not there is a transport: a session does not outlive its token.
            self.ending = Some(Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: "RST-910401: the token has expired; connect again with a new one".into(),
            });
        }
        if self.now >= self.sweep_at {
            self.sweep_at = self.now + SWEEP;
            self.sweep();
        }
    }

    /// Ends the streams whose time is up.
    pub(super) fn sweep(&mut self) {
        let (now, assembly) = (self.now, self.plane.limits.assembly_timeout);
        let late: Vec<(StreamId, Refusal)> = self
            .connection
            .iter_mut()
            .filter_map(|(id, _, splice)| match splice {
                Splice::Near(near) if near.deadline.is_some_and(|deadline| now >= deadline) => {
                    Some((id, Refusal::Timeout))
                }
                Splice::Near(near) if near.message.overdue(now, assembly) => {
                    Some((id, Refusal::MessageUnfinished))
                }
                Splice::Far(far) if far.message.overdue(now, assembly) => {
                    Some((id, Refusal::MessageUnfinished))
                }
                Splice::Waiting(waiting) if now >= waiting.deadline => match waiting.asking {
                    None => Some((id, Refusal::MetadataTooLong)),
                    Some(_) => Some((id, Refusal::RequestNotAuthenticated)),
                },
                _ => None,
            })
            .collect();
        for (id, refusal) in late {
            if let Some(Splice::Far(_)) = self.connection.get(id) {
                self.cut_far(id, &refusal);
                continue;
            }
            let silent = self.connection.get(id).is_some_and(Splice::is_silent);
            if let Some(Splice::Near(near)) = self.connection.forget(id) {
                near.cancel(refusal.outcome(), now);
            }
            self.plane.metrics.refused(&refusal);
            if !silent {
                self.send_error(id, refusal.code(), refusal.text().as_bytes());
            }
        }
    }
}

/// The runtime's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
