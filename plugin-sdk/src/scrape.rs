//! How the metrics of an app are fetched.

pub use crate::bindings::metrics_collector::exports::jackfield::plugin::metrics_collector::{
    Family, FamilyType, Format, Header, Interaction, Part, Question, Relabelling, Scrape, Treatment,
};

impl Question {
    /// A request/response to a route of the app.
    pub fn route(route: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            interaction: Interaction::RequestResponse,
            header: Header::Route(route.into()),
            data: data.into(),
            context: Vec::new(),
            review: false,
        }
    }
}

impl Part {
    /// `text/plain; version=0.0.4`
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self {
            format: Format::Text,
            text: text.into(),
        }
    }
}
