//! Routes of messages (報告ルール): reading and saving the documents, who would get a message, and at which times nobody would.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::customers::account_id;
use super::extract::{Body, NoQuery, QueryParams, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::delivery::UnroutedReason;
use crate::contract::message::{Action, Mark, Message, Urgency};
use crate::contract::records::{EndpointCharset, MessageEndpoint};
use crate::ids::RecordId;
use crate::mail::substituted;
use crate::people::role::Permission;
use crate::route::{CHECK_DAYS, Document, MessageFacts, Plan, check, plan, sentence, week};
use crate::store::PAGE_RECORDS_MAX;
use crate::store::routes::{AccountRoutes, NewRoutes, RouteVersion, SavedRoutes};

/// Most characters of a text that are looked at.
const WRITTEN_CHARS_MAX: usize = 20_480;
/// Most replaced characters in an answer.
const REPLACED_MAX: usize = 20;
/// The word in a path that stands for all accounts without routes of their own.
const INSTALLATION: &str = "installation";

/// A document of routes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageRoutes)]
pub(crate) struct Routes {
    /// The document, in TOML.
    body: String,
    /// Its version.
    #[serde(flatten)]
    version: RouteVersion,
    /// The latest versions, the newest first; at most 100.
    versions: Vec<RouteVersion>,
}

/// A document of routes that is saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaveRoutes {
    /// The document, in TOML; at most 64 KiB.
    body: String,
    /// The version that the client last saw, 0 if there was none. If another one is current, the answer is 409. Absent: any.
    #[serde(default)]
    version: Option<u64>,
    /// Whether the document is only read and checked.
    #[serde(default)]
    dry_run: bool,
}

/// What became of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SavedMessageRoutes)]
pub(crate) struct Saved {
    /// Its version; absent if it was only checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// What an administrator should look at, for an account: as in `GET /v1/routes/check`.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<Value>,
}

/// A message that is not saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainRoute {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    /// The contact whom the message names.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    contact: Option<RecordId>,
    /// How urgent it is.
    #[serde(default)]
    urgency: Urgency,
    /// Why the caller called: a code of the configuration.
    #[serde(default)]
    reason: Option<String>,
    /// What the caller expects.
    #[serde(default)]
    action: Action,
    /// A complaint, or thanks.
    #[serde(default)]
    mark: Option<Mark>,
    /// When it is sent; absent: now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// What is written in it, for `replaced`; at most 20,480 characters count.
    #[serde(default)]
    text: Option<String>,
}

/// A character that a recipient's system does not have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplacedCharacter)]
pub(crate) struct Replaced {
    /// The character.
    character: String,
    /// What stands for it.
    by: String,
}

/// Who would get a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessagePlan)]
pub(crate) struct ExplainedRoute {
    /// In one Japanese sentence.
    text: String,
    /// The route and its steps, as far as they go while nobody confirms.
    #[schema(value_type = Object)]
    plan: Value,
    /// Characters of `text` that a recipient's endpoint with `charset` `iso-2022-jp` does not have; at most 20.
    replaced: Vec<Replaced>,
}

/// Which account.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CheckQuery {
    /// The account with this id.
    account: String,
}

/// What an administrator should look at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageRouteFindings)]
pub(crate) struct Findings {
    /// How many days ahead were looked at.
    days: u32,
    /// Times at which a message reaches nobody (`nobody_reached`), and contacts that do not exist (`unknown_contact`).
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
}

/// Returns the routes of an account, or those of all accounts without routes of their own.
#[utoipa::path(get, path = "/v1/routes/{account}", tag = "routes",
    params(("account" = String, Path, description = "The account, or `installation`")),
    responses(
        (status = 200, description = "The newest version", body = Routes),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there are none", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(account): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Routes>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let account = scope(&account)?;
    let stored = state.app.store.routes(account, None).await?;
    let stored = stored.ok_or_else(|| Kind::UnknownRecord.with("there are no such routes"))?;
    let versions = state.app.store.route_versions(account).await?;
    Ok(Json(Routes { body: stored.body, version: stored.version, versions }))
}

