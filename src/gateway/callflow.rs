//! Callflows (受付) of accounts, overrides (臨時切替), and whether the PBX has what was set.
//!
//! Invariant: what a request changes is in the store when it is answered; the daemon that leads writes it to the PBX within
//! a second, and `GET /v1/callflow` says when it is there.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::callflow::guidance::announcement_ms_max;
use crate::callflow::{CallflowChange, CallflowThen, Finding, PlanState, PlanStatus};
use crate::contract::callflow::{CallflowFields, CallflowTemplate, NewOverride, Override, own_of};
use crate::contract::sound::SOUND_FOLDER;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::callflows::{OVERRIDES_MAX, OverrideOutcome, StoredCallflow};

/// Longest time of a preview, in days.
const PREVIEW_DAYS_MAX: i64 = 62;
/// Time of a preview without an end, in days.
const PREVIEW_DAYS_DEFAULT: i64 = 7;

/// An account's callflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountCallflow)]
pub(crate) struct CallflowView {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    /// What holds: the template's settings with the account's own over them.
    fields: CallflowFields,
    /// The code of the template that it follows; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    /// The names of the account's own settings; all of them where it follows no template.
    own: Vec<String>,
    /// Who set it.
    by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    changed_at: Timestamp,
    /// Its version, for `If-Match`.
    version: i64,
    /// What happens to a call now.
    now: CallflowThen,
}

/// A callflow to write. With a template, fields that are left out, or that are as in the template, follow it; `null` is a
/// field's default.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "the form of a body that is read field by field, since what is left out matters"
)]
pub(crate) struct WriteCallflow {
    /// The code of the template that it follows; absent: none.
    template: Option<String>,
    /// The settings.
    #[serde(flatten)]
    fields: CallflowFields,
}

/// Which time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewQuery {
    /// From when on; now if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Until when, at most 62 days later; 7 days later if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// How an account's calls are treated in a time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallflowPreview {
    /// The treatment at the beginning, and each change of it.
    items: Vec<CallflowChange>,
}

/// The overrides that have not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Overrides {
    /// The earliest first.
    items: Vec<Override>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallflowReadiness)]
pub(crate) struct Readiness {
    /// By kind; empty: calls are treated as the records say.
    items: Vec<Finding>,
}

/// Shows the callflow of an account, and what happens to a call now.
#[utoipa::path(get, path = "/v1/accounts/{account}/callflow", tag = "callflow",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The callflow", body = CallflowView),
        (status = 404, description = "unknown-record: the account has no callflow; the PBX's own dialplan treats its calls", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<CallflowView>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    Ok(Json(view(&state, account).await?))
}

/// Writes the callflow of an account: from now on the PBX treats its calls by it and by the account's hours. With `If-Match`,
/// only in place of the callflow with that version.
#[utoipa::path(put, path = "/v1/accounts/{account}/callflow", tag = "callflow",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("If-Match" = Option<String>, Header, description = "The `version` that is replaced, as \"1795924944000\"; 0: there is none yet"),
    ),
    request_body = WriteCallflow,
    responses(
        (status = 200, description = "The callflow", body = CallflowView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "callflow-changed: somebody has written another one", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    headers: HeaderMap,
    Body(mut body): Body<Map<String, Value>>,
) -> Result<Json<CallflowView>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let template = match body.remove("template") {
        None | Some(Value::Null) => None,
        Some(code) => Some(template_of(&state, &code).await?),
    };
    let base = template.as_ref().map(|template| template.fields.as_object());
    let fields = CallflowFields::over(base.as_ref().unwrap_or(&Map::new()), &body);
    let fields = fields.map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let fields = fields.checked().map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    check_announcement(&state, &fields).await?;
    let own = base.map_or_else(|| fields.as_object(), |base| own_of(&base, &body));
    let (by_name, changed_at) = (caller.person.name.clone(), state.app.clock.now());
    let template = template.map(|template| template.id);
    let stored = StoredCallflow { account, fields, template, own, by_name, changed_at };
    if !state.app.store.set_callflow(&stored, version_of(&headers)?).await? {
        return Err(Kind::CallflowChanged.into());
    }
    let details = json!({ "fields": stored.fields, "template": stored.template });
    audit_trail::record(&state, &caller, "callflow.changed", ("", Some(account)), details).await;
    Ok(Json(view(&state, account).await?))
}

