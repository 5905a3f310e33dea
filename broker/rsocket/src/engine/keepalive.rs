//! Keepalive (spec "KEEPALIVE Frame").
//!
//! The client sends; both sides close on silence. Any inbound frame is proof of life, because a
//! busy rsocket_rust client sends no KEEPALIVE at all.

use std::time::{Duration, Instant};

/// Below this a peer's "max lifetime" would cut healthy connections; above it dead peers linger.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
const LIFETIME_MAX: Duration = Duration::from_secs(600);

/// When to send KEEPALIVE and when to give the peer up.
#[derive(Clone, Copy, Debug)]
pub struct KeepaliveTimer {
    /// Clients send at this interval; servers only answer.
    interval: Option<Duration>,
    lifetime: Duration,
    last_sent: Instant,
    last_heard: Instant,
}

/// What [`KeepaliveTimer::handle_timeout`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Timeout {
    /// Too early: ask again at `next_timeout`.
    Nothing,
    /// Send KEEPALIVE with the respond flag.
    SendKeepalive,
    /// Nothing was heard for the whole lifetime: close.
    PeerGone,
}

impl KeepaliveTimer {
    /// For the client: sends every `interval`.
    pub fn client(interval: Duration, lifetime: Duration, now: Instant) -> Self {
        let interval = Some(interval.max(Duration::from_millis(1)));
        Self {
            interval,
            ..Self::server(lifetime, now)
        }
    }

    /// For the server, which applies the client's own lifetime to the client.
    pub fn server(lifetime: Duration, now: Instant) -> Self {
        let lifetime = lifetime.clamp(LIFETIME_MIN, LIFETIME_MAX);
        Self {
            interval: None,
            lifetime,
            last_sent: now,
            last_heard: now,
        }
    }

    pub fn heard(&mut self, now: Instant) {
        self.last_heard = now;
    }

    pub(super) fn restart(&mut self, now: Instant) {
        self.last_sent = now;
        self.last_heard = now;
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        let gone = self.last_heard + self.lifetime;
        Some(match self.interval {
            Some(interval) => gone.min(self.last_sent + interval),
            None => gone,
        })
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Timeout {
        if now >= self.last_heard + self.lifetime {
            return Timeout::PeerGone;
        }
        match self.interval {
            Some(interval) if now >= self.last_sent + interval => {
                self.last_sent = now;
                Timeout::SendKeepalive
            }
            _ => Timeout::Nothing,
        }
    }
}
