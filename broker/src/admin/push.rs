//! Events of an operator to applications: `POST /api/v1/apps/events`.
//!
//! A push has no answer: that an application was told says nothing of what it made of it. Clients that may not bear
//! a push get none, and are counted.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode},
    routing::post,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cluster::passable;

use super::{
    api::{Answer, read},
    faces::Room,
    openapi::one_of,
    operators::{Operator, Role},
    reply::Refusal,
    route::Route,
};

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    All,
    /// Every application of this name.
    App(String),
    Uuid(String),
}

/// What became of an event, in applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// It is on its way to them.
    pub told: usize,
    /// They are not known to bear a push.
    pub deaf: usize,
    /// They read too slowly, or have just gone.
    pub missed: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    to: Audience,
    event: Map<String, Value>,
}

/// What happened is kept, and a name with it.
pub(super) const NAME_MAX: usize = 256;
const TODO: &str =
    r#"send {"to":"all","event":{"type":"...","data":{}}}; or to {"app":NAME} or {"uuid":UUID}"#;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/api/v1/apps/events",
        Role::Operate,
        "Push a CloudEvent to applications that bear it",
        post(push),
    )
    .body(one_of("Letter"), true)
    .answers(one_of("Pushed"))
    .refuses(404, "No such application is connected")
}

async fn push(
    State(room): State<Arc<Room>>,
    Extension(who): Extension<Operator>,
    body: Bytes,
) -> Answer {
    let Letter { to, event } = read(&body, TODO)?;
    let event = completed(event).map_err(|what| wrong(format!("the event: {what}")))?;
    if let Audience::App(name) | Audience::Uuid(name) = &to
        && !(1..=NAME_MAX).contains(&name.chars().count())
    {
        let what = format!("an application has a name of 1 to {NAME_MAX} characters");
        return Err(wrong(what));
    }
    let pushed = (room.handles.push)(&who.name, &to, event);
    if pushed == Pushed::default() {
        let (what, todo) = (
            "no such application is connected",
            "GET /api/v1/apps lists them",
        );
        return Err(Refusal::new(StatusCode::NOT_FOUND, what, todo));
    }
    Ok(Json(json!(pushed)))
}

fn wrong(what: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, what, TODO)
}

/// With what every event has and an operator need not write.
fn completed(mut event: Map<String, Value>) -> Result<Bytes, String> {
    if event.get("type").and_then(Value::as_str) == Some("") {
        return Err("its type is empty".into());
    }
    let id = uuid::Uuid::new_v4().to_string();
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", &id),
        ("source", "broker://jackfield"),
        ("datacontenttype", "application/json"),
    ] {
        event.entry(name).or_insert_with(|| value.into());
    }
    let text = Value::from(event).to_string();
    passable(text.as_bytes()).map_err(|error| error.to_string())
}