/// Removes the callflow of an account: the PBX's own dialplan treats its calls again.
#[utoipa::path(delete, path = "/v1/accounts/{account}/callflow", tag = "callflow",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 204, description = "The account has no callflow"),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn remove(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    if state.app.store.remove_callflow(account).await? {
        audit_trail::record(&state, &caller, "callflow.deleted", ("", Some(account)), json!({})).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Lists how an account's calls are treated in a time, with what decides each change.
#[utoipa::path(get, path = "/v1/accounts/{account}/callflow/preview", tag = "callflow",
    params(("account" = uuid::Uuid, Path, description = "The account"), PreviewQuery),
    responses(
        (status = 200, description = "The changes", body = CallflowPreview),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 404, description = "unknown-record: the account has no callflow", body = ProblemBody),
    )
)]
pub(crate) async fn preview(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(query): QueryParams<PreviewQuery>,
) -> Result<Json<CallflowPreview>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let from = query.from.unwrap_or_else(|| state.app.clock.now());
    let to = query.to.or_else(|| from.checked_add(days(PREVIEW_DAYS_DEFAULT)).ok()).unwrap_or(from);
    if to <= from || to.duration_since(from) > days(PREVIEW_DAYS_MAX) {
        return Err(
            Kind::InvalidQuery.with(format!("to: after from, and at most {PREVIEW_DAYS_MAX} days later"))
        );
    }
    stored(&state, account).await?;
    let changes = state.app.directory.callflow_changes(account, (from, to)).await?;
    Ok(Json(CallflowPreview { items: changes.into_iter().map(Into::into).collect() }))
}

/// Lists the overrides that have not ended.
#[utoipa::path(get, path = "/v1/overrides", tag = "callflow", responses(
    (status = 200, description = "The overrides", body = Overrides),
))]
pub(crate) async fn overrides(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Overrides>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    Ok(Json(Overrides { items: state.app.store.overrides(state.app.clock.now()).await? }))
}

/// Closes or opens an account, or the whole service, whatever the hours are. One with an end ends by itself, also while no
/// daemon runs.
#[utoipa::path(post, path = "/v1/overrides", tag = "callflow", request_body = NewOverride, responses(
    (status = 201, description = "The override", body = Override),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
    (status = 409, description = "value-taken: there are too many overrides", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn set_override(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(new): Body<NewOverride>,
) -> Result<(StatusCode, Json<Override>), Problem> {
    may_switch(&state, &caller)?;
    let now = state.app.clock.now();
    let new = new.checked(now).map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let one = Override {
        id: RecordId(Uuid::now_v7()),
        account: new.account,
        treatment: new.treatment,
        from: new.from.unwrap_or(now),
        until: new.until,
        reason: new.reason,
        by_name: caller.person.name.clone(),
    };
    if state.app.store.set_override(&one, now).await? == OverrideOutcome::TooMany {
        return Err(Kind::ValueTaken.with(format!("at most {OVERRIDES_MAX} overrides at a time; end some")));
    }
    audit_trail::record(&state, &caller, "override.set", ("", one.account), audited(&one)).await;
    Ok((StatusCode::CREATED, Json(one)))
}

/// Ends an override: from now on the hours hold again.
#[utoipa::path(delete, path = "/v1/overrides/{override}", tag = "callflow",
    params(("override" = uuid::Uuid, Path, description = "The override")),
    responses(
        (status = 204, description = "Ended"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: it has ended already", body = ProblemBody),
    )
)]
pub(crate) async fn end_override(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
) -> Result<StatusCode, Problem> {
    may_switch(&state, &caller)?;
    let ended = state.app.store.end_override(id).await?;
    let ended =
        ended.ok_or_else(|| Kind::UnknownRecord.with("there is no such override; it may have ended"))?;
    audit_trail::record(&state, &caller, "override.ended", ("", ended.account), audited(&ended)).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows whether the PBX has every callflow and override as it was set.
#[utoipa::path(get, path = "/v1/callflow", tag = "callflow", responses(
    (status = 200, description = "How the PBX's plans compare with what was set", body = PlanStatus),
))]
pub(crate) async fn sync(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<PlanStatus>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let mut status = state.app.plan_status.get();
    // What was set a moment ago is not compiled yet.
    if status.state == PlanState::Level && status.version != state.app.store.accounts_version().await? {
        status.state = PlanState::Writing;
    }
    Ok(Json(status))
}

