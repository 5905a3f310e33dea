use std::time::{Duration, Instant};

use jackfield_rsocket::engine::lease::{Grant, LeasePolicy, Permits};

use crate::input::Input;

/// Grants and requests over time: what is admitted is what a counter and a clock say, on either side.
pub fn leases(data: &[u8]) {
    let mut input = Input::new(data);
    let mut now = Instant::now();
    let start = now;
    let policy = |input: &mut Input<'_>| LeasePolicy {
        requests: input.number(),
        ttl: Duration::from_millis(input.number().into()),
    };
    let mut current = policy(&mut input);
    let mut grant = Grant::new(current);
    let mut permits = Permits::none();
    // What the model knows: how many are left, and until when.
    let mut granted: Option<(u32, Instant)> = None;
    let mut permitted: Option<(u32, Instant)> = None;
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => now += Duration::from_millis(input.number().into()),
            1 => {
                current = policy(&mut input);
                grant.change(current);
                granted = None;
            }
            2 => {
                grant.reset();
                permits.reset();
                (granted, permitted) = (None, None);
            }
            3 => {
                let due = grant.next_timeout();
                let lease = grant.issue(now);
                assert_eq!(lease.is_some(), due.is_none_or(|due| due <= now));
                if let Some(lease) = lease {
                    // Both fields are 31 bits on the wire, and say no more than the policy.
                    assert!(lease.requests <= 0x7FFF_FFFF && lease.ttl_ms <= 0x7FFF_FFFF);
                    assert!(lease.requests <= current.requests);
                    let until = now + Duration::from_millis(lease.ttl_ms.into());
                    granted = Some((lease.requests, until));
                    let due = grant.next_timeout().expect("another will be due");
                    assert!(due <= until, "the next comes before this one ends");
                    permits.granted(lease.ttl_ms, lease.requests, now);
                    permitted = granted;
                }
            }
            4 => {
                let (ttl, requests) = (input.number(), input.number());
                permits.granted(ttl, requests, now);
                permitted = Some((requests, now + Duration::from_millis(ttl.into())));
            }
            5 => assert_eq!(permits.left(now), Some(left(permitted, now))),
            6 => assert_eq!(grant.admit(now), take(&mut granted, now)),
            _ => assert_eq!(permits.take(now), take(&mut permitted, now)),
        }
    }
    assert!(now >= start);
}

fn left(lease: Option<(u32, Instant)>, now: Instant) -> u32 {
    lease
        .filter(|(_, until)| now < *until)
        .map_or(0, |(left, _)| left)
}

fn take(lease: &mut Option<(u32, Instant)>, now: Instant) -> bool {
    let good = left(*lease, now) > 0;
    if let Some((left, _)) = lease.as_mut().filter(|_| good) {
        *left -= 1;
    }
    good
}
