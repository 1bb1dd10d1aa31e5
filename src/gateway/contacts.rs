//! Contacts: list, create, read, change, delete; where a contact is, which everybody who takes calls writes down.

use std::sync::Arc;

use super::account_notices::by;
use super::audit_trail::{self, fields_of, masked};
use super::auth::Caller;
use super::customers::{account_id, no_such_account};
use super::extract::{Body, IfMatch, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{ContactQuery, page_request};
use super::responses::created;
use super::state::AppState;
use crate::contract::notice::{NOTICE_LENGTH_MAX, end_of_day};
use crate::contract::records::{Contact, ContactFields, PresenceState};
use crate::directory::{EditError, Edited};
use crate::people::role::Permission;
use crate::store::deletions::DeletedBy;
use crate::store::{Page, StoreError};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

/// Where a contact is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPresence {
    /// Where.
    state: PresenceState,
    /// Until when, at most 92 days from now; absent: until the end of the day.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Lists the contacts that match, in the order of their creation.
#[utoipa::path(get, path = "/v1/contacts", tag = "contacts", params(ContactQuery), responses(
    (status = 200, description = "A page", body = Page<Contact>),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<ContactQuery>,
) -> Result<Json<Page<Contact>>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let page = page_request(query.limit, query.cursor.as_deref())?;
    let account = account_id(query.account.as_deref())?;
    Ok(Json(state.app.store.contacts(account, page.after, page.limit).await?))
}

/// Creates a contact.
#[utoipa::path(post, path = "/v1/contacts", tag = "contacts", request_body = ContactFields, responses(
    (status = 201, description = "The record", body = Contact),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "value-taken", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(fields): Body<ContactFields>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let record =
        state.app.directory.create_contact(fields, state.app.clock.now()).await.map_err(no_such_account)?;
    let details = json!({ "account": record.fields.account });
    audit_trail::record(&state, &caller, "contact.created", ("", Some(record.id)), details).await;
    created(format!("/v1/contacts/{}", record.id), record)
}

/// Returns a contact.
#[utoipa::path(get, path = "/v1/contacts/{contact}", tag = "contacts",
    params(("contact" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Contact),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Contact>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let found = state.app.store.contact(id).await?;
    found.map(Json).ok_or_else(|| Kind::UnknownRecord.with("there is no such contact"))
}

/// Changes a contact by a JSON merge patch (RFC 7396): absent fields keep their values, `null` resets a field.
#[utoipa::path(patch, path = "/v1/contacts/{contact}", tag = "contacts",
    params(
        ("contact" = uuid::Uuid, Path, description = "The record"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes"),
    ),
    request_body = ContactFields,
    responses(
        (status = 200, description = "The changed record", body = Contact),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken; record-changed, with the record as it is", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn change(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
    Body(patch): Body<serde_json::Value>,
) -> Result<Json<Contact>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let edited = state.app.directory.edit_contact(id, &patch, state.app.clock.now(), seen).await;
    let Edited { before, after: record } = match edited {
        Err(EditError::Store(StoreError::Changed { .. })) => {
            let current = state.app.store.contact(id).await?;
            return Err(Problem::from(Kind::RecordChanged).record(&current));
        }
        edited => edited?,
    };
    let mut details = fields_of(&patch);
    details["account"] = json!(record.fields.account);
    details["changed"] =
        masked(audit_trail::differences_of(&before.fields, &record.fields), &["number", "email"]);
    audit_trail::record(&state, &caller, "contact.changed", ("", Some(id)), details).await;
    Ok(Json(record))
}

/// Deletes a contact.
#[utoipa::path(delete, path = "/v1/contacts/{contact}", tag = "contacts",
    params(
        ("contact" = uuid::Uuid, Path, description = "The record"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes: only if nobody changed it since"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "record-changed, with the record as it is", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if let Some(current) = state.app.store.contact(id).await?
        && seen.is_some_and(|seen| seen != current.changed_at)
    {
        return Err(Problem::from(Kind::RecordChanged).record(&current));
    }
    let by = DeletedBy { name: &caller.person.name, at: state.app.clock.now() };
    state.app.directory.delete_contact(id, by).await?;
    tracing::info!(%id, by = %caller.person.id, "deleted a contact");
    audit_trail::record(&state, &caller, "contact.deleted", ("", Some(id)), json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes down where a contact is: at work, out, in a meeting or away. It holds until its end, and decides nothing: messages
/// and transfers go where the contact's fields say.
#[utoipa::path(put, path = "/v1/contacts/{contact}/presence", tag = "contacts", request_body = SetPresence,
    params(("contact" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Contact),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn set_presence(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(wanted): Body<SetPresence>,
) -> Result<Json<Contact>, Problem> {
    caller.needs(Permission::WriteNotices)?;
    let now = state.app.clock.now();
    let until = wanted.until.or_else(|| end_of_day(now, state.app.directory.time_zone()));
    let latest = now.checked_add(NOTICE_LENGTH_MAX).unwrap_or(Timestamp::MAX);
    let until = until.filter(|until| (now..=latest).contains(until) && *until > now);
    let until = until.ok_or_else(|| Kind::InvalidBody.with("until: write a time in the next 92 days"))?;
    let record = state.app.store.set_presence(id, (wanted.state, until), by(&state, &caller)).await?;
    state.app.message_relay.publish_soon();
    let details = json!({ "account": record.fields.account, "state": wanted.state, "until": until });
    audit_trail::record(&state, &caller, "contact.presence", ("", Some(id)), details).await;
    Ok(Json(record))
}
