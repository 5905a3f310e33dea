//! The admin face: its routes, and the views and actions that have no file of their own.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::telemetry::Level;

use super::{
    calls, events,
    faces::Room,
    guard::guard,
    openapi::{self, list_of, one_of},
    operators::{
        Operator,
        Role::{Operate, Read},
    },
    plugins, push,
    reply::Refusal,
    route::{Route, Routes},
    scrapes,
};

pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn router(room: Arc<Room>) -> Router {
    let guarded = middleware::from_fn_with_state(room.guard.clone(), guard);
    let routes = Arc::clone(&room.routes);
    routes
        .router()
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .layer(guarded)
        .layer(middleware::from_fn(bounded))
        .with_state(room)
}

/// Every route there is.
pub(super) fn routes() -> Routes {
    let mut routes = vec![
        Route::new(
            Method::GET,
            "/api/v1/apps",
            Read,
            "Connected applications",
            get(apps),
        )
        .answers(list_of("apps", "App")),
        Route::new(
            Method::GET,
            "/api/v1/services",
            Read,
            "Registered services",
            get(services),
        )
        .answers(list_of("services", "Service")),
        Route::new(
            Method::GET,
            "/api/v1/connections",
            Read,
            "Open connections",
            get(connections),
        )
        .answers(list_of("connections", "Connection")),
        Route::new(
            Method::GET,
            "/api/v1/config",
            Read,
            "Every setting in effect, and its origin",
            get(config),
        )
        .answers(list_of("settings", "Setting")),
        Route::new(Method::GET, "/api/v1/log", Read, "What is logged", get(log))
            .answers(one_of("LogLevel")),
        Route::new(
            Method::POST,
            "/api/v1/log",
            Operate,
            "Log something else, until the configuration says so",
            post(set_log),
        )
        .body(one_of("LogLevel"), true)
        .answers(one_of("LogLevel")),
        Route::new(
            Method::PUT,
            "/api/v1/log",
            Operate,
            "The same",
            axum::routing::put(set_log),
        )
        .body(one_of("LogLevel"), true)
        .answers(one_of("LogLevel")),
        Route::new(
            Method::POST,
            "/api/v1/drain",
            Operate,
            "Take nothing new, let streams finish, then end",
            post(drain),
        )
        .body(openapi::drain(), false)
        .answers(openapi::draining())
        .with(202, "application/json"),
        Route::new(
            Method::GET,
            "/api/v1/openapi.json",
            Read,
            "This document",
            get(document),
        ),
    ];
    routes.push(calls::route());
    routes.push(push::route());
    routes.extend(plugins::routes());
    routes.extend(events::routes());
    routes.extend(scrapes::routes());
    Routes::new(routes)
}

pub(super) type Answer = Result<Json<Value>, Refusal>;

async fn apps(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "apps": (room.handles.apps)() }))
}

async fn services(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "services": (room.handles.services)() }))
}

async fn connections(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "connections": (room.handles.connections)() }))
}

async fn config(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "settings": (room.handles.config)() }))
}

async fn document(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(openapi::document(&room.routes))
}

async fn log(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "level": room.handles.log.level().to_string() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLog {
    level: String,
}

async fn set_log(State(room): State<Arc<Room>>, body: Bytes) -> Answer {
    let SetLog { level } = read(&body, "send {\"level\":\"debug\"}")?;
    let level = Level::parse(&level).map_err(|todo| {
        let what = format!("there is no such level; {todo}");
        Refusal::new(StatusCode::BAD_REQUEST, what, "send {\"level\":\"debug\"}")
    })?;
    room.handles.log.set(&level);
    Ok(Json(json!({ "level": level.to_string() })))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    /// How long streams may go on, as in the configuration: `30s`.
    grace: Option<String>,
}

async fn drain(
    State(room): State<Arc<Room>>,
    Extension(who): Extension<Operator>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let todo = "send nothing, or {\"grace\":\"30s\"}";
    let Drain { grace } = match body.is_empty() {
        true => Drain::default(),
        false => read(&body, todo)?,
    };
    (room.handles.drain)(&who.name, grace.as_deref())
        .map_err(|what| Refusal::new(StatusCode::BAD_REQUEST, what, todo))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "draining": true }))).into_response())
}

/// The body as JSON, whatever media type it claims.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], todo: &'static str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let what = format!("the body cannot be read: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, what, todo)
    })
}

/// No request occupies the face for longer than this, a body that trickles included; what brings a plugin in may take as
/// long as its compiler.
async fn bounded(request: axum::extract::Request, next: middleware::Next) -> Response {
    let timeout = match request.uri().path().starts_with(plugins::DEED_PATHS) {
        true => plugins::DEED_TIMEOUT,
        false => ANSWER_TIMEOUT,
    };
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_slow(),
    }
}

pub(super) fn too_slow() -> Response {
    let (what, todo) = ("the request took too long", "send the whole body at once");
    Refusal::new(StatusCode::REQUEST_TIMEOUT, what, todo).into_response()
}

async fn nothing() -> Refusal {
    let todo = "GET /api/v1/openapi.json says what there is";
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing here", todo)
}

async fn not_allowed() -> Refusal {
    let todo = "GET /api/v1/openapi.json says what each path does";
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not do that",
        todo,
    )
}
