//! The last things that happened, for operators who look. What plugins observe is told to them apart.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use jackfield_plugin_host::{App, Event, Happening, ServiceName};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Older ones are forgotten.
const EVENTS_MAX: usize = 1024;

/// Bounded; whoever reads too slowly is told how many are gone.
#[derive(Debug)]
pub struct Journal {
    last: Mutex<VecDeque<Arc<Event>>>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
}

/// What there is behind a number.
#[derive(Debug, Default)]
pub struct Read {
    pub events: Vec<Arc<Event>>,
    /// Forgotten before they were read.
    pub lost: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            newest: watch::Sender::new(0),
        }
    }
}

impl Journal {
    /// Events have numbers that begin at 1 and go up by one.
    pub(super) fn note(&self, event: Arc<Event>) {
        let sequence = event.sequence;
        let mut last = self.lock();
        if last.len() == EVENTS_MAX {
            last.pop_front();
        }
        last.push_back(event);
        drop(last);
        self.newest
            .send_modify(|newest| *newest = sequence.max(*newest));
    }

    /// Those behind `after`. A number that is still to come is of a broker that ran before: then all.
    pub fn since(&self, after: u64) -> Read {
        let last = self.lock();
        let newest = last.back().map_or(0, |event| event.sequence);
        let after = if after > newest { 0 } else { after };
        let events: Vec<_> = last
            .iter()
            .filter(|event| event.sequence > after)
            .cloned()
            .collect();
        let first = events.first().map_or(after + 1, |event| event.sequence);
        Read {
            lost: first.saturating_sub(after + 1),
            events,
        }
    }

    /// Changes when there is more to read.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as the admin API shows it: what happened, when, and what to.
pub fn shown(event: &Event) -> Value {
    let at = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (what, facts) = facts(&event.what);
    json!({
        "sequence": event.sequence,
        "at_ms": u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
        "what": what,
        "facts": facts,
    })
}

fn facts(what: &Happening) -> (&str, Value) {
    match what {
        Happening::AppConnected(app) => ("app-connected", of(app)),
        Happening::AppGone { app, reason } => {
            let mut facts = of(app);
            facts["reason"] = reason.as_str().into();
            ("app-gone", facts)
        }
        Happening::AppRefused {
            app,
            address,
            reason,
        } => (
            "app-refused",
            json!({ "name": app, "address": address, "reason": reason }),
        ),
        Happening::ServiceRegistered { service, app } => (
            "service-registered",
            json!({ "service": key(service), "uuid": app }),
        ),
        Happening::ServiceHidden { service, app } => (
            "service-hidden",
            json!({ "service": key(service), "uuid": app }),
        ),
        Happening::PluginChanged {
            plugin,
            digest,
            generation,
            change,
        } => (
            "plugin-changed",
            json!({ "plugin": plugin, "digest": digest, "generation": generation, "change": change }),
        ),
        Happening::DrainBegan { seconds } => ("drain-began", json!({ "seconds": seconds })),
        Happening::DrainEnded => ("drain-ended", json!({})),
        Happening::OperatorActed {
            who,
            what,
            subject,
            done,
        } => (
            "operator-acted",
            json!({ "who": who, "action": what, "subject": subject, "done": done }),
        ),
        Happening::Other { kind, facts } => {
            let facts = facts
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().into()));
            (kind, Value::Object(facts.collect()))
        }
    }
}

/// Its metadata is the application's own business.
fn of(app: &App) -> Value {
    json!({
        "uuid": app.uuid, "name": app.name, "ip": app.ip, "remote": app.address,
        "transport": app.transport, "principal": app.principal,
    })
}

/// `[group!]service[:version]`.
fn key(service: &ServiceName) -> String {
    let group = match service.group.as_str() {
        "" => String::new(),
        group => format!("{group}!"),
    };
    let version = match service.version.as_str() {
        "" => String::new(),
        version => format!(":{version}"),
    };
    format!("{group}{}{version}", service.name)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn event(sequence: u64) -> Arc<Event> {
        Arc::new(Event {
            sequence,
            at: SystemTime::UNIX_EPOCH,
            what: Happening::DrainEnded,
        })
    }

    #[test]
    fn a_reader_goes_on_where_he_stopped_and_is_told_what_is_gone() {
        let journal = Journal::default();
        assert_eq!(journal.since(0).events.len(), 0);
        for sequence in 1..=EVENTS_MAX as u64 + 10 {
            journal.note(event(sequence));
        }
        let read = journal.since(5);
        assert_eq!((read.lost, read.events.len()), (5, EVENTS_MAX));
        let read = journal.since(1030);
        assert_eq!((read.lost, read.events.len()), (0, 4));
        let read = journal.since(9999);
        assert_eq!(read.events[0].sequence, 11, "of a broker that ran before");
        assert_eq!(*journal.newest().borrow(), 1034);
    }

    #[test]
    fn an_event_says_what_when_and_what_to() {
        let mut changed = Event::clone(&event(7));
        changed.what = Happening::PluginChanged {
            plugin: "canary".into(),
            digest: "00ff".into(),
            generation: 3,
            change: "promoted",
        };
        let expected = json!({
            "sequence": 7, "at_ms": 0, "what": "plugin-changed",
            "facts": { "plugin": "canary", "digest": "00ff", "generation": 3, "change": "promoted" },
        });
        assert_eq!(shown(&changed), expected);
    }
}
