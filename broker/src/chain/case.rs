//! What a plugin failed at, copied, so that it can be tried again after the request is long gone.

use std::sync::Arc;

use jackfield_plugin_host::{App, Applicant, Candidates, Format, Generation, PluginError, Scrape};

use super::{
    request::OwnedCall,
    slow::{
        Pool,
        hooks::{AskFor, Authenticate, Tell},
    },
};

#[derive(Clone, Debug)]
pub(super) enum Case {
    Filter(OwnedCall),
    Select(OwnedCall, OwnedCandidates),
    Disturb(OwnedCall),
    Authenticate(Arc<Applicant>),
    /// Whatever a collector failed at: it is asked what to ask the app.
    Collect(Arc<App>),
    /// What an observer failed at is not told twice: it is told that nothing has happened.
    Observe,
}

impl Case {
    /// Tries it on an instance of its own; what comes of it has no effect. Waits.
    pub(super) fn probe(
        &self,
        hot: Option<&Generation>,
        slow: Option<&Pool>,
    ) -> Result<(), PluginError> {
        let absent = || PluginError::Unavailable("does not implement what it failed at".into());
        let hot = || hot.ok_or_else(absent);
        let slow = || slow.ok_or_else(absent);
        match self {
            Self::Filter(call) => hot()?.probe_on_request(&call.call()).map(drop),
            Self::Select(call, candidates) => {
                hot()?.probe_select(&call.call(), candidates).map(drop)
            }
            Self::Disturb(call) => hot()?.probe_disturb(&call.call()).map(drop),
            Self::Authenticate(applicant) => slow()?.probe(Authenticate(Arc::clone(applicant))),
            Self::Collect(app) => {
                let scrape = Scrape {
                    deadline_ms: 10_000,
                    accepts: vec![Format::Text],
                };
                slow()?.probe(AskFor(Arc::clone(app), scrape))
            }
            Self::Observe => slow()?.probe(Tell(Vec::new(), 0)),
        }
    }
}

/// A copy of the first candidates, without their metadata.
#[derive(Clone, Debug)]
pub(super) struct OwnedCandidates(Vec<Candidate>);

#[derive(Clone, Debug)]
struct Candidate {
    uuid: String,
    app: String,
    ip: String,
    power: u32,
    in_flight: u32,
}

const COPIED_MAX: usize = 64;

impl OwnedCandidates {
    pub(super) fn of(candidates: &dyn Candidates) -> Self {
        let copied = (0..candidates.len().min(COPIED_MAX)).map(|index| Candidate {
            uuid: candidates.uuid(index),
            app: candidates.app(index),
            ip: candidates.ip(index),
            power: candidates.power(index),
            in_flight: candidates.in_flight(index),
        });
        Self(copied.collect())
    }
}

impl Candidates for OwnedCandidates {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn uuid(&self, index: usize) -> String {
        self.0[index].uuid.clone()
    }

    fn app(&self, index: usize) -> String {
        self.0[index].app.clone()
    }

    fn ip(&self, index: usize) -> String {
        self.0[index].ip.clone()
    }

    fn tag(&self, _: usize, _: &str) -> Option<String> {
        None
    }

    fn has(&self, index: usize, key: &str, value: &str) -> bool {
        match key {
            "ip" => self.0[index].ip == value,
            "uuid" => self.0[index].uuid == value,
            _ => false,
        }
    }

    fn power(&self, index: usize) -> u32 {
        self.0[index].power
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.0[index].in_flight
    }
}
