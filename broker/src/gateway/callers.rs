//! One connection to the relay for each caller, made when it first calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jackfield_rsocket::{
    endpoint::{self, Budget, ConnectOptions, Requester},
    net::memory,
    wire::FRAME_LEN_MAX,
};
use ring::digest::{SHA256, digest};

use super::{Config, fault::Fault};
use crate::{
    identity::{Credentials, Principal},
    relay::Relay,
};

pub(super) struct Callers {
    relay: Arc<Relay>,
    /// What their replies take, with the bodies of requests.
    memory: Budget,
    /// The largest reply that is taken.
    message_max: usize,
    callers_max: usize,
    held: Mutex<HashMap<Who, Held>>,
}

/// Callers that are the same to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Nobody,
    /// By the hash of what it has shown, which was found to be good.
    Known([u8; 32]),
}

struct Held {
    requester: Requester,
    principal: Arc<Principal>,
    used: Instant,
}

impl Callers {
    pub(super) fn new(relay: Arc<Relay>, memory: Budget, config: &Config) -> Self {
        Self {
            relay,
            memory,
            message_max: config.message,
            callers_max: config.callers,
            held: Mutex::default(),
        }
    }

    /// Calls in the name of `principal`, who has shown `auth`.
    pub(super) async fn requester(
        &self,
        auth: Option<&[u8]>,
        principal: Arc<Principal>,
    ) -> Result<Requester, Fault> {
        let who = match auth {
            Some(auth) if !principal.is_anonymous() => Who::of(auth),
            // Credentials that are no good make nobody somebody.
            _ => Who::Nobody,
        };
        if let Some(requester) = self.find(who, &principal) {
            return Ok(requester);
        }
        let (ours, theirs) = memory(FRAME_LEN_MAX);
        let attached = self.relay.attach_as(theirs, principal.clone()).await;
        attached.map_err(|error| Fault::full(&error.to_string()))?;
        let mut options = ConnectOptions::new();
        options.limits.message = self.message_max;
        options.memory = Some(self.memory.clone());
        let requester =
            endpoint::attach(ours, options).map_err(|error| Fault::full(&error.to_string()))?;
        self.keep(who, requester.clone(), principal);
        Ok(requester)
    }

    /// Who shows these credentials, as over RSocket.
    pub(super) async fn admit(&self, shown: Credentials<'_>) -> Option<Arc<Principal>> {
        self.relay.admit(shown, "http").await
    }

    /// The connection of somebody who may still do what they might when it was made.
    fn find(&self, who: Who, principal: &Principal) -> Option<Requester> {
        let mut held = self.lock();
        let found = held.get_mut(&who)?;
        if found.requester.is_closed() || !found.principal.may_the_same(principal) {
            held.remove(&who);
            return None;
        }
        found.used = Instant::now();
        Some(found.requester.clone())
    }

    /// A connection that is forgotten, or of two that were made at once the earlier one, ends with its calls.
    fn keep(&self, who: Who, requester: Requester, principal: Arc<Principal>) {
        let mut held = self.lock();
        held.retain(|_, held| !held.requester.is_closed());
        if held.len() >= self.callers_max {
            let oldest = held.iter().min_by_key(|(_, held)| held.used);
            if let Some(oldest) = oldest.map(|(who, _)| *who) {
                held.remove(&oldest);
            }
        }
        let used = Instant::now();
        let held_now = Held {
            requester,
            principal,
            used,
        };
        held.insert(who, held_now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Who {
    fn of(auth: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, auth).as_ref());
        Self::Known(hash)
    }
}
