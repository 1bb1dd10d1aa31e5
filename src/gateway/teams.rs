//! Teams: who is in each, and their names.
//!
//! A team is created with the first user who names it, and goes with the last (`store/users`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::ids::RecordId;
use crate::people::role::{Permission, Role};
use crate::people::roster::{Person, person_text};

/// A person of a team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamMember {
    /// The user.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// The user's name.
    name: String,
    /// The user's role.
    role: Role,
}

/// A team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamView {
    /// The team's id.
    #[schema(value_type = uuid::Uuid)]
    id: RecordId,
    /// Its name.
    name: String,
    /// Its people by name, those who were revoked left out.
    members: Vec<TeamMember>,
}

/// The teams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Teams {
    /// By name.
    items: Vec<TeamView>,
}

/// Another name of a team.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenamedTeam {
    /// The name.
    name: String,
}

/// Lists the teams with their people, by name.
#[utoipa::path(get, path = "/v1/teams", tag = "users", operation_id = "list_teams", responses(
    (status = 200, description = "The teams", body = Teams),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Teams>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    Ok(Json(Teams { items: teams(&state).await? }))
}

/// Renames a team; its people stay in it. A team that `operators.teams` of the configuration names is renamed there, too.
#[utoipa::path(patch, path = "/v1/teams/{team}", tag = "users", operation_id = "rename_team",
    params(("team" = uuid::Uuid, Path, description = "The team")),
    request_body = RenamedTeam,
    responses(
        (status = 200, description = "The team", body = TeamView),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "value-taken: another team has the name", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn rename(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(wanted): Body<RenamedTeam>,
) -> Result<Json<TeamView>, Problem> {
    caller.needs(Permission::ManagePeople)?;
    let name =
        person_text("name", &wanted.name).map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let before = team(&state, id).await?.name;
    state.app.store.rename_team(id, &name).await?;
    state.app.refresh_people().await?;
    let details = json!({ "name": { "before": before, "after": name } });
    audit_trail::record(&state, &caller, "team.renamed", (&name, Some(id)), details).await;
    Ok(Json(team(&state, id).await?))
}

async fn team(state: &AppState, id: RecordId) -> Result<TeamView, Problem> {
    let found = teams(state).await?.into_iter().find(|team| team.id == id);
    found.ok_or_else(|| Kind::UnknownRecord.with("there is no such team"))
}

async fn teams(state: &AppState) -> Result<Vec<TeamView>, Problem> {
    let roster = state.app.store.roster().await?;
    let teams = state.app.store.teams().await?;
    let members = |id: RecordId| {
        let people = roster.everybody().filter(|person| person.team == Some(id));
        let member =
            |person: &Arc<Person>| TeamMember { id: person.id, name: person.name.clone(), role: person.role };
        let mut members: Vec<TeamMember> = people.map(member).collect();
        members.sort_unstable_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        members
    };
    Ok(teams
        .into_iter()
        .map(|team| TeamView { members: members(team.id), id: team.id, name: team.name })
        .collect())
}
