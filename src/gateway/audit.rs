//! Reading the audit trail.
//!
//! Invariant: no request changes or removes an entry.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Caller;
use super::extract::{QueryParams, record_id};
use super::history::own_extensions;
use super::problem::{Problem, ProblemBody};
use super::query::{AuditQuery, page_limit};
use super::state::AppState;
use crate::ids::Extension;
use crate::people::role::Permission;
use crate::people::roster::Roster;
use crate::store::AuditPage;
use crate::store::audit::{AuditFilter, AuditPerson, AuditVisibilityFilter};

/// Lists entries of the audit trail, newest first. Administrators see all entries; supervisors see their own actions,
/// and the supervision and help requests of their own teams' operators.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery), responses(
    (status = 200, description = "A page, newest first", body = AuditPage),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    caller.needs(Permission::ReadAudit)?;
    let limit = page_limit(query.limit)?;
    let roster = state.app.people.current();
    let filter = AuditFilter {
        action: query.action.unwrap_or_default(),
        person: query.person.map(|text| person(&roster, &text)),
        about: query.about.map(|about| about.trim().to_owned()),
        call: query.call,
        from: query.from,
        to: query.to,
        visibility: (!caller.viewer.is_unrestricted()).then(|| AuditVisibilityFilter {
            reader: caller.person.id,
            extensions: own_extensions(&state, &caller.viewer.visible_people().collect::<Vec<_>>()),
            people: caller.viewer.visible_people().collect(),
        }),
    };
    Ok(Json(state.app.store.audit(&filter, query.cursor, limit).await?))
}

/// The person that `text` (extension, id or name) means, in every form in which entries name a person. The roster
/// adds the other forms; for a person who is no longer in it, only the form in `text` is searched.
fn person(roster: &Roster, text: &str) -> AuditPerson {
    let text = text.trim();
    let by_extension = Extension::parse(text).ok();
    let id = record_id(text);
    let known = by_extension
        .as_ref()
        .and_then(|extension| roster.at(extension))
        .or_else(|| id.and_then(|id| roster.person(id)))
        .or_else(|| roster.named(text));
    match known {
        Some(person) => AuditPerson {
            id: Some(person.id),
            extension: person.extension.clone(),
            name: Some(person.name.clone()),
        },
        None => AuditPerson { id, extension: by_extension, name: Some(text.to_owned()) },
    }
}
