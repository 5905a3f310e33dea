//! A hostile plugin in Rust (`tests/guests/hostile`): every misdeed in every hook, and what the host must say to it.
//!
//! What broken components do that no compiler makes is in `hostile.rs` and `hostile_hooks.rs`, in WAT.

use std::{
    fs,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use jackfield_plugin_host::{
    Admission, App, Applicant, Cache, Capability, CompileLimits, Compiler, Engine, Event, Fault,
    Format, Generation, Happening, Limits, Plugin, PluginError, Scrape, Settings, SlowInstance,
    Verdict,
};

use crate::{
    built::rust_guest,
    host::{Recorder, Zones, call},
};

/// The misdeed, the kind of error that comes of it, and a part of what the operator reads.
const MISDEEDS: [(&str, &str, &str); 6] = [
    ("trap", "trap", "unreachable"),
    ("loop", "deadline", "CPU time"),
    ("recursion", "trap", "stack"),
    ("memory", "memory", "raise `memory`"),
    ("giant", "trap", "handed over more than"),
    ("storm", "deadline", "CPU time"),
];

/// Room for a giant on the guest's side, and time to make one.
const LIMITS: Limits = Limits {
    deadline: Duration::from_millis(300),
    memory: 80 << 20,
};

fn component() -> Option<&'static [u8]> {
    static BUILT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    BUILT.get_or_init(|| rust_guest("hostile")).as_deref()
}

struct Villain {
    plugin: Arc<Plugin>,
    _engine: Engine,
}

impl Villain {
    /// Compiled once for all its misdeeds; none where it cannot be built.
    fn find() -> Option<Self> {
        let engine = Engine::new();
        let plugin = Plugin::load(&engine, &Compiler::here(), component()?, &Capability::ALL);
        Some(Self {
            plugin: Arc::new(plugin.unwrap()),
            _engine: engine,
        })
    }

