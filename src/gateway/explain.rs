//! `GET /v1/explain`: what a call would pop, and why; the same answer as `toritsugi explain`.

use std::sync::Arc;

use super::auth::Caller;
use super::extract::{Asked, plus};
use super::problem::{Problem, ProblemBody};
use super::query::ExplainQuery;
use super::routes::Gate;
use crate::directory::explain::{Explanation, Question};
use crate::operator::Permission;
use axum::Json;
use axum::extract::State;

/// What a call would pop, and why.
#[utoipa::path(get, path = "/v1/explain", tag = "directory", params(ExplainQuery), responses(
    (status = 200, description = "The answer", body = Explanation),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn explain(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<ExplainQuery>,
) -> Result<Json<Explanation>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let question = Question {
        dialled: query.dialled.as_deref().map(plus),
        from: query.from.as_deref().map(plus),
        diverted_by: query.diverted_by.as_deref().map(plus),
        trunk: query.trunk,
        at: query.at.unwrap_or_else(|| gate.app.clock.now()),
    };
    Ok(Json(gate.app.directory.explain(&question).await?))
}
