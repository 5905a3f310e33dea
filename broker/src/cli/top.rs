//! `top`: applications, services and plugins, busiest first, with what happens each second.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};

use crate::config::parse_duration;

use super::{
    client::{AdminArgs, AdminClient},
    exit::Failure,
    look::text,
    print::{print_json, print_text, table},
};

/// Moves to the upper left corner and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield top\n  jackfield top --once --json | jq '.services[0]'\n\n\
                  Ends with Ctrl-C. Rates are those of the last interval."
)]
pub(super) struct Top {
    /// One frame, then end
    #[arg(long)]
    once: bool,
    /// Print JSON: one object for each frame
    #[arg(long)]
    json: bool,
    /// Between two frames
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
    /// Rows of each table
    #[arg(long, value_name = "N", default_value_t = 20)]
    rows: usize,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What the broker says at one moment.
struct Sample {
    at: Instant,
    apps: Vec<Value>,
    services: Vec<Value>,
    plugins: Vec<Value>,
    connections: usize,
    /// By service: calls, and those among them that did not end well.
    calls: BTreeMap<String, Calls>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Calls {
    all: f64,
    failed: f64,
}

impl Top {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let client = self.admin.client()?;
        let mut before = Sample::take(&client)?;
        loop {
            thread::sleep(self.interval);
            let now = Sample::take(&client)?;
            self.show(&frame(&before, &now))?;
            if self.once {
                return Ok(());
            }
            before = now;
        }
    }

