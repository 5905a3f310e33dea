//! Leases: the right to start requests, a number of them within a time (spec "Lease Semantics").
//!
//! ```text
//! requester                              responder
//! Permits  ◄── LEASE (ttl, requests) ──  Grant
//!   take()  ── request ───────────────►   admit(), else REJECTED; a fire-and-forget is dropped
//! ```
//!
//! The L flag of SETUP binds both directions, so each end has one of either. All four interactions
//! take one, whatever number of fragments the request has. Nothing of it outlives a transport:
//! after a resume both begin anew.

use std::time::{Duration, Instant};

use crate::wire::Lease;

/// What the peer lets us start.
#[derive(Clone, Copy, Debug)]
pub struct Permits(Option<Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    left: u32,
    until: Option<Instant>,
}

impl Permits {
    /// For a connection without leases: everything is permitted.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// For a connection with leases: nothing is permitted before the first.
    pub const fn none() -> Self {
        Self(Some(Held {
            left: 0,
            until: None,
        }))
    }

    /// A LEASE came. It replaces the one before completely; zero in either field permits nothing.
    /// On a connection without leases it changes nothing.
    pub fn granted(&mut self, ttl_ms: u32, requests: u32, now: Instant) {
        if let Some(held) = &mut self.0 {
            *held = Held {
                left: requests,
                until: Some(now + Duration::from_millis(ttl_ms.into())),
            };
        }
    }

    /// Uses one, if there is one.
    #[must_use]
    pub fn take(&mut self, now: Instant) -> bool {
        let Some(held) = &mut self.0 else {
            return true;
        };
        let good = held.left > 0 && held.until.is_some_and(|until| now < until);
        held.left -= u32::from(good);
        good
    }

    /// How many requests could be started now; none when they are not counted.
    pub fn left(&self, now: Instant) -> Option<u32> {
        let held = self.0.as_ref()?;
        let good = held.until.is_some_and(|until| now < until);
        Some(if good { held.left } else { 0 })
    }

    /// The transport was replaced: what was granted over the old one is void.
    pub const fn reset(&mut self) {
        if self.0.is_some() {
            *self = Self::none();
        }
    }
}

/// How many requests a peer may start within how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasePolicy {
    pub requests: u32,
    pub ttl: Duration,
}

/// What we let the peer start.
///
/// A new lease is due shortly before the one in force ends, so that a peer that keeps to it never
/// stands still. A request that crosses the new LEASE on its way is charged to the new one: in the
/// worst case as many requests as were under way are refused, with REJECTED, which is safe to send
/// again.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    policy: LeasePolicy,
    left: u32,
    issued: Option<Instant>,
}

impl Grant {
    /// Nothing is granted until [`Self::issue`] is asked. Both numbers fit 31 bits, as they must.
    pub fn new(policy: LeasePolicy) -> Self {
        let ttl = policy.ttl.clamp(Duration::from_millis(1), TTL_MAX);
        let requests = policy.requests.min(COUNT_MAX);
        Self {
            policy: LeasePolicy { requests, ttl },
            left: 0,
            issued: None,
        }
    }

    /// The LEASE to send now, if one is due. What it grants replaces what was left.
    #[must_use]
    pub fn issue(&mut self, now: Instant) -> Option<Lease<'static>> {
        if self.next_timeout().is_some_and(|due| now < due) {
            return None;
        }
        self.issued = Some(now);
        self.left = self.policy.requests;
        Some(Lease {
            ttl_ms: self.policy.ttl.as_millis() as u32,
            requests: self.left,
            metadata: None,
        })
    }

    /// When the next LEASE is due; none when the first is.
    pub fn next_timeout(&self) -> Option<Instant> {
        let early = (self.policy.ttl / 8).min(EARLY_MAX);
        self.issued.map(|issued| issued + self.policy.ttl - early)
    }

    /// A request came: whether it may start. It is to be refused with [`NO_LEASE`] if not.
    #[must_use]
    pub fn admit(&mut self, now: Instant) -> bool {
        let good = self.left > 0
            && self
                .issued
                .is_some_and(|issued| now < issued + self.policy.ttl);
        self.left -= u32::from(good);
        good
    }

    /// Another policy. What was granted is void, and a new LEASE is due.
    pub fn change(&mut self, policy: LeasePolicy) {
        *self = Self::new(policy);
    }

    /// The transport was replaced: what was granted is void, and a new LEASE is due.
    pub const fn reset(&mut self) {
        self.left = 0;
        self.issued = None;
    }
}

/// What to say with REJECTED to a request that has no lease.
pub const NO_LEASE: &str = "no lease for this request";

const COUNT_MAX: u32 = 0x7FFF_FFFF;
const TTL_MAX: Duration = Duration::from_millis(0x7FFF_FFFF);

