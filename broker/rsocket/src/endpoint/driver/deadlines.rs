//! What is due when: keepalive, leases, messages that were not finished.

use std::task::Context;
use std::time::{Duration, Instant};

use super::super::{CallError, Closed};
use super::{Driver, now};
use crate::engine::Timeout;
use crate::wire::ErrorCode;

impl Driver {
    /// Sets the timer for what comes first; true if something is due at once.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        let next = self.next_timeout().into();
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        if !self.is_down()
            && let Err(reason) = self.on_timeout()
        {
            self.lose(reason)?;
        }
        // The next turn sends what is due, and comes here again.
        let next = self.next_timeout().into();
        self.timer.as_mut().reset(next);
        Ok(true)
    }

    fn next_timeout(&self) -> Instant {
        let never = now() + Duration::from_secs(86_400);
        if self.is_down() {
            return self.down_until().unwrap_or(never);
        }
        let timeouts = [
            self.connection.next_timeout(),
            self.leases.next_timeout(),
            self.sweep,
        ];
        timeouts.into_iter().flatten().min().unwrap_or(never)
    }

    fn on_timeout(&mut self) -> Result<(), Closed> {
        let now = now();
        if self.held.is_some() {
            // It is we who do not listen.
            self.connection.heard(now);
        }
        match self.connection.handle_timeout(now) {
            Timeout::Nothing => {}
            Timeout::SendKeepalive => self.out.keepalive(true, &[]),
            Timeout::PeerGone => return Err(Closed::Silent),
        }
        self.grant();
        if self.sweep.is_some_and(|sweep| sweep <= now) {
            self.sweep(now);
        }
        Ok(())
    }

    /// Gives up messages that were begun too long ago.
    fn sweep(&mut self, now: Instant) {
        let patience = self.limits.assembly_timeout;
        let (mut late, mut oldest) = (Vec::new(), None);
        for (id, _, call) in self.connection.iter_mut() {
            match call.assembling_since() {
                Some(since) if since + patience <= now => late.push(id),
                since => oldest = oldest.into_iter().chain(since).min(),
            }
        }
        // Not at every single one of them: whoever begins many would make us look all the time.
        self.sweep = oldest.map(|since| (since + patience).max(now + patience / 8));
        for id in late {
            self.give_up(id, CallError::Unfinished, (ErrorCode::INVALID, UNFINISHED));
        }
    }
}

const UNFINISHED: &str = "the message was begun and not finished in time";
