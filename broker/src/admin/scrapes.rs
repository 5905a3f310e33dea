//! The faces of `scrape`: what Prometheus reads, and what an operator reads about it.
//!
//! Prometheus shows the status and nothing else of an answer that is no page, so each reason has one of its own:
//! 404 no such application, 502 it answered with an error or with no page, 503 the broker takes no more for now, 504
//! it did not answer in time.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, Method, StatusCode, header, uri::Authority},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::scrape::{Scraped, Target, Unscraped, Why, exposition};

use super::{
    faces::Room,
    openapi::{list_of, one_of},
    operators::Role,
    reply::Refusal,
    route::Route,
};

const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// When Prometheus does not say: its default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For an operator, within the time in which the admin face answers.
const TIMEOUT_OPERATOR: Duration = Duration::from_secs(9);
/// What is left for the way back.
const MARGIN: Duration = Duration::from_millis(500);

pub(super) fn http(router: Router<Arc<Room>>) -> Router<Arc<Room>> {
    router
        .route("/metrics/sd", get(discovery))
        .route("/metrics/app/{id}", get(app))
        .route("/metrics/apps", get(apps))
        // Of the archived broker.
        .route("/metrics/{id}", get(app))
        .route("/metrics/prometheus/app/targets", get(archived_apps))
        .route("/metrics/prometheus/broker/targets", get(archived_brokers))
}

pub(super) fn routes() -> [Route; 2] {
    let targets = Route::new(
        Method::GET,
        "/api/v1/metrics/targets",
        Role::Read,
        "What Prometheus is told to scrape",
        get(targets),
    );
    let scrape = Route::new(
        Method::GET,
        "/api/v1/metrics/scrape/{id}",
        Role::Read,
        "The metrics of one application, and what is wrong with its page",
        get(scrape),
    );
    [
        targets.answers(list_of("targets", "Target")),
        scrape
            .answers(one_of("Scraped"))
            .refuses(404, "No such application can be scraped")
            .refuses(502, "It answered with an error, or with no page")
            .refuses(503, "Too many are being scraped")
            .refuses(504, "It did not answer in time"),
    ]
}

async fn discovery(State(room): State<Arc<Room>>, headers: HeaderMap) -> Json<Vec<Target>> {
    Json(room.handles.scraper.targets(&host(&room, &headers)).await)
}

async fn app(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match room.handles.scraper.app(&id, within(&headers)).await {
        Ok(scraped) => page(scraped.page.clone()),
        Err(error) => refusal(&error).into_response(),
    }
}

async fn apps(
    State(room): State<Arc<Room>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let scraper = &room.handles.scraper;
    if !scraper.config().merged {
        let todo = "scrape each application as /metrics/sd lists it, or set metrics.merged = true";
        return Refusal::new(StatusCode::NOT_FOUND, "the merged page is off", todo).into_response();
    }
    let job = query.as_deref().and_then(|query| {
        let value = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("job="))?;
        unescaped(value)
    });
    page(scraper.all(job.as_deref(), within(&headers)).await)
}

/// Of percent signs and plus signs in a query.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

async fn archived_apps(State(room): State<Arc<Room>>, headers: HeaderMap) -> Json<Vec<Value>> {
    let targets = room.handles.scraper.targets(&host(&room, &headers)).await;
    let archived = |target: &Target| {
        let uuid = &target.labels["instance"];
        json!({ "labels": { "__metrics_path__": format!("/metrics/{uuid}") }, "targets": target.targets })
    };
    Json(targets.iter().map(archived).collect())
}

async fn archived_brokers(State(room): State<Arc<Room>>, headers: HeaderMap) -> Json<Value> {
    let scraper = &room.handles.scraper;
    let asked = host(&room, &headers);
    let host = scraper.config().advertise.as_ref().unwrap_or(&asked);
    Json(json!([{ "labels": { "__metrics_path__": "/metrics" }, "targets": [host] }]))
}

async fn targets(State(room): State<Arc<Room>>, headers: HeaderMap) -> Json<Value> {
    let host = host(&room, &headers);
    let targets = room.handles.scraper.targets(&host).await;
    Json(json!({ "targets": targets }))
}

async fn scrape(
    State(room): State<Arc<Room>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let scraped = room.handles.scraper.app(&id, TIMEOUT_OPERATOR).await;
    let scraped = scraped.map_err(|error| refusal(&error))?;
    Ok(Json(shown(&scraped)))
}

fn shown(scraped: &Scraped) -> Value {
    let findings = scraped.with_lint();
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "line": finding.line, "what": finding.what }))
        .collect();
    json!({
        "page": String::from_utf8_lossy(&scraped.page),
        "series": scraped.series,
        "seconds": scraped.took.as_secs_f64(),
        "findings": findings,
        "findings_left_out": scraped.findings_left_out,
    })
}

fn page(page: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, exposition::MEDIA_TYPE)], page).into_response()
}

fn refusal(error: &Unscraped) -> Refusal {
    let (status, todo) = match error.why {
        Why::Unknown => (
            StatusCode::NOT_FOUND,
            "see /metrics/sd for what can be scraped; metrics.routes says what is asked",
        ),
        Why::App => (StatusCode::BAD_GATEWAY, "see the log of the application"),
        Why::Page => (
            StatusCode::BAD_GATEWAY,
            "correct what the application writes, or raise the limit that is named",
        ),
        Why::Overload => (StatusCode::SERVICE_UNAVAILABLE, "scrape again later"),
        Why::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "raise scrape_timeout and metrics.timeout, or make the application faster",
        ),
    };
    Refusal::new(status, error.to_string(), todo)
}

/// The time Prometheus gives, less what the way back takes.
fn within(headers: &HeaderMap) -> Duration {
    let given = headers.get(TIMEOUT_HEADER).and_then(|value| {
        let seconds = value.to_str().ok()?.trim().parse::<f64>().ok()?;
        let given = Duration::try_from_secs_f64(seconds).ok()?;
        (!given.is_zero()).then_some(given)
    });
    let given = given.unwrap_or(TIMEOUT);
    given - MARGIN.min(given / 5)
}

/// Where whoever asks has found us.
fn host(room: &Room, headers: &HeaderMap) -> String {
    let given = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .and_then(|host| host.parse::<Authority>().ok());
    match given {
        Some(host) if !host.as_str().contains('@') && !host.host().is_empty() => host.to_string(),
        _ => room.http.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_leaves_time_for_the_way_back() {
        for (header, millis) in [
            (None, 9500),
            (Some("10"), 9500),
            (Some("1"), 800),
            (Some("0.1"), 80),
            (Some("0"), 9500),
            (Some("-1"), 9500),
            (Some("NaN"), 9500),
            (Some("x"), 9500),
            (Some("1e300"), 9500),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(TIMEOUT_HEADER, header.parse().unwrap());
            }
            assert_eq!(within(&headers).as_millis(), millis, "{header:?}");
        }
    }

    #[test]
    fn a_query_is_read_as_it_was_meant() {
        for (text, read) in [
            ("a%20b+c", Some("a b c")),
            ("%C3%A9", Some("é")),
            ("%", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(unescaped(text).as_deref(), read, "{text}");
        }
    }
}
