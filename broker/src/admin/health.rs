//! The HTTP face for applications and Prometheus.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use crate::telemetry::Registry;

use super::{faces::Room, reply::Refusal};

pub(super) fn router(room: Arc<Room>) -> Router {
    super::scrapes::http(Router::new())
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .with_state(room)
}

async fn metrics(State(room): State<Arc<Room>>) -> Response {
    match (room.handles.metrics)() {
        Ok(page) => ([(header::CONTENT_TYPE, Registry::MEDIA_TYPE)], page).into_response(),
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Refusal::new(status, error.to_string(), "see the broker's log").into_response()
        }
    }
}

/// That this answers is the answer.
async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

async fn ready(State(room): State<Arc<Room>>, headers: HeaderMap) -> Response {
    let readiness = (room.handles.readiness)();
    let (code, status) = match readiness.is_ready() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let body = match room.guard.knows(&headers) {
        true => json!({ "status": status, "reasons": readiness.reasons }),
        false => json!({ "status": status }),
    };
    (code, Json(body)).into_response()
}

async fn nothing() -> Refusal {
    let todo = "there are /metrics, /metrics/sd, /metrics/app/{id} and /health/{live,ready}; the admin API is on [admin] listen";
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing here", todo)
}

async fn not_allowed() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path is only read",
        "use GET",
    )
}
