//! Loads a component as the broker does, and asks it what a case says.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jackfield_plugin_host::{
    self as host, Capability, Compiler, Counter, Engine, Gauge, Generation, Hook, HostCalls, Level,
    Limits, Plugin, PluginError, Settings, SlowInstance,
};
use serde_json::{Value, json};

use crate::config::{parse_duration, parse_size};

use super::{
    answer, file,
    shown::{Shown, called, told},
};

/// A component that can be asked.
pub(super) struct Loaded {
    plugin: Arc<Plugin>,
    runtime: tokio::runtime::Runtime,
    _engine: Engine,
}

/// More than one call may take: cases ask one plugin only.
const CHAIN_DEADLINE: Duration = Duration::from_secs(60);
const SCRAPE_DEADLINE_MS: u32 = 10_000;

impl Loaded {
    pub(super) fn new(bytes: &[u8], plugin: &file::Plugin) -> Result<Self, String> {
        let grants = plugin.allow.iter().map(|name| {
            let named = |it: &Capability| it.name() == name;
            let known = Capability::ALL.into_iter().find(named);
            known.ok_or_else(|| format!("cannot be granted {name:?}: there is no such capability"))
        });
        let grants = grants.collect::<Result<Vec<_>, _>>()?;
        let engine = Engine::new();
        let plugin = Plugin::load(&engine, &Compiler::here(), bytes, &grants);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Ok(Self {
            plugin: Arc::new(plugin.map_err(|error| error.to_string())?),
            runtime: runtime.map_err(|error| error.to_string())?,
            _engine: engine,
        })
    }

    /// The complaint, when the case fails.
    pub(super) fn run(&self, plugin: &file::Plugin, case: &file::Case) -> Result<(), String> {
        let listener = Arc::new(Listener::default());
        let settings = Settings {
            name: "plugin".into(),
            json: case
                .settings
                .as_ref()
                .unwrap_or(&plugin.settings)
                .to_string()
                .into(),
            limits: Limits {
                deadline: parse_duration(&plugin.deadline)?,
                memory: parse_size(&plugin.memory)?,
            },
            host: Arc::clone(&listener) as Arc<dyn HostCalls>,
            kv: Arc::default(),
        };
        let (answer, remember) = match self.ask(case, settings) {
            Ok(answer) => answer,
            Err(Fault::Case(complaint)) => return Err(complaint),
            Err(Fault::Plugin(PluginError::Refused(why))) => {
                (json!({ "refused-settings": why }), None)
            }
            Err(Fault::Plugin(error)) => (json!({ "failed": error.to_string() }), None),
        };
        match &case.expect {
            Some(expected) if !answer::fits(expected, &answer) => {
                return Err(format!("expected {expected}, and it answered {answer}"));
            }
            None if answer.get("failed").is_some() || answer.get("refused-settings").is_some() => {
                return Err(format!("it answered {answer}"));
            }
            _ => {}
        }
        if case.remember.is_some() && case.remember != remember {
            let wanted = case.remember == Some(true);
            return Err(format!(
                "to be remembered: expected {wanted}, and the broker would say {}",
                !wanted
            ));
        }
        listener.heard(&case.logs)
    }

    /// What it answered, and whether that may be remembered.
    fn ask(&self, case: &file::Case, settings: Settings) -> Result<(Value, Option<bool>), Fault> {
        if case.applicant.is_some() || case.app.is_some() || case.events.is_some() {
            return Ok((self.runtime.block_on(self.ask_slow(case, settings))?, None));
        }
        let Some(request) = &case.request else {
            // A case may be about nothing but its settings.
            let started = match self.plugin.outline().hooks.iter().any(|hook| hook.is_hot()) {
                true => Generation::new(Arc::clone(&self.plugin), settings, 1).map(drop),
                false => self.runtime.block_on(self.start(&settings)).map(drop),
            };
            started?;
            return Ok((json!("done"), None));
        };
        let generation = Generation::new(Arc::clone(&self.plugin), settings, 1)?;
        let hook = self.hook(case)?;
        let call = called(request);
        let mut last = (Value::Null, None);
        for _ in 0..case.times {
            last = match (hook, &case.candidates) {
                (Hook::EndpointSelector, Some(all)) => {
                    let selection = generation.select(&call, &Shown(all), CHAIN_DEADLINE);
                    (answer::selection(&selection.decision?), None)
                }
                (Hook::Chaos, _) => {
                    let plan = generation.disturb(&call, CHAIN_DEADLINE).decision?;
                    (answer::plan(&plan), Some(plan.remember))
                }
                _ => {
                    let decision = generation.on_request(&call, CHAIN_DEADLINE).decision?;
                    (answer::verdict(&decision.verdict), Some(decision.remember))
                }
            };
        }
        Ok(last)
    }

