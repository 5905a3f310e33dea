//! What operators do to plugins: `POST /api/v1/plugins/{name}/{load,reload,enable,disable,promote,rollback,reset}`.
//!
//! Bringing a component in may take as long as compiling it, so it runs off the face's thread. When the face no longer
//! waits, it goes on all the same.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::{Method, StatusCode},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{Answer, read},
    faces::Room,
    openapi::{list_of, one_of},
    operators::{Operator, Role},
    reply::Refusal,
    route::Route,
};
use crate::chain::COMPILE_TIME_MAX;

/// As long as the compiler may take, and a little: the request that brings a component in is answered with what came of
/// it.
pub const DEED_TIMEOUT: Duration = COMPILE_TIME_MAX.saturating_add(Duration::from_secs(20));

/// What is to be done to a plugin.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginDeed {
    /// Brings another version in.
    Load(PluginLoad),
    /// Reads the components again that the configuration names.
    Reload,
    Enable,
    Disable,
    /// Makes the version on trial the live one.
    Promote,
    /// Goes back to this digest, or to the version before the live one.
    Rollback(Option<String>),
    /// Forgets what operators changed.
    Reset,
}

/// Which version, and beside the live one or in its place.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLoad {
    /// A component, on the broker's machine.
    pub file: Option<String>,
    /// A version that is kept.
    pub digest: Option<String>,
    /// Percent of the connections that get it.
    pub percent: Option<f64>,
    /// Asked, and without effect.
    pub shadow: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct To {
    digest: Option<String>,
}

/// Where the paths of all deeds begin.
pub(super) const DEED_PATHS: &str = "/api/v1/plugins/";

/// What can be done to a plugin, and what it does.
const DEEDS: [(&str, &str); 7] = [
    (
        "load",
        "Bring another version in, live or beside the live one",
    ),
    (
        "reload",
        "Read the components again that the configuration names",
    ),
    ("enable", "Switch the plugin on"),
    ("disable", "Switch the plugin off"),
    ("promote", "Make the version on trial the live one"),
    ("rollback", "Go back to a version before"),
    ("reset", "Forget what operators changed"),
];

pub(super) fn routes() -> Vec<Route> {
    let list = Route::new(
        Method::GET,
        "/api/v1/plugins",
        Role::Read,
        "Plugins, and what has become of them",
        get(list),
    );
    let deeds = DEEDS.map(|(deed, about)| {
        let handler = move |room, who, plugin, body| act(deed, room, who, plugin, body);
        let route = Route::new(
            Method::POST,
            format!("{DEED_PATHS}{{name}}/{deed}"),
            Role::Plugins,
            about,
            post(handler),
        )
        .answers(one_of("Generation"))
        .refuses(404, "There is no such plugin")
        .refuses(409, "It cannot be done; nothing has changed");
        match deed {
            "load" => route.body(one_of("Load"), true),
            "rollback" => route.body(one_of("Rollback"), false),
            _ => route,
        }
    });
    let mut routes = vec![list.answers(list_of("plugins", "Plugin"))];
    routes.extend(deeds);
    routes
}

async fn list(State(room): State<Arc<Room>>) -> Json<Value> {
    Json(json!({ "plugins": (room.handles.plugins)() }))
}

async fn act(
    deed: &'static str,
    State(room): State<Arc<Room>>,
    Extension(who): Extension<Operator>,
    Path(plugin): Path<String>,
    body: Bytes,
) -> Answer {
    let deed = parse(deed, &body)?;
    let plugins = (room.handles.plugins)();
    let mut names = plugins.as_array().into_iter().flatten();
    if !names.any(|known| known["name"] == plugin.as_str()) {
        let todo = "GET /api/v1/plugins lists them; add it to the configuration first";
        let what = format!("there is no plugin `{plugin}`");
        return Err(Refusal::new(StatusCode::NOT_FOUND, what, todo));
    }
    let acting = move || (room.handles.plugin)(&who.name, &plugin, deed);
    let done = tokio::task::spawn_blocking(acting).await;
    let todo = "see GET /api/v1/plugins; nothing has changed";
    let refuse = |what: String| Refusal::new(StatusCode::CONFLICT, what, todo);
    let generation = done.map_err(|panic| refuse(panic.to_string()))?;
    Ok(Json(json!({ "generation": generation.map_err(refuse)? })))
}

fn parse(deed: &str, body: &[u8]) -> Result<PluginDeed, Refusal> {
    let wrong = |what: &str, todo| Refusal::new(StatusCode::BAD_REQUEST, what, todo);
    let deed = match deed {
        "load" => {
            let todo = "send {\"file\":\"/path/p.wasm\"} or {\"digest\":\"...\"}, with \"percent\":5 or \"shadow\":true";
            let load: PluginLoad = read(body, todo)?;
            if load.file.is_some() == load.digest.is_some() {
                return Err(wrong("one of `file` and `digest` is needed", todo));
            }
            let fits = |percent: f64| (0.0..=100.0).contains(&percent);
            if load.shadow && load.percent.is_some() || !load.percent.is_none_or(fits) {
                return Err(wrong(
                    "`percent` is from 0 to 100, and not with `shadow`",
                    todo,
                ));
            }
            return Ok(PluginDeed::Load(load));
        }
        "rollback" => {
            let to = match body.is_empty() {
                true => To::default(),
                false => read(body, "send nothing, or {\"digest\":\"...\"}")?,
            };
            return Ok(PluginDeed::Rollback(to.digest));
        }
        "reload" => PluginDeed::Reload,
        "enable" => PluginDeed::Enable,
        "disable" => PluginDeed::Disable,
        "promote" => PluginDeed::Promote,
        "reset" => PluginDeed::Reset,
        _ => {
            let todo = "do load, reload, enable, disable, promote, rollback or reset";
            let what = "a plugin cannot do that";
            return Err(Refusal::new(StatusCode::NOT_FOUND, what, todo));
        }
    };
    match body.is_empty() {
        true => Ok(deed),
        false => Err(wrong("this takes no body", "send nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_are_read_and_nonsense_is_refused() {
        let fits = |deed: &str, body: &str| parse(deed, body.as_bytes()).ok();
        assert_eq!(fits("promote", ""), Some(PluginDeed::Promote));
        assert_eq!(fits("rollback", ""), Some(PluginDeed::Rollback(None)));
        let to = Some("00ff".to_owned());
        assert_eq!(
            fits("rollback", r#"{"digest":"00ff"}"#),
            Some(PluginDeed::Rollback(to))
        );
        let load = PluginLoad {
            file: Some("/p.wasm".into()),
            percent: Some(2.5),
            ..PluginLoad::default()
        };
        assert_eq!(
            fits("load", r#"{"file":"/p.wasm","percent":2.5}"#),
            Some(PluginDeed::Load(load))
        );
        for (deed, body) in [
            ("explode", ""),
            ("promote", "{}"),
            ("load", ""),
            ("load", "{}"),
            ("load", r#"{"file":"a","digest":"b"}"#),
            ("load", r#"{"file":"a","percent":101}"#),
            ("load", r#"{"file":"a","percent":1,"shadow":true}"#),
            ("load", r#"{"file":"a","mode":"live"}"#),
        ] {
            assert_eq!(fits(deed, body), None, "{deed} {body}");
        }
    }
}
