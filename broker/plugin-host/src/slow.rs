//! One instance of a plugin for its slow hooks: asynchronous, so that its imports may wait.
//!
//! It is given up as soon as a call fails or is dropped half way; [`SlowInstance::is_broken`] says so, and its owner makes
//! a new one. Whoever polls it may be any executor; how long a call may wait is the caller's to bound, how much it may
//! compute is bounded here.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use wasmtime::{Store, component::InstancePre};

use crate::{
    Admission, App, Applicant, Event, Family, Hook, Outline, Part, Payload, Plugin, PluginError,
    Question, Scrape, Settings, Treatment, auth,
    bindings::{
        authenticator::{WithAuthenticator, WithAuthenticatorIndices},
        events::{WithEvents, WithEventsIndices},
        lifecycle_slow::WithLifecycleIndices,
        metrics_collector::{WithMetricsCollector, WithMetricsCollectorIndices},
    },
    engine::Watch,
    generation::START_DEADLINE,
    limits::{CpuLimit, Polls, counted},
    scrape,
    state::{State, arm, fault, first_line, store},
};

const LIFTED_BYTES_MAX: usize = 16 << 20;

/// What instances are made from: the linked component, and where its exports are.
pub(crate) struct SlowExports {
    linked: InstancePre<State>,
    watch: Arc<Watch>,
    lifecycle: WithLifecycleIndices,
    authenticator: Option<WithAuthenticatorIndices>,
    collector: Option<WithMetricsCollectorIndices>,
    events: Option<WithEventsIndices>,
}

impl SlowExports {
    /// Checks the types of the exports.
    pub(crate) fn of(
        linked: InstancePre<State>,
        watch: Arc<Watch>,
        outline: &Outline,
    ) -> Result<Self, PluginError> {
        let has = |hook| outline.hooks.contains(&hook).then_some(&linked);
        let checked = (|| {
            Ok(Self {
                lifecycle: WithLifecycleIndices::new(&linked)?,
                authenticator: has(Hook::Authenticator)
                    .map(WithAuthenticatorIndices::new)
                    .transpose()?,
                collector: has(Hook::MetricsCollector)
                    .map(WithMetricsCollectorIndices::new)
                    .transpose()?,
                events: has(Hook::Events).map(WithEventsIndices::new).transpose()?,
                linked: linked.clone(),
                watch,
            })
        })();
        checked.map_err(PluginError::mismatch)
    }
}

/// One configured instance.
pub struct SlowInstance {
    store: Store<State>,
    polls: Arc<Polls>,
    deadline: Duration,
    broken: bool,
    authenticator: Option<WithAuthenticator>,
    collector: Option<WithMetricsCollector>,
    events: Option<WithEvents>,
}

impl SlowInstance {
    /// Instantiates and configures. `memory_gauge` counts the linear memory of all instances that share it.
    pub async fn start(
        plugin: &Plugin,
        settings: &Settings,
        memory_gauge: Arc<AtomicU64>,
    ) -> Result<Self, PluginError> {
        let absent = || PluginError::Unavailable("implements no slow hook".into());
        let exports = plugin.slow.as_ref().ok_or_else(absent)?;
        plugin.outline().check_settings(&settings.json)?;
        let polls = Arc::new(Polls::default());
        let cpu = CpuLimit::polled(Arc::clone(&polls));
        let watch = Arc::clone(&exports.watch);
        let state = State::new(settings, memory_gauge, cpu, watch, LIFTED_BYTES_MAX);
        let mut this = Self {
            store: store(exports.linked.engine(), state),
            polls: Arc::clone(&polls),
            deadline: settings.limits.deadline,
            broken: false,
            authenticator: None,
            collector: None,
            events: None,
        };
        arm(&mut this.store, START_DEADLINE);
        counted(polls, this.configure(exports, &settings.json)).await?;
        Ok(this)
    }

    async fn configure(
        &mut self,
        exports: &SlowExports,
        settings: &str,
    ) -> Result<(), PluginError> {
        let store = &mut self.store;
        let linked = exports.linked.instantiate_async(&mut *store).await;
        let instance = linked.map_err(|error| fault(store, &error))?;
        let lifecycle = exports.lifecycle.load(&mut *store, &instance);
        let lifecycle = lifecycle.map_err(PluginError::mismatch)?;
        let lifecycle = lifecycle.jackfield_plugin_lifecycle();
        let configured = lifecycle.call_configure(&mut *store, settings).await;
        configured
            .map_err(|error| fault(store, &error))?
            .map_err(|message| PluginError::Refused(first_line(&message)))?;
        if let Some(indices) = &exports.authenticator {
            let hook = indices.load(&mut *store, &instance);
            self.authenticator = Some(hook.map_err(PluginError::mismatch)?);
        }
        if let Some(indices) = &exports.collector {
            let hook = indices.load(&mut *store, &instance);
            self.collector = Some(hook.map_err(PluginError::mismatch)?);
        }
        if let Some(indices) = &exports.events {
            let hook = indices.load(&mut *store, &instance);
            self.events = Some(hook.map_err(PluginError::mismatch)?);
        }
        Ok(())
    }

