//! What happens in the broker, as the hook `events` sees it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{App, ServiceName, bindings::events::exports::jackfield::plugin::events as wit};

/// One event: when, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up within one run of the broker.
    pub sequence: u64,
    pub at: SystemTime,
    pub what: Happening,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    AppConnected(App),
    AppGone {
        app: App,
        reason: String,
    },
    AppRefused {
        app: String,
        address: String,
        reason: String,
    },
    ServiceRegistered {
        service: ServiceName,
        app: String,
    },
    ServiceHidden {
        service: ServiceName,
        app: String,
    },
    PluginChanged {
        plugin: String,
        digest: String,
        generation: u64,
        change: &'static str,
    },
    DrainBegan {
        seconds: u32,
    },
    DrainEnded,
    OperatorActed {
        who: String,
        what: String,
        subject: String,
        done: bool,
    },
    Other {
        kind: String,
        facts: Vec<(String, String)>,
    },
}

impl From<&Event> for wit::Event {
    fn from(event: &Event) -> Self {
        let at = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            sequence: event.sequence,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            what: event.what.clone().into(),
        }
    }
}

impl From<Happening> for wit::Happening {
    fn from(what: Happening) -> Self {
        match what {
            Happening::AppConnected(app) => Self::AppConnected(app.into_wit()),
            Happening::AppGone { app, reason } => Self::AppGone(wit::Gone {
                app: app.into_wit(),
                reason,
            }),
            Happening::AppRefused {
                app,
                address,
                reason,
            } => Self::AppRefused(wit::Refused {
                app,
                address,
                reason,
            }),
            Happening::ServiceRegistered { service, app } => Self::ServiceRegistered(wit::Offer {
                service: service.into(),
                app,
            }),
            Happening::ServiceHidden { service, app } => Self::ServiceHidden(wit::Offer {
                service: service.into(),
                app,
            }),
            Happening::PluginChanged {
                plugin,
                digest,
                generation,
                change,
            } => Self::PluginChanged(wit::PluginChange {
                plugin,
                digest,
                generation,
                change: change.to_owned(),
            }),
            Happening::DrainBegan { seconds } => Self::DrainBegan(seconds),
            Happening::DrainEnded => Self::DrainEnded,
            Happening::OperatorActed {
                who,
                what,
                subject,
                done,
            } => Self::OperatorActed(wit::Deed {
                who,
                what,
                subject,
                done,
            }),
            Happening::Other { kind, facts } => Self::Other(wit::Other { kind, facts }),
        }
    }
}
