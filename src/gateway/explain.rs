//! `GET /v1/explain`: what the pop of a hypothetical call would show, and why; the same answer as `toritsugi explain`.

use std::sync::Arc;

use super::auth::Caller;
use super::extract::{QueryParams, restore_plus};
use super::problem::{Problem, ProblemBody};
use super::query::ExplainQuery;
use super::state::AppState;
use crate::directory::explain::{ExplainRequest, Explanation};
use crate::people::role::Permission;
use axum::Json;
use axum::extract::State;

/// Returns what the pop of a call would show, and why.
#[utoipa::path(get, path = "/v1/explain", tag = "directory", params(ExplainQuery), responses(
    (status = 200, description = "The answer", body = Explanation),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn explain(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<ExplainQuery>,
) -> Result<Json<Explanation>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let question = ExplainRequest {
        dialled: query.dialled.as_deref().map(restore_plus),
        called_party: query.called_party.as_deref().map(restore_plus),
        request_uri: query.request_uri.as_deref().map(restore_plus),
        to: query.to.as_deref().map(restore_plus),
        from: query.from.as_deref().map(restore_plus),
        diverted_by: query.diverted_by.as_deref().map(restore_plus),
        trunk: query.trunk,
        at: query.at.unwrap_or_else(|| state.app.clock.now()),
    };
    let mut explained = state.app.directory.explain(&question).await?;
    explained.at_the_pbx = explained.callflow.as_ref().map(|_| state.app.plan_status.get().state);
    Ok(Json(explained))
}
