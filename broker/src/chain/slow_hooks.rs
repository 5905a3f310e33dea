//! The hooks that may wait, as the rooms above ask them.

use std::sync::Arc;

use jackfield_plugin_host::{
    Admission, App, Applicant, Event, Family, Hook, Part, Payload, Principal, Question, Refusal,
    Scrape, Treatment,
};

use super::{
    Chain, FailurePolicy,
    case::Case,
    metrics::Metrics,
    outcome::CallOutcome,
    slow::{
        Teller, Threads,
        hooks::{AskFor, Authenticate, Greet, Pushed, Read, Review, Tell},
    },
    stage::Stage,
};

/// What the authenticators said to an applicant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// None of them has an opinion: the broker's own rules hold.
    Unknown,
    As(Principal),
    Refused(Refusal),
    /// This plugin could not answer, and its policy is closed.
    Failed(Arc<str>),
}

impl Chain {
    /// Whether any plugin has to be asked who an app is.
    pub fn authenticates(&self) -> bool {
        !self.authenticators.is_empty()
    }

    /// Asks the authenticators in their order; the first that has an opinion decides. Waits for at most each plugin's
    /// `timeout`. Hold the chain with [`super::Chains::current`].
    pub async fn authenticate(&self, applicant: Applicant) -> Admitted {
        let applicant = Arc::new(applicant);
        for stage in &self.authenticators {
            let asked = Authenticate(Arc::clone(&applicant));
            let case = || Case::Authenticate(Arc::clone(&applicant));
            let hook = Hook::Authenticator;
            match stage.run(hook, asked, outcome_of_admission, case).await {
                _ if stage.is_shadow() => {}
                Some(Admission::Abstain) => {}
                Some(Admission::Admit(principal)) => return Admitted::As(principal),
                Some(Admission::Refuse(refusal)) => return Admitted::Refused(refusal),
                None => match stage.on_failure(hook) {
                    FailurePolicy::Open => {}
                    FailurePolicy::Closed => return Admitted::Failed(Arc::clone(stage.name())),
                },
            }
        }
        Admitted::Unknown
    }

    /// The plugins that fetch metrics, in their order: ask each with [`Collector::ask`] until one knows the app.
    pub fn collectors(&self) -> impl Iterator<Item = Collector> {
        { self.collectors.iter() }
            .filter(|stage| !stage.is_shadow())
            .map(|stage| Collector(Arc::clone(stage)))
    }
}

/// A plugin that fetches metrics. It may be held while its plugin is swapped.
#[derive(Clone)]
pub struct Collector(Arc<Stage>);

/// A collector could not answer; the metrics and the log say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin failed")]
pub struct CollectorFailed;

impl Collector {
    pub fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    /// Whether a failure of [`Collector::ask`] ends the matter; else the next collector is asked.
    pub fn fails_closed(&self) -> bool {
        self.0.on_failure(Hook::MetricsCollector) == FailurePolicy::Closed
    }

    /// What to say to an app that has connected.
    pub async fn greet(&self, app: &Arc<App>) -> Result<Option<Question>, CollectorFailed> {
        let outcome = |question: &Option<_>| outcome_of_option(question.is_some());
        self.run(app, Greet(Arc::clone(app)), outcome).await
    }

    /// What to ask an app; none: it is not an app of this plugin.
    pub async fn ask(
        &self,
        app: &Arc<App>,
        scrape: Scrape,
    ) -> Result<Option<Question>, CollectorFailed> {
        let outcome = |question: &Option<_>| outcome_of_option(question.is_some());
        self.run(app, AskFor(Arc::clone(app), scrape), outcome)
            .await
    }

    /// A reply, or one item of it, as text; or in the plugin's words why it is none.
    pub async fn read(
        &self,
        app: &Arc<App>,
        context: Arc<[u8]>,
        reply: Payload,
    ) -> Result<Result<Part, String>, CollectorFailed> {
        let read = Read {
            app: Arc::clone(app),
            context,
            reply,
        };
        self.run(app, read, outcome_of_result).await
    }

    /// What to do with a family.
    pub async fn on_family(
        &self,
        app: &Arc<App>,
        family: Family,
    ) -> Result<Treatment, CollectorFailed> {
        let review = Review(Arc::clone(app), family);
        self.run(app, review, |_| CallOutcome::Done).await
    }

    /// What an app has sent by itself, as text.
    pub async fn on_push(
        &self,
        app: &Arc<App>,
        pushed: Payload,
    ) -> Result<Result<Option<Part>, String>, CollectorFailed> {
        self.run(app, Pushed(Arc::clone(app), pushed), outcome_of_result)
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        app: &Arc<App>,
        asked: impl super::slow::hooks::Ask<T>,
        outcome_of: impl FnOnce(&T) -> CallOutcome,
    ) -> Result<T, CollectorFailed> {
        let case = || Case::Collect(Arc::clone(app));
        let run = self.0.run(Hook::MetricsCollector, asked, outcome_of, case);
        run.await.ok_or(CollectorFailed)
    }
}

/// A plugin that is told what happens.
pub(super) struct Observer(Teller);

impl Observer {
    pub(super) fn start(threads: &Threads, stage: &Arc<Stage>, metrics: &Metrics) -> Self {
        let dropped = metrics.events_dropped(stage.name());
        // What is queued when the chain is swapped is still told, by the plugin that was there.
        let stage = Arc::clone(stage);
        Self(Teller::start(threads, dropped, move |events, dropped| {
            let stage = Arc::clone(&stage);
            async move {
                let asked = Tell(events, dropped);
                let told = stage.run(
                    Hook::Events,
                    asked,
                    |()| CallOutcome::Done,
                    || Case::Observe,
                );
                // A failure has been counted and logged.
                let _ = told.await;
            }
        }))
    }

    pub(super) fn tell(&self, event: &Arc<Event>) {
        self.0.tell(event);
    }
}

const fn outcome_of_admission(admission: &Admission) -> CallOutcome {
    match admission {
        Admission::Abstain => CallOutcome::Pass,
        Admission::Admit(_) => CallOutcome::Admit,
        Admission::Refuse(_) => CallOutcome::Refuse,
    }
}

const fn outcome_of_option(is_some: bool) -> CallOutcome {
    match is_some {
        true => CallOutcome::Done,
        false => CallOutcome::Pass,
    }
}

const fn outcome_of_result<T>(result: &Result<T, String>) -> CallOutcome {
    match result {
        Ok(_) => CallOutcome::Done,
        Err(_) => CallOutcome::Refuse,
    }
}
