//! Compares answers of the gateway with the OpenAPI document: the status, the media type and the body must be documented
//! for the operation, and a body has no field that its schema does not name.
//!
//! It reads the part of JSON Schema that the document uses, and fails on a keyword that it does not know. The crate
//! `jsonschema` would change how the product's own serde_json reads numbers in tests (`float_roundtrip`), needs a licence that
//! `.deny.toml` does not list, and accepts undocumented fields.
use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use toritsugi::gateway::openapi_document;

const PROBLEM: &str = "application/problem+json";
const PROBLEM_SCHEMA: &str = "/components/schemas/Problem";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&openapi_document()).unwrap());

/// An answer as a client receives it.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    /// The media type, empty without a body.
    pub(crate) content_type: &'a str,
    /// `None` for an event stream, which does not end.
    pub(crate) body: Option<&'a [u8]>,
}

/// Says where the answer differs from the document.
pub(crate) fn difference(answer: &Received<'_>) -> Option<String> {
    check(answer)
        .err()
        .map(|why| format!("{} {} answers {}: {why}", answer.method, answer.path, answer.status.as_u16()))
}

fn check(answer: &Received<'_>) -> Result<(), String> {
    let media_type = answer.content_type.split(';').next().unwrap_or_default().trim();
    let method = answer.method.as_str().to_lowercase();
    let Some(operation) = path_item(answer.path).and_then(|item| item.get(method)) else {
        // No operation: the page, the document itself, or a refusal.
        return if media_type == PROBLEM { problem(answer) } else { Ok(()) };
    };
    let documented =
        operation["responses"].get(answer.status.as_str()).ok_or("the status is not documented")?;
    let contents = resolved(documented)?.get("content").and_then(Value::as_object);
    let Some(contents) = contents else {
        return match answer.body {
            None | Some([]) => Ok(()),
            Some(_) => Err("it has a body, the document none".into()),
        };
    };
    let content =
        contents.get(media_type).ok_or_else(|| format!("the media type {media_type:?} is not documented"))?;
    let Some(body) = answer.body else { return Ok(()) };
    if media_type == PROBLEM {
        return problem(answer);
    }
    if media_type != "application/json" {
        return Ok(());
    }
    let body = serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))?;
    fits(&content["schema"], &body, "")
}

/// A problem fits its schema and repeats the status.
fn problem(answer: &Received<'_>) -> Result<(), String> {
    let body: Value = serde_json::from_slice(answer.body.unwrap_or_default())
        .map_err(|error| format!("the problem is not JSON: {error}"))?;
    fits(DOCUMENT.pointer(PROBLEM_SCHEMA).ok_or("no schema of a problem")?, &body, "")?;
    if body["status"] == answer.status.as_u16() { Ok(()) } else { Err(format!("the problem says {body}")) }
}

/// The document's entry for this path. Of those that match, the one with most literal parts counts, as in the router.
fn path_item(path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let matches = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let fits =
            |(wanted, part): (&&str, &&str)| wanted == part || wanted.starts_with('{') && !part.is_empty();
        wanted.len() == parts.len() && wanted.iter().zip(&parts).all(fits)
    };
    let paths = DOCUMENT["paths"].as_object()?;
    let found = paths.iter().filter(|(template, _)| matches(template));
    found.min_by_key(|(template, _)| template.matches('{').count()).map(|(_, item)| item)
}

