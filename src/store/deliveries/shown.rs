//! What a message shows of its deliveries and its route, and which state follows for it.

use jiff::Timestamp;
use sqlx::Row;

use super::super::dispatches::{Present, present_state};
use super::super::{Backend, DbConnection, DbRow};
use super::state_of;
use crate::contract::delivery::{
    DispatchState, MessageDelivery, MessageDeliveryState, RouteProgress, UnroutedReason,
};
use crate::contract::message::MessageState;
use crate::delivery::{DeliveryFacts, summary};
use crate::ids::RecordId;
use crate::route::LATE_MAX;
use crate::store::deliveries::{LIST_MAX, LoggedDelivery};
use crate::store::{StoreError, from_ms, to_ms};

/// Stores what the message shows of the deliveries of its present revision and of its route, and its state.
pub(in super::super) async fn write_summary(
    db: &mut DbConnection,
    message: RecordId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM messages WHERE id = $1")
        .bind(message)
        .fetch_optional(&mut *db)
        .await?;
    let Some(state) = state.as_deref().and_then(MessageState::parse) else { return Ok(()) };
    let rows = sqlx::query(
        "SELECT state, error, next_ms FROM deliveries WHERE message_id = $1
            AND revision = (SELECT revision FROM messages WHERE id = $1) ORDER BY created_ms, id",
    )
    .bind(message)
    .fetch_all(&mut *db)
    .await?;
    let facts = |row: &DbRow| {
        Ok(DeliveryFacts {
            state: state_of(row)?,
            error: row.try_get("error")?,
            next_at: from_ms(row.try_get("next_ms")?),
        })
    };
    let facts = rows.iter().map(facts).collect::<Result<Vec<_>, sqlx::Error>>()?;
    let route = present_state(&mut *db, message).await?;
    let is_running = |present: &&Present| present.state == DispatchState::Running;
    let goes_on_at = route.as_ref().filter(is_running).and_then(|present| present.due);
    let of_digest = route.as_ref().filter(|present| present.is_for_digest && facts.is_empty());
    let (shown, state) = match route.as_ref().map(|present| present.state) {
        Some(present) if of_digest.is_some() => of_digest_alone(state, present, goes_on_at),
        _ if !facts.is_empty() || goes_on_at.is_some() => summary(state, &facts, goes_on_at),
        // Nobody was called in time.
        Some(DispatchState::Unanswered | DispatchState::Unreached) => {
            let failed =
                MessageDelivery { state: MessageDeliveryState::Failed, ..MessageDelivery::default() };
            let is_over = state == MessageState::Acknowledged;
            (failed, if is_over { state } else { MessageState::Failed })
        }
        // The account has it by phone or from a person, or it was withdrawn: nothing is sent any more. Why nobody got a mail
        // stays.
        Some(DispatchState::Answered | DispatchState::Cancelled | DispatchState::Settled) => {
            summary(state, &facts, None)
        }
        _ => return Ok(()),
    };
    sqlx::query(
        "UPDATE messages SET delivery_state = $2, delivery_error = $3, delivery_next_ms = $4,
            delivery_reason = CASE WHEN $2 = 'none' AND $7 = 0 THEN delivery_reason END,
            version = version + CASE WHEN state = $5 THEN 0 ELSE 1 END,
            changed_ms = CASE WHEN state = $5 THEN changed_ms ELSE $6 END,
            sent_ms = CASE WHEN $5 = 'sent' THEN coalesce(sent_ms, $6) ELSE sent_ms END,
            state = $5
         WHERE id = $1",
    )
    .bind(message)
    .bind(shown.state.as_str())
    .bind(shown.last_error)
    .bind(shown.next_at.map(to_ms))
    .bind(state.as_str())
    .bind(to_ms(now))
    .bind(i64::try_from(facts.len()).unwrap_or(i64::MAX))
    .execute(db)
    .await?;
    Ok(())
}

/// What a message shows that goes with a digest alone, and its state.
fn of_digest_alone(
    message: MessageState,
    route: DispatchState,
    goes_on_at: Option<Timestamp>,
) -> (MessageDelivery, MessageState) {
    let (shown, state) = match route {
        DispatchState::Running => (MessageDeliveryState::Held, MessageState::Open),
        DispatchState::Settled => (MessageDeliveryState::Sent, MessageState::Sent),
        DispatchState::Unanswered | DispatchState::Unreached => {
            (MessageDeliveryState::Failed, MessageState::Failed)
        }
        DispatchState::Answered | DispatchState::Cancelled => (MessageDeliveryState::None, message),
    };
    // The route would go on if no digest came.
    let next_at = goes_on_at.and_then(|at| at.checked_sub(LATE_MAX).ok());
    let state = if message == MessageState::Acknowledged { message } else { state };
    (MessageDelivery { state: shown, next_at, ..MessageDelivery::default() }, state)
}

impl Backend {
    pub(in crate::store) async fn delivery_log(
        &self,
        message: RecordId,
    ) -> Result<Vec<LoggedDelivery>, StoreError> {
        let rows = sqlx::query(
            "SELECT l.delivery_id, l.at_ms, l.state, l.detail FROM deliveries AS d
             CROSS JOIN delivery_log AS l WHERE d.message_id = $1 AND l.delivery_id = d.id ORDER BY l.position LIMIT $2",
        )
        .bind(message)
        .bind(i64::from(LIST_MAX))
        .fetch_all(self.readers())
        .await?;
        let logged = |row: &DbRow| {
            Ok(LoggedDelivery {
                delivery: row.try_get("delivery_id")?,
                at: from_ms(row.try_get("at_ms")?),
                state: state_of(row)?,
                detail: row.try_get("detail")?,
            })
        };
        Ok(rows.iter().map(logged).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// What a row of `messages` shows of its deliveries.
pub(in super::super) fn message_delivery_of(row: &DbRow) -> Result<MessageDelivery, sqlx::Error> {
    Ok(MessageDelivery {
        state: MessageDeliveryState::parse(row.try_get("delivery_state")?)
            .unwrap_or(MessageDeliveryState::None),
        reason: row
            .try_get::<Option<String>, _>("delivery_reason")?
            .as_deref()
            .and_then(UnroutedReason::parse),
        next_at: row.try_get::<Option<i64>, _>("delivery_next_ms")?.map(from_ms),
        last_error: row.try_get("delivery_error")?,
        route: route_of(row)?,
        plan: None,
    })
}

/// What a row of `messages` shows of its route.
fn route_of(row: &DbRow) -> Result<Option<RouteProgress>, sqlx::Error> {
    let Some(name) = row.try_get::<Option<String>, _>("route_name")? else { return Ok(None) };
    Ok(Some(RouteProgress {
        name,
        step: u32::try_from(row.try_get::<Option<i64>, _>("route_step")?.unwrap_or(0)).unwrap_or(0),
        state: row
            .try_get::<Option<String>, _>("route_state")?
            .as_deref()
            .and_then(DispatchState::parse)
            .unwrap_or(DispatchState::Cancelled),
        next_at: row.try_get::<Option<i64>, _>("route_next_ms")?.map(from_ms),
    }))
}
