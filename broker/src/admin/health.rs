//! The HTTP face for applications and Prometheus.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{accept::accepted, faces::Room, hosts::Hosts, reply::Refusal};

pub(super) fn router(room: Arc<Room>) -> Router {
    super::scrapes::http(Router::new())
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(nothing)
        .method_not_allowed_fallback(not_allowed)
        .with_state(room)
}

/// Calls, behind a check of who asks: a web page of somebody else may not.
pub(super) fn guarded(calls: Router, pages: Hosts) -> Router {
    let pages = Arc::new(pages);
    calls.layer(middleware::from_fn(move |request: Request, next: Next| {
        let pages = Arc::clone(&pages);
        async move {
            match pages.check(request.headers()) {
                Ok(()) => next.run(request).await,
                Err(refusal) => refusal.into_response(),
            }
        }
    }))
}

async fn metrics(State(room): State<Arc<Room>>, headers: HeaderMap) -> Response {
    let format = accepted(&headers);
    match (room.handles.metrics)(format) {
        Ok(page) => {
            let about = [
                (header::CONTENT_TYPE, format.media_type()),
                (header::VARY, "accept"),
            ];
            (about, page).into_response()
        }
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
    let todo = "there are /api/{service}/{method}, /metrics, /metrics/sd, /metrics/app/{id} and /health/{live,ready}; the admin API is on [admin] listen";
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing here", todo)
}

async fn not_allowed() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not do that",
        "read with GET",
    )
}
