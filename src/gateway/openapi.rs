//! The OpenAPI document, generated from the handlers, and completed with what all handlers have in common:
//!
//! | operation | answers that it always documents |
//! |---|---|
//! | any | 400, 408, 431, 500, 503 |
//! | with a token | 401, 403, 429 |
//! | with an id in the path | 404 |
//! | with a body | 413, 415, 422 |
//! | with `Idempotency-Key` (any that changes something, with a token) | 409, 422 |
//!
//! Invariant: the document is checked in as `openapi.json`, and a test compares it with the handlers. A change of the
//! public contract is therefore visible in review. The contract is only ever extended.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, AllOf, ArrayItems, Object, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Spec, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::routes;
use super::state::AppState;
use crate::contract::event::EventKind;

/// An event, as it is in `data:` of `/v1/events` and in each message of `/v1/events/ws`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
struct EventSchema {
    /// The position in the event stream; send it back to resume after this event.
    id: String,
    /// What happened: `stream.snapshot`, `stream.resumed`, or one of the kinds listed here. More may be added.
    #[schema(schema_with = kinds)]
    kind: String,
    /// When the event happened.
    #[schema(format = DateTime)]
    at: String,
    /// The PBX; absent in `stream.*`.
    pbx: Option<String>,
    /// The call that the event is about.
    call: Option<uuid::Uuid>,
    /// The content; its fields depend on the kind.
    data: serde_json::Value,
}

fn kinds() -> Object {
    let words =
        ["stream.snapshot", "stream.resumed"].into_iter().chain(EventKind::ALL.iter().map(|k| k.as_str()));
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .examples(words.map(Into::<serde_json::Value>::into))
        .build()
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Toritsugi", description = "取次: calls, operators and records of a telephone answering service."),
    components(schemas(
        EventSchema,
        crate::contract::event::PbxStatus,
        super::csv::CsvEncoding,
        super::csv::FileLanguage
    )),
    security(("token" = []), ("cookie" = [])),
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let cookie = ApiKey::Cookie(ApiKeyValue::new("__Host-toritsugi_session"));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// Prefixes each operation id with the tag: handlers of several files have the same names, ids must be unique.
struct OperationIds;

impl Modify for OperationIds {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations =
                [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                let tag = operation.tags.iter().flatten().next();
                if let (Some(tag), Some(id)) = (tag, &operation.operation_id) {
                    operation.operation_id = Some(format!("{tag}_{id}"));
                }
            }
        }
    }
}

/// Writes an object that consists of others as one object. The parts take no further properties, so that no answer would fit
/// all of them.
struct WholeObjects;

impl Modify for WholeObjects {
    fn modify(&self, document: &mut Spec) {
        let Some(components) = &mut document.components else { return };
        let parts = components.schemas.clone();
        components.schemas.values_mut().for_each(|schema| make_whole(schema, &parts));
    }
}

/// Does it with the schema and what is inside: pages contain the schemas of their items.
fn make_whole(schema: &mut RefOr<Schema>, schemas: &BTreeMap<String, RefOr<Schema>>) {
    let RefOr::T(inner) = schema else { return };
    match inner {
        Schema::AllOf(parts) => {
            if let Some(whole) = whole_object(parts, schemas) {
                *inner = Schema::Object(whole);
            }
        }
        Schema::Object(object) => object.properties.values_mut().for_each(|p| make_whole(p, schemas)),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                make_whole(items, schemas);
            }
        }
        _ => {}
    }
}

/// The object that has all properties of the parts; `None` if a part is no object.
fn whole_object(parts: &AllOf, schemas: &BTreeMap<String, RefOr<Schema>>) -> Option<Object> {
    let mut whole = Object::new();
    whole.description.clone_from(&parts.description);
    for part in &parts.items {
        let part = match part {
            RefOr::T(schema) => schema,
            RefOr::Ref(reference) => match schemas.get(reference.ref_location.rsplit('/').next()?)? {
                RefOr::T(schema) => schema,
                RefOr::Ref(_) => return None,
            },
        };
        let part = match part {
            Schema::Object(object) => object.clone(),
            Schema::AllOf(inner) => whole_object(inner, schemas)?,
            _ => return None,
        };
        whole.schema_type = part.schema_type;
        whole.required.extend(part.required);
        whole.properties.extend(part.properties);
        if let Some(AdditionalProperties::RefOr(any)) = part.additional_properties.map(|more| *more) {
            whole.additional_properties = Some(Box::new(AdditionalProperties::RefOr(any)));
        }
    }
    Some(whole)
}

/// The media type of a problem.
const PROBLEM: &str = "application/problem+json";