    /// The hot hook that a case is about.
    fn hook(&self, case: &file::Case) -> Result<Hook, Fault> {
        let has = |hook: &Hook| self.plugin.implements(*hook);
        let fits = |hook: &Hook| match &case.hook {
            Some(name) => hook.name() == name,
            None => (*hook == Hook::EndpointSelector) == case.candidates.is_some(),
        };
        let mut hot = Hook::ALL.into_iter().filter(|hook| hook.is_hot());
        hot.find(|hook| has(hook) && fits(hook))
            .ok_or_else(|| Fault::Case("the plugin has no hook for such a case; see `hook`".into()))
    }

    async fn start(&self, settings: &Settings) -> Result<SlowInstance, PluginError> {
        SlowInstance::start(&self.plugin, settings, Arc::default()).await
    }

    async fn ask_slow(&self, case: &file::Case, settings: Settings) -> Result<Value, Fault> {
        let mut instance = self.start(&settings).await?;
        let mut last = Value::Null;
        for _ in 0..case.times {
            last = if let Some(applicant) = &case.applicant {
                answer::admission(&instance.authenticate(&applicant.into()).await?)
            } else if let Some(app) = &case.app {
                let app = app.into();
                let scrape = host::Scrape {
                    deadline_ms: SCRAPE_DEADLINE_MS,
                    accepts: vec![host::Format::Text],
                };
                let question = instance.ask(&app, &scrape).await?;
                match (&case.reply, question) {
                    (Some(reply), Some(question)) => {
                        let reply = host::Payload {
                            metadata: None,
                            data: reply.clone().into(),
                        };
                        answer::part(&instance.read(&app, &question.context, reply).await?)
                    }
                    (_, question) => answer::question(question.as_ref()),
                }
            } else {
                let events = case.events.iter().flatten().zip(1..);
                let events: Vec<host::Event> = events
                    .map(|(event, sequence)| told(event, sequence))
                    .collect();
                instance.on_events(&events, 0).await?;
                json!("done")
            };
        }
        Ok(last)
    }
}

/// Why there is no answer.
enum Fault {
    /// The case makes no sense.
    Case(String),
    Plugin(PluginError),
}

impl From<PluginError> for Fault {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error)
    }
}

impl From<Box<PluginError>> for Fault {
    fn from(error: Box<PluginError>) -> Self {
        Self::Plugin(*error)
    }
}

/// Hears what the plugin logs; counts nothing.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Listener {
    /// The complaint, when a line that must come did not.
    fn heard(&self, wanted: &[String]) -> Result<(), String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = lines.iter();
        match wanted
            .iter()
            .find(|part| !rest.any(|line| line.contains(&***part)))
        {
            None => Ok(()),
            Some(part) => Err(format!("expected {part:?} in its log, which is {lines:?}")),
        }
    }
}

impl HostCalls for Listener {
    fn log(&self, _: &str, level: Level, message: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(format!("{level:?} {message}"));
    }

    fn counter(&self, _: &str, _: &str) -> Option<Arc<dyn Counter>> {
        None
    }

    fn gauge(&self, _: &str, _: &str) -> Option<Arc<dyn Gauge>> {
        None
    }
}