/// The schema or answer itself where the document refers to one.
fn resolved(node: &'static Value) -> Result<&'static Value, String> {
    let Some(reference) = node.get("$ref") else { return Ok(node) };
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
    pointer.and_then(|pointer| DOCUMENT.pointer(pointer)).ok_or_else(|| format!("{reference} leads nowhere"))
}

/// Whether `value`, which stands at `at` in the body, fits the schema.
fn fits(schema: &'static Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(schema)?;
    let keywords = schema.as_object().ok_or("a schema is no object")?;
    for (keyword, wanted) in keywords {
        match keyword.as_str() {
            "type" => has_type(wanted, value),
            "enum" => match wanted.as_array().is_some_and(|words| words.contains(value)) {
                true => Ok(()),
                false => Err(format!("is none of {wanted}")),
            },
            "minimum" => match value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()) {
                true => Ok(()),
                false => Err(format!("is less than {wanted}")),
            },
            "maximum" => match value.as_f64().is_none_or(|number| Some(number) <= wanted.as_f64()) {
                true => Ok(()),
                false => Err(format!("is more than {wanted}")),
            },
            "maxLength" => {
                let length = value.as_str().map_or(0, |text| text.chars().count());
                if wanted.as_u64().is_some_and(|most| length as u64 <= most) {
                    Ok(())
                } else {
                    Err(format!("is longer than {wanted}"))
                }
            }
            "format" => has_format(wanted, value),
            "oneOf" => return one_fits(wanted, value, at),
            // Decided with `properties` and `items` below; `propertyNames` are all strings here.
            "properties" | "required" | "additionalProperties" | "items" | "propertyNames" => Ok(()),
            "description" | "default" | "examples" => Ok(()),
            other => Err(format!("has a schema with {other}, which this check does not know")),
        }
        .map_err(|why| format!("{at} {why} ({value})"))?;
    }
    match value {
        Value::Object(fields) => fields_fit(schema, fields, at),
        Value::Array(items) => match schema.get("items") {
            Some(of_item) => {
                items.iter().enumerate().try_for_each(|(n, item)| fits(of_item, item, &format!("{at}/{n}")))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether exactly one of these schemas fits.
fn one_fits(schemas: &'static Value, value: &Value, at: &str) -> Result<(), String> {
    let results: Vec<_> =
        schemas.as_array().ok_or("oneOf is no list")?.iter().map(|schema| fits(schema, value, at)).collect();
    match results.iter().filter(|result| result.is_ok()).count() {
        1 => Ok(()),
        0 => {
            let why: Vec<String> = results.into_iter().filter_map(Result::err).collect();
            Err(format!("{at} fits none: {}", why.join("; ")))
        }
        several => Err(format!("{at} fits {several} of the alternatives ({value})")),
    }
}

/// Whether an object has the required fields, and only fields that the schema names.
fn fields_fit(
    schema: &'static Value,
    fields: &serde_json::Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Err(format!("{at} has no {name}"));
        }
    }
    let named = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    for (name, value) in fields {
        let at = format!("{at}/{name}");
        match (named.and_then(|named| named.get(name)), others) {
            (Some(of_field), _) => fits(of_field, value, &at)?,
            (None, Some(Value::Object(_))) => fits(&schema["additionalProperties"], value, &at)?,
            (None, Some(Value::Bool(true))) => {}
            // A schema without any field holds whatever it likes: the data of an event.
            (None, None) if named.is_none() => {}
            (None, _) => return Err(format!("{at} is not documented ({value})")),
        }
    }
    Ok(())
}

fn has_type(wanted: &Value, value: &Value) -> Result<(), String> {
    let is = |word: &Value| match word.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    let fits = match wanted {
        Value::Array(words) => words.iter().any(is),
        word => is(word),
    };
    if fits { Ok(()) } else { Err(format!("is no {wanted}")) }
}

fn has_format(wanted: &Value, value: &Value) -> Result<(), String> {
    let Some(text) = value.as_str() else { return Ok(()) };
    let fits = match wanted.as_str() {
        Some("uuid") => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
        // All times are UTC with milliseconds: docs/api.md.
        Some("date-time") => {
            text.len() == "2026-04-01T00:15:30.250Z".len()
                && text.ends_with('Z')
                && text.parse::<Timestamp>().is_ok()
        }
        Some("date") => text.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == text),
        _ => return Err(format!("has the format {wanted}, which this check does not know")),
    };
    if fits { Ok(()) } else { Err(format!("is no {wanted}")) }
}

/// Every operation of the document, as method and path.
pub(crate) fn operations() -> HashMap<(Method, &'static str), &'static Value> {
    let items = DOCUMENT["paths"].as_object().into_iter().flatten();
    let of_path = |(path, item): (&'static String, &'static Value)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| {
            ((method.to_uppercase().parse().unwrap(), path.as_str()), operation)
        })
    };
    items.flat_map(of_path).collect()
}