/// Lists what in the records would treat calls in another way than somebody expects, in the next 35 days.
#[utoipa::path(get, path = "/v1/callflow/readiness", tag = "callflow", responses(
    (status = 200, description = "What was found", body = Readiness),
))]
pub(crate) async fn readiness(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Readiness>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let (seen, now) = (state.app.plan_status.get().seen, state.app.clock.now());
    Ok(Json(Readiness { items: state.app.directory.callflow_findings(seen, now).await? }))
}

/// Administrators set overrides, and supervisors if the installation lets them.
fn may_switch(state: &AppState, caller: &Caller) -> Result<(), Problem> {
    if state.app.settings.supervisors_switch && caller.may(Permission::LeadTeam) {
        return Ok(());
    }
    caller.needs(Permission::EditDirectory)
}

/// The version in `If-Match`, if there is one.
fn version_of(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let version = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    let version =
        version.ok_or_else(|| Kind::InvalidQuery.with("If-Match: the `version` of the callflow"))?;
    Ok(Some(version))
}

fn audited(one: &Override) -> Value {
    json!({ "treatment": one.treatment, "until": one.until, "reason": one.reason })
}

async fn stored(state: &AppState, account: RecordId) -> Result<StoredCallflow, Problem> {
    let stored = state.app.store.callflow(account).await?;
    stored.ok_or_else(|| Kind::UnknownRecord.with("the account has no callflow; write one with PUT"))
}

async fn view(state: &AppState, account: RecordId) -> Result<CallflowView, Problem> {
    let stored = stored(state, account).await?;
    let version = stored.version();
    let StoredCallflow { fields, template, own, by_name, changed_at, .. } = stored;
    let template = match template {
        Some(id) => {
            let templates = state.app.store.callflow_templates().await?;
            templates.into_iter().find(|one| one.id == id).map(|one| one.code)
        }
        None => None,
    };
    let mut own: Vec<String> = own.into_iter().map(|(name, _)| name).collect();
    own.sort_unstable();
    let now = state.app.directory.callflow_at(account, state.app.clock.now()).await?;
    let now = now.ok_or_else(|| Kind::UnknownRecord.with("the account was deleted"))?;
    Ok(CallflowView { account, fields, template, own, by_name, changed_at, version, now })
}

/// The template with this code.
async fn template_of(state: &AppState, code: &Value) -> Result<CallflowTemplate, Problem> {
    let templates = state.app.store.callflow_templates().await?;
    let found = templates.into_iter().find(|one| Some(one.code.as_str()) == code.as_str());
    found.ok_or_else(|| Kind::InvalidBody.with("template: there is none with this code"))
}

/// Refuses an announcement that was uploaded, where with what follows it it takes more than two seconds: until its end nobody
/// notices that the caller has hung up.
pub(super) async fn check_announcement(state: &AppState, fields: &CallflowFields) -> Result<(), Problem> {
    let Some(name) = fields.announcement.as_ref().filter(|name| name.starts_with(SOUND_FOLDER)) else {
        return Ok(());
    };
    let sounds = state.app.store.sounds().await?;
    let Some(sound) = sounds.iter().find(|sound| sound.name == *name) else {
        return Err(
            Kind::InvalidBody.with(format!("announcement: there is no sound {name}; upload it first"))
        );
    };
    let most_ms = announcement_ms_max(fields.announce_caller);
    if sound.ms <= most_ms {
        return Ok(());
    }
    let after = if fields.announce_caller { " before what announce_caller adds" } else { "" };
    Err(Kind::InvalidBody
        .with(format!("announcement: it is {} ms long, and may be {most_ms} ms{after}", sound.ms)))
}
