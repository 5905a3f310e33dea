use std::{path::PathBuf, time::Duration};

use crate::{
    TARGETS,
    driver::{Report, Run},
    seeds::seeds_of,
};

fn run(name: &'static str, target: fn(&[u8]), limit: u64) -> Report {
    let failures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz-failures");
    let run = Run {
        name,
        target,
        seed: 1,
        time: Duration::from_secs(60),
        limit,
        failures,
    };
    run.run().expect("a folder for failures")
}

/// Every target over its seeds and over a few made from them.
#[test]
fn every_target_passes_over_its_seeds_and_their_neighbours() {
    for (name, target) in TARGETS {
        let seeds = seeds_of(name);
        assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
        let report = run(name, target, seeds.len() as u64 + 300);
        assert!(report.finding.is_none(), "{name}: {:?}", report.finding);
        assert_eq!(report.executions, seeds.len() as u64 + 300);
    }
}

/// A driver that cannot find anything would be worth nothing.
#[test]
fn what_fails_is_found_and_found_again() {
    fn planted(data: &[u8]) {
        assert!(data.len() < 7 || data[3] < 128);
    }
    let first = run("planted", planted, 100_000);
    let again = run("planted", planted, 100_000);
    assert!(first.executions < 1000);
    assert_eq!(
        (first.executions, &first.finding),
        (again.executions, &again.finding)
    );
    let file = first.finding.expect("it is found");
    let input = std::fs::read(&file).expect("its file");
    assert!(std::panic::catch_unwind(|| planted(&input)).is_err());
    std::fs::remove_file(file).expect("its file");
}
