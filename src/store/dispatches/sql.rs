//! The SQL of dispatches.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row;

use super::deliveries::{NewRecipient, cancel_deliveries, insert_delivery, write_summary};
use super::digests::digest_name;
use super::messages::{hold, read_message};
use super::routes::account_routes;
use super::tasks;
use super::{Backend, DbConnection, DbRow};
use crate::contract::delivery::{DeliveryState, DispatchState, UnroutedReason};
use crate::contract::event::EventKind;
use crate::contract::message::{Message, MessageKind};
use crate::ids::{PbxId, RecordId};
use crate::route::{
    Digest, Dispatch, DispatchInput, DispatchOutput, MessageFacts, Note, Progress, Target, TargetKind, World,
};
use crate::store::dispatches::{DUE_MAX, DueDispatches, MessageNotice, NOTICES_MAX};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn due_dispatches(&self, now: Timestamp) -> Result<DueDispatches, StoreError> {
        let rows = sqlx::query(
            // The rows of an account that is being removed go with it.
            concat!(
                "SELECT d.message_id, d.due_ms FROM dispatches AS d JOIN messages AS m ON m.id = d.message_id
                 WHERE d.due_ms IS NOT NULL AND ",
                account_is_kept!("m"),
                " ORDER BY d.due_ms LIMIT $1"
            ),
        )
        .bind(i64::from(DUE_MAX) + 1)
        .fetch_all(self.readers())
        .await?;
        let mut due = DueDispatches::default();
        for row in rows {
            let at = from_ms(row.try_get("due_ms")?);
            if at > now {
                due.next_at = Some(at);
                break;
            }
            due.messages.push(row.try_get("message_id")?);
        }
        due.messages.truncate(DUE_MAX as usize);
        Ok(due)
    }

    pub(in crate::store) async fn tick_dispatch(
        &self,
        message: RecordId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        hold(&mut transaction, message).await?;
        let Some(mut row) = load(&mut transaction, message).await? else { return Ok(false) };
        if row.dispatch.due_at().is_none_or(|due| due > now) {
            return Ok(false);
        }
        row.apply(&mut transaction, DispatchInput::Tick, now).await?;
        write_summary(&mut transaction, message, now).await?;
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn message_notices(
        &self,
        pbx: &PbxId,
    ) -> Result<Vec<MessageNotice>, StoreError> {
        let rows = sqlx::query(
            "SELECT position, kind, data_json, at_ms, taken_by FROM message_notices WHERE pbx = $1 ORDER BY position
             LIMIT $2",
        )
        .bind(pbx.as_str())
        .bind(i64::from(NOTICES_MAX))
        .fetch_all(self.readers())
        .await?;
        let notice = |row: &DbRow| {
            Ok(MessageNotice {
                position: row.try_get("position")?,
                kind: row.try_get("kind")?,
                taken_by: row.try_get("taken_by")?,
                data: serde_json::from_str(row.try_get("data_json")?).unwrap_or_default(),
                at: from_ms(row.try_get("at_ms")?),
            })
        };
        Ok(rows.iter().map(notice).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn delete_message_notices(&self, positions: &[i64]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for position in positions {
            sqlx::query("DELETE FROM message_notices WHERE position = $1")
                .bind(position)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// What the start of a message's route came to.
pub(super) struct Started {
    /// Who gets a mail.
    pub(super) mails: Vec<NewRecipient>,
    /// Why nobody is reached.
    pub(super) unrouted: Option<UnroutedReason>,
}

/// Starts the route of a message whose content was written, which may be sent from `at` on. Its earlier routes end. `had`: who may
/// have an earlier content.
pub(super) async fn start(
    db: &mut DbConnection,
    message: &Message,
    had: &[NewRecipient],
    (now, at): (Timestamp, Timestamp),
) -> Result<Started, StoreError> {
    if let Some(mut before) = load_any(&mut *db, message.id).await? {
        before.dispatch.handle(DispatchInput::Corrected, &empty_world(), now);
        save(&mut *db, &before, now).await?;
    }
    tasks::cancel(&mut *db, message.id, false, now).await?;
    let routes = account_routes(&mut *db, message.account).await?;
    let facts = MessageFacts::from(&message.fields);
    let digest = match message.kind {
        MessageKind::Digest => digest_name(&mut *db, message.id).await?,
        _ => None,
    };
    let digest = digest.and_then(|name| routes.own.as_ref()?.digest(&name).map(Digest::route));
    let (dispatch, outputs) = match digest {
        Some(route) => Dispatch::start_route(route, &routes.world, at),
        None => {
            let had = had.iter().map(|had| target_of(had, &routes.world)).collect();
            Dispatch::start(&routes.documents(), facts, &routes.world, at, had)
        }
    };
    let row = DispatchRow { message: message.clone(), revision: message.revision, dispatch };
    let mut started = Started { mails: Vec::new(), unrouted: None };
    let mut notes = Vec::new();
    for output in outputs {
        match output {
            DispatchOutput::Create(asked) => started.mails.extend(row.recipient(asked, at)),
            DispatchOutput::Skipped { notes: of_step, .. } => notes.extend(of_step),
            DispatchOutput::Unreached => started.unrouted = Some(reason_of(&notes, row.dispatch.is_built_in)),
            output => row.carry_out(&mut *db, output, (now, at)).await?,
        }
    }
    if started.unrouted.is_some() && !row.dispatch.is_built_in {
        row.carry_out(&mut *db, DispatchOutput::Unreached, (now, at)).await?;
    }
    save(db, &row, now).await?;
    Ok(started)
}

/// Applies an input to the present dispatch of a message, whose row the caller holds.
pub(super) async fn apply(
    db: &mut DbConnection,
    message: RecordId,
    input: DispatchInput,
    now: Timestamp,
) -> Result<(), StoreError> {
    match load(&mut *db, message).await? {
        Some(mut row) => row.apply(db, input, now).await,
        None => Ok(()),
    }
}

/// Applies what became of a delivery.
pub(super) async fn delivery_changed(
    db: &mut DbConnection,
    message: RecordId,
    asked: i64,
    state: DeliveryState,
    now: Timestamp,
) -> Result<(), StoreError> {
    let progress = match state {
        DeliveryState::Sent => Progress::Sent,
        DeliveryState::Delivered => Progress::Delivered,
        DeliveryState::Bounced | DeliveryState::Failed => Progress::Failed,
        DeliveryState::Held | DeliveryState::Queued | DeliveryState::Sending | DeliveryState::Cancelled => {
            return Ok(());
        }
    };
    let asked = usize::try_from(asked).unwrap_or(usize::MAX);
    apply(db, message, DispatchInput::Changed { asked, progress }, now).await
}

/// The present dispatch of a message.
pub(super) struct Present {
    /// Its state.
    pub(super) state: DispatchState,
    /// When it goes on. A route that waits for the mail server alone has no time of its own.
    pub(super) due: Option<Timestamp>,
    /// Whether the message waits for a digest.
    pub(super) is_for_digest: bool,
}

/// The state of the present dispatch of a message.
pub(super) async fn present_state(
    db: &mut DbConnection,
    message: RecordId,
) -> Result<Option<Present>, StoreError> {
    let row = sqlx::query(
        "SELECT state, due_ms, digest FROM dispatches WHERE message_id = $1
            AND revision = (SELECT revision FROM messages WHERE id = $1)",
    )
    .bind(message)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Present {
        state: DispatchState::parse(row.try_get("state")?).unwrap_or(DispatchState::Cancelled),
        due: row.try_get::<Option<i64>, _>("due_ms")?.map(from_ms),
        is_for_digest: row.try_get::<Option<&str>, _>("digest")?.is_some(),
    }))
}

/// Adds an event about a message, for the relay.
pub(super) async fn notice(
    db: &mut DbConnection,
    message: RecordId,
    kind: EventKind,
    data: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO message_notices (message_id, pbx, taken_by, kind, data_json, at_ms)
         SELECT id, pbx, taken_by, $2, $3, $4 FROM messages WHERE id = $1",
    )
    .bind(message)
    .bind(kind.as_str())
    .bind(data.to_string())
    .bind(to_ms(now))
    .execute(db)
    .await?;
    Ok(())
}

/// A dispatch and its message.
struct DispatchRow {
    message: Message,
    revision: u32,
    dispatch: Dispatch,
}

impl DispatchRow {
    async fn apply(
        &mut self,
        db: &mut DbConnection,
        input: DispatchInput,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let world = if input.looks_at_people() {
            account_routes(&mut *db, self.message.account).await?.world
        } else {
            empty_world()
        };
        let before = self.dispatch.clone();
        let outputs = self.dispatch.handle(input, &world, now);
        if self.dispatch == before {
            return Ok(());
        }
        for output in outputs {
            self.carry_out(&mut *db, output, (now, now)).await?;
        }
        save(db, self, now).await
    }

    /// The recipient of a mail.
    fn recipient(&self, asked: usize, at: Timestamp) -> Option<NewRecipient> {
        let target = &self.dispatch.asked.get(asked)?.target;
        Some(NewRecipient {
            contact: target.contact,
            endpoint: target.endpoint,
            channel: target.channel,
            address: target.address.clone(),
            asked: i64::try_from(asked).ok(),
            not_before: target.not_before.map_or(at, |time| time.max(at)),
        })
    }

    async fn carry_out(
        &self,
        db: &mut DbConnection,
        output: DispatchOutput,
        (now, at): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        let id = self.message.id;
        match output {
            DispatchOutput::Create(asked) => {
                if let Some(recipient) = self.recipient(asked, at) {
                    insert_delivery(db, &self.message, &recipient, now).await?;
                }
            }
            DispatchOutput::Task(asked) => {
                let Some(target) = self.dispatch.asked.get(asked).map(|asked| &asked.target) else {
                    return Ok(());
                };
                debug_assert_eq!(target.kind, TargetKind::Phone);
                let due = target.not_before.map_or(at, |time| time.max(at));
                tasks::insert(db, &self.message, (Some(asked), target), (now, due)).await?;
            }
            DispatchOutput::EndTask(asked) => tasks::end(db, (id, self.revision), asked, now).await?,
            DispatchOutput::Cancel => {
                let is_answered = self.dispatch.state == DispatchState::Answered;
                tasks::cancel(&mut *db, id, is_answered, now).await?;
                cancel_deliveries(db, id, now).await?;
            }
            DispatchOutput::Escalated { step, why } => {
                let mut data = self.facts();
                data["step"] = json!(step + 1);
                data["why"] = json!(why);
                notice(db, id, EventKind::MessageEscalated, &data, now).await?;
            }
            DispatchOutput::Alarm(asked) => {
                let kind = self.dispatch.asked.get(asked).map(|asked| asked.target.kind);
                let to = if kind == Some(TargetKind::Taker) { "taker" } else { "supervisors" };
                self.alarm(db, "escalated", Some(to), now).await?;
            }
            DispatchOutput::Unanswered => self.alarm(db, "unanswered", None, now).await?,
            DispatchOutput::Unreached => self.alarm(db, "unreached", None, now).await?,
            DispatchOutput::Skipped { .. } => {}
        }
        Ok(())
    }

    async fn alarm(
        &self,
        db: &mut DbConnection,
        why: &str,
        to: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.dispatch.is_built_in {
            // The message itself is failed.
            return Ok(());
        }
        let mut data = self.facts();
        data["step"] = json!(self.dispatch.step + 1);
        data["why"] = json!(why);
        if let Some(to) = to {
            data["to"] = json!(to);
        }
        notice(db, self.message.id, EventKind::MessageUnanswered, &data, now).await
    }

    /// What each event says of the message.
    fn facts(&self) -> Value {
        json!({
            "message": self.message.id, "account": self.message.account, "number": self.message.number,
            "revision": self.revision, "urgency": self.message.fields.urgency, "route": self.dispatch.route.name,
        })
    }
}

/// The dispatch of a message's present revision.
async fn load(db: &mut DbConnection, message: RecordId) -> Result<Option<DispatchRow>, StoreError> {
    let row = load_any(db, message).await?;
    Ok(row.filter(|row| row.revision == row.message.revision))
}

/// The latest dispatch of a message.
async fn load_any(db: &mut DbConnection, message: RecordId) -> Result<Option<DispatchRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM dispatches WHERE message_id = $1 ORDER BY revision DESC LIMIT 1")
        .bind(message)
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let body: String = row.try_get("body_json")?;
    let mut dispatch: Dispatch =
        serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(error.into()))?;
    // What removes a customer's data cancels dispatches without reading them.
    dispatch.state = DispatchState::parse(row.try_get("state")?).unwrap_or(DispatchState::Cancelled);
    let revision = u32::try_from(row.try_get::<i64, _>("revision")?).unwrap_or(0);
    let message = match read_message(db, message).await {
        // Its account is being removed.
        Err(StoreError::Missing { .. }) => return Ok(None),
        message => message?,
    };
    Ok(Some(DispatchRow { message, revision, dispatch }))
}

