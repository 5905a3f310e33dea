//! Writes what happens in the broker to its log: who came and went, what was published, what operators did.
//!
//! ```toml
//! [[plugin]]
//! name = "audit"
//! file = "builtin:audit"
//! allow = ["log", "metrics"]
//! [plugin.settings]
//! leave-out = ["services"]        # optional, some of: apps, services, plugins, drain, operators
//! ```

use jackfield_plugin_sdk::{
    Events, Plugin,
    events::{Event, Happening},
    log,
    metrics::Counter,
    plugin,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    #[serde(default)]
    leave_out: Vec<Kind>,
}

/// What operators tell events apart by.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Apps,
    Services,
    Plugins,
    Drain,
    Operators,
}

struct Audit {
    leave_out: Vec<Kind>,
    lost: Counter,
}

impl Plugin for Audit {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        Ok(Self {
            leave_out: settings.leave_out,
            lost: Counter::register("lost"),
        })
    }
}

impl Events for Audit {
    /// Nobody waits for this, so it may take its time. When it is too slow, events are lost, and it says how many: an
    /// audit with holes must show them.
    fn on_events(&self, events: Vec<Event>, dropped: u64) {
        if dropped > 0 {
            self.lost.add(dropped);
            log::warn(&format!("{dropped} events were lost"));
        }
        for event in &events {
            let (kind, line) = told(&event.what);
            if kind.is_none_or(|kind| !self.leave_out.contains(&kind)) {
                log::info(&format!("#{} {line}", event.sequence));
            }
        }
    }
}

fn told(what: &Happening) -> (Option<Kind>, String) {
    let (kind, line) = match what {
        Happening::AppConnected(app) => (
            Kind::Apps,
            format!(
                "app {} ({}) connected from {} by {}",
                app.name, app.uuid, app.address, app.transport
            ),
        ),
        Happening::AppGone(gone) => (
            Kind::Apps,
            format!(
                "app {} ({}) is gone: {}",
                gone.app.name, gone.app.uuid, gone.reason
            ),
        ),
        Happening::AppRefused(refused) => (
            Kind::Apps,
            format!(
                "app {} from {} was refused: {}",
                refused.app, refused.address, refused.reason
            ),
        ),
        Happening::ServiceRegistered(offer) => (
            Kind::Services,
            format!("app {} publishes {}", offer.app, offer.service.name),
        ),
        Happening::ServiceHidden(offer) => (
            Kind::Services,
            format!(
                "app {} publishes {} no longer",
                offer.app, offer.service.name
            ),
        ),
        Happening::PluginChanged(change) => (
            Kind::Plugins,
            format!(
                "plugin {} was {}: {}",
                change.plugin, change.change, change.digest
            ),
        ),
        Happening::DrainBegan(seconds) => {
            (Kind::Drain, format!("drain began, for at most {seconds} s"))
        }
        Happening::DrainEnded => (Kind::Drain, "drain ended".into()),
        Happening::OperatorActed(deed) => (
            Kind::Operators,
            format!(
                "{} {} {} {}",
                deed.who,
                if deed.done { "did" } else { "tried to" },
                deed.what,
                deed.subject
            ),
        ),
        // What a later broker tells of is better logged than left out.
        Happening::Other(other) => return (None, format!("{}: {:?}", other.kind, other.facts)),
    };
    (Some(kind), line)
}

plugin!(Audit: Events);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::{
        events::{Deed, Other},
        testing::configured,
    };

    use super::*;

    #[test]
    fn lines_say_who_did_what() {
        let deed = |done| {
            let what = Happening::OperatorActed(Deed {
                who: "ops".into(),
                what: "disable".into(),
                subject: "canary".into(),
                done,
            });
            told(&what).1
        };
        assert_eq!(deed(true), "ops did disable canary");
        assert_eq!(deed(false), "ops tried to disable canary");
    }

    #[test]
    fn what_it_does_not_know_is_never_left_out() {
        let other = Happening::Other(Other {
            kind: "moon".into(),
            facts: Vec::new(),
        });
        assert_eq!(told(&other), (None, "moon: []".to_owned()));
    }

    #[test]
    fn a_kind_that_does_not_exist_is_refused() {
        let error = configured::<Audit>(r#"{"leave-out": ["weather"]}"#);
        assert!(error.err().unwrap().contains("unknown variant `weather`"));
        let it = configured::<Audit>(r#"{"leave-out": ["drain"]}"#).unwrap();
        assert_eq!(it.leave_out, [Kind::Drain]);
    }
}
