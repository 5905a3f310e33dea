//! One trait per hook.

use serde::de::DeserializeOwned;

use crate::{
    App, Candidates, Decision, Payload, Plan, Request, Selection,
    auth::{Applicant, Outcome},
    events::Event,
    scrape::{Family, Part, Question, Scrape, Treatment},
};

/// The beginning of every instance; the interface `lifecycle`.
pub trait Plugin: Sized + 'static {
    /// What `[plugin.settings]` looks like. Deny unknown fields: a typo is then refused at load.
    type Settings: DeserializeOwned;

    /// Makes an instance. The message of a refusal is for the operator: which setting is wrong, and
    /// what would be right. This is the place to intern names and to register metrics.
    fn configure(settings: Self::Settings) -> Result<Self, String>;
}

/// Decides where a request goes; the interface `routing-filter`. Called on the data plane for the
/// first frame of each request whose service fits the plugin's `match`.
pub trait RoutingFilter: Plugin {
    fn on_request(&self, request: &Request<'_>) -> Decision;
}

/// Chooses the instance that gets a request; the interface `endpoint-selector`. Called on the data
/// plane for each matching request that at least two instances could take.
pub trait EndpointSelector: Plugin {
    fn select(&self, request: &Request<'_>, candidates: &Candidates<'_>) -> Selection;
}

/// Breaks things on purpose; the interface `chaos`. Called on the data plane for each matching
/// request that goes on; the host throws the dice and carries the fault out.
pub trait Chaos: Plugin {
    fn disturb(&self, request: &Request<'_>) -> Plan;
}

/// Says who an app is; the interface `authenticator`. Slow: it may wait.
pub trait Authenticator: Plugin {
    fn authenticate(&self, applicant: &Applicant) -> Outcome;
}

/// Fetches the metrics of apps that only dial out; the interface `metrics-collector`. Slow: it may
/// wait.
pub trait MetricsCollector: Plugin {
    /// What to say to an app when it connects. None: nothing.
    fn greet(&self, _app: &App) -> Option<Question> {
        None
    }

    /// What to ask an app. None: it is not one of this plugin's.
    fn ask(&self, app: &App, scrape: &Scrape) -> Option<Question>;

    /// The reply, or one item of it, as text for Prometheus. What is wrong goes to Prometheus.
    fn read(&self, app: &App, context: Vec<u8>, reply: Payload) -> Result<Part, String>;

    /// What to do with a family, when the question asked for a review.
    fn on_family(&self, _app: &App, _family: &Family) -> Treatment {
        Treatment::Keep
    }

    /// What an app sends by itself, as text for Prometheus. None: nothing to keep.
    fn on_push(&self, _app: &App, _pushed: Payload) -> Result<Option<Part>, String> {
        Ok(None)
    }
}

/// Watches; the interface `events`. Slow: it may wait.
pub trait Events: Plugin {
    /// What has happened, oldest first; `dropped` were lost before the first of them.
    fn on_events(&self, events: Vec<Event>, dropped: u64);
}
