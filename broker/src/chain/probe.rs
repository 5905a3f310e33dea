//! Looks whether a plugin whose circuit is open works again: on a thread of its own, off the data
//! plane, with a copy of what it failed at.
//!
//! At most one probe per open circuit, and it ends with the circuit or with the chain.

use std::{
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use super::{case::Case, circuit, stage::Stage};

/// How soon a probe notices that its chain is gone.
const NAP: Duration = Duration::from_secs(1);

/// `pause`: before the first one.
pub(super) fn start(stage: &Arc<Stage>, case: Case, pause: Duration) {
    let name = Arc::clone(stage.name());
    let stage = Arc::downgrade(stage);
    let spawned = thread::Builder::new()
        .name("plugin-probe".into())
        .spawn(move || probe_until_it_passes(&stage, &case, pause));
    if let Err(error) = spawned {
        tracing::error!(plugin = %name, %error, "cannot probe a plugin; reload it to close its circuit");
    }
}

fn probe_until_it_passes(stage: &Weak<Stage>, case: &Case, mut pause: Duration) {
    while sleep_while_alive(stage, pause) {
        if stage.upgrade().is_none_or(|stage| stage.probe(case, pause)) {
            return;
        }
        pause = circuit::longer(pause);
    }
}

fn sleep_while_alive(stage: &Weak<Stage>, mut pause: Duration) -> bool {
    while !pause.is_zero() && stage.strong_count() > 0 {
        let nap = pause.min(NAP);
        thread::sleep(nap);
        pause -= nap;
    }
    stage.strong_count() > 0
}
