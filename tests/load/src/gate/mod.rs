//! The speed gate: the broker against a plain TCP forwarder and against NATS, in one run.
//!
//! ```text
//! for each scene:   start everything   process, world
//!   for each round: one cell for each system, the first one another each time
//!   stop everything
//! table, verdict    report
//! ```
//!
//! Invariants
//! - Only ratios within one round are compared: what else the machine does hits all systems alike.
//! - Every system gets the same generator, the same responder program, and one thread.
//! - A cell in which a call failed is no result: the gate fails.
//! - Only its own children are ended, and they end with it.

pub(crate) mod process;
mod report;
mod scene;
mod world;

use std::{io, path::PathBuf, thread, time::Duration};

use crate::{load::Load, tally::Tally};

pub(crate) use world::reach;

use self::{
    process::Scratch,
    report::Results,
    scene::{SCENES, Scene},
    world::{System, World},
};

const WARM_UP: Duration = Duration::from_millis(250);

/// What to run.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The broker's binary; without it the others are measured and nothing is judged.
    pub broker: Option<PathBuf>,
    pub rounds: usize,
    /// Length of the measured part of a cell.
    pub cell: Duration,
    /// Name of the only scene to run.
    pub only: Option<String>,
    pub json: bool,
}

impl Gate {
    /// Runs, prints, and tells whether every bar was reached.
    pub fn run(&self) -> io::Result<bool> {
        let scenes = self.scenes()?;
        let mut passed = true;
        for scene in scenes {
            let results = self.play(scene)?;
            if self.json {
                print!("{}", results.verdict_json());
            } else {
                print!("{}", results.table());
            }
            passed &= results.passed();
        }
        Ok(passed)
    }

    fn scenes(&self) -> io::Result<Vec<&'static Scene>> {
        let wanted = |scene: &&Scene| self.only.as_ref().is_none_or(|only| scene.name == only);
        let scenes: Vec<_> = SCENES.iter().filter(wanted).collect();
        if scenes.is_empty() || self.rounds == 0 {
            let text = "there is no such scene, or no rounds to run";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(scenes)
    }

    fn play(&self, scene: &'static Scene) -> io::Result<Results> {
        let scratch = Scratch::new(scene.name)?;
        let core = if scene.pinned {
            Some(process::last_core()?)
        } else {
            None
        };
        let world = World::start(scene, self.broker.as_deref(), core, &scratch)?;
        let mut results = Results::new(scene, self.rounds, self.cell);
        for round in 0..self.rounds {
            for turn in 0..world.systems.len() {
                let system = (round + turn) % world.systems.len();
                let tally = cell(scene, &world.systems[system], core, self.cell)?;
                if self.json {
                    println!(
                        "{}",
                        cell_json(scene, round, &world.systems[system], &tally)
                    );
                }
                results.add(world.systems[system].name, round, tally);
            }
            eprintln!("{}: round {} of {}", scene.name, round + 1, self.rounds);
        }
        Ok(results)
    }
}

/// One cell, on a thread of its own so that it can be pinned.
fn cell(
    scene: &Scene,
    system: &System,
    core: Option<usize>,
    duration: Duration,
) -> io::Result<Tally> {
    let mut load = Load::new(system.target.clone());
    load.connections = scene.connections;
    load.pace = crate::Pace::Closed {
        window: scene.window,
    };
    load.size = scene.size;
    load.warm_up = WARM_UP;
    load.watch = [system.relay, Some(system.responder)]
        .into_iter()
        .flatten()
        .collect();
    let thread = thread::spawn(move || {
        if let Some(core) = core {
            process::pin_this_thread(&core.to_string())?;
        }
        load.run(duration)
    });
    thread
        .join()
        .map_err(|_| io::Error::other("the caller's thread panicked"))?
}

fn cell_json(scene: &Scene, round: usize, system: &System, tally: &Tally) -> String {
    let (relay, responder) = report::watched(tally);
    format!(
        "{{\"scene\":\"{}\",\"round\":{round},\"system\":\"{}\",{},\"relay_cpu_us\":{relay:.3},\
         \"responder_cpu_us\":{responder:.3}}}",
        scene.name,
        system.name,
        tally.json_fields(),
    )
}