/// A lease is renewed at most this long before its end.
const EARLY_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(requests: u32, seconds: u64) -> LeasePolicy {
        LeasePolicy {
            requests,
            ttl: Duration::from_secs(seconds),
        }
    }

    /// Conformance 104, 101: the requester waits for its lease and lets it lapse.
    #[test]
    fn permits_begin_with_a_lease_and_end_with_its_time() {
        let now = Instant::now();
        let mut permits = Permits::none();
        assert!(!permits.take(now));
        permits.granted(1000, 2, now);
        assert_eq!(permits.left(now), Some(2));
        assert!(permits.take(now) && permits.take(now + SECOND / 2));
        assert!(!permits.take(now + SECOND / 2));
        permits.granted(1000, 2, now);
        assert!(!permits.take(now + SECOND));
        assert_eq!(permits.left(now + SECOND), Some(0));
    }

    /// Conformance 102, 103: a lease replaces the one before, and zero of either is none.
    #[test]
    fn a_lease_replaces_the_one_before() {
        let now = Instant::now();
        let mut permits = Permits::none();
        permits.granted(9000, 100, now);
        permits.granted(9000, 1, now);
        assert!(permits.take(now) && !permits.take(now));
        for (ttl, requests) in [(0, 5), (5, 0), (0, 0)] {
            permits.granted(9000, 5, now);
            permits.granted(ttl, requests, now);
            assert!(!permits.take(now), "{ttl} {requests}");
        }
        permits.granted(9000, 5, now);
        permits.reset();
        assert!(!permits.take(now), "nothing outlives a transport");
    }

    /// Conformance 105: without leases nobody counts.
    #[test]
    fn without_leases_everything_is_permitted() {
        let now = Instant::now();
        let mut permits = Permits::unlimited();
        permits.granted(0, 0, now);
        permits.reset();
        assert!(permits.take(now));
        assert_eq!(permits.left(now), None);
    }

    /// Conformance 99, 100, 101: the responder's side.
    #[test]
    fn a_grant_admits_what_it_issued() {
        let now = Instant::now();
        let mut grant = Grant::new(policy(3, 10));
        assert!(!grant.admit(now), "before the first lease");
        let lease = grant.issue(now).unwrap();
        assert_eq!((lease.ttl_ms, lease.requests), (10_000, 3));
        assert_eq!(grant.issue(now), None);
        for _ in 0..3 {
            assert!(grant.admit(now));
        }
        assert!(!grant.admit(now), "one too many");
        let due = grant.next_timeout().unwrap();
        assert_eq!(due, now + 9 * SECOND);
        assert_eq!(grant.issue(due).unwrap().requests, 3);
        assert!(!grant.admit(due + 10 * SECOND), "too late");
    }

    /// Conformance 102, 115: what was left is not added, and nothing outlives a transport.
    #[test]
    fn a_grant_begins_anew() {
        let now = Instant::now();
        let mut grant = Grant::new(policy(2, 10));
        assert!(grant.issue(now).is_some() && grant.admit(now));
        assert!(grant.issue(now + 9 * SECOND).is_some());
        assert!(grant.admit(now + 9 * SECOND) && grant.admit(now + 9 * SECOND));
        assert!(!grant.admit(now + 9 * SECOND));
        grant.change(policy(1, 10));
        assert!(!grant.admit(now));
        assert!(grant.issue(now).is_some());
        grant.reset();
        assert!(!grant.admit(now));
        assert!(grant.issue(now).is_some() && grant.admit(now) && !grant.admit(now));
        // Zero requests is a policy too, and times are cut to what the frame can say.
        let mut grant = Grant::new(LeasePolicy {
            requests: u32::MAX,
            ttl: Duration::MAX,
        });
        let lease = grant.issue(now).unwrap();
        assert_eq!((lease.ttl_ms, lease.requests), (0x7FFF_FFFF, 0x7FFF_FFFF));
        let mut grant = Grant::new(policy(0, 1));
        assert!(grant.issue(now).is_some() && !grant.admit(now));
    }

    proptest! {
        /// A requester that keeps to the leases it has received never starts more in a lease's time
        /// than the responder admits, as long as no request crosses a lease on its way.
        #[test]
        fn permits_and_grants_agree(
            steps in proptest::collection::vec((0u64..4000, 0u32..9), 1..100),
            requests in 0u32..20,
            seconds in 1u64..10,
        ) {
            let mut now = Instant::now();
            let mut grant = Grant::new(policy(requests, seconds));
            let mut permits = Permits::none();
            for (millis, tries) in steps {
                now += Duration::from_millis(millis);
                if let Some(lease) = grant.issue(now) {
                    permits.granted(lease.ttl_ms, lease.requests, now);
                }
                for _ in 0..tries {
                    if permits.take(now) {
                        prop_assert!(grant.admit(now));
                    }
                }
                prop_assert!(permits.left(now).unwrap() <= requests);
            }
        }
    }
}
