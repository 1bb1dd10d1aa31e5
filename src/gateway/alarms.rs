//! Alarms (警報): thresholds at which somebody is called ([`crate::stats::AlarmRule`]), and what was raised.
//!
//! The daemon that leads for a PBX looks at the values (`daemon/alarms.rs`). What it raises and clears is an event, a webhook, a
//! line of the wallboard, and a mail to the addresses of the rule.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::page_limit;
use super::responses::created;
use super::state::AppState;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::stats::AlarmRule;
use crate::store::StoreError;
use crate::store::alarms::{ALARM_RULES_MAX, StoredAlarm, StoredAlarmRule};

/// A rule, and its alarm.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredAlarmRule)]
pub(crate) struct RuleView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    #[serde(flatten)]
    rule: AlarmRule,
    /// Whether its alarm is raised.
    raised: bool,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    raised_at: Option<Timestamp>,
    /// Who wrote it.
    by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    changed_at: Timestamp,
}

/// The rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlarmRules {
    /// In the order in which they were made.
    items: Vec<RuleView>,
}

/// Which alarms.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlarmsQuery {
    /// Raised before this time; the present by default.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
    /// Alarms per page, 1 to 500; 50 by default.
    limit: Option<u32>,
}

/// An alarm.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alarm)]
pub(crate) struct AlarmView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The id of its rule.
    #[schema(value_type = uuid::Uuid)]
    rule: RecordId,
    /// What people call the rule.
    name: String,
    /// The account whose calls it is about; absent: all.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<RecordId>,
    /// The value with which it was raised.
    value: f64,
    /// When it was raised.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    raised_at: Timestamp,
    /// When it was cleared; absent: it is raised.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    cleared_at: Option<Timestamp>,
}

/// Alarms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alarms {
    /// The newest first.
    items: Vec<AlarmView>,
}

/// An alarm that is raised, as the figures of now have it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveAlarm {
    /// What people call its rule.
    name: String,
    /// Since when it is raised.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    raised_at: Timestamp,
}

/// Lists the rules of alarms, each with whether its alarm is raised.
#[utoipa::path(get, path = "/v1/alarm-rules", tag = "alarms", responses(
    (status = 200, description = "All rules", body = AlarmRules),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list_rules(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<AlarmRules>, Problem> {
    caller.needs(Permission::ReadContracts)?;
    let items = state.app.store.alarm_rules().await?.into_iter().map(view_of).collect();
    Ok(Json(AlarmRules { items }))
}

/// Makes a rule.
#[utoipa::path(post, path = "/v1/alarm-rules", tag = "alarms", request_body = AlarmRule, responses(
    (status = 201, description = "The rule", body = RuleView),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn create_rule(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(rule): Body<AlarmRule>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let stored = stored_of(&state, &caller, RecordId(uuid::Uuid::now_v7()), rule)?;
    if !state.app.store.create_alarm_rule(&stored).await.map_err(wrong_body)? {
        let detail = format!("there are {ALARM_RULES_MAX} rules: remove one first");
        return Err(Kind::InvalidBody.with(detail));
    }
    let details = json!({ "name": stored.rule.name });
    audit_trail::record(&state, &caller, "alarm_rule.created", ("", Some(stored.id)), details).await;
    created(format!("/v1/alarm-rules/{}", stored.id), view_of(stored))
}

/// Writes a rule again. Its alarm, if one is raised, stays until the new rule clears it.
#[utoipa::path(put, path = "/v1/alarm-rules/{rule}", tag = "alarms",
    params(("rule" = uuid::Uuid, Path, description = "The rule")),
    request_body = AlarmRule,
    responses(
        (status = 200, description = "The rule", body = RuleView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write_rule(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(rule): Body<AlarmRule>,
) -> Result<Json<RuleView>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let stored = stored_of(&state, &caller, id, rule)?;
    if !state.app.store.set_alarm_rule(&stored).await.map_err(wrong_body)? {
        return Err(Kind::UnknownRecord.with("there is no such rule"));
    }
    let details = json!({ "name": stored.rule.name });
    audit_trail::record(&state, &caller, "alarm_rule.changed", ("", Some(id)), details).await;
    let rules = state.app.store.alarm_rules().await?;
    Ok(Json(view_of(rules.into_iter().find(|rule| rule.id == id).unwrap_or(stored))))
}

/// Removes a rule with its alarms. No event says so.
#[utoipa::path(delete, path = "/v1/alarm-rules/{rule}", tag = "alarms",
    params(("rule" = uuid::Uuid, Path, description = "The rule")),
    responses(
        (status = 204, description = "There is no such rule any more"),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn remove_rule(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if state.app.store.remove_alarm_rule(id).await? {
        audit_trail::record(&state, &caller, "alarm_rule.deleted", ("", Some(id)), json!({})).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Lists alarms, the newest first.
#[utoipa::path(get, path = "/v1/alarms", tag = "alarms", params(AlarmsQuery), responses(
    (status = 200, description = "Alarms", body = Alarms),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<AlarmsQuery>,
) -> Result<Json<Alarms>, Problem> {
    caller.needs(Permission::ReadContracts)?;
    let before = query.before.unwrap_or(Timestamp::MAX);
    let found = state.app.store.alarms(before, page_limit(query.limit)?).await?;
    let view = |StoredAlarm { id, rule_id, rule, value, raised_at, cleared_at, .. }: StoredAlarm| AlarmView {
        id,
        rule: rule_id,
        name: rule.name,
        account: rule.account,
        value,
        raised_at,
        cleared_at,
    };
    Ok(Json(Alarms { items: found.into_iter().map(view).collect() }))
}

/// The alarms that are raised now, for those who may read them.
pub(super) async fn live_alarms(state: &AppState, caller: &Caller) -> Result<Vec<LiveAlarm>, Problem> {
    if !caller.person.role.may(Permission::ReadContracts) {
        return Ok(Vec::new());
    }
    let rules = state.app.store.alarm_rules().await?;
    let live = |rule: StoredAlarmRule| {
        rule.alarm.map(|alarm| LiveAlarm { name: rule.rule.name, raised_at: alarm.raised_at })
    };
    Ok(rules.into_iter().filter_map(live).collect())
}

fn stored_of(
    state: &AppState,
    caller: &Caller,
    id: RecordId,
    rule: AlarmRule,
) -> Result<StoredAlarmRule, Problem> {
    let rule = rule.checked().map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let (by_name, changed_at) = (caller.person.name.clone(), state.app.clock.now());
    Ok(StoredAlarmRule { id, rule, by_name, changed_at, alarm: None })
}

fn view_of(StoredAlarmRule { id, rule, by_name, changed_at, alarm }: StoredAlarmRule) -> RuleView {
    let raised_at = alarm.map(|alarm| alarm.raised_at);
    RuleView { id, rule, raised: alarm.is_some(), raised_at, by_name, changed_at }
}

/// An account that a rule names and does not exist is a fault of the body, not of the path.
fn wrong_body(error: StoreError) -> Problem {
    match error {
        StoreError::Missing { what: "account" } => {
            Kind::InvalidBody.with("account: there is no such account")
        }
        error => error.into(),
    }
}
