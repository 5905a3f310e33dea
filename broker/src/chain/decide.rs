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
    Decision, FailurePolicy, PluginConfig, PluginView, Request, Split, Verdict,
    request::Route,
    stage::{Asked, Stage},
};

/// The plugins of one generation, in their order. It never changes.
pub struct Chain {
    generation: u64,
    deadline: Duration,
    stages: Vec<Arc<Stage>>,
    off: Vec<PluginConfig>,
    dice: Dice,
}

impl Chain {
    /// `stages` in the order in which they are asked.
    pub(super) fn new(
        generation: u64,
        deadline: Duration,
        stages: Vec<Arc<Stage>>,
        off: Vec<PluginConfig>,
    ) -> Self {
        Self {
            generation,
            deadline,
            stages,
            off,
            dice: Dice::default(),
        }
    }

    pub(super) fn empty() -> Self {
        Self::new(0, Duration::ZERO, Vec::new(), Vec::new())
    }

    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// No plugin is live.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Whether any plugin has to be asked about requests for this service.
    pub fn concerns(&self, service: &str) -> bool {
        self.stages.iter().any(|stage| stage.concerns(service))
    }

    /// Asks every plugin that the request concerns. Hot and synchronous: it runs in place, for at
    /// most the chain's deadline of CPU time.
    pub fn on_request(&self, request: &Request<'_>) -> Decision {
        let mut route = Route::new(request);
        let mut remember = true;
        let mut left = self.deadline;
        for (at, stage) in self.stages.iter().enumerate() {
            if !stage.concerns(route.service()) {
                continue;
            }
            let Asked { decision, spent } = stage.ask(request.thread, &route.call(), left);
            left = left.saturating_sub(spent);
            let Some(decision) = decision else {
                remember = false;
                match stage.on_failure() {
                    FailurePolicy::Open => continue,
                    FailurePolicy::Closed => return failed(stage),
                }
            };
            remember &= decision.remember;
            match decision.verdict {
                host::Verdict::Pass => {}
                host::Verdict::Rewrite(rewrite) => route.apply(rewrite),
                host::Verdict::Split(shares) => {
                    let split = Split::new(shares, &route.change);
                    if !self.concerns_outcome(&split, route.service(), at + 1) {
                        return Decision {
                            verdict: Verdict::Split(Arc::new(split)),
                            remember,
                        };
                    }
                    remember = false;
                    route.change = split.dice(self.dice.throw()).cloned().unwrap_or_default();
                }
                host::Verdict::Refuse(host::Refusal { code, text }) => {
                    return Decision {
                        verdict: Verdict::Refuse { code, text },
                        remember,
                    };
                }
                host::Verdict::Answer(host::Payload { metadata, data }) => {
                    let verdict = Verdict::Answer {
                        metadata: metadata.map(Into::into),
                        data: data.into(),
                    };
                    return Decision { verdict, remember };
                }
            }
        }
        let verdict = match route.change.is_empty() {
            true => Verdict::Pass,
            false => Verdict::Rewrite(route.change),
        };
        Decision { verdict, remember }
    }

    /// For operators: those that are asked in their order, then those that are off.
    pub fn views(&self) -> Vec<PluginView> {
        let live = self.stages.iter().map(|stage| stage.view(self.generation));
        let off = self.off.iter().map(|config| PluginView {
            generation: self.generation,
            ..PluginView::of_config(config)
        });
        live.chain(off).collect()
    }

    /// Whether a plugin from this place on has to be asked about what a split may come to.
    fn concerns_outcome(&self, split: &Split, service: &str, from: usize) -> bool {
        let concerns = |service: &str| self.stages[from..].iter().any(|s| s.concerns(service));
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

fn failed(stage: &Stage) -> Decision {
    let verdict = Verdict::Failed {
        plugin: Arc::clone(stage.name()),
    };
    Decision {
        verdict,
        remember: false,
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
