//! `/api/v1/calls`: how many calls of each service have ended, and how. Read off the broker's own page.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
    routing::get,
};
use serde_json::{Value, json};

use super::{
    api::Answer, faces::Room, openapi::list_of, operators::Role, reply::Refusal, route::Route,
};
use crate::telemetry::PageFormat;

const NAME: &str = "jackfield_requests_total{";

pub(super) fn route() -> Route {
    Route::new(
        Method::GET,
        "/api/v1/calls",
        Role::Read,
        "How many calls have ended, by service, interaction and outcome",
        get(calls),
    )
    .answers(list_of("calls", "Calls"))
    .refuses(500, "The metrics cannot be read")
}

async fn calls(State(room): State<Arc<Room>>) -> Answer {
    let page = (room.handles.metrics)(PageFormat::Text).map_err(|error| {
        let (status, todo) = (StatusCode::INTERNAL_SERVER_ERROR, "see the broker's log");
        Refusal::new(status, error.to_string(), todo)
    })?;
    let calls: Vec<Value> = page.lines().filter_map(read).collect();
    Ok(Json(json!({ "calls": calls })))
}

/// One line of the page.
fn read(line: &str) -> Option<Value> {
    let (labels, count) = line.strip_prefix(NAME)?.rsplit_once("} ")?;
    let count: f64 = count.parse().ok()?;
    let mut call = json!({ "count": count as u64 });
    let mut rest = labels;
    while let Some((name, value)) = rest.split_once("=\"") {
        let (value, behind) = quoted(value)?;
        let name = match name {
            "rsocket_service" => "service",
            name => name,
        };
        call[name] = value.into();
        rest = behind.trim_start_matches(',');
    }
    Some(call)
}

/// Up to the quote that ends it, and what is behind.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let line = r#"jackfield_requests_total{interaction="response",outcome="ok",rsocket_service="a\"},b=\\"} 12"#;
        let expected = json!({
            "interaction": "response", "outcome": "ok", "service": "a\"},b=\\", "count": 12,
        });
        assert_eq!(read(line), Some(expected));
        for other in [
            "# HELP jackfield_requests_total x",
            "jackfield_requests_total{a=\"b} 1",
            "jackfield_apps 1",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
