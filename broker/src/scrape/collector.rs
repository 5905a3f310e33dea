//! What an application is asked for its metrics, and where in the answer the text is.

use std::{future::ready, pin::Pin};

use bytes::Bytes;
use jackfield_rsocket::{
    endpoint::Message,
    metadata::{Route, Service},
};

use crate::directory::AppView;

/// What to ask. The broker adds which application is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// `[group!]service.method[:version]`.
    pub route: String,
    pub data: Bytes,
}

/// What a collector needs time for.
pub type Answer<'c, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'c>>;

/// Decides what an application is asked and what its reply says. An error is for whoever runs Prometheus to read.
///
/// What comes out of [`Collector::text`] is checked like everything an application says.
pub trait Collector: Send + Sync + 'static {
    /// Whether this collector knows how to ask. Asked for every application whenever targets are listed, so it must
    /// be cheap.
    fn covers(&self, app: &AppView) -> bool;

    fn question<'c>(&'c self, app: &'c AppView) -> Answer<'c, Question>;

    fn text<'c>(&'c self, app: &'c AppView, reply: Message) -> Answer<'c, Bytes>;
}

/// The archived broker's client library answers for its metrics with this service, and never publishes it.
const UNPUBLISHED: &str = "com.alibaba.rsocket.observability.MetricsService";
const LIBRARY: &str = "Alibaba-RSocket";

/// For applications that answer a route with text in one of the two formats.
#[derive(Clone, Debug)]
pub struct TextCollector {
    /// Each with the service it belongs to, as applications publish it.
    routes: Vec<(String, String)>,
}

impl TextCollector {
    /// A route that is none of a service and a method is left out; the configuration has refused it.
    pub fn new(routes: &[String]) -> Self {
        let known = routes.iter().filter_map(|route| {
            let service = service_of(route)?;
            Some((service, route.clone()))
        });
        Self {
            routes: known.collect(),
        }
    }

    fn route(&self, app: &AppView) -> Option<&str> {
        let library = app.sdk.as_deref().unwrap_or_default().starts_with(LIBRARY);
        let offers = |service: &str| {
            app.services.iter().any(|offered| offered == service)
                || (library && service == UNPUBLISHED)
        };
        let found = self.routes.iter().find(|(service, _)| offers(service));
        found.map(|(_, route)| route.as_str())
    }
}

/// The service of a route that names one and a method, as the directory writes it.
pub(crate) fn service_of(route: &str) -> Option<String> {
    let parsed = Route::parse(route);
    let plain = !route.contains(['?', '&']) && route.len() <= 200;
    let service = Service::new(parsed.group, parsed.service, parsed.version).ok()?;
    (plain && !parsed.method.is_empty()).then(|| service.to_string())
}

impl Collector for TextCollector {
    fn covers(&self, app: &AppView) -> bool {
        self.route(app).is_some()
    }

    fn question<'c>(&'c self, app: &'c AppView) -> Answer<'c, Question> {
        let question = self.route(app).map(|route| Question {
            route: route.to_owned(),
            data: Bytes::new(),
        });
        let question = question.ok_or_else(|| "it publishes none of metrics.routes".to_owned());
        Box::pin(ready(question))
    }

    fn text<'c>(&'c self, _: &'c AppView, reply: Message) -> Answer<'c, Bytes> {
        Box::pin(ready(Ok(reply.data)))
    }
}
