//! How an application is asked for its metrics: as a plugin says, else by the first route of the configuration whose
//! service it publishes.

use std::{sync::Arc, time::Duration};

use jackfield_rsocket::metadata::{Route, Service};

use super::{Unscraped, Why};
use crate::chain::{self, App, Asking, Chains, Format, Header, Question, Scrape};

/// The archived broker's client library answers for its metrics with this service, and never publishes it.
const UNPUBLISHED: &str = "com.alibaba.rsocket.observability.MetricsService";
const LIBRARY: &str = "Alibaba-RSocket";

pub(super) struct Collectors {
    chains: Arc<Chains>,
    /// Each with the service it belongs to, as applications publish it.
    routes: Vec<(String, String)>,
}

/// How one application is asked.
pub(super) struct Way {
    pub(super) question: Question,
    /// Who reads the answer; none: it is text.
    pub(super) plugin: Option<chain::Collector>,
}

impl Collectors {
    /// A route that is none of a service and a method is left out; the configuration has refused it.
    pub(super) fn new(chains: Arc<Chains>, routes: &[String]) -> Self {
        let known = routes.iter().filter_map(|route| {
            let service = service_of(route)?;
            Some((service, route.clone()))
        });
        Self {
            routes: known.collect(),
            chains,
        }
    }

    /// What may be remembered of [`Collectors::way`] is good for this one.
    pub(super) fn generation(&self) -> u64 {
        self.chains.generation()
    }

    pub(super) fn plugins(&self) -> Vec<chain::Collector> {
        self.chains.current().collectors().collect()
    }

    /// The first that knows the application; none: nobody does.
    pub(super) async fn way(
        &self,
        app: &Arc<App>,
        within: Duration,
    ) -> Result<Option<Way>, Unscraped> {
        for plugin in self.plugins() {
            let scrape = Scrape {
                deadline_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
                accepts: vec![Format::Text, Format::OpenMetrics],
            };
            match plugin.ask(app, scrape).await {
                Ok(Some(question)) => {
                    let plugin = Some(plugin);
                    return Ok(Some(Way { question, plugin }));
                }
                Ok(None) => {}
                Err(_) if plugin.fails_closed() => return Err(failed(&plugin)),
                Err(_) => {}
            }
        }
        Ok(self.route(app).map(|route| Way {
            question: Question {
                asking: Asking::RequestResponse,
                header: Header::Route(route.to_owned()),
                data: Vec::new(),
                context: Vec::new(),
                review: false,
            },
            plugin: None,
        }))
    }

    /// The route of the configuration whose service an application publishes.
    pub(super) fn route(&self, app: &App) -> Option<&str> {
        let library = app.sdk.starts_with(LIBRARY);
        let offers = |service: &str| {
            app.services.iter().any(|offered| offered == service)
                || (library && service == UNPUBLISHED)
        };
        let found = self.routes.iter().find(|(service, _)| offers(service));
        found.map(|(_, route)| route.as_str())
    }
}

/// The log and the metrics say more.
pub(super) fn failed(plugin: &chain::Collector) -> Unscraped {
    let text = format!("the plugin {} could not answer", plugin.name());
    Unscraped::new(Why::App, text)
}

/// The service of a route that names one and a method, as the directory writes it.
pub(crate) fn service_of(route: &str) -> Option<String> {
    let parsed = Route::parse(route);
    let plain = !route.contains(['?', '&']) && route.len() <= 200;
    let service = Service::new(parsed.group, parsed.service, parsed.version).ok()?;
    (plain && !parsed.method.is_empty()).then(|| service.to_string())
}
