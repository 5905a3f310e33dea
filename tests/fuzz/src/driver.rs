//! Runs a target for a while: the same inputs from the same seed, and a file for one that fails.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{Target, mutate, random::Random, seeds::seeds_of};

/// One input that takes longer has found something, too.
const SLOW: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    pub name: &'static str,
    pub target: Target,
    pub seed: u64,
    pub time: Duration,
    /// Executions after which to stop, whatever the time.
    pub limit: u64,
    /// Where a failing input is written.
    pub failures: PathBuf,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Report {
    pub executions: u64,
    pub elapsed: Duration,
    /// The first input that failed, and its file.
    pub finding: Option<PathBuf>,
}

impl Run {
    /// The seeds as they are, then inputs made of them, until the time is up or one fails.
    pub fn run(&self) -> io::Result<Report> {
        let began = Instant::now();
        let seeds = seeds_of(self.name);
        let watch = Watch::start(self.clone());
        let mut executions = 0;
        let mut finding = None;
        while executions < self.limit
            && (executions < seeds.len() as u64 || began.elapsed() < self.time)
        {
            let input = self.input(&seeds, executions);
            executions += 1;
            watch.now(&input);
            if catch_unwind(AssertUnwindSafe(|| (self.target)(&input))).is_err() {
                finding = Some(self.keep(&input)?);
                break;
            }
        }
        watch.done();
        Ok(Report {
            executions,
            elapsed: began.elapsed(),
            finding,
        })
    }

    /// Number `index` depends on the seed and on nothing before it.
    fn input(&self, seeds: &[Vec<u8>], index: u64) -> Vec<u8> {
        if let Some(seed) = usize::try_from(index)
            .ok()
            .and_then(|index| seeds.get(index))
        {
            return seed.clone();
        }
        let mut random = Random::new(
            self.seed
                .wrapping_add(index.wrapping_mul(0xA24B_AED4_963E_E407)),
        );
        mutate::input(seeds, &mut random)
    }

    fn keep(&self, input: &[u8]) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.failures)?;
        let file = self
            .failures
            .join(format!("{}-{:016x}", self.name, fingerprint(input)));
        fs::write(&file, input)?;
        Ok(file)
    }
}

fn fingerprint(input: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    input.iter().fold(0xCBF2_9CE4_8422_2325, fold)
}

/// Ends the program when one input takes too long.
struct Watch(Arc<Mutex<Current>>);

/// The input that runs, and since when; none at the end.
type Current = Option<(Instant, Vec<u8>)>;

impl Watch {
    fn start(run: Run) -> Self {
        let current = Arc::new(Mutex::new(Some((Instant::now(), Vec::new()))));
        let theirs = Arc::clone(&current);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(1));
                let current = theirs.lock().unwrap_or_else(PoisonError::into_inner);
                let Some((since, input)) = &*current else {
                    return;
                };
                if since.elapsed() > SLOW {
                    let file = run.keep(input);
                    eprintln!(
                        "{}: one input takes more than {SLOW:?}; it is in {file:?}",
                        run.name
                    );
                    std::process::exit(1);
                }
            }
        });
        Self(current)
    }

    fn now(&self, input: &[u8]) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, bytes)) = &mut *current {
            *since = Instant::now();
            bytes.clear();
            bytes.extend_from_slice(input);
        }
    }

    fn done(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
