//! Loads a component as the broker does, and asks it what a case says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use jackfield_plugin_host::{
    self as host, Call, Caller, Candidates, Capability, Compiler, Counter, Engine, Entries, Event,
    Facts, Gauge, Generation, Happening, Hook, HostCalls, Level, Limits, Plugin, PluginError,
    Settings, SlowInstance,
};
use serde_json::{Value, json};

use crate::config::{parse_duration, parse_size};

use super::{answer, file};

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
                    let selection = generation.select(0, &call, &Shown(all), CHAIN_DEADLINE);
                    (answer::selection(&selection.decision?), None)
                }
                (Hook::Chaos, _) => {
                    let plan = generation.disturb(0, &call, CHAIN_DEADLINE).decision?;
                    (answer::plan(&plan), Some(plan.remember))
                }
                _ => {
                    let decision = generation.on_request(0, &call, CHAIN_DEADLINE).decision?;
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
                let events: Vec<Event> = events
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

fn called(request: &file::Request) -> Call<'_> {
    Call {
        interaction: match request.interaction {
            file::Interaction::RequestResponse => host::Interaction::RequestResponse,
            file::Interaction::FireAndForget => host::Interaction::FireAndForget,
            file::Interaction::RequestStream => host::Interaction::Stream,
            file::Interaction::RequestChannel => host::Interaction::Channel,
        },
        sticky: request.sticky,
        group: &request.group,
        service: &request.service,
        method: &request.method,
        version: &request.version,
        endpoint: &request.endpoint,
        entries: request,
        caller: Caller {
            app: &request.app,
            instance: &request.instance,
            address: &request.address,
            principal: &request.principal,
            facts: request,
        },
        metadata: b"",
    }
}

impl Entries for file::Request {
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }

    fn entry(&self, mime: &str) -> Option<&[u8]> {
        self.entries.get(mime).map(String::as_bytes)
    }
}

impl Facts for file::Request {
    fn metadata(&self, key: &str) -> Option<&str> {
        self.app_metadata.get(key).map(String::as_str)
    }

    fn has(&self, key: &str, value: &str) -> bool {
        let values = self.attributes.get(key).into_iter().flatten();
        values.into_iter().any(|one| one == value)
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.first().map(String::as_str)
    }
}

struct Shown<'a>(&'a [file::Candidate]);

impl Candidates for Shown<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn uuid(&self, index: usize) -> String {
        self.0[index].uuid.clone()
    }

    fn app(&self, index: usize) -> String {
        self.0[index].app.clone()
    }

    fn ip(&self, index: usize) -> String {
        self.0[index].ip.clone()
    }

    fn tag(&self, index: usize, key: &str) -> Option<String> {
        let it = &self.0[index];
        match key {
            "uuid" => Some(it.uuid.clone()),
            "ip" => Some(it.ip.clone()),
            _ => it.tags.get(key).cloned(),
        }
    }

    fn has(&self, index: usize, key: &str, value: &str) -> bool {
        self.tag(index, key).as_deref() == Some(value)
    }

    fn power(&self, index: usize) -> u32 {
        self.0[index].power.unwrap_or(1)
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0[index].in_flight
    }
}

impl From<&file::Applicant> for host::Applicant {
    fn from(it: &file::Applicant) -> Self {
        let bearer = it.bearer.clone().map(host::Credential::Bearer);
        let simple = it.simple.clone();
        let simple = simple.map(|(user, password)| host::Credential::Simple { user, password });
        Self {
            app: it.app.clone(),
            uuid: it.uuid.clone(),
            address: it.address.clone(),
            transport: it.transport.clone(),
            credentials: bearer.into_iter().chain(simple).collect(),
            services: it.services.clone(),
            metadata: pairs(&it.metadata),
            renews: it.renews.clone(),
        }
    }
}

impl From<&file::App> for host::App {
    fn from(it: &file::App) -> Self {
        Self {
            uuid: it.uuid.clone(),
            name: it.name.clone(),
            ip: it.ip.clone(),
            address: it.address.clone(),
            transport: it.transport.clone(),
            sdk: it.sdk.clone(),
            principal: it.principal.clone(),
            services: it.services.clone(),
            metadata: pairs(&it.metadata),
        }
    }
}

fn told(event: &file::Event, sequence: u64) -> Event {
    let service = |name: &String| host::ServiceName {
        name: name.clone(),
        ..host::ServiceName::default()
    };
    let what = match event {
        file::Event::AppConnected(app) => Happening::AppConnected(app.into()),
        file::Event::AppGone { app, reason } => Happening::AppGone {
            app: app.into(),
            reason: reason.clone(),
        },
        file::Event::AppRefused {
            app,
            address,
            reason,
        } => Happening::AppRefused {
            app: app.clone(),
            address: address.clone(),
            reason: reason.clone(),
        },
        file::Event::ServiceRegistered { service: name, app } => Happening::ServiceRegistered {
            service: service(name),
            app: app.clone(),
        },
        file::Event::ServiceHidden { service: name, app } => Happening::ServiceHidden {
            service: service(name),
            app: app.clone(),
        },
        file::Event::DrainBegan(seconds) => Happening::DrainBegan { seconds: *seconds },
        file::Event::DrainEnded => Happening::DrainEnded,
        file::Event::Other { kind, facts } => Happening::Other {
            kind: kind.clone(),
            facts: pairs(facts),
        },
    };
    Event {
        sequence,
        at: UNIX_EPOCH,
        what,
    }
}

fn pairs(table: &BTreeMap<String, String>) -> Vec<(String, String)> {
    table
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
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
