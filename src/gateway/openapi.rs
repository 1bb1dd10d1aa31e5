//! The OpenAPI document, generated from the handlers.
//!
//! Invariant: the document is checked in as `openapi.json`, and a test compares it with the handlers. A change of the
//! public contract is therefore visible in review. The contract is only ever extended.

use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::{
    accounts, audit, calls, contacts, customers, explain, health, history, messages, operators, session, sse,
    supervisions, tokens, transfers, users, webhooks, websocket,
};
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

fn kinds() -> utoipa::openapi::schema::Object {
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
    paths(
        session::create, session::show, session::end,
        sse::follow, websocket::upgrade,
        calls::list, calls::show, calls::acknowledge, calls::control,
        supervisions::begin, supervisions::list, supervisions::switch, supervisions::stop, supervisions::help,
        transfers::create, transfers::list, transfers::show, transfers::complete, transfers::cancel,
        operators::list, operators::options, operators::set_state, operators::history, operators::extend,
        operators::finish, operators::note,
        history::list, history::show, history::gaps,
        accounts::list, accounts::create, accounts::show, accounts::change, accounts::delete,
        customers::list, customers::create, customers::show, customers::change, customers::delete,
        contacts::list, contacts::create, contacts::show, contacts::change, contacts::delete,
        messages::list, messages::take, messages::show, messages::change, messages::delete,
        explain::explain, audit::list,
        users::list, users::create, users::show, users::change, users::revoke,
        webhooks::list, webhooks::retry,
        tokens::list, tokens::create, tokens::revoke,
        health::alive, health::ready, health::metrics,
    ),
    components(schemas(EventSchema, crate::contract::event::PbxStatus)),
    modifiers(&Security, &OperationIds),
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

/// The document, as JSON.
#[must_use]
pub fn document() -> String {
    #[expect(clippy::expect_used, reason = "the document is made of strings and maps with string keys")]
    let mut json = Document::openapi().to_pretty_json().expect("the document is plain JSON");
    json.push('\n');
    json
}

/// Serves the checked-in document.
pub(super) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_ids_are_unique() {
        let document = Document::openapi();
        let mut seen = std::collections::HashSet::new();
        for (path, item) in &document.paths.paths {
            for operation in
                [&item.get, &item.post, &item.put, &item.patch, &item.delete].into_iter().flatten()
            {
                assert!(seen.insert(operation.operation_id.clone().unwrap()), "{path}");
            }
        }
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