    /// Whether a call failed, or was dropped before it ended: then no other may follow.
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// The hook `authenticator`.
    pub async fn authenticate(&mut self, applicant: &Applicant) -> Result<Admission, PluginError> {
        let hook = self.authenticator.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_authenticator();
        let applicant = applicant.into();
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_authenticate(&mut self.store, &applicant);
        let outcome = counted(Arc::clone(&self.polls), called).await;
        let admission = auth::checked(self.ended(outcome)?);
        admission.map_err(nonsense)
    }

    /// The hook `metrics-collector`: what to say to an app that has connected.
    pub async fn greet(&mut self, app: &App) -> Result<Option<Question>, PluginError> {
        let hook = self.collector.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_metrics_collector();
        let app = app.clone().into_wit();
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_greet(&mut self.store, &app);
        let question = counted(Arc::clone(&self.polls), called).await;
        let question = self.ended(question)?;
        let question = question.map(|question| scrape::checked_question(question, true));
        question.transpose().map_err(nonsense)
    }

    /// The hook `metrics-collector`: what to ask an app.
    pub async fn ask(
        &mut self,
        app: &App,
        scrape: &Scrape,
    ) -> Result<Option<Question>, PluginError> {
        let hook = self.collector.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_metrics_collector();
        let (app, scrape) = (app.clone().into_wit(), scrape.into());
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_ask(&mut self.store, &app, &scrape);
        let question = counted(Arc::clone(&self.polls), called).await;
        let question = self.ended(question)?;
        let question = question.map(|question| scrape::checked_question(question, false));
        question.transpose().map_err(nonsense)
    }

    /// The hook `metrics-collector`: a reply as text, or in the guest's words why it is none.
    pub async fn read(
        &mut self,
        app: &App,
        context: &[u8],
        reply: Payload,
    ) -> Result<Result<Part, String>, PluginError> {
        let hook = self.collector.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_metrics_collector();
        let (app, reply) = (app.clone().into_wit(), reply.into());
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_read(&mut self.store, &app, context, &reply);
        let part = counted(Arc::clone(&self.polls), called).await;
        let part = self.ended(part)?;
        Ok(part.map(Into::into).map_err(|why| first_line(&why)))
    }

    /// The hook `metrics-collector`: what to do with a family.
    pub async fn on_family(
        &mut self,
        app: &App,
        family: &Family,
    ) -> Result<Treatment, PluginError> {
        let hook = self.collector.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_metrics_collector();
        let (app, family) = (app.clone().into_wit(), family.into());
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_on_family(&mut self.store, &app, &family);
        let treatment = counted(Arc::clone(&self.polls), called).await;
        scrape::checked_treatment(self.ended(treatment)?).map_err(nonsense)
    }

    /// The hook `metrics-collector`: what an app has sent by itself, as text.
    pub async fn on_push(
        &mut self,
        app: &App,
        pushed: Payload,
    ) -> Result<Result<Option<Part>, String>, PluginError> {
        let hook = self.collector.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_metrics_collector();
        let (app, pushed) = (app.clone().into_wit(), pushed.into());
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_on_push(&mut self.store, &app, &pushed);
        let part = counted(Arc::clone(&self.polls), called).await;
        let part = self.ended(part)?;
        Ok(part
            .map(|part| part.map(Into::into))
            .map_err(|why| first_line(&why)))
    }

    /// The hook `events`.
    pub async fn on_events(&mut self, events: &[Event], dropped: u64) -> Result<(), PluginError> {
        let hook = self.events.as_ref().ok_or_else(absent)?;
        let hook = hook.jackfield_plugin_events();
        let events: Vec<_> = events.iter().map(Into::into).collect();
        arm(&mut self.store, self.deadline);
        self.broken = true;
        let called = hook.call_on_events(&mut self.store, &events, dropped);
        let done = counted(Arc::clone(&self.polls), called).await;
        self.ended(done)
    }

    /// The call came back: in order, or with the reason why not.
    fn ended<R>(&mut self, result: wasmtime::Result<R>) -> Result<R, PluginError> {
        let result = result.map_err(|error| fault(&mut self.store, &error));
        self.broken = result.is_err();
        result
    }
}

fn absent() -> PluginError {
    PluginError::Unavailable("does not implement the hook it was asked for".into())
}

fn nonsense(why: &str) -> PluginError {
    PluginError::Answer(why.to_owned())
}