async fn save(db: &mut DbConnection, row: &DispatchRow, now: Timestamp) -> Result<(), StoreError> {
    let dispatch = &row.dispatch;
    let body = serde_json::to_string(dispatch).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let due = dispatch.due_at().map(to_ms);
    sqlx::query(
        "INSERT INTO dispatches (message_id, revision, state, body_json, due_ms, changed_ms, digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (message_id, revision) DO UPDATE SET state = excluded.state, body_json = excluded.body_json,
            due_ms = excluded.due_ms, changed_ms = excluded.changed_ms",
    )
    .bind(row.message.id)
    .bind(i64::from(row.revision))
    .bind(dispatch.state.as_str())
    .bind(body)
    .bind(due)
    .bind(to_ms(now))
    .bind(dispatch.digest())
    .execute(&mut *db)
    .await?;
    // The built-in route shows in the deliveries alone, as before there were routes.
    let is_shown = !dispatch.is_built_in;
    sqlx::query(
        "UPDATE messages SET route_name = $3, route_step = $4, route_state = $5, route_next_ms = $6
         WHERE id = $1 AND revision = $2",
    )
    .bind(row.message.id)
    .bind(i64::from(row.revision))
    .bind(is_shown.then_some(dispatch.route.name.as_str()))
    .bind(is_shown.then(|| i64::try_from(dispatch.step + 1).unwrap_or(i64::MAX)))
    .bind(is_shown.then(|| dispatch.state.as_str()))
    .bind(due.filter(|_| is_shown))
    .execute(db)
    .await?;
    Ok(())
}

fn reason_of(notes: &[Note], is_built_in: bool) -> UnroutedReason {
    if notes.contains(&Note::NoMailServer) {
        return UnroutedReason::NoMailServer;
    }
    match (is_built_in, notes.first()) {
        (true, Some(Note::NoAddress { .. })) => UnroutedReason::NoAddress,
        (true, Some(Note::AddressSuspended { .. })) => UnroutedReason::AddressSuspended,
        (true, _) => UnroutedReason::NoContact,
        (false, _) => UnroutedReason::NoRecipient,
    }
}

/// Somebody who may have an earlier content, as a recipient of the next one.
fn target_of(had: &NewRecipient, world: &World) -> Target {
    let person = had.contact.and_then(|id| world.person(id));
    Target {
        kind: TargetKind::of(had.channel),
        channel: had.channel,
        contact: had.contact,
        name: person.map(|person| person.name.clone()).unwrap_or_default(),
        address: had.address.clone(),
        endpoint: had.endpoint,
        label: String::new(),
        instead_of: None,
        not_before: None,
    }
}

/// For inputs that look at nobody.
fn empty_world() -> World {
    World::empty(jiff::tz::TimeZone::UTC)
}

#[cfg(test)]
mod tests;
