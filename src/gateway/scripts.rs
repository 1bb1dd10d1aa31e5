//! Scripts: the versions of an account's scripts, and how often their offers were taken.
//!
//! | role | reads | checks, saves, publishes, restores, retires | counts offers |
//! |---|---|---|---|
//! | operator, system | yes | | |
//! | supervisor | yes | with `messages.supervisors_edit_scripts` | of the people they see |
//! | administrator | yes | yes | all |
//!
//! Invariant: when a change is answered it is in memory, so the next pop of this daemon has it. No text that cannot work is
//! saved, not even as a draft.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath, record_id};
use super::problem::{Kind, Problem, ProblemBody};
use super::query::{OffersQuery, VersionQuery};
use super::script_forms::findings;
use super::state::AppState;
use crate::contract::records::Account;
use crate::contract::script::{NewScript, OfferCount, ScriptRecord, is_script_code};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::script::{Finding, Script, Severity};
use crate::store::scripts::ScriptOutcome;

/// Scripts, or versions of one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scripts {
    /// In the order of their codes; the newest version first.
    items: Vec<ScriptRecord>,
}

/// A text to check.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckScript {
    /// The account that it is for.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    /// The TOML, up to 64 KiB.
    body: String,
}

/// What was found in a text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScriptFindings {
    /// In the order of the text.
    findings: Vec<Finding>,
}

/// A version to save.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteScript {
    /// The TOML, up to 64 KiB.
    body: String,
    /// The newest version that the client has seen; 0 or absent: there is none yet. If another one is the newest, the answer
    /// is 409 with it.
    #[serde(default)]
    version: u32,
    /// Whether it is live at once; otherwise it is a draft.
    #[serde(default)]
    publish: bool,
}

/// A version to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishScript {
    /// The version: the newest one if it is a draft; of another one a copy is saved as the newest and published.
    version: u32,
    /// The newest version that the client has seen.
    newest: u32,
}

/// A version that was saved, and what its author should know.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenScript {
    /// The version.
    script: ScriptRecord,
    /// Warnings, in the order of the text.
    findings: Vec<Finding>,
}

/// How often offers were made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferCounts {
    /// By account, script, offer and the person who made it.
    items: Vec<OfferCount>,
}

/// Lists an account's scripts: of each the newest version and those that are live, without their texts.
#[utoipa::path(get, path = "/v1/accounts/{account}/scripts", tag = "scripts",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The scripts", body = Scripts),
        (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Scripts>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    account_of(&state, account)?;
    Ok(Json(Scripts { items: state.app.store.scripts(account).await? }))
}

/// Checks a text for an account and saves nothing.
#[utoipa::path(post, path = "/v1/scripts/check", tag = "scripts", request_body = CheckScript, responses(
    (status = 200, description = "What was found; empty: nothing", body = ScriptFindings),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
))]
pub(crate) async fn check(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(request): Body<CheckScript>,
) -> Result<Json<ScriptFindings>, Problem> {
    needs_edit(&state, &caller)?;
    let account = account_of(&state, request.account)?;
    let (_, findings) = findings(&state, &account, &request.body).await?;
    Ok(Json(ScriptFindings { findings }))
}

/// Returns a version of a script with its text.
#[utoipa::path(get, path = "/v1/accounts/{account}/scripts/{script}", tag = "scripts",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("script" = String, Path, description = "The code of the script"),
        VersionQuery,
    ),
    responses(
        (status = 200, description = "The version", body = ScriptRecord),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(query): QueryParams<VersionQuery>,
) -> Result<Json<ScriptRecord>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let (account, script) = named(&state, &path)?;
    Ok(Json(version_of(&state, account.id, script, query.version).await?))
}

