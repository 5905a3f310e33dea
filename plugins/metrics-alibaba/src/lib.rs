//! Fetches metrics from applications with the archived Alibaba SDK, which answer `MetricsService.scrape`.
//!
//! ```toml
//! [[plugin]]
//! name = "metrics-alibaba"
//! file = "builtin:metrics-alibaba"
//! [plugin.settings]
//! unpublished = true          # optional: also ask those that do not publish the service
//! ```
//!
//! The broker asks such applications by itself when they publish the service. The SDK answers it too where it is not
//! published, as the archived broker expects of every application; this plugin knows them by the name of their SDK.

use jackfield_plugin_sdk::{
    App, MetricsCollector, Payload, Plugin, plugin,
    scrape::{Part, Question, Scrape},
};
use serde::Deserialize;

const SERVICE: &str = "com.alibaba.rsocket.observability.MetricsService";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsAlibaba {
    #[serde(default = "yes")]
    unpublished: bool,
}

fn yes() -> bool {
    true
}

impl Plugin for MetricsAlibaba {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }
}

impl MetricsCollector for MetricsAlibaba {
    fn ask(&self, app: &App, _: &Scrape) -> Option<Question> {
        let publishes = app.services.iter().any(|service| service == SERVICE);
        let unpublished = self.unpublished && app.sdk.starts_with("Alibaba-RSocket");
        (publishes || unpublished).then(|| Question::route(format!("{SERVICE}.scrape"), ""))
    }

    /// The answer is a string of the SDK, which is text as it is.
    fn read(&self, _: &App, _: Vec<u8>, reply: Payload) -> Result<Part, String> {
        Ok(Part::text(reply.data))
    }
}

plugin!(MetricsAlibaba: MetricsCollector);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::{
        scrape::Header,
        testing::{app, configured, scrape},
    };

    use super::*;

    #[test]
    fn it_asks_who_publishes_the_service_or_has_the_sdk() {
        for (settings, service, sdk, asked) in [
            ("{}", SERVICE, "", true),
            ("{}", "com.example.Orders", "", false),
            (
                "{}",
                "com.example.Orders",
                "Alibaba-RSocket-1.1.6/1.0.0",
                true,
            ),
            (
                r#"{"unpublished": false}"#,
                "com.example.Orders",
                "Alibaba-RSocket-1.1.6/1.0.0",
                false,
            ),
        ] {
            let it = configured::<MetricsAlibaba>(settings).unwrap();
            let app = App {
                services: vec![service.into()],
                sdk: sdk.into(),
                ..app("shop")
            };
            let question = it.ask(&app, &scrape());
            assert_eq!(question.is_some(), asked, "{settings} {service} {sdk}");
            let route = question.map(|question| question.header);
            assert!(route.is_none_or(|header| {
                matches!(header, Header::Route(route) if route.ends_with("MetricsService.scrape"))
            }));
        }
    }
}
