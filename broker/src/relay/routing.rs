use std::time::Duration;

use crate::directory::{Balance, ServicePattern};

/// The checked form of `[routing]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Request/response: the whole reply; stream and channel: the first frame. None: no limit.
    pub timeout: Option<Duration>,
    pub balance: Balance,
    /// How long a sticky caller that does not call keeps its instance.
    pub sticky: Duration,
    /// The first that fits a service decides for it.
    pub services: Vec<ServiceRule>,
}

/// The checked form of one `[[routing.service]]`: what differs for some services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRule {
    pub matches: Vec<ServicePattern>,
    pub timeout: Option<Duration>,
    pub balance: Option<Balance>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(30)),
            balance: Balance::default(),
            sticky: Duration::from_secs(3600),
            services: Vec::new(),
        }
    }
}

impl Routing {
    fn rule(&self, service: &str) -> Option<&ServiceRule> {
        self.services
            .iter()
            .find(|rule| rule.matches.iter().any(|name| name.matches(service)))
    }

    pub(super) fn timeout(&self, service: &str) -> Option<Duration> {
        self.rule(service)
            .and_then(|rule| rule.timeout)
            .or(self.timeout)
    }

    pub(super) fn balance(&self, service: &str) -> Balance {
        self.rule(service)
            .and_then(|rule| rule.balance)
            .unwrap_or(self.balance)
    }
}
