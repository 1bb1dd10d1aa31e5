//! The audit trail, to be read.
//!
//! Invariant: there is no way to change or remove an entry through this interface.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Caller;
use super::extract::{Asked, record};
use super::problem::{Problem, ProblemBody};
use super::query::{AuditQuery, wanted};
use super::routes::Gate;
use crate::ids::Extension;
use crate::operator::{Permission, Roster};
use crate::store::AuditPage;
use crate::store::audit::{AuditFilter, AuditPerson, AuditSight};

/// Entries of the audit trail, newest first. Administrators see all of it; supervisors what they did themselves, and
/// the supervision and requests for help of their own teams' operators.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery), responses(
    (status = 200, description = "A page, newest first", body = AuditPage),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    caller.needs(Permission::ReadAudit)?;
    let limit = wanted(query.limit, None)?.limit;
    let roster = gate.app.people.current();
    let filter = AuditFilter {
        action: query.action.unwrap_or_default(),
        person: query.person.map(|text| person(&roster, &text)),
        call: query.call,
        from: query.from,
        to: query.to,
        sight: (!caller.viewer.sees_everything())
            .then(|| AuditSight { reader: caller.person.id, operators: caller.viewer.team().to_vec() }),
    };
    Ok(Json(gate.app.store.audit(&filter, query.cursor, limit).await?))
}

/// Somebody as entries may name them. One who is not known any more is still found by what the text itself says.
fn person(roster: &Roster, text: &str) -> AuditPerson {
    let text = text.trim();
    let by_extension = Extension::parse(text).ok();
    let id = record(text);
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
