//! One plugin in its place in the chain: asked, counted, and answered for when it fails.

use std::{
    mem::offset_of,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jackfield_plugin_host::{Generation, Hook, Plugin, PluginError};

use super::{
    FailurePolicy, Mode, Override, PluginConfig, PluginState, PluginView, Source,
    case::Case,
    circuit::{Circuit, Fault},
    metrics::{Compared, HookMetrics, Metrics, ShadowMetrics},
    outcome::CallOutcome,
    probe,
    question::Question,
    slow::{Missed, Pool, hooks::Ask},
    view::TrialView,
};

pub(super) struct Stage {
    front: Front,
    config: PluginConfig,
    name: Arc<str>,
    plugin: Arc<Plugin>,
    slow: Option<Pool>,
    last_error: Mutex<Option<String>>,
    overridden: Option<Override>,
    versions: Vec<String>,
}

/// What every question reads, laid out in this order (`repr(C)`) in as few lines of the cache as can be: after the kernel
/// has sent and received, all of them are cold.
#[repr(C, align(64))]
struct Front {
    /// It has no `match`.
    everywhere: bool,
    shadow: bool,
    circuit: Circuit,
    trial: Option<Box<Trial>>,
    hot: Option<Box<Generation>>,
    metrics: [Option<HookMetrics>; Hook::ALL.len()],
}

// For `routing-filter`, the hook that is asked most, it is one line.
const _: () = {
    assert!(Hook::RoutingFilter as usize == 0);
    assert!(offset_of!(Front, metrics) + size_of::<Option<HookMetrics>>() <= 64);
};

/// Another version of the same plugin beside the live one.
struct Trial {
    stage: Arc<Stage>,
    /// Of 10000 connections; none: in the shadow.
    share: Option<u32>,
    compared: ShadowMetrics,
}

impl Trial {
    /// Asks it as well, and counts whether it says the same.
    #[cold]
    fn compare<Q: Question>(
        &self,
        asked: Asked<Q::Answer>,
        question: &Q,
        left: Duration,
    ) -> Asked<Q::Answer> {
        let left = left.saturating_sub(asked.spent);
        let in_the_shadow = self.stage.ask_alone(question, left);
        self.compared.count(match &in_the_shadow.decision {
            None => Compared::Failed,
            other if *other == asked.decision => Compared::Same,
            Some(_) => Compared::Different,
        });
        Asked {
            decision: asked.decision,
            spent: asked.spent + in_the_shadow.spent,
        }
    }
}

/// What asking came to.
pub(super) struct Asked<T> {
    /// None: the plugin could not answer, and its failure policy has to.
    pub(super) decision: Option<T>,
    /// CPU time, counted against the chain's deadline.
    pub(super) spent: Duration,
}

impl Stage {
    pub(super) fn new(
        config: PluginConfig,
        name: Arc<str>,
        plugin: Arc<Plugin>,
        hot: Option<Generation>,
        slow: Option<Pool>,
        metrics_of: &Metrics,
    ) -> Self {
        let metrics = Hook::ALL.map(|hook| {
            plugin
                .implements(hook)
                .then(|| metrics_of.of(&config.name, hook))
        });
        Self {
            front: Front {
                everywhere: config.matches.is_empty(),
                shadow: config.mode == Mode::Shadow,
                circuit: Circuit::default(),
                trial: None,
                hot: hot.map(Box::new),
                metrics,
            },
            config,
            name,
            plugin,
            slow,
            last_error: Mutex::default(),
            overridden: None,
            versions: Vec::new(),
        }
    }

    /// With another version beside it.
    pub(super) fn with_trial(
        mut self,
        beside: Self,
        share: Option<u32>,
        metrics: &Metrics,
    ) -> Self {
        self.front.trial = Some(Box::new(Trial {
            stage: Arc::new(beside),
            share,
            compared: metrics.shadow(&self.name),
        }));
        self
    }

    /// As operators changed it, with the versions that can be gone back to.
    pub(super) fn overridden(mut self, held: Option<Override>, versions: Vec<String>) -> Self {
        (self.overridden, self.versions) = (held, versions);
        self
    }

    /// Asked, and without effect.
    pub(super) const fn is_shadow(&self) -> bool {
        self.front.shadow
    }

    /// The version that decides for this connection: always the same one, unless it fails.
    fn version(self: &Arc<Self>, link: u64) -> &Arc<Self> {
        match self.front.trial.as_deref() {
            Some(Trial {
                stage,
                share: Some(share),
                ..
            }) if point_of(link) < *share && !stage.is_open() => stage,
            _ => self,
        }
    }

    /// The version that is asked as well, without effect.
    fn shadow(&self) -> Option<&Trial> {
        let trial = self.front.trial.as_deref();
        trial.filter(|trial| trial.share.is_none())
    }

    /// Asks the version of the connection, and the one in the shadow after it. `left` is what remains of the chain's
    /// deadline.
    pub(super) fn ask<Q: Question>(
        self: &Arc<Self>,
        question: &Q,
        link: u64,
        left: Duration,
    ) -> Asked<Q::Answer> {
        let asked = self.version(link).ask_alone(question, left);
        match self.shadow() {
            None => asked,
            Some(shadow) => shadow.compare(asked, question, left),
        }
    }

    pub(super) fn concerns(&self, service: &str) -> bool {
        let matches = &self.config.matches;
        self.front.everywhere || matches.iter().any(|pattern| pattern.matches(service))
    }

    fn is_open(&self) -> bool {
        self.front.circuit.is_open()
    }

    /// Asks a slow hook, and waits at most for the plugin's `timeout`. None: it could not answer, and its failure policy
    /// has to.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        hook: Hook,
        asked: impl Ask<T>,
        outcome_of: impl FnOnce(&T) -> CallOutcome,
        case: impl FnOnce() -> Case,
    ) -> Option<T> {
        if self.is_open() {
            self.metrics(hook).skipped(CallOutcome::CircuitOpen);
            return None;
        }
        let begun = Instant::now();
        let slow = self.slow.as_ref();
        let slow = slow.expect("only hooks that the plugin implements are asked");
        let missed = match slow.run(asked).await {
            Ok(answer) => {
                self.metrics(hook)
                    .called(outcome_of(&answer), Some(begun.elapsed()));
                return Some(answer);
            }
            Err(missed) => missed,
        };
        match missed {
            Missed::QueueFull => self.metrics(hook).skipped(CallOutcome::QueueFull),
            Missed::Timeout => {
                let limit = self.config.slow.timeout;
                let error = PluginError::Unavailable(format!("takes longer than {limit:?}"));
                let took = (CallOutcome::Timeout, Some(begun.elapsed()));
                self.fell(hook, &error, took, case);
            }
            Missed::Failed(error) => {
                let took = (CallOutcome::of_error(&error), Some(begun.elapsed()));
                self.fell(hook, &error, took, case);
            }
        }
        None
    }

    // Always in place: what comes of it would be moved from hand to hand through memory, which costs more than the rest.
    #[inline(always)]
    fn ask_alone<Q: Question>(self: &Arc<Self>, question: &Q, left: Duration) -> Asked<Q::Answer> {
        let skip = match () {
            () if self.is_open() => Some(CallOutcome::CircuitOpen),
            () if left.is_zero() => Some(CallOutcome::ChainDeadline),
            () => None,
        };
        if let Some(outcome) = skip {
            self.metrics(Q::HOOK).skipped(outcome);
            return Asked {
                decision: None,
                spent: Duration::ZERO,
            };
        }
        let outcome = question.put(self.hot(), left);
        let decision = match outcome.decision {
            Ok(decision) => {
                self.metrics(Q::HOOK)
                    .called(Q::outcome(&decision), outcome.took);
                Some(decision)
            }
            Err(error) => {
                self.failed(question, &error, left, outcome.took);
                None
            }
        };
        Asked {
            decision,
            spent: outcome.spent,
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn source(&self) -> &Source {
        &self.config.source
    }

    pub(super) fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    fn hot(&self) -> &Generation {
        let hot = self.front.hot.as_ref();
        hot.expect("only hooks that the plugin implements are asked")
    }

    pub(super) fn on_failure(&self, hook: Hook) -> FailurePolicy {
        self.config.on_failure(hook)
    }

    /// Whether the plugin works again, on a copy of what it failed at; if so, it is asked again from now on. `pause`:
    /// since the last look.
    pub(super) fn probe(&self, case: &Case, pause: Duration) -> bool {
        match case.probe(self.front.hot.as_deref(), self.slow.as_ref()) {
            Ok(()) => {
                self.front.circuit.close(pause, Instant::now());
                tracing::info!(plugin = %self.name, "a plugin works again; its circuit is closed");
                true
            }
            Err(error) => {
                self.remember_error(&error);
                false
            }
        }
    }

    pub(super) fn view(&self, generation: u64) -> PluginView {
        let outline = self.plugin().outline();
        let (calls, failures) = self
            .front
            .metrics
            .iter()
            .flatten()
            .map(HookMetrics::totals)
            .fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        PluginView {
            digest: Some(outline.digest.to_string()),
            size: Some(outline.size),
            state: match self.is_open() {
                true => PluginState::Open,
                false if self.is_shadow() => PluginState::Shadow,
                false => PluginState::Live,
            },
            overridden: self.overridden.clone(),
            versions: self.versions.clone(),
            trial: self.front.trial.as_ref().map(|trial| TrialView {
                digest: trial.stage.plugin().outline().digest.to_string(),
                share: trial.share,
                open: trial.stage.is_open(),
                last_error: trial.stage.last_error(),
            }),
            generation,
            hooks: outline.hooks.iter().map(|hook| hook.name()).collect(),
            imports: outline.imports.clone(),
            memory: self.front.hot.as_ref().map_or(0, |hot| hot.memory())
                + self.slow.as_ref().map_or(0, Pool::memory),
            calls,
            failures,
            last_error: self.last_error(),
            ..PluginView::of_config(&self.config)
        }
    }

    fn metrics(&self, hook: Hook) -> &HookMetrics {
        let metrics = self.front.metrics[hook as usize].as_ref();
        metrics.expect("only hooks that the plugin implements are asked")
    }

    #[cold]
    fn failed<Q: Question>(
        self: &Arc<Self>,
        question: &Q,
        error: &PluginError,
        left: Duration,
        took: Option<Duration>,
    ) {
        let killed = matches!(error, PluginError::Deadline { .. });
        if killed && left < self.config.deadline {
            // The time was used up by those before it; its own deadline had not passed.
            self.metrics(Q::HOOK)
                .called(CallOutcome::ChainDeadline, took);
            tracing::debug!(plugin = %self.name, "the chain's deadline passed in this plugin");
            return;
        }
        let took = (CallOutcome::of_error(error), took);
        self.fell(Q::HOOK, error, took, || question.case());
    }

    /// It failed, and nobody else is to blame.
    #[cold]
    fn fell(
        self: &Arc<Self>,
        hook: Hook,
        error: &PluginError,
        (outcome, took): (CallOutcome, Option<Duration>),
        case: impl FnOnce() -> Case,
    ) {
        self.metrics(hook).called(outcome, took);
        self.remember_error(error);
        tracing::warn!(
            plugin = %self.name,
            hook = hook.name(),
            kind = error.kind(),
            "plugin {error}"
        );
        let fault = match error {
            PluginError::Deadline { .. } => Fault::Kill,
            _ => Fault::Other,
        };
        if let Some(pause) = self.front.circuit.record(fault, Instant::now()) {
            tracing::error!(
                plugin = %self.name,
                policy = ?self.config.on_failure(hook),
                "a plugin failed too often; its failure policy answers for it until a probe passes"
            );
            probe::start(self, case(), pause);
        }
    }

    fn last_error(&self) -> Option<String> {
        { self.last_error.lock() }
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn remember_error(&self, error: &PluginError) {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.to_string());
    }
}

/// Of 10000, the same for the same connection; connections are numbered in turn, so they are mixed first.
const fn point_of(link: u64) -> u32 {
    let mixed = (link ^ (link >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((mixed ^ (mixed >> 33)) % 10_000) as u32
}

impl PluginView {
    /// What is known of a plugin that is not running.
    pub(super) fn of_config(config: &PluginConfig) -> Self {
        Self {
            name: config.name.clone(),
            source: config.source.to_string(),
            digest: None,
            size: None,
            state: PluginState::Off,
            generation: 0,
            order: config.order,
            hooks: Vec::new(),
            imports: Vec::new(),
            allow: config
                .allow
                .iter()
                .map(|capability| capability.name())
                .collect(),
            matches: config.matches.iter().map(ToString::to_string).collect(),
            on_failure: config.on_failure,
            memory: 0,
            calls: 0,
            failures: 0,
            last_error: None,
            overridden: None,
            versions: Vec::new(),
            trial: None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}
