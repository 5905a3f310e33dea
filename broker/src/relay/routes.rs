//! Decide once, remember: what a link knows about a route after its first request.
//!
//! The key is the exact bytes of entries 0x7E and 0x50, and the interaction. Remembered are the
//! service's slot, the parsed route, metric handles, and plugins' verdicts and plans that asked for it. Never
//! the instance: that is picked for each call.
//!
//! A route is good for the generations of chain, routing and rules it was made under, and until its slot is
//! retired; one that was not found by its own name, or that plugins may change, for the directory's generation
//! too. So services that come and go cost the routes of others nothing. The cache is bounded; when it is full it
//! begins anew.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use foldhash::fast::RandomState;
use jackfield_rsocket::{metadata::RoutingEntries, wire::Interaction};

use super::{access::Access, calls::CallMetrics, handle::Handle, plane::Generations};
use crate::{
    chain::{Plans, Rewrite, Verdict},
    directory::{Balance, Slot},
};

const ROUTES_MAX: usize = 512;
/// What the keys of all routes may add up to: a peer writes them, and may write tags behind its route
/// that differ every time.
const KEYS_MAX: usize = 256 * 1024;

/// Where calls of a route may go.
pub(super) struct Choice {
    pub(super) slot: Arc<Slot<Arc<Handle>>>,
    pub(super) endpoint: Box<str>,
    pub(super) balance: Balance,
    pub(super) access: Access,
    /// The caller wants its calls of the service to go to one instance.
    pub(super) sticky: bool,
    /// Whether plugins may want something to go wrong, and whether they choose the instance.
    pub(super) disturbed: bool,
    pub(super) selected: bool,
    /// What a plugin made of the route to get here.
    pub(super) change: Option<Arc<Rewrite>>,
    /// What may go wrong, if that holds for every request that comes here by this route.
    pub(super) plans: OnceLock<Plans>,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.slot.service(), self.endpoint)
    }
}

/// The parts of a route's text, or of the service that its number stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) group: Box<str>,
    pub(super) service: Box<str>,
    pub(super) method: Box<str>,
    pub(super) version: Box<str>,
    pub(super) endpoint: Box<str>,
    pub(super) sticky: bool,
}

pub(super) struct Route {
    pub(super) made_under: Generations,
    pub(super) name: Name,
    pub(super) choice: Arc<Choice>,
    pub(super) metrics: Arc<CallMetrics>,
    pub(super) timeout: Option<Duration>,
    /// The service was found by the name that the route says first: who else comes makes no difference.
    pub(super) by_name: bool,
    /// Whether any routing filter is to be asked.
    pub(super) concerned: bool,
    /// What one request may spend in plugins.
    pub(super) chain_deadline: Duration,
    /// A verdict that holds for every request of the route.
    pub(super) verdict: OnceCell<Verdict>,
    /// Where rewrites that were seen lead.
    pub(super) rewrites: RefCell<Vec<(Rewrite, Option<Arc<Choice>>)>>,
}

impl Route {
    fn holds(&self, now: Generations) -> bool {
        let by_name = self.by_name && !self.concerned;
        (by_name || self.made_under.same_names(now))
            && self.made_under.same_rules(now)
            && !self.choice.slot.is_retired()
    }
}

#[derive(Default)]
pub(super) struct Routes {
    known: HashMap<Box<[u8]>, Rc<Route>, RandomState>,
    /// Bytes of all keys together.
    bytes: usize,
    key: Vec<u8>,
}

impl Routes {
    /// The route remembered for these entries, if it still holds.
    pub(super) fn find(
        &mut self,
        entries: &RoutingEntries<'_>,
        interaction: Interaction,
        now: Generations,
    ) -> Option<Rc<Route>> {
        self.key.clear();
        self.key.push(interaction.frame_type().0);
        for entry in [entries.text, entries.binary] {
            // Which of the two leads decides between them, so it is part of the key.
            self.key
                .push(u8::from(entry.is_some_and(|entry| entry.leads)));
            self.key
                .extend_from_slice(entry.map_or(&[][..], |entry| entry.raw));
        }
        self.known
            .get(self.key.as_slice())
            .filter(|route| route.holds(now))
            .cloned()
    }

    /// Remembers a route under the entries last asked for.
    pub(super) fn remember(&mut self, route: &Rc<Route>) {
        let len = self.key.len();
        if self.known.len() >= ROUTES_MAX || self.bytes + len > KEYS_MAX {
            self.known.clear();
            self.bytes = 0;
        }
        let known = self.known.insert(self.key.as_slice().into(), route.clone());
        // A route of an older generation is replaced under the same key.
        self.bytes += if known.is_none() { len } else { 0 };
    }
}
