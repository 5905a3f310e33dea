//! The JSON schema of its settings that a component may carry, in a custom section.
//!
//! What is understood is the part of JSON Schema that settings need:
//!
//! ```text
//! type · enum · const · properties · required · additionalProperties · items · anyOf
//! minimum · maximum · exclusiveMinimum · exclusiveMaximum · minLength · maxLength · minItems · maxItems
//! ```
//!
//! Invariant: a schema with another keyword is refused, beside those that only describe. A check that is silently left
//! out would look as if it had been made.

use serde_json::{Map, Value};

/// The custom section that holds it.
pub(crate) const SECTION: &str = "jackfield:settings-schema";

const CHECKS: [&str; 16] = [
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
];
const DESCRIBES: [&str; 8] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
];
/// Neither a schema nor what it checks is nested deeper.
const DEPTH_MAX: usize = 32;

/// What is wrong with a setting, and which one it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// The keys down to it; empty: all of them.
    pub(crate) path: Vec<String>,
    pub(crate) what: String,
}

/// The schema in a section's bytes, or why it cannot be used.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let schema: Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("its settings schema is not JSON: {error}"))?;
    understood(&schema, 0).map_err(|why| format!("its settings schema {why}"))?;
    Ok(schema)
}

fn understood(schema: &Value, depth: usize) -> Result<(), String> {
    let table = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(table) if depth < DEPTH_MAX => table,
        Value::Object(_) => return Err("is nested too deep".into()),
        _ => return Err("has a part that is neither a table nor true or false".into()),
    };
    let unknown = |key: &&String| !CHECKS.contains(&&***key) && !DESCRIBES.contains(&&***key);
    if let Some(key) = table.keys().find(unknown) {
        return Err(format!("uses `{key}`, which this broker does not check"));
    }
    let properties = table.get("properties").and_then(Value::as_object);
    let parts = ["items", "additionalProperties"];
    let parts = parts.iter().filter_map(|key| table.get(*key));
    let any = table.get("anyOf").and_then(Value::as_array);
    parts
        .chain(properties.into_iter().flat_map(Map::values))
        .chain(any.into_iter().flatten())
        .try_for_each(|part| understood(part, depth + 1))
}

/// Whether settings are as the schema says.
pub(crate) fn check(schema: &Value, settings: &Value) -> Result<(), Unfit> {
    at(schema, settings, &mut Vec::new())
}

