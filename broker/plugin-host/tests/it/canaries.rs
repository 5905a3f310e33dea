//! The same canary in three languages: built by the ordinary tools of each, alike in the host.
//!
//! A component that has not been built is skipped, and a line on standard error says how to build it.
//! Where everything must be there (`CI` or `JACKFIELD_TEST_ALL` is set) it fails instead.

use std::{env, fs, path::Path, sync::Arc, time::Duration};

use jackfield_plugin_host::{
    Call, Compiler, Engine, Entries, Generation, Limits, Plugin, PluginError, Rewrite, Settings,
    Share, Verdict,
};

use crate::host::{Recorder, call};

struct Canary {
    file: &'static str,
    build: &'static str,
    /// Interpreters bring their heap along.
    memory: u64,
}

const RUST: Canary = Canary {
    file: "plugins/target/wasm32-unknown-unknown/release/canary.wasm",
    build: "cargo run -- plugin build plugins/canary",
    memory: 2 << 20,
};
const JAVASCRIPT: Canary = Canary {
    file: "examples/plugins/canary-js/dist/canary.wasm",
    build: "cd examples/plugins/canary-js && npm install && npm run build",
    memory: 16 << 20,
};
const PYTHON: Canary = Canary {
    file: "examples/plugins/canary-py/dist/canary.wasm",
    build: "cd examples/plugins/canary-py && pip install -r requirements.txt && python build.py",
    memory: 64 << 20,
};

struct Loaded {
    plugin: Arc<Plugin>,
    memory: u64,
    _engine: Engine,
}

impl Canary {
    fn load(&self) -> Option<Loaded> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(self.file);
        let Ok(bytes) = fs::read(path) else {
            let all = ["CI", "JACKFIELD_TEST_ALL"].map(|name| env::var_os(name).is_some());
            assert!(
                !all.contains(&true),
                "{} is not built; build it with: scripts/setup, or: {}",
                self.file,
                self.build
            );
            eprintln!(
                "SKIPPED: {} is not built; build it with: {}",
                self.file, self.build
            );
            return None;
        };
        let engine = Engine::new();
        let plugin = Plugin::load(&engine, &Compiler::here(), &bytes, &[]).unwrap();
        Some(Loaded {
            plugin: Arc::new(plugin),
            memory: self.memory,
            _engine: engine,
        })
    }
}

impl Loaded {
    fn configure(&self, json: &str) -> Result<Generation, PluginError> {
        let settings = Settings {
            name: "canary".into(),
            json: json.into(),
            limits: Limits {
                deadline: Duration::from_millis(500),
                memory: self.memory,
            },
            host: Arc::new(Recorder::default()),
            kv: Arc::default(),
        };
        Generation::new(Arc::clone(&self.plugin), settings, 1)
    }
}

struct User(String);

impl Entries for User {
    fn tag(&self, key: &str) -> Option<&str> {
        (key == "user").then_some(&self.0)
    }

    fn entry(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

fn decide(generation: &Generation, call: &Call<'_>) -> Verdict {
    let decision = generation
        .on_request(call, Duration::from_secs(1))
        .decision
        .unwrap();
    assert!(decision.remember);
    decision.verdict
}

fn behaves(canary: &Canary) {
    let Some(it) = canary.load() else { return };
    assert!(it.plugin.outline().capabilities.is_empty());
    let to = |group: Option<&str>, version: Option<&str>| Rewrite {
        group: group.map(Into::into),
        version: version.map(Into::into),
        ..Rewrite::default()
    };

    let diced = it.configure(r#"{"percent": 30, "version": "2"}"#).unwrap();
    let share = Share {
        weight: 3_000,
        to: to(None, Some("2")),
    };
    assert_eq!(decide(&diced, &call()), Verdict::Split(vec![share]));

    // These are the same users in every language: the hash is the host's.
    let steady = it
        .configure(r#"{"percent": 30, "group": "b", "by": "tag:user"}"#)
        .unwrap();
    let diverted: Vec<bool> = (0..40)
        .map(|n| {
            match decide(
                &steady,
                &Call {
                    entries: &User(format!("user-{n}")),
                    ..call()
                },
            ) {
                Verdict::Rewrite(rewrite) => *rewrite == to(Some("b"), None),
                verdict => {
                    assert_eq!(verdict, Verdict::Pass);
                    false
                }
            }
        })
        .collect();
    assert_eq!(diverted.iter().filter(|is| **is).count(), DIVERTED_OF_40);
    assert_eq!(
        decide(
            &steady,
            &Call {
                entries: &User(String::new()),
                ..call()
            }
        ),
        Verdict::Pass
    );

    for (bad, complaint) in [
        (r#"{"percent": 300, "version": "2"}"#, "from 0 to 100"),
        (r#"{"percent": 3}"#, "`version`"),
        (
            r#"{"percent": 3, "version": "2", "by": "moon"}"#,
            "`tag:NAME`",
        ),
    ] {
        let error = it.configure(bad).err().unwrap();
        assert!(
            matches!(&error, PluginError::Refused(why) if why.contains(complaint)),
            "{error}"
        );
    }
}

const DIVERTED_OF_40: usize = 18;

#[test]
fn in_rust() {
    behaves(&RUST);
}

#[test]
fn in_javascript() {
    behaves(&JAVASCRIPT);
}

#[test]
fn in_python() {
    behaves(&PYTHON);
}
