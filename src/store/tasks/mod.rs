//! Phone tasks (電話連絡). Their states are in [`crate::contract::task`].
//!
//! Invariants: a task is claimed by one person at a time. A result is applied in one transaction with what follows from it: the
//! message is acknowledged, or its route goes on.

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::contract::message::Message;
use crate::contract::task::{Task, TaskResult, TaskState};
use crate::ids::RecordId;

/// Most tasks in one answer.
pub const TASKS_MAX: u32 = 500;
/// Most claims that one sweep ends.
pub const TASK_SWEEP_MAX: u32 = 100;

/// Which tasks; an absent condition lets all through.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskFilter {
    /// In this state; absent: those that are to be done.
    pub state: Option<TaskState>,
    /// In any state.
    pub is_any: bool,
    /// Of this message.
    pub message: Option<RecordId>,
    /// Of this account.
    pub account: Option<RecordId>,
}

/// What a person does with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskChange {
    /// Takes it, or holds it for longer.
    Claim,
    /// Gives it back.
    Release,
    /// Says what came of the call.
    Result(TaskResult, Option<String>),
}

/// A task that a person makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The message.
    pub message: RecordId,
    /// Who is called; absent: the message's contact.
    pub contact: Option<RecordId>,
    /// The number; absent: the contact's own.
    pub number: Option<String>,
    /// When to call.
    pub due_at: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MakeOutcome {
    /// It was made.
    Made(Task),
    /// There is one of the message for this number, which nobody has finished.
    Exists(Task),
    /// The message needs no call: it was answered or withdrawn, or the data of its caller was deleted.
    NotNeeded(Box<Message>),
    /// The account has no such contact.
    UnknownContact,
    /// Nobody has a number.
    NoNumber,
}

/// What became of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It was done.
    Changed(Task),
    /// Another person is at it, or it is over.
    Refused(Task),
}

impl Store {
    /// Tasks: those to be done in the order in which they are due, others the newest first; at most [`TASKS_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, StoreError> {
        each!(self, db => db.tasks(filter).await)
    }

    /// Makes a task for a message.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such message; or the store cannot be written.
    pub async fn make_task(&self, task: &NewTask, now: Timestamp) -> Result<MakeOutcome, StoreError> {
        each!(self, db => db.make_task(task, now).await)
    }

    /// Changes a task in the name of a person.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such task; or the store cannot be written.
    pub async fn change_task(
        &self,
        task: RecordId,
        change: TaskChange,
        by: (RecordId, &str),
        now: Timestamp,
    ) -> Result<TaskOutcome, StoreError> {
        each!(self, db => db.change_task(task, change, by, now).await)
    }

    /// Ends claims whose time is over. Returns how many.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn sweep_tasks(&self, now: Timestamp) -> Result<u32, StoreError> {
        each!(self, db => db.sweep_tasks(now).await)
    }
}
