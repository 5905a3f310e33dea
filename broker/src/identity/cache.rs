//! Credentials that were found to be good, by a hash of them: a signature or a password is not
//! worked out again for each connection.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::principal::Principal;

/// However long a token lives, it is looked at again after this.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// Bounded by number and by expiry. Full, it forgets the older half: what was not asked for since
/// the younger half began.
#[derive(Debug)]
pub(super) struct Cache {
    halves: Mutex<Halves>,
    half_max: usize,
}

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<[u8; 32], Known>,
    old: HashMap<[u8; 32], Known>,
}

#[derive(Clone, Debug)]
struct Known {
    principal: Arc<Principal>,
    until: SystemTime,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self {
            halves: Mutex::default(),
            half_max: (most / 2).max(1),
        }
    }

    pub(super) fn find(&self, hash: &[u8; 32], now: SystemTime) -> Option<Arc<Principal>> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match halves.young.get(hash) {
            Some(known) => known.clone(),
            None => {
                let known = halves.old.remove(hash)?;
                self.put(&mut halves, *hash, known.clone());
                known
            }
        };
        (now < known.until).then_some(known.principal)
    }

    pub(super) fn remember(&self, hash: [u8; 32], principal: &Arc<Principal>, now: SystemTime) {
        let latest = now + AGE_MAX;
        let known = Known {
            principal: Arc::clone(principal),
            until: principal.expires.map_or(latest, |end| end.min(latest)),
        };
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut halves, hash, known);
    }

    fn put(&self, halves: &mut Halves, hash: [u8; 32], known: Known) {
        if halves.young.len() >= self.half_max {
            halves.old = mem::take(&mut halves.young);
        }
        halves.young.insert(hash, known);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let halves = self.halves.lock().unwrap();
        halves.young.len() + halves.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::principal::Kind;

    fn hash(number: u32) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash
    }

    fn until(expires: Option<SystemTime>) -> Arc<Principal> {
        Arc::new(Principal {
            expires,
            ..Principal::new(Kind::Token, "app")
        })
    }

    #[test]
    fn nothing_outlives_its_token_or_half_an_hour() {
        let (cache, now) = (Cache::new(10), SystemTime::now());
        let second = Duration::from_secs(1);
        cache.remember(hash(1), &until(Some(now + second)), now);
        cache.remember(hash(2), &until(None), now);
        assert!(cache.find(&hash(1), now).is_some());
        assert!(cache.find(&hash(1), now + second).is_none());
        assert!(cache.find(&hash(2), now + AGE_MAX - second).is_some());
        assert!(cache.find(&hash(2), now + AGE_MAX).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let (cache, now) = (Cache::new(10), SystemTime::now());
        for number in 0..1000 {
            cache.remember(hash(number), &until(None), now);
            assert!(cache.find(&hash(0), now).is_some(), "{number}");
            assert!(cache.len() <= 10);
        }
        assert!(cache.find(&hash(1), now).is_none());
    }
}
