//! The SQL of phone tasks.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::deliveries::write_summary;
use super::dispatches::{apply, notice};
use super::messages::{acknowledge, hold, read_message};
use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::contract::message::{FollowUpBy, Message, MessageState, Urgency};
use crate::contract::task::{
    TASK_AGAIN_DELAY, TASK_ATTEMPTS_MAX, TASK_LEASE_TTL, Task, TaskResult, TaskState,
};
use crate::ids::RecordId;
use crate::route::{DispatchInput, Progress, Target};
use crate::store::tasks::{
    MakeOutcome, NewTask, TASK_SWEEP_MAX, TASKS_MAX, TaskChange, TaskFilter, TaskOutcome,
};
use crate::store::{StoreError, from_ms, to_ms};

const MISSING: StoreError = StoreError::Missing { what: "task" };

impl Backend {
    pub(in crate::store) async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, StoreError> {
        let mut query = QueryBuilder::<Db>::new(concat!(
            "SELECT t.*, ",
            message_is_being_erased!(),
            " AS is_erased FROM tasks AS t JOIN messages AS m ON m.id = t.message_id WHERE ",
            account_is_kept!("t")
        ));
        match filter.state {
            _ if filter.is_any => &mut query,
            Some(state) => query.push(" AND t.state = ").push_bind(state.as_str()),
            None => query.push(" AND t.state IN ('open', 'claimed')"),
        };
        if let Some(message) = filter.message {
            query.push(" AND t.message_id = ").push_bind(message);
        }
        if let Some(account) = filter.account {
            query.push(" AND t.account_id = ").push_bind(account);
        }
        let is_to_do = !filter.is_any
            && filter.state.is_none_or(|state| matches!(state, TaskState::Open | TaskState::Claimed));
        query.push(if is_to_do {
            " ORDER BY t.due_ms, t.id"
        } else {
            " ORDER BY t.created_ms DESC, t.id DESC"
        });
        query.push(" LIMIT ").push_bind(i64::from(TASKS_MAX));
        let rows = query.build().fetch_all(self.readers()).await?;
        let task = |row: &DbRow| {
            let task = task_of(row)?;
            // A note may repeat what a caller said who is being forgotten.
            let is_erased: bool = row.try_get("is_erased")?;
            Ok(Task {
                note: task.note.filter(|_| !is_erased),
                text: task.text.filter(|_| !is_erased),
                ..task
            })
        };
        Ok(rows.iter().map(task).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn make_task(
        &self,
        task: &NewTask,
        now: Timestamp,
    ) -> Result<MakeOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        hold(&mut transaction, task.message).await?;
        let message = match read_message(&mut transaction, task.message).await {
            Err(StoreError::Missing { .. }) => return Err(StoreError::Missing { what: "message" }),
            read => read?,
        };
        let is_over = message.state == MessageState::Acknowledged || message.withdrawn_at.is_some();
        if is_over || message.is_erased() {
            return Ok(MakeOutcome::NotNeeded(Box::new(message)));
        }
        let mut target = Target::phone(task.contact.or(message.fields.contact), task.number.clone());
        if let Some(contact) = target.contact {
            let row = sqlx::query("SELECT name, number FROM contacts WHERE id = $1 AND account_id = $2")
                .bind(contact)
                .bind(message.account)
                .fetch_optional(&mut *transaction)
                .await?;
            match row {
                Some(row) => {
                    target.name = row.try_get("name")?;
                    if task.number.is_none() {
                        target.address = row.try_get::<Option<String>, _>("number")?.unwrap_or_default();
                    }
                }
                None if task.contact.is_some() => return Ok(MakeOutcome::UnknownContact),
                // It was deleted after the message was taken.
                None => target.contact = None,
            }
        }
        if target.address.is_empty() {
            return Ok(MakeOutcome::NoNumber);
        }
        let present = sqlx::query(
            "SELECT * FROM tasks WHERE message_id = $1 AND number = $2 AND state IN ('open', 'claimed') ORDER BY id LIMIT 1",
        )
        .bind(message.id)
        .bind(&target.address)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = present {
            return Ok(MakeOutcome::Exists(task_of(&row)?));
        }
        let made = insert(&mut transaction, &message, (None, &target), (now, task.due_at)).await?;
        transaction.commit().await?;
        Ok(MakeOutcome::Made(made))
    }

    pub(in crate::store) async fn change_task(
        &self,
        id: RecordId,
        change: TaskChange,
        (by, by_name): (RecordId, &str),
        now: Timestamp,
    ) -> Result<TaskOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let message: Option<RecordId> = sqlx::query_scalar("SELECT message_id FROM tasks WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let message = message.ok_or(MISSING)?;
        // The message first, as everything that changes a delivery or a dispatch does.
        hold(&mut transaction, message).await?;
        let row = sqlx::query("SELECT * FROM tasks WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(MISSING)?;
        let (mut task, place) = (task_of(&row)?, Place::of(&row)?);
        let is_mine = task.state == TaskState::Claimed && task.claimed_by == Some(by);
        let is_free = task.state == TaskState::Open
            || task.state == TaskState::Claimed && task.claimed_until.is_none_or(|until| until <= now);
        let is_permitted = match change {
            TaskChange::Claim | TaskChange::Result(..) => is_mine || is_free,
            TaskChange::Release => is_mine || task.state == TaskState::Open,
        };
        if !is_permitted {
            return Ok(TaskOutcome::Refused(task));
        }
        task.claimed_until = None;
        match change {
            TaskChange::Claim => {
                task.state = TaskState::Claimed;
                (task.claimed_by, task.claimed_by_name) = (Some(by), Some(by_name.to_owned()));
                task.claimed_until = now.checked_add(TASK_LEASE_TTL).ok();
            }
            TaskChange::Release => release(&mut task, place.is_over),
            TaskChange::Result(result, note) => {
                (task.claimed_by, task.claimed_by_name) = (Some(by), Some(by_name.to_owned()));
                (task.result, task.note, task.attempts) = (Some(result), note, task.attempts + 1);
                settle(&mut task, result, place.is_over, now);
            }
        }
        let state = task.state;
        write(&mut transaction, &mut task, now).await?;
        match (state, place.asked) {
            (TaskState::Done, _) if task.text.is_some() => {}
            (TaskState::Done, _) => {
                acknowledge(&mut transaction, message, Some(by), now).await?;
            }
            (TaskState::Failed, Some(asked)) => {
                let failed = DispatchInput::Changed { asked, progress: Progress::Failed };
                apply(&mut transaction, message, failed, now).await?;
                write_summary(&mut transaction, message, now).await?;
            }
            _ => {}
        }
        transaction.commit().await?;
        Ok(TaskOutcome::Changed(task))
    }

    pub(in crate::store) async fn sweep_tasks(&self, now: Timestamp) -> Result<u32, StoreError> {
        let ids: Vec<RecordId> = sqlx::query_scalar(
            "SELECT id FROM tasks WHERE state = 'claimed' AND lease_ms <= $1 ORDER BY lease_ms LIMIT $2",
        )
        .bind(to_ms(now))
        .bind(i64::from(TASK_SWEEP_MAX))
        .fetch_all(self.readers())
        .await?;
        let mut ended = 0;
        for id in ids {
            let mut transaction = self.begin().await?;
            let row = sqlx::query(
                "UPDATE tasks SET changed_ms = changed_ms WHERE id = $1 AND state = 'claimed' AND lease_ms <= $2
                 RETURNING *",
            )
            .bind(id)
            .bind(to_ms(now))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { continue };
            let mut task = task_of(&row)?;
            task.claimed_until = None;
            release(&mut task, Place::of(&row)?.is_over);
            write(&mut transaction, &mut task, now).await?;
            transaction.commit().await?;
            ended += 1;
        }
        Ok(ended)
    }
}

/// Which recipient of a dispatch a task is for.
struct Place {
    asked: Option<usize>,
    /// The step is over: nobody takes the task again.
    is_over: bool,
}

impl Place {
    fn of(row: &DbRow) -> Result<Self, sqlx::Error> {
        let asked: Option<i64> = row.try_get("asked")?;
        let is_over: i64 = row.try_get("is_over")?;
        Ok(Self { asked: asked.and_then(|asked| usize::try_from(asked).ok()), is_over: is_over != 0 })
    }
}

fn release(task: &mut Task, is_over: bool) {
    task.state = if is_over { TaskState::Failed } else { TaskState::Open };
    (task.claimed_by, task.claimed_by_name) = (None, None);
}

fn settle(task: &mut Task, result: TaskResult, is_over: bool, now: Timestamp) {
    match result {
        TaskResult::Told => task.state = TaskState::Done,
        TaskResult::WrongNumber => task.state = TaskState::Failed,
        TaskResult::NoAnswer | TaskResult::Busy | TaskResult::Mailbox => {
            if is_over || task.attempts >= TASK_ATTEMPTS_MAX {
                task.state = TaskState::Failed;
            } else {
                release(task, false);
                task.due_at = now.checked_add(TASK_AGAIN_DELAY).unwrap_or(now);
            }
        }
    }
}

/// Makes a task for a recipient of a message.
pub(super) async fn insert(
    db: &mut DbConnection,
    message: &Message,
    (asked, target): (Option<usize>, &Target),
    (now, due): (Timestamp, Timestamp),
) -> Result<Task, StoreError> {
    let row = sqlx::query(
        "INSERT INTO tasks (id, account_id, message_id, revision, asked, contact_id, name, number, urgency, due_ms, state,
            created_ms, changed_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $11) RETURNING *",
    )
    .bind(RecordId(Uuid::now_v7()))
    .bind(message.account)
    .bind(message.id)
    .bind(i64::from(message.revision))
    .bind(asked.and_then(|asked| i64::try_from(asked).ok()))
    .bind(target.contact)
    .bind(&target.name)
    .bind(&target.address)
    .bind(urgency_rank(message.fields.urgency))
    .bind(to_ms(due))
    .bind(to_ms(now))
    .fetch_one(&mut *db)
    .await?;
    let task = task_of(&row)?;
    publish(db, &task, now).await?;
    Ok(task)
}

/// Makes the task of a message's follow-up; one for another text or time is cancelled. A message without any number has none:
/// nobody could be called.
pub(super) async fn write_follow_up(
    db: &mut DbConnection,
    message: &Message,
    now: Timestamp,
) -> Result<(), StoreError> {
    let follow_up = message.fields.follow_up.as_ref().filter(|one| one.by == FollowUpBy::Operator);
    let rows = sqlx::query(
        "SELECT * FROM tasks WHERE message_id = $1 AND text IS NOT NULL AND state IN ('open', 'claimed')",
    )
    .bind(message.id)
    .fetch_all(&mut *db)
    .await?;
    let mut is_there = false;
    for row in &rows {
        let mut task = task_of(row)?;
        // One that was tried is due again at another time.
        let is_wanted = follow_up.is_some_and(|one| {
            task.text.as_ref() == Some(&one.text) && (task.due_at == one.at || task.attempts > 0)
        });
        if is_wanted {
            is_there = true;
        } else {
            (task.state, task.claimed_until) = (TaskState::Cancelled, None);
            write(&mut *db, &mut task, now).await?;
        }
    }
    let Some(follow_up) = follow_up.filter(|_| !is_there) else { return Ok(()) };
    let contact = sqlx::query("SELECT name, number FROM contacts WHERE id = $1")
        .bind(message.fields.contact)
        .fetch_optional(&mut *db)
        .await?;
    let (name, number): (Option<String>, Option<String>) = match contact {
        Some(row) => (row.try_get("name")?, row.try_get("number")?),
        None => (None, None),
    };
    let fields = &message.fields;
    let of_caller = fields.call_back.as_ref().and_then(|back| back.number.clone());
    let of_caller = of_caller.or(fields.from.number.clone()).or(message.caller.clone());
    let Some(number) = number.or(of_caller) else { return Ok(()) };
    let name = name.or(fields.from.name.clone()).unwrap_or_default();
    let target = Target { name, ..Target::phone(fields.contact, Some(number)) };
    let task = insert(&mut *db, message, (None, &target), (now, follow_up.at)).await?;
    sqlx::query("UPDATE tasks SET text = $2 WHERE id = $1")
        .bind(task.id)
        .bind(&follow_up.text)
        .execute(db)
        .await?;
    Ok(())
}

/// The step for which a task was made is over: an open one fails, a claimed one is finished by who is at it.
pub(super) async fn end(
    db: &mut DbConnection,
    (message, revision): (RecordId, u32),
    asked: usize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "UPDATE tasks SET is_over = 1, changed_ms = $4, version = version + 1,
            state = CASE WHEN state = 'open' THEN 'failed' ELSE state END
         WHERE message_id = $1 AND revision = $2 AND asked = $3 AND state IN ('open', 'claimed') RETURNING *",
    )
    .bind(message)
    .bind(i64::from(revision))
    .bind(i64::try_from(asked).unwrap_or(i64::MAX))
    .bind(to_ms(now))
    .fetch_all(&mut *db)
    .await?;
    for row in &rows {
        publish(&mut *db, &task_of(row)?, now).await?;
    }
    Ok(())
}

