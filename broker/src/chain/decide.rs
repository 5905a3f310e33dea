//! One generation of the chain, and how it decides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jackfield_plugin_host as host;

use super::{
    Decision, Disturbance, FailurePolicy, Plans, PluginView, Request, Selection, Split, Verdict,
    question::{Disturb, Filter, Select},
    request::Route,
    slow_hooks::Observer,
    stage::{Asked, Stage},
};

/// The plugins of one generation, in their order. It never changes.
pub struct Chain {
    generation: u64,
    deadline: Duration,
    stages: Vec<Arc<Stage>>,
    /// Those of the stages that implement each hot hook.
    filters: Vec<Arc<Stage>>,
    selectors: Vec<Arc<Stage>>,
    disturbers: Vec<Arc<Stage>>,
    /// And each slow one.
    pub(super) authenticators: Vec<Arc<Stage>>,
    pub(super) collectors: Vec<Arc<Stage>>,
    pub(super) observers: Vec<Observer>,
    off: Vec<PluginView>,
    dice: Dice,
}

/// A plugin that could not answer, and whose policy is closed: its name.
pub type Failed = Arc<str>;

impl Chain {
    /// `stages` in the order in which they are asked.
    pub(super) fn new(
        generation: u64,
        deadline: Duration,
        stages: Vec<Arc<Stage>>,
        off: Vec<PluginView>,
        observers: Vec<Observer>,
    ) -> Self {
        let with = |hook| {
            let stages = stages.iter();
            let with = stages.filter(|stage| stage.plugin().implements(hook));
            with.cloned().collect()
        };
        Self {
            generation,
            deadline,
            filters: with(host::Hook::RoutingFilter),
            selectors: with(host::Hook::EndpointSelector),
            disturbers: with(host::Hook::Chaos),
            authenticators: with(host::Hook::Authenticator),
            collectors: with(host::Hook::MetricsCollector),
            observers,
            stages,
            off,
            dice: Dice::default(),
        }
    }

    /// With the hook `chaos` switched off: nobody is asked for a fault.
    #[must_use]
    pub(super) fn without_chaos(mut self) -> Self {
        self.disturbers.clear();
        self
    }

    pub(super) fn empty() -> Self {
        Self::new(0, Duration::ZERO, Vec::new(), Vec::new(), Vec::new())
    }

    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// No plugin is live.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// What one request may spend in all plugins together.
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether any routing filter has to be asked about requests for this service.
    pub fn concerns(&self, service: &str) -> bool {
        self.filters.iter().any(|stage| stage.concerns(service))
    }

    /// Whether any selector has to be asked about requests for this service.
    pub fn selects(&self, service: &str) -> bool {
        self.selectors.iter().any(|stage| stage.concerns(service))
    }

    /// Whether any plugin may want something to go wrong with requests for this service.
    pub fn disturbs(&self, service: &str) -> bool {
        self.disturbers.iter().any(|stage| stage.concerns(service))
    }

    /// Asks every routing filter that the request concerns. Hot and synchronous: it runs in place, for at
    /// most the chain's deadline of CPU time.
    pub fn on_request(&self, request: &Request<'_>) -> Decision {
        let mut left = self.deadline;
        let (verdict, remember) = self.filtered(request, &mut left);
        Decision {
            verdict,
            remember,
            left,
        }
    }

    fn filtered(&self, request: &Request<'_>, left: &mut Duration) -> (Verdict, bool) {
        let mut route = Route::new(request);
        let mut remember = true;
        for (at, stage) in self.filters.iter().enumerate() {
            if !stage.concerns(route.service()) {
                continue;
            }
            let call = &route.call();
            let asked = stage.ask(&Filter { call }, request.link, *left);
            let Asked { decision, spent } = asked;
            *left = left.saturating_sub(spent);
            if stage.is_shadow() {
                continue;
            }
            let Some(decision) = decision else {
                remember = false;
                match stage.on_failure(host::Hook::RoutingFilter) {
                    FailurePolicy::Open => continue,
                    FailurePolicy::Closed => {
                        let plugin = Arc::clone(stage.name());
                        return (Verdict::Failed { plugin }, false);
                    }
                }
            };
            remember &= decision.remember;
            match decision.verdict {
                host::Verdict::Pass => {}
                host::Verdict::Rewrite(rewrite) => route.apply(*rewrite),
                host::Verdict::Split(shares) => {
                    let split = Split::new(shares, route.change.as_deref());
                    if !self.concerns_outcome(&split, route.service(), at + 1) {
                        return (Verdict::Split(Arc::new(split)), remember);
                    }
                    remember = false;
                    let outcome = split.dice(self.dice.throw());
                    let outcome = outcome.filter(|to| !to.is_empty());
                    route.change = outcome.cloned().map(Arc::new);
                }
                host::Verdict::Refuse(refusal) => {
                    let host::Refusal { code, text } = *refusal;
                    return (Verdict::Refuse { code, text }, remember);
                }
                host::Verdict::Answer(payload) => {
                    let host::Payload { metadata, data } = *payload;
                    let (metadata, data) = (metadata.map(Into::into), data.into());
                    return (Verdict::Answer { metadata, data }, remember);
                }
            }
        }
        (
            route.change.map_or(Verdict::Pass, Verdict::Rewrite),
            remember,
        )
    }

