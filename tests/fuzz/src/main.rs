//! `jackfield-fuzz`: runs fuzz targets on stable Rust.

use std::{
    fs, io,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use jackfield_fuzz::{
    TARGETS, Target,
    driver::{Report, Run},
};

const HELP: &str = "\
jackfield-fuzz TARGET|all [--seconds N] [--seed N] [--executions N] [--failures FOLDER]
jackfield-fuzz TARGET --input FILE      one input again

  --seconds N       for each target (10)
  --seed N          the same seed gives the same inputs (from the clock)
  --executions N    stop after so many
  --failures FOLDER where a failing input is written (target/fuzz-failures)

Exits with 1 when a target found something. No coverage is measured: for that use cargo-fuzz, see
docs/robustness.md.

Example: cargo run -p jackfield-fuzz -- operations --seconds 60
";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            eprint!("jackfield-fuzz: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("jackfield-fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    seconds: f64,
    seed: u64,
    executions: u64,
    failures: PathBuf,
    input: Option<PathBuf>,
}

fn run(words: Vec<String>) -> io::Result<bool> {
    let mut words = words.into_iter();
    let name = words.next().ok_or_else(|| usage("say which target"))?;
    let options = options(words)?;
    let targets: Vec<(&'static str, Target)> = TARGETS
        .into_iter()
        .filter(|(known, _)| name == "all" || name == *known)
        .collect();
    if targets.is_empty() {
        let known = TARGETS.map(|(name, _)| name).join(", ");
        return Err(usage(&format!(
            "{name} is no target; there are: {known}, all"
        )));
    }
    if let Some(file) = &options.input {
        let input = fs::read(file)?;
        targets.iter().for_each(|(_, target)| target(&input));
        println!("{name}: nothing found");
        return Ok(true);
    }
    let mut clean = true;
    for (name, target) in targets {
        let run = Run {
            name,
            target,
            seed: options.seed,
            time: Duration::try_from_secs_f64(options.seconds)
                .map_err(|error| usage(&error.to_string()))?,
            limit: options.executions,
            failures: options.failures.clone(),
        };
        clean &= say(name, options.seed, &run.run()?);
    }
    Ok(clean)
}

fn say(name: &str, seed: u64, report: &Report) -> bool {
    let Report {
        executions,
        elapsed,
        finding,
    } = report;
    let seconds = elapsed.as_secs_f64();
    match finding {
        None => println!(
            "{name}: {executions} executions in {seconds:.1} s, seed {seed}, nothing found"
        ),
        Some(file) => println!(
            "{name}: FOUND after {executions} executions, seed {seed}; again with: jackfield-fuzz {name} --input {}",
            file.display()
        ),
    }
    finding.is_none()
}

fn options(mut words: impl Iterator<Item = String>) -> io::Result<Options> {
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut options = Options {
        seconds: 10.0,
        seed: clock.as_secs(),
        executions: u64::MAX,
        failures: PathBuf::from("target/fuzz-failures"),
        input: None,
    };
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| usage(&format!("{word} needs a value")))?;
        let bad = || usage(&format!("{word} {value}: not a number"));
        match word.as_str() {
            "--seconds" => options.seconds = value.parse().map_err(|_| bad())?,
            "--seed" => options.seed = value.parse().map_err(|_| bad())?,
            "--executions" => options.executions = value.parse().map_err(|_| bad())?,
            "--failures" => options.failures = value.into(),
            "--input" => options.input = Some(value.into()),
            _ => return Err(usage(&format!("{word} is not known"))),
        }
    }
    Ok(options)
}

fn usage(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
