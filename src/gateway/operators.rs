//! Operators and supervisors: who is there and which calls concern them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Asked, Nothing};
use super::problem::{Problem, ProblemBody};
use super::routes::Gate;
use crate::call::view::{CallState, CallView};
use crate::ids::{CallId, Extension, RecordId};
use crate::operator::{Permission, Person, Role};

/// Everybody with an extension whom the caller may see.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operators {
    /// By extension.
    items: Vec<OperatorView>,
}

/// Somebody with an extension.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorView {
    /// The person's record.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// Where they answer.
    #[schema(value_type = Option<String>)]
    extension: Option<Extension>,
    /// The name.
    name: String,
    /// Its reading.
    kana: String,
    /// What they are.
    role: Role,
    /// Their team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// Calls that ring at them or that they have.
    calls: Vec<OperatorCall>,
}

/// A call of an operator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OperatorCall {
    /// The call.
    #[schema(value_type = uuid::Uuid)]
    id: CallId,
    /// How far it has come.
    state: CallState,
}

/// The operators and supervisors that the caller may see.
#[utoipa::path(get, path = "/v1/operators", tag = "operators", responses(
    (status = 200, description = "By extension", body = Operators),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn list(
    State(gate): State<Arc<Gate>>,
    caller: Caller,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<Operators>, Problem> {
    caller.needs(Permission::ReadPeople)?;
    let roster = gate.app.people.current();
    let calls = gate.app.bus.snapshot(&caller.viewer).calls;
    let view = |person: &Arc<Person>| OperatorView {
        id: person.id,
        extension: person.extension.clone(),
        name: person.name.clone(),
        kana: person.kana.clone(),
        role: person.role,
        team: person.team.and_then(|id| roster.team(id)).map(|team| team.name.clone()),
        calls: calls_of(person, &calls),
    };
    Ok(Json(Operators { items: roster.operators(&caller.viewer).iter().map(view).collect() }))
}

fn calls_of(person: &Person, calls: &[Arc<CallView>]) -> Vec<OperatorCall> {
    let Some(extension) = &person.extension else { return Vec::new() };
    let concern = calls.iter().filter(|call| call.operators().any(|operator| operator == extension));
    concern.map(|call| OperatorCall { id: call.id, state: call.state }).collect()
}
