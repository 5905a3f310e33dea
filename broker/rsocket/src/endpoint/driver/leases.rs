//! Leases of one connection, both ways.

use std::time::Instant;

use super::super::{LeaseOptions, WithoutLease};
use super::{Driver, now};
use crate::engine::lease::{Grant, Permits};

/// What we may start, and what the peer may.
pub(super) struct Leases {
    permits: Permits,
    grant: Option<Grant>,
    without: WithoutLease,
}

impl Leases {
    pub(super) fn new(options: Option<LeaseOptions>) -> Self {
        match options {
            None => Self {
                permits: Permits::unlimited(),
                grant: None,
                without: WithoutLease::Wait,
            },
            Some(options) => Self {
                permits: Permits::none(),
                grant: Some(Grant::new(options.grant)),
                without: options.without,
            },
        }
    }

    /// The transport was replaced.
    pub(super) fn reset(&mut self) {
        self.permits.reset();
        if let Some(grant) = &mut self.grant {
            grant.reset();
        }
    }

    pub(super) fn granted(&mut self, ttl_ms: u32, requests: u32) {
        self.permits.granted(ttl_ms, requests, now());
    }

    /// Whether the peer may start a request.
    pub(super) fn admit(&mut self) -> bool {
        self.grant.as_mut().is_none_or(|grant| grant.admit(now()))
    }

    /// Whether we may, and if not, whether to wait.
    pub(super) fn take(&mut self) -> Result<(), WithoutLease> {
        if self.grant.is_none() || self.permits.take(now()) {
            Ok(())
        } else {
            Err(self.without)
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.grant.as_ref()?.next_timeout()
    }
}

impl Driver {
    /// Sends a LEASE if one is due.
    pub(super) fn grant(&mut self) {
        if let Some(grant) = &mut self.leases.grant
            && let Some(lease) = grant.issue(now())
        {
            self.out.lease(&lease);
        }
    }
}