/// The tasks of a message are no longer needed; those that follow up on it are, if it was answered.
pub(super) async fn cancel(
    db: &mut DbConnection,
    message: RecordId,
    is_answered: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "UPDATE tasks SET state = 'cancelled', lease_ms = NULL, changed_ms = $2, version = version + 1
         WHERE message_id = $1 AND state IN ('open', 'claimed') AND (text IS NULL OR NOT $3) RETURNING *",
    )
    .bind(message)
    .bind(to_ms(now))
    .bind(is_answered)
    .fetch_all(&mut *db)
    .await?;
    for row in &rows {
        publish(&mut *db, &task_of(row)?, now).await?;
    }
    Ok(())
}

async fn write(db: &mut DbConnection, task: &mut Task, now: Timestamp) -> Result<(), StoreError> {
    (task.version, task.changed_at) = (task.version + 1, now);
    sqlx::query(
        "UPDATE tasks SET state = $2, claimed_by = $3, claimed_by_name = $4, lease_ms = $5, attempts = $6, result = $7,
            note = $8, due_ms = $9, changed_ms = $10, version = version + 1 WHERE id = $1",
    )
    .bind(task.id)
    .bind(task.state.as_str())
    .bind(task.claimed_by)
    .bind(&task.claimed_by_name)
    .bind(task.claimed_until.map(to_ms))
    .bind(i64::from(task.attempts))
    .bind(task.result.map(TaskResult::as_str))
    .bind(&task.note)
    .bind(to_ms(task.due_at))
    .bind(to_ms(now))
    .execute(&mut *db)
    .await?;
    publish(db, task, now).await
}