/// Answers that do not depend on the handler: the status, the name of the response in the document, the kinds of problem.
type CommonAnswer = (&'static str, &'static str, &'static str);

/// Of any operation.
const OF_ANY: [CommonAnswer; 5] = [
    ("400", "MalformedRequest", "invalid-query, invalid-header, malformed-json"),
    ("408", "RequestTimeout", "request-timeout"),
    ("431", "HeadTooLarge", "head-too-large"),
    ("500", "InternalError", "internal-error"),
    ("503", "Unavailable", "store-unavailable, overloaded, shutting-down"),
];
/// Of operations that need a token.
const WITH_TOKEN: [CommonAnswer; 3] = [
    ("401", "NotSignedIn", "not-signed-in, token-expired, token-revoked"),
    ("403", "NotPermitted", "not-permitted, foreign-origin"),
    ("429", "TooManyFailures", "too-many-failures"),
];
/// Of operations with an id in the path.
const WITH_ID: [CommonAnswer; 1] = [("404", "Unknown", "unknown-record, unknown-call")];
/// Of operations with a body.
const WITH_BODY: [CommonAnswer; 3] = [
    ("413", "BodyTooLarge", "body-too-large"),
    ("415", "UnsupportedMediaType", "unsupported-media-type"),
    ("422", "InvalidBody", "invalid-body, idempotency-key-reused"),
];
/// Of operations that take an `Idempotency-Key`.
const WITH_KEY: [CommonAnswer; 3] = [
    ("409", "RequestInProgress", "request-in-progress"),
    ("413", "BodyTooLarge", "body-too-large"),
    ("422", "IdempotencyKeyReused", "idempotency-key-reused"),
];

/// Adds the answers that do not depend on the handler, and gives problems their media type.
struct CommonAnswers;

impl Modify for CommonAnswers {
    fn modify(&self, document: &mut Spec) {
        let components = document.components.get_or_insert_default();
        for (_, name, kinds) in [&OF_ANY[..], &WITH_TOKEN, &WITH_ID, &WITH_BODY, &WITH_KEY].concat() {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            let answer = ResponseBuilder::new().description(kinds).content(PROBLEM, content).build();
            components.responses.insert(name.to_owned(), answer.into());
        }
        for (path, item) in &mut document.paths.paths {
            let has_id = path.contains('{');
            let operations = [
                (&mut item.get, false),
                (&mut item.post, true),
                (&mut item.put, true),
                (&mut item.patch, true),
                (&mut item.delete, true),
            ];
            for (operation, changes) in operations {
                if let Some(operation) = operation {
                    complete(operation, has_id, changes);
                }
            }
        }
    }
}

fn complete(operation: &mut Operation, has_id: bool, changes: bool) {
    // `security(())`, an empty requirement, marks the operations without a token.
    let needs_token = operation.security.is_none();
    let takes_key = needs_token && changes;
    let common: [(bool, &[CommonAnswer]); 5] = [
        (true, &OF_ANY),
        (needs_token, &WITH_TOKEN),
        (has_id, &WITH_ID),
        (operation.request_body.is_some(), &WITH_BODY),
        (takes_key, &WITH_KEY),
    ];
    let answers = &mut operation.responses.responses;
    for (status, name, _) in common.into_iter().filter(|(of_this, _)| *of_this).flat_map(|(_, group)| group) {
        answers.entry((*status).to_owned()).or_insert_with(|| RefOr::Ref(Ref::from_response_name(*name)));
    }
    for answer in answers.values_mut() {
        if let RefOr::T(answer) = answer {
            let of_problem = answer.content.get("application/json").is_some_and(is_problem);
            if of_problem && let Some(content) = answer.content.swap_remove("application/json") {
                answer.content.insert(PROBLEM.to_owned(), content);
            }
        }
    }
    if takes_key {
        add_idempotency_key(operation);
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(Content { schema: Some(RefOr::Ref(schema)), .. }) = content else { return false };
    schema.ref_location.ends_with("/Problem")
}

/// Documents the header `Idempotency-Key`, which every operation takes that changes something.
fn add_idempotency_key(operation: &mut Operation) {
    let schema = utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .min_length(Some(1))
        .max_length(Some(128))
        .pattern(Some(r"^[!-~]([\t -~]*[!-~])?$"))
        .build();
    let key = utoipa::openapi::path::ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(utoipa::openapi::Required::False)
        .description(Some("A repeated request with the same key gets the first answer"))
        .schema(Some(schema))
        .build();
    let parameters = operation.parameters.get_or_insert_default();
    let is_key = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => parameter.name == key.name,
        RefOr::Ref(_) => false,
    };
    if !parameters.iter().any(is_key) {
        parameters.push(RefOr::T(key));
    }
}

/// Writes the fields of a message into the requests that change some of them. Their type is a JSON merge patch, whose members
/// the handlers read; `null`, which resets a field, is in the description.
struct MessagePatches;

impl Modify for MessagePatches {
    fn modify(&self, document: &mut Spec) {
        let Some(components) = &mut document.components else { return };
        let Some(RefOr::T(Schema::Object(message))) = components.schemas.get("MessageFields").cloned() else {
            return;
        };
        for name in ["ChangeMessage", "CorrectMessage"] {
            let Some(RefOr::T(Schema::Object(change))) = components.schemas.get_mut(name) else { continue };
            for (field, schema) in &message.properties {
                change.properties.entry(field.clone()).or_insert_with(|| schema.clone());
            }
        }
    }
}

/// The document: what every operation has in common, and the part of each route.
fn spec() -> Spec {
    let head = OpenApiRouter::<Arc<AppState>>::with_openapi(Document::openapi());
    let mut spec = head.merge(routes::open()).merge(routes::signed_in()).into_openapi();
    Security.modify(&mut spec);
    OperationIds.modify(&mut spec);
    WholeObjects.modify(&mut spec);
    MessagePatches.modify(&mut spec);
    CommonAnswers.modify(&mut spec);
    spec
}

/// The document, as JSON.
#[must_use]
pub fn document() -> String {
    #[expect(clippy::expect_used, reason = "the document is made of strings and maps with string keys")]
    let mut json = spec().to_pretty_json().expect("the document is plain JSON");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_ids_are_unique() {
        let document = spec();
        let mut seen = std::collections::HashSet::new();
        for (path, item) in &document.paths.paths {
            for operation in
                [&item.get, &item.post, &item.put, &item.patch, &item.delete].into_iter().flatten()
            {
                assert!(seen.insert(operation.operation_id.clone().unwrap()), "{path}");
            }
        }
    }

    /// Generators of clients refuse a document with a reference to nothing.
    #[test]
    fn every_reference_leads_somewhere() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let (mut values, mut references) = (vec![&document], 0);
        while let Some(value) = values.pop() {
            match value {
                serde_json::Value::Array(items) => values.extend(items),
                serde_json::Value::Object(members) => {
                    values.extend(members.values());
                    if let Some(path) = members.get("$ref").and_then(serde_json::Value::as_str) {
                        references += 1;
                        assert!(document.pointer(path.trim_start_matches('#')).is_some(), "{path}");
                    }
                }
                _ => {}
            }
        }
        assert!(references > 100, "{references}");
    }

    /// Every answer with a problem says so, and every operation names the answers that any operation may give.
    #[test]
    fn problems_are_documented_as_they_are_sent() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let mut problems = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                let mut needed = vec!["400", "431", "503"];
                if operation.get("requestBody").is_some() {
                    needed.extend(["413", "415", "422"]);
                }
                if operation.get("security").is_none() {
                    needed.extend(["401", "403"]);
                }
                for status in needed {
                    assert!(answers.contains_key(status), "{method} {path} {status}");
                }
                for (status, answer) in answers {
                    let reference = answer["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
                    let answer = reference.map_or(answer, |pointer| document.pointer(pointer).unwrap());
                    for (media_type, content) in answer["content"].as_object().into_iter().flatten() {
                        let is_problem = content["schema"]["$ref"] == "#/components/schemas/Problem";
                        assert_eq!(media_type == PROBLEM, is_problem, "{method} {path} {status}");
                        problems += usize::from(is_problem);
                    }
                }
            }
        }
        assert!(problems > 300, "{problems}");
    }

    #[test]
    fn a_record_fits_its_schema() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas {
            assert!(!schema.to_string().contains("\"allOf\""), "{name}");
        }
        for name in ["Account", "Customer", "Contact"] {
            let properties = schemas[name]["properties"].as_object().unwrap();
            assert!(properties.contains_key("id") && properties.contains_key("name"), "{name}");
            assert!(schemas[name]["required"].as_array().unwrap().contains(&"id".into()), "{name}");
        }
        let of_operator = "#/components/schemas/OperatorHistory";
        let answers = &document["paths"]["/v1/operators/{operator}/history"]["get"]["responses"];
        assert_eq!(answers["200"]["content"]["application/json"]["schema"]["$ref"], of_operator);
    }

    #[test]
    fn the_document_that_is_checked_in_is_the_one_the_handlers_make() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gateway/openapi.json");
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap();
        assert!(
            checked_in == document(),
            "the API changed: look at it, then UPDATE_OPENAPI=1 cargo test openapi"
        );
    }
}