/// Lists the versions of a script without their texts, the newest first, up to 200.
#[utoipa::path(get, path = "/v1/accounts/{account}/scripts/{script}/versions", tag = "scripts",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("script" = String, Path, description = "The code of the script"),
    ),
    responses(
        (status = 200, description = "The versions", body = Scripts),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn versions(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Scripts>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    let (account, script) = named(&state, &path)?;
    let items = state.app.store.script_versions(account.id, script).await?;
    if items.is_empty() { Err(unknown()) } else { Ok(Json(Scripts { items })) }
}

/// Saves a version of a script. A text with errors is refused.
#[utoipa::path(put, path = "/v1/accounts/{account}/scripts/{script}", tag = "scripts", request_body = WriteScript,
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("script" = String, Path, description = "The code of the script: up to 40 characters of a-z, 0-9, '_' and '-'"),
    ),
    responses(
        (status = 200, description = "The version", body = WrittenScript),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such account", body = ProblemBody),
        (status = 409, description = "script-changed: `script` is the newest version; too-many-scripts", body = ProblemBody),
        (status = 422, description = "script-invalid: `findings` has each line and reason; invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Body(request): Body<WriteScript>,
) -> Result<Json<WrittenScript>, Problem> {
    needs_edit(&state, &caller)?;
    let (account, script) = named(&state, &path)?;
    let edit =
        Edit { body: request.body, version: request.version, publishes: request.publish, restored: None };
    edit.save(&state, &caller, &account, script).await.map(Json)
}

/// Publishes a draft, or an older version again: of an older one a copy becomes the newest version.
#[utoipa::path(post, path = "/v1/accounts/{account}/scripts/{script}/publish", tag = "scripts", request_body = PublishScript,
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("script" = String, Path, description = "The code of the script"),
    ),
    responses(
        (status = 200, description = "The version that is live", body = WrittenScript),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "script-changed: `script` is the newest version; too-many-scripts", body = ProblemBody),
        (status = 422, description = "script-invalid: what it names is gone meanwhile", body = ProblemBody),
    )
)]
pub(crate) async fn publish(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Body(request): Body<PublishScript>,
) -> Result<Json<WrittenScript>, Problem> {
    needs_edit(&state, &caller)?;
    let (account, script) = named(&state, &path)?;
    let record = version_of(&state, account.id, script, Some(request.version)).await?;
    let newest = version_of(&state, account.id, script, None).await?;
    if newest.version != request.newest {
        return Err(changed(Some(newest)));
    }
    let body = record.body.unwrap_or_default();
    let is_draft = newest.state == crate::contract::script::ScriptState::Draft;
    if !is_draft || request.version != newest.version {
        let restored = Some(request.version);
        let edit = Edit { body, version: newest.version, publishes: true, restored };
        return edit.save(&state, &caller, &account, script).await.map(Json);
    }
    let (read, findings) = valid(&state, &account, &body).await?;
    let of = (account.id, script, request.version);
    let outcome = state.app.store.publish_script(of, read.valid.is_always(), state.app.clock.now()).await?;
    done(&state, &caller, &account, outcome, findings).await.map(Json)
}

