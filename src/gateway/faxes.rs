//! Faxes that the PBX received.
//!
//! | role | lists and reads | deletes |
//! |---|---|---|
//! | operator | | |
//! | supervisor, system | all | |
//! | administrator | all | yes |
//!
//! Invariant: a document is sent as a file to be saved, with the headers that keep a browser from showing or running what
//! is in it. Who took one is in the audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::customers::account_id;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{FaxQuery, page_limit};
use super::state::AppState;
use crate::contract::fax::Fax;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::faxes::{FaxCursor, FaxFilter};

/// Faxes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Faxes {
    /// The faxes.
    items: Vec<Fax>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists the faxes that match, newest first.
#[utoipa::path(get, path = "/v1/faxes", tag = "faxes", params(FaxQuery), responses(
    (status = 200, description = "A page", body = Faxes),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<FaxQuery>,
) -> Result<Json<Faxes>, Problem> {
    caller.needs(Permission::ReadFaxes)?;
    let limit = page_limit(query.limit)?;
    let after = query.cursor.as_deref().map(|text| {
        FaxCursor::parse(text)
            .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the previous page"))
    });
    let filter = FaxFilter {
        account: account_id(query.account.as_deref())?,
        state: query.state,
        call: query.call,
        from: query.from,
        to: query.to,
    };
    let mut items = state.app.store.faxes(&filter, after.transpose()?, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|fax| FaxCursor::of(fax).to_string());
    Ok(Json(Faxes { items, next }))
}

/// Returns a fax.
#[utoipa::path(get, path = "/v1/faxes/{fax}", tag = "faxes",
    params(("fax" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The record", body = Fax),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Fax>, Problem> {
    caller.needs(Permission::ReadFaxes)?;
    Ok(Json(find(&state, id).await?))
}

/// Returns the document of a fax, as a file. A fax that is `unreadable` has none.
#[utoipa::path(get, path = "/v1/faxes/{fax}/document", tag = "faxes",
    params(("fax" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "The pages", content_type = "application/pdf", body = Vec<u8>),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: also if the fax has no document", body = ProblemBody),
    )
)]
pub(crate) async fn document(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::ReadFaxes)?;
    let fax = find(&state, id).await?;
    let Some(document) = state.app.store.fax_document(id).await? else {
        return Err(Kind::UnknownRecord.with("the fax has no document: the PBX's file could not be read"));
    };
    let details = json!({ "account": fax.account, "pages": fax.pages });
    audit_trail::record(&state, &caller, "fax.read", ("", Some(id)), details).await;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"fax-{id}.pdf\"")),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'".to_owned()),
    ];
    Ok((headers, document).into_response())
}

/// Deletes a fax with its document.
#[utoipa::path(delete, path = "/v1/faxes/{fax}", tag = "faxes",
    params(("fax" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::DeleteFaxes)?;
    state.app.store.delete_fax(id).await?;
    audit_trail::record(&state, &caller, "fax.deleted", ("", Some(id)), json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(state: &AppState, id: RecordId) -> Result<Fax, Problem> {
    state.app.store.fax(id).await?.ok_or_else(|| Kind::UnknownRecord.with("there is no such fax"))
}
