//! Templates of callflows (受付の型): settings that accounts share.
//!
//! Invariant: a template is in the store with every callflow that follows it: none is deleted while one does. What a change does
//! is said before it is written (`dry_run`).

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_trail;
use super::auth::Caller;
use super::callflow::check_announcement;
use super::extract::{Body, NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::callflow::{
    CallflowFields, CallflowTemplate, check_template_code, checked_template_name,
};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::callflows::TemplateOutcome;

/// Most templates.
const TEMPLATES_MAX: usize = 200;

/// Every template.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallflowTemplates {
    /// By code.
    items: Vec<CallflowTemplate>,
}

/// A template to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteCallflowTemplate {
    /// How people call it, 1 to 60 characters.
    name: String,
    /// The settings.
    fields: CallflowFields,
}

/// Whether it is only tried.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TemplateQuery {
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
}

/// What writing a template changes, or would change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TemplateWritten {
    /// The template; with `dry_run` as it would be.
    template: CallflowTemplate,
    /// The accounts whose callflow follows it.
    accounts: usize,
    /// Those of them whose calls are treated in another way.
    changed: usize,
    /// The numbers of these.
    numbers: usize,
}

/// The code in the path.
#[derive(Debug)]
pub(crate) struct CodePath(String);

impl<S: Send + Sync> FromRequestParts<S> for CodePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let code = Path::<String>::from_request_parts(parts, state).await.map(|Path(code)| code);
        let code = code.unwrap_or_default();
        check_template_code(&code).map_err(|error| Kind::UnknownRecord.with(error.to_string()))?;
        Ok(Self(code))
    }
}

/// Lists the templates of callflows.
#[utoipa::path(get, path = "/v1/callflow-templates", tag = "callflow_templates", responses(
    (status = 200, description = "The templates", body = CallflowTemplates),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<CallflowTemplates>, Problem> {
    caller.needs(Permission::ReadDirectory)?;
    Ok(Json(CallflowTemplates { items: state.app.store.callflow_templates().await? }))
}

/// Writes a template: the callflows that follow it change with it, but for what is their own. With `dry_run`, nothing is written.
#[utoipa::path(put, path = "/v1/callflow-templates/{code}", tag = "callflow_templates",
    params(("code" = String, Path, description = "The code: 1 to 40 letters, digits, `_` or `-`"), TemplateQuery),
    request_body = WriteCallflowTemplate,
    responses(
        (status = 200, description = "What it changes", body = TemplateWritten),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: that is no code", body = ProblemBody),
        (status = 409, description = "value-taken: there are too many templates", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn write(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CodePath(code): CodePath,
    QueryParams(TemplateQuery { dry_run }): QueryParams<TemplateQuery>,
    Body(WriteCallflowTemplate { name, fields }): Body<WriteCallflowTemplate>,
) -> Result<Json<TemplateWritten>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let invalid = |error: crate::contract::callflow::CallflowError| Kind::InvalidBody.with(error.to_string());
    let (name, fields) = (checked_template_name(&name).map_err(invalid)?, fields.checked().map_err(invalid)?);
    check_announcement(&state, &fields).await?;
    let templates = state.app.store.callflow_templates().await?;
    let present = templates.iter().find(|one| one.code == code);
    if present.is_none() && templates.len() >= TEMPLATES_MAX {
        return Err(Kind::ValueTaken.with(format!("at most {TEMPLATES_MAX} templates; delete some")));
    }
    let now = state.app.clock.now();
    let effect = state.app.directory.template_effect(present.map(|one| one.id), &fields, now).await?;
    let mut template = CallflowTemplate {
        id: present.map_or_else(|| RecordId(Uuid::now_v7()), |one| one.id),
        code,
        name,
        fields,
        by_name: caller.person.name.clone(),
        changed_at: now,
    };
    if !dry_run {
        template = state.app.store.set_callflow_template(&template).await?;
        let details = json!({ "code": template.code, "fields": template.fields });
        audit_trail::record(&state, &caller, "callflow_template.saved", ("", Some(template.id)), details)
            .await;
    }
    Ok(Json(TemplateWritten {
        template,
        accounts: effect.accounts,
        changed: effect.plans,
        numbers: effect.numbers,
    }))
}

/// Deletes a template that no callflow follows.
#[utoipa::path(delete, path = "/v1/callflow-templates/{code}", tag = "callflow_templates",
    params(("code" = String, Path, description = "The code")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "template-in-use: callflows follow it", body = ProblemBody),
    )
)]
pub(crate) async fn delete(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    CodePath(code): CodePath,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::EditDirectory)?;
    match state.app.store.delete_callflow_template(&code).await? {
        TemplateOutcome::Deleted => {}
        TemplateOutcome::Missing => {
            return Err(Kind::UnknownRecord.with("there is no template with this code"));
        }
        TemplateOutcome::InUse(callflows) => {
            return Err(Kind::TemplateInUse.with(format!("{callflows} callflows follow it")));
        }
    }
    audit_trail::record(&state, &caller, "callflow_template.deleted", ("", None), json!({ "code": code }))
        .await;
    Ok(StatusCode::NO_CONTENT)
}