    /// Misbehaves once, and is well from then on.
    fn once(&self, misdeed: &str) -> Generation {
        let settings = settings(&format!(r#"{{"misdeed":"{misdeed}","times":1}}"#));
        Generation::new(Arc::clone(&self.plugin), settings, 1).unwrap()
    }

    async fn slow_once(&self, misdeed: &str) -> Slow<'_> {
        let settings = settings(&format!(r#"{{"misdeed":"{misdeed}","times":1}}"#));
        let instance = SlowInstance::start(&self.plugin, &settings, Arc::default()).await;
        Slow {
            villain: self,
            instance: instance.unwrap(),
            settings,
        }
    }
}

fn settings(json: &str) -> Settings {
    Settings {
        name: "villain".into(),
        json: json.into(),
        limits: LIMITS,
        host: Arc::new(Recorder::default()),
        kv: Arc::default(),
    }
}

struct Slow<'a> {
    villain: &'a Villain,
    instance: SlowInstance,
    settings: Settings,
}

impl Slow<'_> {
    /// The next instance, as the broker makes one when it has given one up.
    async fn again(&mut self) -> &mut SlowInstance {
        assert!(self.instance.is_broken());
        let plugin = &self.villain.plugin;
        let next = SlowInstance::start(plugin, &self.settings, Arc::default()).await;
        self.instance = next.unwrap();
        &mut self.instance
    }
}

fn judged(hook: &str, misdeed: &str, error: &PluginError, kind: &str, text: &str) {
    let said = error.to_string();
    assert_eq!(error.kind(), kind, "{hook}, {misdeed}: {said}");
    assert!(said.contains(text), "{hook}, {misdeed}: {said}");
}

const LONG: Duration = Duration::from_secs(10);

#[test]
fn every_misdeed_in_a_hot_hook_costs_one_call() {
    let Some(villain) = Villain::find() else {
        return;
    };
    for (misdeed, kind, text) in MISDEEDS {
        let it = villain.once(misdeed);
        let error = it.on_request(&call(), LONG).decision.unwrap_err();
        judged("routing-filter", misdeed, &error, kind, text);
        let next = it.on_request(&call(), LONG).decision;
        assert_eq!(next.unwrap().verdict, Verdict::Pass, "{misdeed}");

        let it = villain.once(misdeed);
        let zones = Zones(&["eu", "us"]);
        let error = it.select(&call(), &zones, LONG).decision.unwrap_err();
        judged("endpoint-selector", misdeed, &error, kind, text);
        assert!(it.select(&call(), &zones, LONG).decision.is_ok());

        let it = villain.once(misdeed);
        let error = it.disturb(&call(), LONG).decision.unwrap_err();
        judged("chaos", misdeed, &error, kind, text);
        assert!(it.disturb(&call(), LONG).decision.is_ok());
    }
}

#[tokio::test]
async fn every_misdeed_in_a_slow_hook_costs_one_call() {
    let Some(villain) = Villain::find() else {
        return;
    };
    let applicant = Applicant {
        app: "villain".into(),
        ..Applicant::default()
    };
    let app = App {
        name: "villain".into(),
        ..App::default()
    };
    let scrape = Scrape {
        deadline_ms: 1_000,
        accepts: vec![Format::Text],
    };
    let came = [Event {
        sequence: 1,
        at: SystemTime::UNIX_EPOCH,
        what: Happening::AppConnected(app.clone()),
    }];
    for (misdeed, kind, text) in MISDEEDS {
        let mut it = villain.slow_once(misdeed).await;
        let error = it.instance.authenticate(&applicant).await.unwrap_err();
        judged("authenticator", misdeed, &error, kind, text);
        let admission = it.again().await.authenticate(&applicant).await.unwrap();
        assert!(matches!(admission, Admission::Admit(_)), "{admission:?}");

        let mut it = villain.slow_once(misdeed).await;
        let error = it.instance.ask(&app, &scrape).await.unwrap_err();
        judged("metrics-collector", misdeed, &error, kind, text);
        assert!(it.again().await.ask(&app, &scrape).await.is_ok());

        // Nothing comes back from an observer, so there is nothing that could be too large.
        if misdeed != "giant" {
            let mut it = villain.slow_once(misdeed).await;
            let error = it.instance.on_events(&came, 0).await.unwrap_err();
            judged("events", misdeed, &error, kind, text);
            assert!(it.again().await.on_events(&came, 0).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_start_without_end_is_killed() {
    let Some(villain) = Villain::find() else {
        return;
    };
    let settings = settings(r#"{"misdeed":"slow-start"}"#);
    let hot = Generation::new(Arc::clone(&villain.plugin), settings.clone(), 1);
    judged("hot", "slow-start", &hot.err().unwrap(), "deadline", "CPU");
    let slow = SlowInstance::start(&villain.plugin, &settings, Arc::default()).await;
    judged(
        "slow",
        "slow-start",
        &slow.err().unwrap(),
        "deadline",
        "CPU",
    );
}

/// What waits is for slow hooks: a hot one that reaches for it is told so, and nothing is sent.
#[test]
fn a_hot_hook_reaches_nobody_outside() {
    let Some(villain) = Villain::find() else {
        return;
    };
    for misdeed in [
        r#"{"call":"villain.Self.call"}"#,
        r#"{"http":"http://127.0.0.1/"}"#,
    ] {
        let settings = settings(&format!(r#"{{"misdeed":{misdeed}}}"#));
        let it = Generation::new(Arc::clone(&villain.plugin), settings, 1).unwrap();
        let decided = it.on_request(&call(), LONG).decision.unwrap();
        let Verdict::Refuse(refusal) = decided.verdict else {
            panic!("{decided:?}");
        };
        assert!(refusal.text.contains("Denied"), "{}", refusal.text);
        let plan = it.disturb(&call(), LONG).decision.unwrap();
        let Fault::Error(refusal) = &plan.faults[0].fault else {
            panic!("{plan:?}");
        };
        assert!(refusal.text.contains("Denied"), "{}", refusal.text);
    }
}

/// What is wrong with the component itself is told before any of it runs.
#[test]
fn a_component_that_wants_too_much_is_refused_by_name() {
    let Some(good) = component() else { return };
    let with = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        replaced(good, from.as_bytes(), to.as_bytes())
    };
    let load = |bytes: &[u8], grants: &[Capability]| {
        Plugin::load(&Engine::new(), &Compiler::here(), bytes, grants).map(drop)
    };
    for (bytes, grants, kind, text) in [
        (
            with("@0.1.0", "@0.7.0"),
            &Capability::ALL[..],
            "wrong_version",
            "@0.7.0",
        ),
        (
            with("plugin/kv@", "plugin/kw@"),
            &Capability::ALL,
            "unknown_import",
            "/kw@",
        ),
        (good.to_vec(), &[], "denied", "add \""),
    ] {
        let error = load(&bytes, grants).unwrap_err();
        judged("none", text, &error, kind, text);
    }
}

#[test]
fn what_takes_too_long_to_compile_or_was_tampered_with_is_not_run() {
    let Some(good) = component() else { return };
    let dir = tempfile::tempdir().unwrap();
    let load = |program: &str, limits: CompileLimits| {
        let compiler = Compiler::child(program, [], limits, Cache::open(dir.path()).unwrap());
        Plugin::load(&Engine::new(), &compiler, good, &Capability::ALL).map(drop)
    };
    let child = env!("CARGO_BIN_EXE_compile-child");
    let hasty = CompileLimits {
        wall: Duration::from_millis(1),
        ..CompileLimits::default()
    };
    let error = load(child, hasty).unwrap_err();
    assert!(matches!(error, PluginError::CompileStopped(_)), "{error}");
    load(child, CompileLimits::default()).unwrap();
    let compiled = { fs::read_dir(dir.path()).unwrap() }
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "code")
        });
    let compiled = compiled.unwrap();
    let mut bytes = fs::read(&compiled).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(&compiled).unwrap();
    fs::write(&compiled, bytes).unwrap();
    let nobody = load("/nonexistent", CompileLimits::default());
    assert!(
        nobody.is_err(),
        "it is compiled again, and nobody is there to do it"
    );
    load(child, CompileLimits::default()).unwrap();
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = { bytes.windows(from.len()) }
        .enumerate()
        .filter_map(|(at, found)| (found == from).then_some(at))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