fn at(schema: &Value, value: &Value, path: &mut Vec<String>) -> Result<(), Unfit> {
    let unfit = |path: &[String], what: String| {
        let path = path.to_vec();
        Err(Unfit { path, what })
    };
    let table = match schema {
        Value::Object(table) => table,
        Value::Bool(false) => return unfit(path, "is not known".into()),
        _ => return Ok(()),
    };
    if let Some(what) = itself(table, value) {
        return unfit(path, what);
    }
    if let Some(any) = table.get("anyOf").and_then(Value::as_array)
        && !any
            .iter()
            .any(|one| at(one, value, &mut Vec::new()).is_ok())
    {
        return unfit(path, "fits none of the ways it may be written".into());
    }
    match value {
        Value::Object(fields) => members(table, fields, path),
        Value::Array(items) => {
            let Some(schema) = table.get("items") else {
                return Ok(());
            };
            for (index, item) in items.iter().enumerate() {
                within(schema, item, index.to_string(), path)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn within(schema: &Value, value: &Value, key: String, path: &mut Vec<String>) -> Result<(), Unfit> {
    path.push(key);
    at(schema, value, path)?;
    path.pop();
    Ok(())
}

fn members(
    schema: &Map<String, Value>,
    fields: &Map<String, Value>,
    path: &mut Vec<String>,
) -> Result<(), Unfit> {
    let required = schema.get("required").and_then(Value::as_array);
    let missing = |key: &&str| !fields.contains_key(*key);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    if let Some(key) = { required }.find(missing) {
        let what = format!("has no `{key}`, which is needed");
        let path = path.clone();
        return Err(Unfit { path, what });
    }
    let known = schema.get("properties").and_then(Value::as_object);
    for (key, value) in fields {
        let own = known.and_then(|known| known.get(key));
        if let Some(schema) = own.or_else(|| schema.get("additionalProperties")) {
            within(schema, value, key.clone(), path)?;
        }
    }
    Ok(())
}

/// What is wrong with a value, whatever is inside it.
fn itself(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(types) = schema.get("type") {
        let has = |name: &Value| name.as_str().is_some_and(|name| is(name, value));
        let fits = match types {
            Value::Array(types) => types.iter().any(has),
            one => has(one),
        };
        if !fits {
            return Some(format!("is {value}, and must be of type {}", words(types)));
        }
    }
    if let Some(allowed) = schema.get("enum")
        && !allowed
            .as_array()
            .is_some_and(|all| all.iter().any(|one| same(one, value)))
    {
        return Some(format!("is {value}, and must be one of {}", words(allowed)));
    }
    if let Some(wanted) = schema.get("const")
        && !same(wanted, value)
    {
        return Some(format!("is {value}, and must be {wanted}"));
    }
    let (size, bounds) = match value {
        Value::Number(number) => (number.as_f64()?, ("minimum", "maximum", "")),
        Value::String(text) => (
            text.chars().count() as f64,
            ("minLength", "maxLength", " characters"),
        ),
        Value::Array(items) => (items.len() as f64, ("minItems", "maxItems", " items")),
        _ => return None,
    };
    let (least, most, unit) = bounds;
    let complaint =
        |how: &str, bound: f64| Some(format!("is {value}, and must be {how} {bound}{unit}"));
    match (number(least), number(most)) {
        (Some(bound), _) if size < bound => return complaint("at least", bound),
        (_, Some(bound)) if size > bound => return complaint("at most", bound),
        _ => {}
    }
    match (number("exclusiveMinimum"), number("exclusiveMaximum")) {
        (Some(bound), _) if value.is_number() && size <= bound => complaint("more than", bound),
        (_, Some(bound)) if value.is_number() && size >= bound => complaint("less than", bound),
        _ => None,
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// Numbers are equal by their value: `1` and `1.0`.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn words(values: &Value) -> String {
    let word = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match values {
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(", "),
        one => word(one),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "title": "canary",
            "type": "object",
            "required": ["percent"],
            "additionalProperties": false,
            "properties": {
                "percent": { "type": "number", "minimum": 0, "maximum": 100 },
                "by": { "anyOf": [{ "enum": ["app", "principal"] }, { "type": "object" }] },
                "zones": { "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 2 } },
                "calls": { "type": "integer", "exclusiveMinimum": 0 },
            },
        })
    }

    #[test]
    fn settings_that_fit_pass() {
        for settings in [
            json!({ "percent": 30 }),
            json!({ "percent": 99.5, "by": "app", "zones": ["eu", "us"], "calls": 3.0 }),
            json!({ "percent": 0, "by": {} }),
        ] {
            assert_eq!(check(&schema(), &settings), Ok(()), "{settings}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        for (settings, path, what) in [
            (json!({}), "", "has no `percent`"),
            (json!([]), "", "must be of type object"),
            (
                json!({ "percent": 300 }),
                "percent",
                "is 300, and must be at most 100",
            ),
            (
                json!({ "percent": "3" }),
                "percent",
                "must be of type number",
            ),
            (
                json!({ "percent": 3, "versoin": "2" }),
                "versoin",
                "is not known",
            ),
            (json!({ "percent": 3, "by": "moon" }), "by", "fits none"),
            (
                json!({ "percent": 3, "zones": [] }),
                "zones",
                "at least 1 items",
            ),
            (
                json!({ "percent": 3, "zones": ["eu", "x"] }),
                "zones.1",
                "at least 2 characters",
            ),
            (json!({ "percent": 3, "calls": 0 }), "calls", "more than 0"),
            (
                json!({ "percent": 3, "calls": 0.5 }),
                "calls",
                "of type integer",
            ),
        ] {
            let unfit = check(&schema(), &settings).unwrap_err();
            assert_eq!(unfit.path.join("."), path, "{settings}");
            assert!(unfit.what.contains(what), "{settings}: {}", unfit.what);
        }
    }

    #[test]
    fn a_schema_that_cannot_be_checked_is_refused() {
        let deep = format!(
            "{}{}",
            r#"{"items":"#.repeat(40),
            "{}".to_owned() + &"}".repeat(40)
        );
        for (text, why) in [
            ("{", "is not JSON"),
            ("[]", "neither a table"),
            (r#"{"pattern": "^a"}"#, "uses `pattern`"),
            (r#"{"properties": {"a": {"$ref": "b"}}}"#, "uses `$ref`"),
            (&deep, "nested too deep"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse(schema().to_string().as_bytes()).is_ok());
    }
}
