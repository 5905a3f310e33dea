//! The document says what the routes are, and the routes do what the document says.

use std::collections::BTreeSet;

use super::*;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

fn document(world: &World) -> Value {
    let reply = world.operator("GET /api/v1/openapi.json", "");
    assert_eq!(reply.status, 200);
    reply.json()
}

/// Each path with each method: what is served is in the document, and what is in it is served.
#[test]
fn the_document_is_true_both_ways() {
    let world = World::start();
    let document = document(&world);
    let paths = document["paths"].as_object().unwrap();
    let mut described = 0;
    for (path, operations) in paths {
        let filled = path.replace("{name}", "canary").replace("{id}", "nobody");
        if filled.ends_with("/stream") {
            described += 1;
            continue;
        }
        for method in METHODS {
            let reply = world.operator(&format!("{method} {filled}"), "");
            let operation = operations.get(method.to_lowercase());
            let known = operation.is_some();
            described += usize::from(known);
            assert_eq!(
                reply.status != 405,
                known,
                "{method} {path}: {}",
                reply.status
            );
            if let Some(operation) = operation {
                let responses = operation["responses"].as_object().unwrap();
                let status = reply.status.to_string();
                assert!(
                    responses.contains_key(&status),
                    "{method} {path}: {status} is not described"
                );
                assert!(!operation["summary"].as_str().unwrap().is_empty());
            }
        }
    }
    assert_eq!(described, api::routes().iter().count());
    let ids: BTreeSet<&str> = paths
        .values()
        .flat_map(|operations| operations.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), described, "each has a name of its own");
}

/// A router with a path more than the table would answer where the document says nothing.
#[test]
fn nothing_is_served_beside_the_table() {
    let text = include_str!("../api.rs");
    assert_eq!(
        text.matches(".route(").count(),
        0,
        "routes are added to the table"
    );
    let world = World::start();
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/plugins/canary",
        "/api/v1/plugins/canary/explode",
        "/metrics",
    ] {
        assert_eq!(
            world.operator(&format!("GET {path}"), "").status,
            404,
            "{path}"
        );
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn visit(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(
                    members
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                members.values().for_each(|member| visit(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
            _ => {}
        }
    }
    let world = World::start();
    let document = document(&world);
    let mut references = Vec::new();
    visit(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
