//! Caller rules: callers whom an account refuses (着信拒否), or who are answered first (優先着信).
//!
//! Invariant: what a request changes is in memory of this daemon when it is answered, and in that of the one that leads within
//! a second: the next call is treated by it. Rules name callers, whom operators see only with calls: supervisors and
//! administrators read and set them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_trail;
use super::auth::Caller;
use super::customers::account_id;
use super::extract::{Body, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::caller_rule::{CallerRule, NewCallerRule};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::caller_rules::{CallerRuleOutcome, RULES_PER_ACCOUNT_MAX};

/// Most rules in one answer.
const RULES_SHOWN_MAX: usize = 500;

/// Which rules.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallerRulesQuery {
    /// Of the account with this id.
    account: Option<String>,
}

/// Caller rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallerRules {
    /// Those that hold, by account and number; at most 500.
    items: Vec<CallerRule>,
}

/// Lists the caller rules that hold.
#[utoipa::path(get, path = "/v1/caller-rules", tag = "caller_rules", params(CallerRulesQuery), responses(
    (status = 200, description = "The rules", body = CallerRules),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<CallerRulesQuery>,
) -> Result<Json<CallerRules>, Problem> {
    caller.needs(Permission::LeadTeam)?;
    let account = account_id(query.account.as_deref())?;
    let mut items = state.app.store.caller_rules(account, state.app.clock.now()).await?;
    items.truncate(RULES_SHOWN_MAX);
    Ok(Json(CallerRules { items }))
}

/// Sets a rule of an account about a caller, in place of an earlier one about the same number. A caller who is refused is hung
/// up on before the call is answered, while a daemon follows the PBX; an override of the whole service goes before the rule.
#[utoipa::path(post, path = "/v1/caller-rules", tag = "caller_rules", request_body = NewCallerRule, responses(
    (status = 201, description = "The rule", body = CallerRule),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
    (status = 409, description = "value-taken: the account has too many rules", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn set(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(new): Body<NewCallerRule>,
) -> Result<(StatusCode, Json<CallerRule>), Problem> {
    caller.needs(Permission::LeadTeam)?;
    let now = state.app.clock.now();
    let new = new.checked(now).map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let number = state.app.directory.number(&new.number);
    let number = number.ok_or_else(|| Kind::InvalidBody.with("number: not a telephone number"))?;
    let rule = CallerRule {
        id: RecordId(Uuid::now_v7()),
        account: new.account,
        number: number.key().to_owned(),
        rule: new.rule,
        priority: new.priority.unwrap_or(0),
        note: new.note,
        until: new.until,
        by_name: caller.person.name.clone(),
    };
    let CallerRuleOutcome::Set(rule) = state.app.store.set_caller_rule(&rule, now).await? else {
        return Err(Kind::ValueTaken
            .with(format!("at most {RULES_PER_ACCOUNT_MAX} rules of an account; delete some")));
    };
    state.app.directory.refresh().await?;
    record(&state, &caller, "caller_rule.set", &rule).await;
    Ok((StatusCode::CREATED, Json(rule)))
}

/// Deletes a rule: the caller is treated as everybody.
#[utoipa::path(delete, path = "/v1/caller-rules/{caller_rule}", tag = "caller_rules",
    params(("caller_rule" = uuid::Uuid, Path, description = "The rule")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is none; it may be over", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::LeadTeam)?;
    let rule = state.app.store.delete_caller_rule(id).await?;
    let rule = rule.ok_or_else(|| Kind::UnknownRecord.with("there is no such rule; it may be over"))?;
    state.app.directory.refresh().await?;
    record(&state, &caller, "caller_rule.deleted", &rule).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Without the number: an entry holds nothing of a caller.
async fn record(state: &AppState, caller: &Caller, action: &str, rule: &CallerRule) {
    let details = json!({ "rule": rule.rule, "caller_rule": rule.id, "until": rule.until });
    audit_trail::record(state, caller, action, ("", Some(rule.account)), details).await;
}
