//! Plugins in the running broker, with clients of this process: the ones we ship, hostile ones, new versions under load,
//! and a machine that has other things to do.

mod busy;
mod chaos;
mod first_party;
mod hostile;
mod identity;
mod versions;
mod villain;

use std::{fs, path::Path};

use jackfield_rsocket::{
    endpoint::{ConnectOptions, Message, Requester, connect},
    metadata::AppMetadata,
};

use super::{admin::metrics, caller::answering};
use crate::broker::Broker;

#[allow(
    dead_code,
    reason = "the vocabulary of the plugin host's tests; not every word is used here"
)]
#[path = "../../../../broker/plugin-host/tests/it/guests.rs"]
mod guests;

#[path = "../../../../broker/plugin-host/tests/it/built.rs"]
mod built;

use guests::Guest;

/// The sum of the series of a metric that have all these labels, each as `name="value"`.
fn metric(broker: &Broker, name: &str, labels: &[&str]) -> f64 {
    let page = metrics(broker);
    let fits = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
            && labels.iter().all(|label| line.contains(label))
    };
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    page.lines().filter(fits).filter_map(value).sum()
}

/// Calls of a plugin by what came of them.
fn calls(broker: &Broker, plugin: &str, outcome: &str) -> f64 {
    let labels = [
        format!("plugin=\"{plugin}\""),
        format!("outcome=\"{outcome}\""),
    ];
    let labels = labels.each_ref().map(String::as_str);
    metric(broker, "jackfield_plugin_calls_total", &labels)
}

fn is_in_state(broker: &Broker, plugin: &str, state: &str) -> bool {
    let labels = [format!("plugin=\"{plugin}\""), format!("state=\"{state}\"")];
    let labels = labels.each_ref().map(String::as_str);
    metric(broker, "jackfield_plugin_state", &labels) == 1.0
}

/// An application with metadata, which answers with its name.
async fn app(uri: &str, name: &'static str, service: &str, tags: &[(&str, &str)]) -> Requester {
    let options = named(name, tags).publish(service).expect("a name");
    let options = options.serve(answering(name));
    let connected = connect(&uri.parse().expect("a uri"), options).await;
    connected.expect("the broker accepts")
}

async fn caller(uri: &str, name: &str, tags: &[(&str, &str)]) -> Requester {
    let connected = connect(&uri.parse().expect("a uri"), named(name, tags)).await;
    connected.expect("the broker accepts")
}

fn named(name: &str, tags: &[(&str, &str)]) -> ConnectOptions {
    let mut metadata = AppMetadata::named(name);
    for (key, value) in tags {
        metadata.metadata.insert((*key).into(), (*value).into());
    }
    ConnectOptions {
        app: Some(metadata),
        ..ConnectOptions::new()
    }
}

fn text(reply: &Message) -> String {
    String::from_utf8_lossy(&reply.data).into_owned()
}

/// Whether what happened so often of so many times is what a fair dice with this share gives: five standard deviations
/// are left less than once in a million runs.
fn is_fair(happened: f64, times: f64, share: f64) -> bool {
    let deviation = (times * share * (1.0 - share)).sqrt();
    (happened - times * share).abs() <= 5.0 * deviation
}

/// A component beside the broker's configuration.
fn write(folder: &Path, file: &str, guest: &Guest) {
    fs::write(folder.join(file), guest.component()).expect("a component");
}

/// Whether the long forms of these tests run: `.ci/run --full`.
pub(super) fn is_full() -> bool {
    std::env::var("JACKFIELD_PLUGINS").is_ok_and(|value| value == "full")
}
