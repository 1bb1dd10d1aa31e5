//! Words that administrators decide: dispositions, not-ready reasons, flags of customers.
//!
//! Invariant: a code that was in a list stays in it: one that a request leaves out is retired.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::words::{Word, WordKind, WordList, checked_words};
use crate::people::role::Permission;
use crate::store::StoreError;

/// The lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WordLists {
    /// One of each kind.
    items: Vec<WordList>,
}

/// A list in place of another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteWords {
    /// The version that the client has seen.
    version: u64,
    /// The words, in the order in which people see them.
    words: Vec<Word>,
}

/// Lists the words that operators choose from, with those that are retired.
#[utoipa::path(get, path = "/v1/words", tag = "words", operation_id = "list_words", responses(
    (status = 200, description = "The lists", body = WordLists),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<WordLists>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    Ok(Json(WordLists { items: state.app.words.current().lists() }))
}

/// Replaces a list of words. Operators choose from it within ten seconds. Words that it leaves out are retired and stay in it.
#[utoipa::path(put, path = "/v1/words/{words}", tag = "words", operation_id = "write_words",
    params(("words" = WordKind, Path, description = "The kind")),
    request_body = WriteWords,
    responses(
        (status = 200, description = "The list", body = WordList),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: no such kind", body = ProblemBody),
        (status = 409, description = "record-changed, with the list as it is", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(kind): Path<String>,
    Body(wanted): Body<WriteWords>,
) -> Result<Json<WordList>, Problem> {
    caller.needs(Permission::ManageSettings)?;
    let kind =
        WordKind::parse(&kind).ok_or_else(|| Kind::UnknownRecord.with("there is no such list of words"))?;
    state.app.refresh_words().await?;
    let before = state.app.words.current().list(kind);
    let words = checked_words(kind, wanted.words, &before.words);
    let words = words.map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let written = state.app.store.write_words(kind, &words, wanted.version, state.app.clock.now()).await;
    state.app.refresh_words().await?;
    let list = match written {
        Err(StoreError::Changed { .. }) => {
            let current = state.app.words.current().list(kind);
            return Err(Problem::from(Kind::RecordChanged).record(&current));
        }
        written => written?,
    };
    let details = json!({ "changed": { "words": { "before": before.words, "after": list.words } } });
    audit_trail::record(&state, &caller, "words.changed", (kind.as_str(), None), details).await;
    Ok(Json(list))
}