    /// What is to go wrong with a request that goes on, its route changed by the filters. `left` is what they left of
    /// the deadline, or [`Chain::deadline`] when their verdict was remembered.
    pub fn disturb(
        &self,
        request: &Request<'_>,
        change: Option<&Arc<host::Rewrite>>,
        mut left: Duration,
    ) -> Result<Disturbance, Failed> {
        let route = Route::changed(request, change);
        let (mut plans, mut remember) = (Vec::new(), true);
        for stage in &self.disturbers {
            if !stage.concerns(route.service()) {
                continue;
            }
            let call = &route.call();
            let asked = stage.ask(&Disturb { call }, request.link, left);
            let Asked { decision, spent } = asked;
            left = left.saturating_sub(spent);
            match decision {
                _ if stage.is_shadow() => {}
                Some(plan) => {
                    remember &= plan.remember;
                    if !plan.faults.is_empty() {
                        plans.push(plan.faults);
                    }
                }
                None => {
                    remember = false;
                    obey_policy(stage, host::Hook::Chaos)?;
                }
            }
        }
        Ok(Disturbance {
            plans: Plans::new(plans),
            remember,
            left,
        })
    }

    /// Which of the candidates get the request; the first selector with an opinion decides. Not asked when there is
    /// nothing to choose, or too much.
    pub fn select(
        &self,
        request: &Request<'_>,
        change: Option<&Arc<host::Rewrite>>,
        candidates: &dyn host::Candidates,
        mut left: Duration,
    ) -> Result<Selection, Failed> {
        if !(2..=host::CANDIDATES_MAX).contains(&candidates.len()) {
            return Ok(Selection::Any);
        }
        let route = Route::changed(request, change);
        for stage in &self.selectors {
            if !stage.concerns(route.service()) {
                continue;
            }
            let question = Select {
                call: &route.call(),
                candidates,
            };
            let Asked { decision, spent } = stage.ask(&question, request.link, left);
            left = left.saturating_sub(spent);
            match decision {
                _ if stage.is_shadow() => {}
                Some(Selection::Any) => {}
                Some(selection) => return Ok(selection),
                None => obey_policy(stage, host::Hook::EndpointSelector)?,
            }
        }
        Ok(Selection::Any)
    }

    /// For operators: those that are asked in their order, then those that are off.
    pub fn views(&self) -> Vec<PluginView> {
        let live = self.stages.iter().map(|stage| stage.view(self.generation));
        live.chain(self.off.iter().cloned()).collect()
    }

    /// Whether a plugin from this place on has to be asked about what a split may come to.
    fn concerns_outcome(&self, split: &Split, service: &str, from: usize) -> bool {
        let concerns = |service: &str| self.filters[from..].iter().any(|s| s.concerns(service));
        concerns(service)
            || split
                .outcomes()
                .filter_map(|to| to.service.as_deref())
                .any(concerns)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.stages.iter().map(|stage| stage.name()).collect();
        f.debug_struct("Chain")
            .field("generation", &self.generation)
            .field("plugins", &names)
            .finish_non_exhaustive()
    }
}

fn obey_policy(stage: &Stage, hook: host::Hook) -> Result<(), Failed> {
    match stage.on_failure(hook) {
        FailurePolicy::Open => Ok(()),
        FailurePolicy::Closed => Err(Arc::clone(stage.name())),
    }
}

/// SplitMix64 from a shared counter: even, cheap, and no secret depends on it.
struct Dice(AtomicU64);

impl Dice {
    fn throw(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Default for Dice {
    fn default() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(AtomicU64::new(RandomState::new().hash_one(0)))
    }
}
