//! The templates of an account's mails: read, try, write, reset, and what they were.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath, record_id};
use super::message_routes::Replaced;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::records::Language;
use crate::ids::RecordId;
use crate::messages::letter::{LetterSettings, TemplateName, check_template};
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::mail_templates::{OwnTemplate, TemplateVersion};

/// A template of an account's mails.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplate)]
pub(crate) struct Template {
    /// Which.
    name: TemplateName,
    /// Its text: the account's own, or the built-in one.
    body: String,
    /// Whether the account wrote it.
    is_own: bool,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_name: Option<String>,
    /// What it writes for a message that was made up.
    preview: String,
    /// What it writes for each of the messages with which it is tried; the first one is `preview`.
    samples: Vec<String>,
    /// Characters of `body` that systems without UTF-8 (ISO-2022-JP) do not have, and what they get; at most 20.
    replaced: Vec<Replaced>,
}

/// What a template of an account's mails was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplateVersions)]
pub(crate) struct VersionList {
    /// The newest first; at most 100.
    items: Vec<TemplateVersion>,
}

/// The templates of an account's mails.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailTemplates)]
pub(crate) struct TemplateList {
    /// All of them.
    items: Vec<Template>,
}

/// What a person writes of a template.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MailTemplateBody)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateBody {
    /// Its text: at most 20,480 bytes.
    body: String,
    /// Whether the template is only tried.
    #[serde(default)]
    dry_run: bool,
}

/// Lists the templates of an account's mails, with what each writes for a message that was made up.
#[utoipa::path(get, path = "/v1/accounts/{account}/mail-templates", tag = "mail",
    params(("account" = uuid::Uuid, Path, description = "The account")),
    responses(
        (status = 200, description = "The templates", body = TemplateList),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(account): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<TemplateList>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let own = state.app.store.own_templates(account).await?;
    let language = language_of(&state, account).await?;
    let template = |name: TemplateName| {
        let own = own.iter().find(|own| own.name == name.as_str());
        let body = own.map_or_else(|| name.built_in(language).to_owned(), |own| own.body.clone());
        // One that was written for an earlier version may fail; then the built-in one is used.
        let samples = check_template(&settings(&state), (name, language), &body)
            .unwrap_or_else(|error| vec![error.to_string()]);
        Template::of(name, body, samples, own.map(|own| own.by_name.clone()))
    };
    Ok(Json(TemplateList { items: TemplateName::ALL.into_iter().map(template).collect() }))
}

impl Template {
    fn of(name: TemplateName, body: String, samples: Vec<String>, by_name: Option<String>) -> Self {
        let preview = samples.first().cloned().unwrap_or_default();
        let replaced = Replaced::of(&body);
        Self { name, body, is_own: by_name.is_some(), by_name, preview, samples, replaced }
    }
}

/// The language in which an account is written to.
async fn language_of(state: &AppState, account: RecordId) -> Result<Language, Problem> {
    let account = state.app.store.account(account).await?;
    Ok(account.map(|account| account.fields.language).unwrap_or_default())
}

/// Writes a template of an account's mails. One that fails for one of the messages with which it is tried is refused, with the line.
#[utoipa::path(put, path = "/v1/accounts/{account}/mail-templates/{template}", tag = "mail",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("template" = TemplateName, Path, description = "Which"),
    ),
    request_body = TemplateBody,
    responses(
        (status = 200, description = "The template", body = Template),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Body(TemplateBody { body, dry_run }): Body<TemplateBody>,
) -> Result<Json<Template>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let (account, name) = subject(&path)?;
    let language = language_of(&state, account).await?;
    let samples = check_template(&settings(&state), (name, language), &body)
        .map_err(|error| Kind::InvalidBody.with(format!("body: {error}")))?;
    let by_name = caller.person.name.clone();
    if !dry_run {
        let changed_at = state.app.clock.now();
        let own = OwnTemplate {
            name: name.as_str().into(),
            body: body.clone(),
            by_name: by_name.clone(),
            changed_at,
        };
        state.app.store.set_own_template(account, &own).await?;
        state.app.message_relay.publish_soon();
        let details = json!({ "template": name.as_str() });
        audit_trail::record(&state, &caller, "template.changed", ("", Some(account)), details).await;
    }
    Ok(Json(Template::of(name, body, samples, Some(by_name))))
}

/// Lists what a template of an account was, the newest first. To use an earlier one again, write its text.
#[utoipa::path(get, path = "/v1/accounts/{account}/mail-templates/{template}/versions", tag = "mail",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("template" = TemplateName, Path, description = "Which"),
    ),
    responses(
        (status = 200, description = "The versions", body = VersionList),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn versions(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<VersionList>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let (account, name) = subject(&path)?;
    let items = state.app.store.template_versions(account, name.as_str()).await?;
    Ok(Json(VersionList { items }))
}

/// Lets an account use the built-in template again.
#[utoipa::path(delete, path = "/v1/accounts/{account}/mail-templates/{template}", tag = "mail",
    params(
        ("account" = uuid::Uuid, Path, description = "The account"),
        ("template" = TemplateName, Path, description = "Which"),
    ),
    responses(
        (status = 204, description = "The built-in one is used"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn reset(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let (account, name) = subject(&path)?;
    let by = (caller.person.name.as_str(), state.app.clock.now());
    match state.app.store.reset_template(account, name.as_str(), by).await {
        // The account uses the built-in one: nothing is to be done.
        Ok(()) | Err(StoreError::Missing { what: "template of the account" }) => {}
        Err(error) => return Err(error.into()),
    }
    let details = json!({ "template": name.as_str() });
    audit_trail::record(&state, &caller, "template.reset", ("", Some(account)), details).await;
    Ok(StatusCode::NO_CONTENT)
}

fn subject((account, name): &(String, String)) -> Result<(RecordId, TemplateName), Problem> {
    let account =
        record_id(account).ok_or_else(|| Kind::UnknownRecord.with("the id of a record must be a UUID"))?;
    let name = TemplateName::parse(name).ok_or_else(|| {
        let names: Vec<&str> = TemplateName::ALL.into_iter().map(TemplateName::as_str).collect();
        Kind::UnknownRecord.with(format!("there are the templates {}", names.join(", ")))
    })?;
    Ok((account, name))
}

/// What mails have that are made up.
fn settings(state: &AppState) -> LetterSettings {
    let messages = &state.app.settings.messages;
    let samples = LetterSettings::of_samples(messages.time_zone.clone(), *state.app.directory.plan());
    LetterSettings { words: state.app.words.clone(), ..samples }
}
