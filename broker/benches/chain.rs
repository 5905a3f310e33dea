//! What a chain costs on the request path: none, one plugin complete with metrics, and four.
//!
//!     cargo bench -p jackfield --bench chain
//!
//! Interleaved rounds in one run; medians. The guests pass everything. Beside it, `hooks` of jackfield-plugin-host has
//! the bare call of the runtime.

use std::{
    fs,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield::chain::{
    Caller, ChainConfig, Chains, CompileWith, GuestCalls, Interaction, Loader, Mode, PluginConfig,
    Request, Source, Verdict,
};
use prometheus::Registry;

#[allow(
    dead_code,
    reason = "the vocabulary of the tests; not every word is used here"
)]
#[path = "../plugin-host/tests/it/guests.rs"]
mod guests;

const ROUNDS: usize = 41;
const CALLS: u32 = 10_000;

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pass.wasm");
    fs::write(&file, guests::Guest::new().component()).expect("a file");
    let chains = [0, 1, 4].map(|plugins| chain(&file, plugins));
    let mut of = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        of[0].push(ns_per_call(|| {
            black_box(chains[0].0.load().concerns(black_box("com.example.User")));
        }));
        of[1].push(ns_per_call(|| {
            let chain = chains[0].0.load();
            black_box(chain.disturbs(black_box("com.example.User")));
        }));
        for (at, chain) in [(2, &chains[1]), (3, &chains[2])] {
            of[at].push(ns_per_call(|| {
                let _ = black_box(chain.0.load().on_request(black_box(&request())));
            }));
        }
        // What a link does for a route whose verdict is remembered.
        let remembered = std::cell::OnceCell::from(Verdict::Pass);
        of[4].push(ns_per_call(|| {
            black_box(black_box(&remembered).get().cloned());
        }));
    }
    let names = [
        "no filter: is anybody concerned?",
        "no chaos: does anybody disturb?",
        "one filter, complete",
        "four filters, complete",
        "a remembered verdict",
    ];
    for (name, of) in names.into_iter().zip(of) {
        println!("{name:36} {:8.1} ns", median(of));
    }
}

fn chain(file: &std::path::Path, plugins: usize) -> (Arc<Chains>, Loader) {
    let registry = Registry::new();
    let chains = Arc::new(Chains::new(&registry).expect("a registry of its own"));
    let host = Arc::new(GuestCalls::new(&registry).expect("a registry of its own"));
    let loader = Loader::new(Arc::clone(&chains), 1, CompileWith::Here, host);
    let plugin = |n| PluginConfig {
        name: format!("pass-{n}"),
        source: Source::File(file.to_owned()),
        order: 0,
        matches: Vec::new(),
        on_failure: None,
        deadline: Duration::from_millis(5),
        memory: 1 << 20,
        allow: Vec::new(),
        slow: Default::default(),
        outbound: Default::default(),
        mode: Mode::Live,
        sha256: None,
        signed_by: None,
        settings: serde_json::Value::Null,
    };
    let config = ChainConfig {
        chaos: true,
        deadline: Duration::from_millis(10),
        cache_dir: file.with_extension("cache"),
        kept_dir: None,
        plugins: (0..plugins).map(plugin).collect(),
    };
    loader.load(&config).expect("it loads");
    (chains, loader)
}

fn request() -> Request<'static> {
    Request {
        thread: 0,
        link: 1,
        interaction: Interaction::RequestResponse,
        group: "",
        service: "com.example.User",
        method: "find",
        version: "",
        endpoint: "",
        sticky: false,
        metadata: b"",
        caller: Caller::ANONYMOUS,
    }
}

fn ns_per_call(mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