/// Saves the next version of an account's routes. Messages that are under way keep the routes that they have.
#[utoipa::path(put, path = "/v1/routes/{account}", tag = "routes", request_body = SaveRoutes,
    params(("account" = String, Path, description = "The account, or `installation`")),
    responses(
        (status = 200, description = "The version, and what to look at", body = Saved),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
        (status = 409, description = "routes-changed", body = ProblemBody),
        (status = 422, description = "routes-invalid: `detail` has the line and the column", body = ProblemBody),
    )
)]
pub(crate) async fn save(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(account): Path<String>,
    Body(request): Body<SaveRoutes>,
) -> Result<Json<Saved>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let account = scope(&account)?;
    let document =
        Document::read(&request.body).map_err(|error| Kind::RoutesInvalid.with(error.to_string()))?;
    let now = state.app.clock.now();
    let findings = match account {
        Some(account) => {
            let routes = state.app.store.account_routes(account).await?;
            findings(&AccountRoutes { own: Some(document), ..routes }, now)
        }
        None if !document.digests.is_empty() => {
            return Err(Kind::RoutesInvalid.with(
                "a digest is one account's: write [[digest]] in the routes of that account, not in those of the installation",
            ));
        }
        None => Vec::new(),
    };
    if request.dry_run {
        return Ok(Json(Saved { version: None, findings }));
    }
    let routes = NewRoutes {
        account,
        body: &request.body,
        by: Some(caller.person.id),
        by_name: &caller.person.name,
        version: request.version,
    };
    match state.app.store.save_routes(routes, now).await? {
        SavedRoutes::Saved(version) => {
            let details = json!({ "version": version });
            audit_trail::record(&state, &caller, "routes.saved", ("", account), details).await;
            Ok(Json(Saved { version: Some(version), findings }))
        }
        SavedRoutes::Stale(version) => {
            Err(Kind::RoutesChanged.with(format!("version {version} is there meanwhile")))
        }
    }
}

/// Says who would get a message that is saved now or at another time, and when, as long as nobody confirms.
#[utoipa::path(post, path = "/v1/routes/explain", tag = "routes", request_body = ExplainRoute, responses(
    (status = 200, description = "The plan", body = ExplainedRoute),
    (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn explain(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(request): Body<ExplainRoute>,
) -> Result<Json<ExplainedRoute>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let routes = state.app.store.account_routes(request.account).await?;
    let facts = MessageFacts {
        contact: request.contact,
        urgency: request.urgency,
        reason: request.reason,
        action: request.action,
        mark: request.mark,
    };
    let at = request.at.unwrap_or_else(|| state.app.clock.now());
    let plan = plan(&routes.documents(), &facts, &routes.world, at);
    let text = sentence(&plan, &routes.world.zone());
    let replaced = match &request.text {
        Some(written) if !written.is_empty() => replaced(&state, request.account, &plan, written).await?,
        _ => Vec::new(),
    };
    Ok(Json(ExplainedRoute { text, plan: serde_json::to_value(plan).unwrap_or_default(), replaced }))
}

/// Who gets a message that was just saved, in one sentence. The message is saved also where this cannot be read. Without a mail server
/// nothing is ever sent by itself.
pub(super) async fn plan_of(state: &AppState, message: &Message) -> Option<String> {
    if message.delivery.reason == Some(UnroutedReason::NoMailServer) {
        return None;
    }
    let routes = state.app.store.account_routes(message.account).await.ok()?;
    let fields = &message.fields;
    let sendable_at = state.app.settings.messages.sendable_at(message.created_at, fields.urgency);
    let at = fields.hold_until.map_or(sendable_at, |until| until.max(sendable_at));
    let plan = plan(&routes.documents(), &MessageFacts::from(fields), &routes.world, at);
    Some(sentence(&plan, &routes.world.zone()))
}

