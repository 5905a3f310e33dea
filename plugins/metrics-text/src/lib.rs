//! Fetches metrics from applications that answer a route of theirs with text in the Prometheus format.
//!
//! ```toml
//! [[plugin]]
//! name = "metrics-text"
//! file = "builtin:metrics-text"
//! [plugin.settings]
//! routes = ["com.example.Stats.prometheus"]   # the first whose service an application publishes
//! stream = true                               # optional: the answer is a stream of parts
//! drop = ["jvm_buffer_*"]                     # optional: metrics nobody wants, by the beginning of their names
//! labels = { team = "shop" }                  # optional: set on every series
//! ```
//!
//! For one route and no changes `metrics.routes` in the configuration does the same without a plugin.

use std::collections::BTreeMap;

use jackfield_plugin_sdk::{
    App, MetricsCollector, Payload, Plugin, plugin,
    scrape::{Family, Interaction, Part, Question, Relabelling, Scrape, Treatment},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsText {
    routes: Vec<String>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    drop: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Plugin for MetricsText {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        match settings.routes.iter().find(|route| !route.contains('.')) {
            Some(route) => Err(format!("routes: {route} is no service.method")),
            None => Ok(settings),
        }
    }
}

impl MetricsCollector for MetricsText {
    fn ask(&self, app: &App, _: &Scrape) -> Option<Question> {
        let publishes = |route: &&String| {
            let service = route.rsplit_once('.').map(|(service, _)| service);
            app.services
                .iter()
                .any(|known| Some(known.as_str()) == service)
        };
        let mut question = Question::route(self.routes.iter().find(publishes)?, "");
        if self.stream {
            question.interaction = Interaction::RequestStream;
        }
        // Each family comes by only where there is something to do.
        question.review = !(self.drop.is_empty() && self.labels.is_empty());
        Some(question)
    }

    fn read(&self, _: &App, _: Vec<u8>, reply: Payload) -> Result<Part, String> {
        Ok(Part::text(reply.data))
    }

    fn on_family(&self, _: &App, family: &Family) -> Treatment {
        let unwanted = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => family.name.starts_with(start),
            None => family.name == *pattern,
        };
        if self.drop.iter().any(unwanted) {
            return Treatment::Drop;
        }
        if self.labels.is_empty() {
            return Treatment::Keep;
        }
        Treatment::Relabel(Relabelling {
            name: None,
            help: None,
            labels: self.labels.clone().into_iter().collect(),
        })
    }
}

plugin!(MetricsText: MetricsCollector);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{app, configured, family, scrape};

    use super::*;

    fn it(more: &str) -> MetricsText {
        configured(&format!(
            r#"{{"routes": ["a.Stats.text", "b.Stats.text"]{more}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn the_first_route_that_an_app_publishes_is_asked() {
        let publishes = |services: &[&str]| App {
            services: services.iter().map(ToString::to_string).collect(),
            ..app("shop")
        };
        let ask = |services: &[&str]| it("").ask(&publishes(services), &scrape());
        let route = |route: &str| Some(Question::route(route, ""));
        assert_eq!(ask(&["b.Stats", "a.Stats"]), route("a.Stats.text"));
        assert_eq!(ask(&["b.Stats"]), route("b.Stats.text"));
        assert_eq!(ask(&["c.Stats"]), None);
        let review = it(r#", "drop": ["x"], "stream": true"#);
        let question = review.ask(&publishes(&["a.Stats"]), &scrape()).unwrap();
        assert!(question.review && question.interaction == Interaction::RequestStream);
    }

    #[test]
    fn families_are_dropped_by_name_and_labelled() {
        let it = it(r#", "drop": ["jvm_*", "up"], "labels": {"team": "shop"}"#);
        let treat = |name: &str| it.on_family(&app("shop"), &family(name));
        assert_eq!(treat("jvm_threads"), Treatment::Drop);
        assert_eq!(treat("up"), Treatment::Drop);
        let Treatment::Relabel(change) = treat("uptime") else {
            panic!("it is labelled");
        };
        assert_eq!(change.labels, [("team".to_owned(), "shop".to_owned())]);
    }

    #[test]
    fn a_route_is_a_service_and_a_method() {
        let error = configured::<MetricsText>(r#"{"routes": ["metrics"]}"#);
        assert!(error.err().unwrap().contains("no service.method"));
    }
}
