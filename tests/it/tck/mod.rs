//! The technology compatibility kit of old, through the broker, with a driver of our own: a requester
//! and a responder that play scripts about items, order, ends, cancels and credit.
//!
//! ```text
//! script, served: what to play ─> player ─> call (requester) ─ cutter ─ broker ─ served (responder)
//! scenarios:      the same in our own words, and channels
//! ```
//!
//! The kit's own scripts are not part of this repository. They are read from the folder that
//! `JACKFIELD_TCK` names, else from `../shared/reference/tck` beside the repository; where there is
//! none the test says so.
//!
//! Invariants
//! - a script that is not played is named; the number of those that are is checked

mod call;
mod marble;
mod player;
mod scenarios;
mod script;
mod served;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;

use self::{
    player::{Stage, play},
    script::Script,
    served::{Responder, Served},
};
use crate::{
    broker::{Broker, Transport},
    interop::{root, say},
};

/// The kit's files, `clientNAME.txt` and `serverNAME.txt`, and how many scripts each has.
const KIT: [(&str, usize); 6] = [
    ("RequestResponseTests", 7),
    ("RequestStreamTests", 13),
    ("FireAndForgetTests", 2),
    ("test", 6),
    ("multipleclientstest", 4),
    ("Resumptiontest", 4),
];

#[test]
fn every_script_of_the_old_kit_passes() {
    let Some(folder) = folder() else {
        return;
    };
    let sets = KIT.map(|(name, count)| {
        let read = |role: &str| {
            let path = folder.join(format!("{role}{name}.txt"));
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let scripts = script::parse(&read("client")).expect("the kit's language");
        assert_eq!(scripts.len(), count, "{name}");
        let served = served::parse(&read("server")).expect("the kit's language");
        (name, served, scripts)
    });
    perform("the old kit's scripts", sets.into());
}

#[test]
fn every_scenario_of_our_own_passes() {
    let sets = [
        ("singles", scenarios::singles()),
        ("streams", scenarios::streams()),
        ("channels", scenarios::channels()),
        ("resumed", scenarios::resumed()),
    ];
    let sets = sets.map(|(name, scripts)| (name, scenarios::served(), scripts));
    perform("our own scenarios", sets.into());
}

/// A set is a responder and the scripts that are played against it.
type Set = (&'static str, Vec<Served>, Vec<Script>);

/// Plays everything at the same time, since much of it is waiting for silence.
fn perform(what: &str, sets: Vec<Set>) {
    let broker = Broker::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcomes = runtime.expect("a runtime").block_on(async {
        let all = join_all(sets.into_iter().map(|set| play_set(&broker, set)));
        let limited = tokio::time::timeout(Duration::from_secs(120), all);
        limited.await.expect("the scripts end").concat()
    });
    let faults: Vec<_> = outcomes
        .iter()
        .filter_map(|one| one.as_ref().err())
        .collect();
    let (played, passed) = (outcomes.len(), outcomes.len() - faults.len());
    say(&format!("tck: {what}: {passed} of {played} passed\n"));
    assert!(faults.is_empty(), "{faults:#?}\n{}", broker.errors());
}

async fn play_set(broker: &Broker, (name, served, scripts): Set) -> Vec<Result<(), String>> {
    let uri = broker.uri(Transport::Tcp);
    let plays = scripts.iter().enumerate().map(|(number, script)| {
        // What a responder has seen is counted, so no two scripts share one.
        let (service, served) = (format!("tck-{name}-{number}"), served.clone());
        async move {
            let responder = Responder::start(uri, &service, served).await;
            let stage = Stage {
                broker: uri,
                service: &service,
                sight: responder.sight.clone(),
            };
            play(&stage, script)
                .await
                .map_err(|why| format!("{name}: {why}"))
        }
    });
    join_all(plays).await
}

fn folder() -> Option<PathBuf> {
    let named = env::var_os("JACKFIELD_TCK").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| root().join("../shared/reference/tck"));
    if Path::is_dir(&folder) {
        return Some(folder);
    }
    let folder = folder.display();
    say(&format!(
        "SKIPPED tck: no folder {folder}; set JACKFIELD_TCK to where the kit's scripts are\n"
    ));
    None
}
