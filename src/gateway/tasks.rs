//! Phone tasks (電話連絡): making one by hand, which calls are to be made, who is at it, and what came of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::customers::account_id;
use super::extract::{Body, NoQuery, QueryParams, RecordPath};
use super::messages::shown;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::task::{TASK_NOTE_CHARS_MAX, Task, TaskResult, TaskState};
use crate::identity::printable;
use crate::ids::RecordId;
use crate::numbers::Number;
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::tasks::{MakeOutcome, NewTask, TaskChange, TaskFilter, TaskOutcome};

/// Filter of tasks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TasksQuery {
    /// In this state; absent: open and claimed ones.
    state: Option<TaskState>,
    /// Of this message.
    #[param(value_type = Option<uuid::Uuid>)]
    message: Option<RecordId>,
    /// Of the account with this id.
    account: Option<String>,
}

/// Phone tasks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneTasks)]
pub(crate) struct Tasks {
    /// At most 500: those to be done in the order in which they are due, others the newest first.
    items: Vec<Task>,
}

/// What came of a call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskReport {
    /// What. With `told`, the message is acknowledged.
    result: TaskResult,
    /// A note, up to 200 characters.
    #[serde(default)]
    note: Option<String>,
}

/// A call that is to be made about a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MakePhoneTask)]
pub(crate) struct MakeTask {
    /// The message.
    #[schema(value_type = uuid::Uuid)]
    message: RecordId,
    /// Who is called: a contact of the message's account; absent: the message's contact.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    contact: Option<RecordId>,
    /// The number; absent: the contact's own.
    #[serde(default)]
    number: Option<String>,
    /// When to call; absent: now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Timestamp>,
}

/// Makes a phone task by hand: an operator calls somebody about a message. A message has one open task for each number.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", request_body = MakeTask, responses(
    (status = 201, description = "The task", body = Task),
    (status = 200, description = "There is one already", body = Task),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 409, description = "message-not-open: it was answered or withdrawn, or the data of its caller was deleted", body = ProblemBody),
    (status = 422, description = "invalid-body: there is no such message or contact, or nobody has a number", body = ProblemBody),
))]
pub(crate) async fn make(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(request): Body<MakeTask>,
) -> Result<Response, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let number = request.number.as_deref().filter(|text| !text.trim().is_empty()).map(|text| {
        let number = Number::read(text, state.app.directory.plan());
        number
            .map(|number| number.display())
            .ok_or_else(|| Kind::InvalidBody.with("number: this is no telephone number"))
    });
    let now = state.app.clock.now();
    let task = NewTask {
        message: request.message,
        contact: request.contact,
        number: number.transpose()?,
        due_at: request.due_at.unwrap_or(now),
    };
    let invalid = |text: &str| Err(Kind::InvalidBody.with(text));
    match state.app.store.make_task(&task, now).await {
        Ok(MakeOutcome::Made(task)) => {
            state.app.message_relay.wake();
            let details = json!({ "message": task.message, "task": task.id });
            audit_trail::record(&state, &caller, "task.made", ("", Some(task.message)), details).await;
            Ok((StatusCode::CREATED, Json(task)).into_response())
        }
        Ok(MakeOutcome::Exists(task)) => Ok(Json(task).into_response()),
        Ok(MakeOutcome::NotNeeded(message)) => {
            Err(Problem::from(Kind::MessageNotOpen).message(shown(&state, &caller, *message)))
        }
        Ok(MakeOutcome::UnknownContact) => invalid("contact: the account has no such contact"),
        Ok(MakeOutcome::NoNumber) => invalid("number: the contact has none; give one"),
        Err(StoreError::Missing { .. }) => invalid("message: there is no such message"),
        Err(error) => Err(error.into()),
    }
}

/// Lists the phone tasks that match.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", params(TasksQuery), responses(
    (status = 200, description = "The tasks", body = Tasks),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<TasksQuery>,
) -> Result<Json<Tasks>, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let filter = TaskFilter {
        state: query.state,
        is_any: false,
        message: query.message,
        account: account_id(query.account.as_deref())?,
    };
    Ok(Json(Tasks { items: state.app.store.tasks(filter).await? }))
}

/// Takes a task for five minutes; a repeated claim holds it for longer.
#[utoipa::path(post, path = "/v1/tasks/{task}/claim", tag = "tasks",
    params(("task" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "task-taken: another person is at it, or it is over", body = ProblemBody),
    )
)]
pub(crate) async fn claim(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Task>, Problem> {
    change(&state, &caller, id, TaskChange::Claim).await
}

/// Gives a task back.
#[utoipa::path(post, path = "/v1/tasks/{task}/release", tag = "tasks",
    params(("task" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "task-taken: another person has claimed it, or it is over", body = ProblemBody),
    )
)]
pub(crate) async fn release(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Task>, Problem> {
    change(&state, &caller, id, TaskChange::Release).await
}

/// Says what came of the call of a task that you have claimed, or that nobody has. Who was not reached is called again ten minutes later, three times
/// at most.
#[utoipa::path(post, path = "/v1/tasks/{task}/result", tag = "tasks", request_body = TaskReport,
    params(("task" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "task-taken: another person has claimed it, or it is over", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn report(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    Body(report): Body<TaskReport>,
) -> Result<Json<Task>, Problem> {
    let note = match report.note.as_deref().filter(|note| !note.trim().is_empty()) {
        Some(note) => {
            let text = printable(note, usize::MAX).filter(|text| text.chars().count() <= TASK_NOTE_CHARS_MAX);
            Some(text.ok_or_else(|| Kind::InvalidBody.with("note: at most 200 characters"))?.to_string())
        }
        None => None,
    };
    change(&state, &caller, id, TaskChange::Result(report.result, note)).await
}

async fn change(
    state: &AppState,
    caller: &Caller,
    id: RecordId,
    change: TaskChange,
) -> Result<Json<Task>, Problem> {
    caller.needs(Permission::ControlCalls)?;
    let by = (caller.person.id, caller.person.name.as_str());
    match state.app.store.change_task(id, change, by, state.app.clock.now()).await? {
        TaskOutcome::Changed(task) => {
            state.app.message_relay.wake();
            Ok(Json(task))
        }
        TaskOutcome::Refused(task) => Err(Kind::TaskTaken.with(match &task.claimed_by_name {
            Some(name) if task.state == TaskState::Claimed => format!("{name} has claimed it"),
            _ => format!("it is {}", task.state.as_str()),
        })),
    }
}
