//! Which instance a connection's sticky calls of a service go to.
//!
//! A caller that asks for it keeps the instance that its first call of the service was delivered to,
//! until it has not called for a while, or the instance no longer offers the service, may not be
//! called, or does not fit the endpoint that is asked for. An instance that is only busy is kept.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::handle::Handle;
use crate::directory::Instance;

/// Services that one connection is sticky with; beyond, the one not used for longest is forgotten.
const STICKY_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Sticky {
    held: HashMap<Box<str>, Held>,
}

struct Held {
    instance: Arc<Instance<Arc<Handle>>>,
    used: Instant,
}

impl Sticky {
    /// The instance that was used for a service within `ttl`.
    pub(super) fn find(
        &mut self,
        service: &str,
        ttl: Duration,
        now: Instant,
    ) -> Option<Arc<Instance<Arc<Handle>>>> {
        let held = self.held.get_mut(service)?;
        if now.saturating_duration_since(held.used) > ttl {
            self.held.remove(service);
            return None;
        }
        held.used = now;
        Some(held.instance.clone())
    }

    pub(super) fn keep(
        &mut self,
        service: &str,
        instance: &Arc<Instance<Arc<Handle>>>,
        now: Instant,
    ) {
        if self.held.len() >= STICKY_MAX && !self.held.contains_key(service) {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.used);
            if let Some(oldest) = oldest.map(|(service, _)| service.clone()) {
                self.held.remove(&oldest);
            }
        }
        let held = Held {
            instance: instance.clone(),
            used: now,
        };
        self.held.insert(service.into(), held);
    }
}