/// Retires a script: none of its versions is used any more. They stay readable, because messages name them.
#[utoipa::path(delete, path = "/v1/accounts/{account}/scripts/{script}", tag = "scripts",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("script" = String, Path, description = "The code of the script"),
    ),
    responses(
        (status = 204, description = "Retired"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn retire(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    needs_edit(&state, &caller)?;
    let (account, script) = named(&state, &path)?;
    version_of(&state, account.id, script, None).await?;
    if state.app.store.retire_script(account.id, script).await? {
        refresh(&state).await?;
        let about = (account.fields.code.as_str(), Some(account.id));
        audit_trail::record(&state, &caller, "script.retired", about, json!({ "script": script })).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Counts what came of offers.
#[utoipa::path(get, path = "/v1/scripts/offers", tag = "scripts", params(OffersQuery), responses(
    (status = 200, description = "The counts", body = OfferCounts),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn offers(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<OffersQuery>,
) -> Result<Json<OfferCounts>, Problem> {
    caller.needs(Permission::CountOffers)?;
    let account = super::customers::account_id(query.account.as_deref())?;
    let from = query.from.unwrap_or(Timestamp::UNIX_EPOCH);
    let to = query.to.unwrap_or(Timestamp::MAX);
    let mut items = state.app.store.offer_counts(account, (from, to)).await?;
    if !caller.may(Permission::ServeEveryTeam) {
        items.retain(|count| count.by.is_some_and(|by| caller.viewer.sees_person(by)));
    }
    Ok(Json(OfferCounts { items }))
}

/// A version to save.
struct Edit {
    body: String,
    version: u32,
    publishes: bool,
    restored: Option<u32>,
}

impl Edit {
    async fn save(
        self,
        state: &AppState,
        caller: &Caller,
        account: &Account,
        script: &str,
    ) -> Result<WrittenScript, Problem> {
        let (read, findings) = valid(state, account, &self.body).await?;
        let new = NewScript {
            account: account.id,
            script: script.to_owned(),
            version: self.version,
            name: read.name.clone(),
            body: self.body,
            publishes: self.publishes,
            retires_older: read.valid.is_always(),
            restored: self.restored,
            by: caller.person.id,
            by_name: caller.person.name.clone(),
        };
        let outcome = state.app.store.write_script(&new, state.app.clock.now()).await?;
        done(state, caller, account, outcome, findings).await
    }
}

/// Takes the change into memory and records it.
async fn done(
    state: &AppState,
    caller: &Caller,
    account: &Account,
    outcome: ScriptOutcome,
    findings: Vec<Finding>,
) -> Result<WrittenScript, Problem> {
    let written = match outcome {
        ScriptOutcome::Written(written) => written,
        ScriptOutcome::Changed(newest) => return Err(changed(newest)),
        ScriptOutcome::TooMany => return Err(Kind::TooManyScripts.into()),
    };
    refresh(state).await?;
    let details = json!({
        "script": written.script, "version": written.version, "state": written.state, "restored": written.restored,
    });
    let action = if written.published_at.is_some() { "script.published" } else { "script.saved" };
    audit_trail::record(state, caller, action, (&account.fields.code, Some(account.id)), details).await;
    Ok(WrittenScript { script: written, findings })
}

async fn refresh(state: &AppState) -> Result<(), Problem> {
    state.app.directory.refresh().await?;
    Ok(())
}

/// A text without errors, and its warnings.
async fn valid(state: &AppState, account: &Account, body: &str) -> Result<(Script, Vec<Finding>), Problem> {
    let (script, findings) = findings(state, account, body).await?;
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    match script.filter(|_| !has_errors) {
        Some(script) => Ok((script, findings)),
        None => Err(Problem::from(Kind::ScriptInvalid).findings(findings)),
    }
}

fn changed(newest: Option<ScriptRecord>) -> Problem {
    Problem::from(Kind::ScriptChanged).script(newest)
}

fn unknown() -> Problem {
    Kind::UnknownRecord.with("there is no such script")
}

/// The account and the code of the script in a path.
fn named<'a>(
    state: &AppState,
    (account, script): &'a (String, String),
) -> Result<(Arc<Account>, &'a str), Problem> {
    let id =
        record_id(account).ok_or_else(|| Kind::UnknownRecord.with("the id of a record must be a UUID"))?;
    let account = account_of(state, id)?;
    if !is_script_code(script) {
        return Err(
            Kind::UnknownRecord.with("the code of a script has a-z, 0-9, '_' and '-', up to 40 characters")
        );
    }
    Ok((account, script))
}

pub(super) fn account_of(state: &AppState, id: RecordId) -> Result<Arc<Account>, Problem> {
    state.app.directory.account(id).ok_or_else(|| Kind::UnknownRecord.with("there is no such account"))
}

async fn version_of(
    state: &AppState,
    account: RecordId,
    script: &str,
    version: Option<u32>,
) -> Result<ScriptRecord, Problem> {
    state.app.store.script(account, script, version).await?.ok_or_else(unknown)
}

/// Whether the user may change scripts.
pub(super) fn may_edit(state: &AppState, caller: &Caller) -> bool {
    caller.may(Permission::EditScripts)
        || state.app.settings.messages.supervisors_edit_scripts && caller.may(Permission::LeadTeam)
}

pub(super) fn needs_edit(state: &AppState, caller: &Caller) -> Result<(), Problem> {
    if may_edit(state, caller) { Ok(()) } else { caller.needs(Permission::EditScripts) }
}
