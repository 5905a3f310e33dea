//! What a routing filter costs on the request path: the bare call of the runtime, what the host adds to it, what the chain
//! adds with metrics and circuit, and four in a row; beside them an absent chain and a remembered verdict.
//!
//!     cargo bench --bench hooks
//!
//! Interleaved rounds in one run; medians, of what is added within each round. One guest passes everything without a look;
//! `builtin:canary` asks the host for one hash.

mod bare;
mod hosted;

use std::{
    cell::OnceCell,
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jackfield::chain::{
    Caller, ChainConfig, Chains, CompileWith, GuestCalls, Interaction, Loader, Mode, PluginConfig,
    Request, Source, Verdict, builtin_component,
};
use prometheus::Registry;

#[allow(
    dead_code,
    reason = "the vocabulary of the tests; not every word is used here"
)]
#[path = "../../plugin-host/tests/it/guests.rs"]
mod guests;

const ROUNDS: usize = 41;
const CALLS: u32 = 10_000;
const NO_CANARY: &str = "builtin:canary is left out of this build: no Wasm target was at hand";

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    without_guests(&chain(dir.path(), b"", "{}", 0).0);
    let pass = guests::Guest::new().component();
    with_guest("passes everything", dir.path(), &pass, "{}");
    let canary = r#"{"percent": 0, "version": "canary", "by": "app"}"#;
    match builtin_component("canary") {
        Some(component) => with_guest("builtin:canary", dir.path(), component, canary),
        None => println!("{NO_CANARY}"),
    }
}

fn without_guests(chains: &Chains) {
    // What a link does for a route whose verdict is remembered.
    let remembered = OnceCell::from(Verdict::Pass);
    let mut of = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        of[0].push(ns_per_call(|| {
            black_box(chains.load().concerns(black_box("com.example.User")));
        }));
        of[1].push(ns_per_call(|| {
            black_box(chains.load().disturbs(black_box("com.example.User")));
        }));
        of[2].push(ns_per_call(|| {
            black_box(black_box(&remembered).get().cloned());
        }));
        of[3].push(ns_per_call(|| {
            black_box(black_box(Instant::now()).elapsed());
        }));
    }
    let names = [
        "no filter: is anybody concerned?",
        "no chaos: does anybody disturb?",
        "a remembered verdict",
        "two readings of the clock",
    ];
    for (name, of) in names.into_iter().zip(of) {
        println!("{name:36} {:8.1} ns", median(of));
    }
}

fn with_guest(name: &str, dir: &Path, component: &[u8], settings: &str) {
    println!("a guest: {name}");
    let mut bare = bare::call(component, settings);
    let mut hosted = hosted::call(component, settings);
    let (one, four) = (
        chain(dir, component, settings, 1),
        chain(dir, component, settings, 4),
    );
    let mut of = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        of[0].push(ns_per_call(&mut bare));
        of[1].push(ns_per_call(&mut hosted));
        for (at, (chains, _)) in [(2, &one), (3, &four)] {
            of[at].push(ns_per_call(|| {
                let _ = black_box(chains.load().on_request(black_box(&request())));
            }));
        }
    }
    let [bare, hosted, one, four] = of;
    println!(
        "  {:34} {:8.1} ns",
        "bare call of the runtime",
        median(bare.clone())
    );
    for (name, of) in [
        ("with instance, deadline and checks", hosted),
        ("one filter, complete", one),
        ("four filters, complete", four),
    ] {
        let added = of.iter().zip(&bare).map(|(it, bare)| it - bare).collect();
        println!(
            "  {name:34} {:8.1} ns   {:+.1} ns",
            median(of),
            median(added)
        );
    }
}

fn chain(dir: &Path, component: &[u8], settings: &str, plugins: usize) -> (Arc<Chains>, Loader) {
    let file = dir.join("guest.wasm");
    std::fs::write(&file, component).expect("a file");
    let registry = Registry::new();
    let chains = Arc::new(Chains::new(&registry).expect("a registry of its own"));
    let host = Arc::new(GuestCalls::new(&registry).expect("a registry of its own"));
    let loader = Loader::new(Arc::clone(&chains), 1, CompileWith::Here, host);
    let plugin = |n| PluginConfig {
        name: format!("guest-{n}"),
        source: Source::File(file.clone()),
        order: 0,
        matches: Vec::new(),
        on_failure: None,
        deadline: Duration::from_millis(5),
        memory: 4 << 20,
        allow: Vec::new(),
        slow: Default::default(),
        outbound: Default::default(),
        mode: Mode::Live,
        sha256: None,
        signed_by: None,
        settings: serde_json::from_str(settings).expect("constant settings"),
    };
    let config = ChainConfig {
        chaos: true,
        deadline: Duration::from_millis(10),
        cache_dir: dir.join("cache"),
        kept_dir: None,
        plugins: (0..plugins).map(plugin).collect(),
    };
    loader.load(&config).expect("it loads");
    (chains, loader)
}

fn request() -> Request<'static> {
    Request {
        link: 1,
        interaction: Interaction::RequestResponse,
        group: "",
        service: "com.example.User",
        method: "find",
        version: "",
        endpoint: "",
        sticky: false,
        metadata: b"",
        caller: Caller {
            app: "shop",
            ..Caller::ANONYMOUS
        },
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