/// The event of a task: neither a number nor a note is in it.
async fn publish(db: &mut DbConnection, task: &Task, now: Timestamp) -> Result<(), StoreError> {
    let data = json!({
        "task": task.id, "message": task.message, "account": task.account, "state": task.state,
        "urgency": task.urgency, "due_at": crate::contract::time::time(task.due_at), "attempts": task.attempts,
        "claimed_by": task.claimed_by, "claimed_by_name": task.claimed_by_name, "version": task.version,
    });
    notice(db, task.message, EventKind::TaskChanged, &data, now).await
}

/// The order of urgencies, as deliveries have it.
fn urgency_rank(urgency: Urgency) -> i64 {
    match urgency {
        Urgency::Urgent => 0,
        Urgency::Normal => 1,
        Urgency::Low => 2,
    }
}

fn task_of(row: &DbRow) -> Result<Task, sqlx::Error> {
    let urgency = match row.try_get::<i64, _>("urgency")? {
        0 => Urgency::Urgent,
        1 => Urgency::Normal,
        _ => Urgency::Low,
    };
    Ok(Task {
        id: row.try_get("id")?,
        account: row.try_get("account_id")?,
        message: row.try_get("message_id")?,
        contact: row.try_get("contact_id")?,
        name: row.try_get("name")?,
        number: row.try_get("number")?,
        urgency,
        due_at: from_ms(row.try_get("due_ms")?),
        state: TaskState::parse(row.try_get("state")?).unwrap_or(TaskState::Cancelled),
        claimed_by: row.try_get("claimed_by")?,
        claimed_by_name: row.try_get("claimed_by_name")?,
        claimed_until: row.try_get::<Option<i64>, _>("lease_ms")?.map(from_ms),
        attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        result: row.try_get::<Option<&str>, _>("result")?.and_then(TaskResult::parse),
        note: row.try_get("note")?,
        text: row.try_get("text")?,
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
        version: u64::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
    })
}
