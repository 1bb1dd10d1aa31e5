//! What happened to a message: its contents, deliveries, calls and answers in one list.
//!
//! Those who do not see deliveries read it without addresses and without what mail servers said.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{NoQuery, QueryParams, RecordPath};
use super::messages::find;
use super::problem::{Problem, ProblemBody};
use super::state::AppState;
use crate::contract::delivery::{Delivery, DeliveryState};
use crate::contract::message::{Message, MessageRevision};
use crate::contract::timeline::{TimelineEntry, TimelineKind};
use crate::people::role::Permission;
use crate::people::roster::Roster;
use crate::store::deliveries::DeliveryFilter;
use crate::store::tasks::TaskFilter;
use crate::store::{Store, StoreError};

/// What happened to a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageTimeline {
    /// In the order of time.
    items: Vec<TimelineEntry>,
}

/// Lists what happened to a message, the first thing first.
#[utoipa::path(get, path = "/v1/messages/{message}/timeline", tag = "messages",
    params(("message" = uuid::Uuid, Path, description = "The record")),
    responses(
        (status = 200, description = "What happened", body = MessageTimeline),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn timeline(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MessageTimeline>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    let message = find(&state, id).await?;
    let store = &state.app.store;
    let mut items = contents(store, &message).await?;
    let sees_deliveries = caller.needs(Permission::ResendMessages).is_ok();
    items.extend(deliveries(store, &message, sees_deliveries).await?);
    items.extend(calls_and_answers(store, &message).await?);
    items.extend(endings(&message, &state.app.people.current()));
    // Stable: what happened in one transaction stays in the order in which it is listed.
    items.sort_by_key(|entry| entry.at);
    Ok(Json(MessageTimeline { items }))
}

async fn contents(store: &Store, message: &Message) -> Result<Vec<TimelineEntry>, StoreError> {
    let mut items = vec![TimelineEntry {
        revision: Some(1),
        by_name: message.taken_by_name.clone(),
        ..TimelineEntry::new(message.created_at, TimelineKind::Saved)
    }];
    let revisions = store.message_revisions(message.id).await?;
    let is_first = |one: &MessageRevision| one.revision == 1 && one.at == message.created_at;
    items.extend(revisions.into_iter().filter(|one| !is_first(one)).map(|one| {
        let kind = if one.revision == 1 { TimelineKind::Changed } else { TimelineKind::Corrected };
        TimelineEntry {
            revision: Some(one.revision),
            by_name: Some(one.by_name),
            text: one.why,
            ..TimelineEntry::new(one.at, kind)
        }
    }));
    Ok(items)
}

fn endings(message: &Message, roster: &Roster) -> impl Iterator<Item = TimelineEntry> {
    let by = message.acknowledged_by.and_then(|id| roster.person(id)).map(|person| person.name.clone());
    let acknowledged = message
        .acknowledged_at
        .map(|at| TimelineEntry { by_name: by, ..TimelineEntry::new(at, TimelineKind::Acknowledged) });
    let withdrawn = message.withdrawn_at.map(|at| TimelineEntry::new(at, TimelineKind::Withdrawn));
    acknowledged.into_iter().chain(withdrawn)
}

async fn deliveries(
    store: &Store,
    message: &Message,
    sees_deliveries: bool,
) -> Result<Vec<TimelineEntry>, StoreError> {
    let filter = DeliveryFilter { message: Some(message.id), ..DeliveryFilter::default() };
    let deliveries = store.message_deliveries(filter).await?;
    let entry = |delivery: &Delivery, at, state, text: Option<String>| TimelineEntry {
        revision: Some(delivery.revision),
        to: sees_deliveries.then(|| delivery.address.clone()),
        contact: delivery.contact,
        id: Some(delivery.id),
        delivery: Some(state),
        text: text.filter(|_| sees_deliveries),
        ..TimelineEntry::new(at, TimelineKind::Delivery)
    };
    let mut items: Vec<TimelineEntry> =
        deliveries.iter().rev().map(|one| entry(one, one.created_at, DeliveryState::Queued, None)).collect();
    for (delivery, at) in store.opened_links(message.id).await? {
        let Some(delivery) = deliveries.iter().find(|one| one.id == delivery) else { continue };
        items.push(TimelineEntry {
            delivery: None,
            kind: TimelineKind::Opened,
            ..entry(delivery, at, delivery.state, None)
        });
    }
    for logged in store.delivery_log(message.id).await? {
        if let Some(delivery) = deliveries.iter().find(|one| one.id == logged.delivery) {
            items.push(entry(delivery, logged.at, logged.state, logged.detail));
        }
    }
    Ok(items)
}

async fn calls_and_answers(store: &Store, message: &Message) -> Result<Vec<TimelineEntry>, StoreError> {
    let filter = TaskFilter { message: Some(message.id), is_any: true, ..TaskFilter::default() };
    let tasks = store.tasks(filter).await?;
    let mut items: Vec<TimelineEntry> = tasks
        .into_iter()
        .map(|task| TimelineEntry {
            by_name: task.claimed_by_name,
            to: Some(task.name),
            id: Some(task.id),
            task: Some(task.state),
            result: task.result,
            text: task.note,
            ..TimelineEntry::new(task.changed_at, TimelineKind::Task)
        })
        .collect();
    items.extend(store.message_answers(message.id).await?.into_iter().map(|answer| TimelineEntry {
        revision: Some(answer.revision),
        by_name: Some(answer.by_name),
        answer: Some(answer.kind),
        text: answer.note,
        ..TimelineEntry::new(answer.at, TimelineKind::Answered)
    }));
    Ok(items)
}