    fn show(&self, frame: &Value) -> Result<(), Failure> {
        if self.json {
            return print_json(frame);
        }
        let clear = if self.once { "" } else { CLEAR };
        print_text(&format!("{clear}{}", drawn(frame, self.rows)))
    }
}

impl Sample {
    fn take(client: &AdminClient) -> Result<Self, Failure> {
        let list = |name: &str| {
            let answer = client.read(&format!("/api/v1/{name}"))?;
            Ok::<_, Failure>(answer[name].as_array().cloned().unwrap_or_default())
        };
        let mut calls = BTreeMap::<String, Calls>::new();
        for call in list("calls")? {
            let count = call["count"].as_f64().unwrap_or_default();
            let of = calls.entry(text(&call["service"])).or_default();
            of.all += count;
            if call["outcome"] != "ok" {
                of.failed += count;
            }
        }
        Ok(Self {
            apps: list("apps")?,
            services: list("services")?,
            plugins: list("plugins")?,
            connections: list("connections")?.len(),
            calls,
            at: Instant::now(),
        })
    }
}

/// What has happened between two samples.
fn frame(before: &Sample, now: &Sample) -> Value {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
    // A broker that was started again counts from the beginning.
    let rate = |was: f64, is: f64| ((is - was).max(0.0) / seconds * 10.0).round() / 10.0;
    let mut services: BTreeMap<String, usize> = BTreeMap::new();
    for service in &now.services {
        let instances = service["instances"].as_array().map_or(0, Vec::len);
        *services.entry(text(&service["service"])).or_default() += instances;
    }
    for service in now.calls.keys() {
        services.entry(service.clone()).or_default();
    }
    let total = |sample: &Sample| sample.calls.values().map(|calls| calls.all).sum::<f64>();
    let mut rows: Vec<Value> = services
        .into_iter()
        .map(|(service, instances)| {
            let was = before.calls.get(&service).copied().unwrap_or_default();
            let is = now.calls.get(&service).copied().unwrap_or_default();
            json!({
                "service": service, "instances": instances,
                "calls_per_second": rate(was.all, is.all),
                "failed_per_second": rate(was.failed, is.failed),
            })
        })
        .collect();
    busiest(&mut rows, "calls_per_second");
    let plugin = |plugin: &Value| {
        let known = before
            .plugins
            .iter()
            .find(|old| old["name"] == plugin["name"]);
        let of =
            |it: Option<&Value>, key: &str| it.and_then(|it| it[key].as_f64()).unwrap_or_default();
        json!({
            "plugin": plugin["name"], "state": plugin["state"], "generation": plugin["generation"],
            "calls_per_second": rate(of(known, "calls"), of(Some(plugin), "calls")),
            "failed_per_second": rate(of(known, "failures"), of(Some(plugin), "failures")),
        })
    };
    let app = |app: &Value| {
        json!({
            "app": app["name"], "uuid": app["uuid"], "remote": app["remote"], "in_flight": app["in_flight"],
            "services": app["services"].as_array().map_or(0, Vec::len),
        })
    };
    let mut apps: Vec<Value> = now.apps.iter().map(app).collect();
    busiest(&mut apps, "in_flight");
    let mut plugins: Vec<Value> = now.plugins.iter().map(plugin).collect();
    busiest(&mut plugins, "calls_per_second");
    json!({
        "connections": now.connections,
        "calls_per_second": rate(total(before), total(now)),
        "services": rows, "apps": apps, "plugins": plugins,
    })
}

fn busiest(rows: &mut [Value], by: &str) {
    let number = |row: &Value| row[by].as_f64().unwrap_or_default();
    rows.sort_by(|a, b| number(b).total_cmp(&number(a)));
}

/// The columns of a table: what stands above each, and where it is.
type Columns = [(&'static str, &'static str)];

fn drawn(frame: &Value, rows_max: usize) -> String {
    let draw = |list: &str, columns: &Columns| {
        let all = frame[list]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let row = |row: &Value| columns.iter().map(|(_, key)| text(&row[*key])).collect();
        let rows: Vec<Vec<String>> = all.iter().take(rows_max).map(row).collect();
        let head: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
        let more = match all.len().saturating_sub(rows_max) {
            0 => String::new(),
            more => format!("and {more} more\n"),
        };
        format!("\n{}{more}", table(&head, &rows))
    };
    let count = |list: &str| frame[list].as_array().map_or(0, Vec::len);
    let (apps, services, plugins) = (count("apps"), count("services"), count("plugins"));
    let (connections, calls) = (
        text(&frame["connections"]),
        text(&frame["calls_per_second"]),
    );
    let mut drawn = format!(
        "connections {connections} · apps {apps} · services {services} · plugins {plugins} · calls/s {calls}\n"
    );
    drawn += &draw(
        "services",
        &[
            ("SERVICE", "service"),
            ("INSTANCES", "instances"),
            ("CALLS/S", "calls_per_second"),
            ("FAILED/S", "failed_per_second"),
        ],
    );
    drawn += &draw(
        "apps",
        &[
            ("APP", "app"),
            ("IN FLIGHT", "in_flight"),
            ("SERVICES", "services"),
            ("REMOTE", "remote"),
        ],
    );
    if plugins > 0 {
        drawn += &draw(
            "plugins",
            &[
                ("PLUGIN", "plugin"),
                ("STATE", "state"),
                ("GENERATION", "generation"),
                ("CALLS/S", "calls_per_second"),
                ("FAILED/S", "failed_per_second"),
            ],
        );
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, calls: &[(&str, f64, f64)], plugin_calls: u64) -> Sample {
        let app = |name: &str, in_flight: u64| {
            json!({
                "name": name, "uuid": "u", "remote": "127.0.0.1", "in_flight": in_flight, "services": ["a", "b"],
            })
        };
        let calls = calls.iter().map(|(service, all, failed)| {
            let calls = Calls {
                all: *all,
                failed: *failed,
            };
            ((*service).to_owned(), calls)
        });
        Sample {
            at,
            apps: vec![app("idle", 0), app("busy\u{1b}[2J", 3)],
            services: vec![json!({ "service": "a", "instances": ["u", "v"] })],
            plugins: vec![json!({
                "name": "canary", "state": "live", "generation": 2, "calls": plugin_calls, "failures": 0,
            })],
            connections: 4,
            calls: calls.collect(),
        }
    }

    #[test]
    fn a_frame_has_the_rates_between_two_samples_busiest_first() {
        let at = Instant::now();
        let before = sample(at, &[("a", 100.0, 1.0), ("b", 50.0, 0.0)], 10);
        let later = at + Duration::from_secs(2);
        let now = sample(
            later,
            &[("a", 110.0, 2.0), ("b", 90.0, 0.0), ("c", 0.0, 0.0)],
            30,
        );
        let frame = frame(&before, &now);
        assert_eq!(frame["calls_per_second"], 25.0);
        let rows: Vec<_> = frame["services"].as_array().unwrap().iter().collect();
        let expected = json!({
            "service": "b", "instances": 0, "calls_per_second": 20.0, "failed_per_second": 0.0,
        });
        assert_eq!(*rows[0], expected);
        let expected = json!({
            "service": "a", "instances": 2, "calls_per_second": 5.0, "failed_per_second": 0.5,
        });
        assert_eq!(*rows[1], expected);
        assert_eq!(frame["plugins"][0]["calls_per_second"], 10.0);
        assert_eq!(frame["apps"][0]["in_flight"], 3);
        let drawn = drawn(&frame, 2);
        assert!(
            drawn.starts_with("connections 4 · apps 2 · services 3 · plugins 1 · calls/s 25.0\n")
        );
        assert!(drawn.contains("and 1 more"));
        assert!(
            !drawn.contains('\u{1b}'),
            "names do not command the terminal"
        );
    }

    #[test]
    fn a_broker_that_was_started_again_has_no_negative_rates() {
        let at = Instant::now();
        let before = sample(at, &[("a", 100.0, 1.0)], 10);
        let now = sample(at + Duration::from_secs(1), &[("a", 10.0, 0.0)], 0);
        let frame = frame(&before, &now);
        assert_eq!(frame["calls_per_second"], 0.0);
        assert_eq!(frame["plugins"][0]["calls_per_second"], 0.0);
    }
}
