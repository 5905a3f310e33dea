//! `metrics`: what Prometheus would get from applications, and what is wrong with it.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    client::AdminArgs,
    exit::{Exit, Failure},
    look::text,
    print::{print_json, print_text, table},
};

#[derive(Args, Debug)]
pub(super) struct Metrics {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the applications that Prometheus is told to scrape
    #[command(after_help = "Example:\n  jackfield metrics targets --json | jq '.[].labels.job'")]
    Targets(Targets),
    /// Scrape one application as Prometheus would: the page, and on standard error what is worth a word
    #[command(after_help = "Example:\n  jackfield metrics scrape orders | promtool check metrics")]
    Scrape(Scrape),
}

#[derive(Args, Debug)]
struct Targets {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Debug)]
struct Scrape {
    /// The name of the application, its uuid, or how the uuid begins
    app: String,
    /// Print JSON: page, series, seconds, findings
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Metrics {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.command {
            Command::Targets(command) => command.run(),
            Command::Scrape(command) => command.run(),
        }
    }
}

impl Targets {
    fn run(&self) -> Result<(), Failure> {
        let targets = targets(&self.admin)?;
        if self.json {
            return print_json(&targets);
        }
        let row = |target: &Value| {
            let labels = &target["labels"];
            vec![
                text(&labels["job"]),
                text(&labels["instance"]),
                text(&labels["__metrics_path__"]),
            ]
        };
        let rows: Vec<_> = targets.iter().map(row).collect();
        print_text(&table(&["JOB", "INSTANCE", "PATH"], &rows))
    }
}

impl Scrape {
    fn run(&self) -> Result<(), Failure> {
        let uuid = find(&targets(&self.admin)?, &self.app)?;
        let path = format!("/api/v1/metrics/scrape/{uuid}");
        let scraped = self.admin.client()?.read(&path);
        let scraped = scraped.map_err(|failure| Failure::new(Exit::Answered, failure))?;
        if self.json {
            return print_json(&scraped);
        }
        print_text(scraped["page"].as_str().unwrap_or_default())?;
        for line in remarks(&scraped) {
            eprintln!("{line}");
        }
        Ok(())
    }
}

fn targets(admin: &AdminArgs) -> Result<Vec<Value>, Failure> {
    let answer = admin.client()?.read("/api/v1/metrics/targets")?;
    Ok(answer["targets"].as_array().cloned().unwrap_or_default())
}

/// The one application that is meant.
fn find(targets: &[Value], app: &str) -> Result<String, Failure> {
    let is = |target: &&Value, label: &str| target["labels"][label] == app;
    let starts = |target: &&Value| {
        let uuid = target["labels"]["instance"].as_str();
        uuid.is_some_and(|uuid| uuid.starts_with(app))
    };
    let mut found: Vec<&Value> = targets.iter().filter(|it| is(it, "instance")).collect();
    if found.is_empty() {
        found = targets.iter().filter(|it| is(it, "job")).collect();
    }
    if found.is_empty() {
        found = targets.iter().filter(starts).collect();
    }
    let uuid = |target: &Value| text(&target["labels"]["instance"]);
    match found.as_slice() {
        [one] => Ok(uuid(one)),
        [] => Err(Failure::failed(format!(
            "no application {app:?} can be scraped; see `jackfield metrics targets`"
        ))),
        many => {
            let uuids: Vec<String> = many.iter().take(10).map(|target| uuid(target)).collect();
            let (count, uuids) = (many.len(), uuids.join(", "));
            Err(Failure::usage(format!(
                "{app:?} is {count} applications; name one of {uuids}"
            )))
        }
    }
}

/// What there is to say about a page.
fn remarks(scraped: &Value) -> Vec<String> {
    let series = &scraped["series"];
    let millis = scraped["seconds"].as_f64().unwrap_or_default() * 1e3;
    let mut lines = vec![format!("{series} series in {millis:.1} ms")];
    for finding in scraped["findings"].as_array().into_iter().flatten() {
        let place = match finding["line"].as_u64() {
            Some(line @ 1..) => format!("line {line}: "),
            _ => String::new(),
        };
        lines.push(format!("{place}{}", text(&finding["what"])));
    }
    if let Some(more @ 1..) = scraped["findings_left_out"].as_u64() {
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(job: &str, instance: &str) -> Value {
        json!({ "labels": { "job": job, "instance": instance } })
    }

    #[test]
    fn an_application_is_found_by_uuid_name_or_beginning() {
        let targets = [
            target("shop", "aa-1"),
            target("shop", "aa-2"),
            target("till", "bb-1"),
            target("aa-1", "cc-1"),
        ];
        for (app, found) in [
            ("aa-1", Ok("aa-1")),
            ("till", Ok("bb-1")),
            ("bb", Ok("bb-1")),
            ("shop", Err("is 2 applications; name one of aa-1, aa-2")),
            ("aa", Err("is 2 applications")),
            ("x", Err("no application \"x\" can be scraped")),
        ] {
            match (find(&targets, app), found) {
                (Ok(uuid), Ok(found)) => assert_eq!(uuid, found),
                (Err(failure), Err(text)) => {
                    assert!(failure.to_string().contains(text), "{failure}");
                }
                (got, _) => panic!("{app}: {got:?}"),
            }
        }
    }

    #[test]
    fn remarks_name_the_line() {
        let scraped = json!({
            "series": 3, "seconds": 0.0125, "findings_left_out": 2,
            "findings": [{ "line": 4, "what": "a\u{1b}[1m" }, { "line": 0, "what": "b" }],
        });
        assert_eq!(
            remarks(&scraped),
            [
                "3 series in 12.5 ms",
                "line 4: a\u{fffd}[1m",
                "b",
                "and 2 more"
            ]
        );
    }
}
