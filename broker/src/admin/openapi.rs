//! `/api/v1/openapi.json`: the table of routes and the shapes of what they take and give, as OpenAPI 3.1.

use serde_json::{Map, Value, json};

use super::{
    push::NAME_MAX,
    route::{Route, Routes},
};

/// The whole document.
pub(super) fn document(routes: &Routes) -> Value {
    let mut paths = Map::new();
    for route in routes.iter() {
        let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Jackfield admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every operation takes a token with the role that `x-role` names.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let answer = &route.answer;
    let mut responses = Map::new();
    let mut said = json!({ "description": "Done" });
    said["content"][answer.media_type]["schema"] = answer.schema.clone();
    responses.insert(answer.status.to_string(), said);
    let mut refuse = |status: u16, why: &str| {
        let mut refusal = json!({ "description": why });
        refusal["content"]["application/json"]["schema"] = one_of("Error");
        responses.insert(status.to_string(), refusal);
    };
    refuse(401, "The token is missing, or no admin token");
    refuse(
        403,
        "The token does not have the role; or Host or Origin are not served",
    );
    refuse(408, "It took too long");
    if route.method != axum::http::Method::GET {
        refuse(400, "The body is not what is asked for");
        refuse(413, "The body is larger than 64 KiB");
    }
    for (status, why) in &route.refusals {
        refuse(*status, why);
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "x-role": route.role.as_str(),
        "parameters": parameters(route),
        "responses": responses,
    });
    if let Some((schema, required)) = &route.body {
        operation["requestBody"] = json!({
            "required": required,
            "content": { "application/json": { "schema": schema } },
        });
    }
    operation
}

/// `post-plugins-name-load`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1/");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let method = route.method.as_str().to_lowercase();
    format!("{method}-{}", words.join("-"))
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1 },
        }))
    });
    let in_query = route.query.iter().map(|(name, schema, about)| {
        json!({ "name": name, "in": "query", "schema": schema, "description": about })
    });
    in_path.chain(in_query).collect()
}

pub(super) fn one_of(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// An object with one list in it.
pub(super) fn list_of(name: &str, schema: &str) -> Value {
    object(
        &[(name, json!({ "type": "array", "items": one_of(schema) }))],
        &[],
    )
}

pub(super) fn sequence() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0 })
}

pub(super) fn drain() -> Value {
    let grace =
        json!({ "type": "string", "pattern": "^[1-9][0-9]{0,3}(ms|s|m)$", "examples": ["30s"] });
    closed(object(&[], &[("grace", grace)]))
}

pub(super) fn draining() -> Value {
    object(&[("draining", json!({ "const": true }))], &[])
}

/// With members that are always there, and others.
fn object(always: &[(&str, Value)], sometimes: &[(&str, Value)]) -> Value {
    let members = always.iter().chain(sometimes);
    let members: Map<String, Value> = members
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> = always.iter().map(|(name, _)| *name).collect();
    let mut object = json!({ "type": "object", "properties": members });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// Of what is sent to the broker: members it does not know are refused.
fn closed(mut object: Value) -> Value {
    object["additionalProperties"] = Value::Bool(false);
    object
}

/// Everybody, or those of one name, or one.
fn audience() -> Value {
    let name = || json!({ "type": "string", "minLength": 1, "maxLength": NAME_MAX });
    json!({ "anyOf": [
        { "const": "all" },
        closed(object(&[("app", name())], &[])),
        closed(object(&[("uuid", name())], &[])),
    ] })
}

/// A CloudEvent; what is left out is filled in.
fn letter() -> Value {
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    object(
        &[("type", json!({ "type": "string", "minLength": 1 }))],
        &[
            ("specversion", text()),
            ("id", text()),
            ("source", text()),
            ("datacontenttype", maybe()),
            ("subject", maybe()),
            ("data", json!(true)),
        ],
    )
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let maybe = |kind: &str| json!({ "type": [kind, "null"] });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let number = || json!({ "type": "integer", "format": "int32" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let map = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let digest = || json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    let levels = "(error|warn|info|debug|trace|off)";
    let level = format!("^{levels}(,[a-z]{{1,20}}(::[a-z]{{1,20}}){{0,3}}={levels}){{0,3}}$");
    let percent = json!({ "type": "number", "minimum": 0, "maximum": 100 });
    let load = |name: &str, schema: Value| {
        closed(object(&[(name, schema)], &[("percent", percent.clone())]))
    };
    let shadow = |name: &str, schema: Value| {
        closed(object(
            &[(name, schema)],
            &[("shadow", json!({ "type": "boolean" }))],
        ))
    };
    let file = || json!({ "type": "string", "minLength": 1 });
    json!({
        "Error": object(&[("error", text()), ("todo", text())], &[]),
        "App": object(&[
            ("id", number()), ("uuid", text()), ("name", text()), ("ip", text()), ("remote", text()),
            ("transport", text()), ("sdk", maybe("string")), ("connected_at_ms", count()),
            ("services", texts()), ("metadata", map()), ("in_flight", count()),
        ], &[]),
        "Service": object(&[
            ("key", text()), ("group", text()), ("service", text()), ("version", text()),
            ("id", number()), ("instances", texts()),
        ], &[]),
        "Connection": object(&[
            ("id", count()), ("remote", text()), ("transport", text()), ("outbox_bytes", count()),
        ], &[]),
        "Calls": object(&[
            ("service", text()), ("interaction", text()), ("outcome", text()), ("count", count()),
        ], &[]),
        "Setting": object(&[("key", text()), ("value", text()), ("origin", text())], &[]),
        "LogLevel": closed(object(&[("level", json!({ "type": "string", "pattern": level }))], &[])),
        "Plugin": object(&[
            ("name", text()), ("source", text()), ("digest", maybe("string")), ("size", maybe("integer")),
            ("state", text()), ("generation", count()), ("order", number()), ("hooks", texts()),
            ("imports", texts()), ("allow", texts()), ("match", texts()), ("on_failure", maybe("string")),
            ("memory", count()), ("calls", count()), ("failures", count()), ("last_error", maybe("string")),
            ("override", maybe("object")), ("versions", texts()), ("trial", maybe("object")),
        ], &[]),
        "Load": { "anyOf": [
            load("file", file()), shadow("file", file()), load("digest", digest()), shadow("digest", digest()),
        ] },
        "Rollback": closed(object(&[], &[("digest", digest())])),
        "Generation": object(&[("generation", count())], &[]),
        "Letter": closed(object(&[("to", audience()), ("event", letter())], &[])),
        "Pushed": object(&[("told", count()), ("deaf", count()), ("missed", count())], &[]),
        "Event": object(&[
            ("sequence", count()), ("at_ms", count()), ("what", text()), ("facts", json!({ "type": "object" })),
        ], &[]),
        "Events": object(&[
            ("events", json!({ "type": "array", "items": one_of("Event") })), ("lost", count()),
        ], &[]),
        "Target": object(&[("targets", texts()), ("labels", map())], &[]),
        "Scraped": object(&[
            ("page", text()), ("series", count()), ("seconds", json!({ "type": "number" })),
            ("findings", json!({ "type": "array", "items": object(&[("line", count()), ("what", text())], &[]) })),
            ("findings_left_out", count()),
        ], &[]),
    })
}