/// What becomes of the characters of `text` at endpoints of the plan that read nothing but ISO-2022-JP.
async fn replaced(
    state: &AppState,
    account: RecordId,
    plan: &Plan,
    text: &str,
) -> Result<Vec<Replaced>, Problem> {
    let steps = || plan.steps.iter();
    let targets = steps().flat_map(|step| step.to.iter().map(|to| &to.target).chain(&step.also));
    let used: Vec<RecordId> = targets.filter_map(|target| target.endpoint).collect();
    if used.is_empty() {
        return Ok(Vec::new());
    }
    let endpoints = state.app.store.message_endpoints(Some(account), None, PAGE_RECORDS_MAX).await?;
    let is_narrow = |endpoint: &MessageEndpoint| {
        used.contains(&endpoint.id) && endpoint.fields.charset == EndpointCharset::Iso2022Jp
    };
    if !endpoints.items.iter().any(is_narrow) {
        return Ok(Vec::new());
    }
    Ok(Replaced::of(text))
}

impl Replaced {
    /// The characters of `text` that ISO-2022-JP does not have.
    pub(super) fn of(text: &str) -> Vec<Self> {
        let text: String = text.chars().take(WRITTEN_CHARS_MAX).collect();
        let (_, replaced) = substituted(&text);
        let one = |(character, by): (char, String)| Self { character: character.to_string(), by };
        replaced.into_iter().take(REPLACED_MAX).map(one).collect()
    }
}

/// Looks for times in the next 14 days at which a message for the account reaches nobody.
#[utoipa::path(get, path = "/v1/routes/check", tag = "routes", params(CheckQuery), responses(
    (status = 200, description = "In the order of time", body = Findings),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
))]
pub(crate) async fn check_account(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<CheckQuery>,
) -> Result<Json<Findings>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let account = account_id(Some(&query.account))?;
    let account = account.ok_or_else(|| Kind::InvalidQuery.with("account: give the id of an account"))?;
    let routes = state.app.store.account_routes(account).await?;
    Ok(Json(Findings { days: CHECK_DAYS, items: findings(&routes, state.app.clock.now()) }))
}

/// Who would get a message in each hour of a week.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageRouteWeek)]
pub(crate) struct WeekOfRoutes {
    /// The plans, each once.
    plans: Vec<PlanOfHour>,
    /// The 168 hours from the beginning of today in the account's time zone.
    hours: Vec<HourOfRoutes>,
}

/// Who would get a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageRouteWeekPlan)]
pub(crate) struct PlanOfHour {
    /// In one Japanese sentence.
    text: String,
    /// Whether somebody of the account gets it.
    is_reached: bool,
}

/// An hour of the week.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageRouteHour)]
pub(crate) struct HourOfRoutes {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    at: Timestamp,
    /// The position in `plans` of a normal message's plan.
    normal: usize,
    /// The position in `plans` of an urgent message's plan.
    urgent: usize,
}

/// Says who would get a message for the account that names nobody, in each hour of the week that begins today.
#[utoipa::path(get, path = "/v1/routes/week", tag = "routes", params(CheckQuery), responses(
    (status = 200, description = "The week", body = WeekOfRoutes),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
))]
pub(crate) async fn week_of_account(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<CheckQuery>,
) -> Result<Json<WeekOfRoutes>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let account = account_id(Some(&query.account))?;
    let account = account.ok_or_else(|| Kind::InvalidQuery.with("account: give the id of an account"))?;
    let routes = state.app.store.account_routes(account).await?;
    let found = week(&routes.documents(), &routes.world, state.app.clock.now());
    let plan = |plan: crate::route::WeekPlan| PlanOfHour { text: plan.text, is_reached: plan.is_reached };
    let hour =
        |hour: crate::route::WeekHour| HourOfRoutes { at: hour.at, normal: hour.normal, urgent: hour.urgent };
    Ok(Json(WeekOfRoutes {
        plans: found.plans.into_iter().map(plan).collect(),
        hours: found.hours.into_iter().map(hour).collect(),
    }))
}

fn findings(routes: &AccountRoutes, now: Timestamp) -> Vec<Value> {
    let found = check(&routes.documents(), &routes.world, now);
    found.into_iter().map(|finding| serde_json::to_value(finding).unwrap_or_default()).collect()
}

fn scope(text: &str) -> Result<Option<RecordId>, Problem> {
    if text == INSTALLATION {
        return Ok(None);
    }
    let id = record_id(text);
    id.map(Some).ok_or_else(|| Kind::UnknownRecord.with("give the id of an account, or \"installation\""))
}
