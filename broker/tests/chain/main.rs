//! Whole chains of real components: order, failure policy, circuit, reload, metrics.

#[allow(
    dead_code,
    reason = "the vocabulary of the plugin host's tests; not every word is used here"
)]
#[path = "../../plugin-host/tests/it/guests.rs"]
mod guests;

mod builtin;
mod circuit;
mod hot_hooks;
mod life;
mod order;
mod reload;
mod slow_hooks;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use jackfield::{
    chain::{
        Caller, Capability, ChainConfig, Chains, CompileWith, Decision, GuestCalls, Interaction,
        LoadErrors, Loader, Mode, PluginConfig, Request, Source, Watcher,
    },
    directory::ServicePattern,
};
use prometheus::Registry;

use crate::guests::Guest;

/// A chain, the files of its plugins, and its metrics.
struct Fixture {
    dir: tempfile::TempDir,
    registry: Registry,
    chains: Arc<Chains>,
    loader: Arc<Loader>,
    config: ChainConfig,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let chains = Arc::new(Chains::new(&registry).unwrap());
        let host = Arc::new(GuestCalls::new(&registry).unwrap());
        let loader = Loader::new(Arc::clone(&chains), 2, CompileWith::Here, host);
        let config = ChainConfig {
            chaos: true,
            deadline: Duration::from_secs(1),
            cache_dir: dir.path().join("cache"),
            kept_dir: Some(dir.path().join("plugins")),
            plugins: Vec::new(),
        };
        Self {
            dir,
            registry,
            chains,
            loader: Arc::new(loader),
            config,
        }
    }

    /// Adds a plugin behind the others and returns its configuration for changes.
    fn plugin(&mut self, name: &str, guest: &Guest) -> &mut PluginConfig {
        let path = self.write(name, guest);
        self.config.plugins.push(PluginConfig {
            name: name.into(),
            source: Source::File(path),
            order: self.config.plugins.len() as i32,
            matches: Vec::new(),
            on_failure: None,
            deadline: Duration::from_millis(5),
            memory: 1 << 20,
            allow: Capability::ALL.to_vec(),
            slow: Default::default(),
            outbound: Default::default(),
            mode: Mode::Live,
            sha256: None,
            signed_by: None,
            settings: serde_json::Value::Null,
        });
        self.config.plugins.last_mut().unwrap()
    }

    fn write(&self, name: &str, guest: &Guest) -> PathBuf {
        let path = self.dir.path().join(name).with_extension("wasm");
        fs::write(&path, guest.component()).unwrap();
        path
    }

    fn load(&self) -> Result<u64, LoadErrors> {
        self.loader.load(&self.config)
    }

    fn watch(&self) -> Watcher {
        let config = Arc::new(Mutex::new(self.config.clone()));
        Watcher::start(Arc::clone(&self.loader), config, Vec::new(), |_| ()).unwrap()
    }

    fn ask(&self) -> Decision {
        self.ask_about(&request())
    }

    fn ask_about(&self, request: &Request<'_>) -> Decision {
        self.chains.load().on_request(request)
    }

    /// The value of the one series that has all these labels.
    fn metric(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|f| f.name() == family)
            .expect("the family exists");
        let fits = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                metric
                    .get_label()
                    .iter()
                    .any(|l| l.name() == *name && l.value() == *value)
            })
        };
        let metric = family
            .get_metric()
            .iter()
            .find(fits)
            .expect("the series exists");
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

fn request() -> Request<'static> {
    Request {
        link: 7,
        interaction: Interaction::RequestResponse,
        group: "",
        service: "com.example.User",
        method: "find",
        version: "1",
        endpoint: "",
        sticky: false,
        metadata: b"",
        caller: Caller {
            app: "shop",
            ..Caller::ANONYMOUS
        },
    }
}

fn pattern(pattern: &str) -> Vec<ServicePattern> {
    vec![ServicePattern::new(pattern)]
}

/// Waits for something that another thread does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where guests put text; they refuse or rewrite with it.
const TEXT: u32 = 4096;

/// Refuses everything with this text.
fn refuses(text: &str) -> Guest {
    Guest::new()
        .data(TEXT, text.as_bytes())
        .always(3, &[0x201, TEXT, text.len() as u32], true)
}

/// The words of a rewrite of the service or the version to the text at [`TEXT`].
fn rewrite_words(service: bool, len: u32) -> Vec<u32> {
    let to = [1, TEXT, len];
    let mut words = vec![0; 18];
    words[if service { 3..6 } else { 9..12 }].copy_from_slice(&to);
    words
}

fn rewrites_version(to: &str) -> Guest {
    let words = rewrite_words(false, to.len() as u32);
    Guest::new()
        .data(TEXT, to.as_bytes())
        .always(1, &words, true)
}

fn rewrites_service(to: &str) -> Guest {
    let words = rewrite_words(true, to.len() as u32);
    Guest::new()
        .data(TEXT, to.as_bytes())
        .always(1, &words, true)
}

/// Sends this much of 10000 to the version.
fn splits(weight: u32, to: &str) -> Guest {
    let mut share = vec![weight];
    share.extend(rewrite_words(false, to.len() as u32));
    Guest::new()
        .data(TEXT, to.as_bytes())
        .words(4200, &share)
        .always(2, &[4200, 1], true)
}

/// Refuses with the version it sees.
fn tells_version() -> Guest {
    Guest::new()
        .import("request", "version", "get", "(param i32)")
        .on_request(
            "(call $get (i32.const 3000))
        (i32.store8 (i32.const 2048) (i32.const 3))
        (i32.store (i32.const 2052) (i32.const 0x201))
        (i32.store (i32.const 2056) (i32.load (i32.const 3000)))
        (i32.store (i32.const 2060) (i32.load (i32.const 3004)))
        (i32.store8 (i32.const 2124) (i32.const 1))
        (i32.const 2048)",
        )
}
