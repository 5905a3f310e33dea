//! The admin face: views for reading, two actions.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::telemetry::Level;

use super::{faces::Room, guard::guard, plugins, reply::Refusal};

const BODY_MAX: usize = 64 << 10;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn router(room: Arc<Room>) -> Router {
    let guarded = middleware::from_fn_with_state(room.guard.clone(), guard);
    super::scrapes::admin(Router::new())
        .route("/api/v1/apps", get(apps))
        .route("/api/v1/services", get(services))
        .route("/api/v1/plugins", get(list_plugins))
        .route("/api/v1/plugins/{name}/{deed}", post(plugins::act))
        .route("/api/v1/connections", get(connections))
        .route("/api/v1/config", get(config))
        .route("/api/v1/log", get(log).post(set_log).put(set_log))
        .route("/api/v1/drain", post(drain))
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(bounded))
        .layer(guarded)
        .with_state(room)
}

pub(super) type Answer = Result<Json<Value>, Refusal>;

async fn apps(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "apps": (room.handles.apps)() }))
}

async fn services(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "services": (room.handles.services)() }))
}

async fn list_plugins(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "plugins": (room.handles.plugins)() }))
}

async fn connections(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "connections": (room.handles.connections)() }))
}

async fn config(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "settings": (room.handles.config)() }))
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

async fn drain(State(room): State<Arc<Room>>, body: Bytes) -> Result<Response, Refusal> {
    let todo = "send nothing, or {\"grace\":\"30s\"}";
    let Drain { grace } = match body.is_empty() {
        true => Drain::default(),
        false => read(&body, todo)?,
    };
    (room.handles.drain)(grace.as_deref())
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

/// No request occupies the face for longer than this, a body that trickles included.
async fn bounded(request: axum::extract::Request, next: middleware::Next) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let what = "the request took too long";
            Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                what,
                "send the whole body at once",
            )
            .into_response()
        }
    }
}

async fn nothing() -> Refusal {
    let todo =
        "there are /api/v1/{apps,services,plugins,connections,config,log,metrics/targets,drain}";
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing here", todo)
}

async fn not_allowed() -> Refusal {
    let todo = "read with GET; change the log level and drain with POST";
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not do that",
        todo,
    )
}
