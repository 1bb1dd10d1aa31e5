//! The SQL that reads what the history has of a bin.

use std::collections::{HashMap, HashSet};

use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::history::{call_of, parse_outcome, segment_of};
use super::{Db, DbConnection, DbRow, list_of_json};
use crate::contract::history::{FinishedCall, Segment};
use crate::contract::message::{MessageKind, MessageState};
use crate::ids::{CallId, Extension, RecordId};
use crate::stats::{BIN_MS, BinInput, CallerContact, Care, LeftMessage, WrapUpTime};
use crate::store::stats::BinKey;
use crate::store::{StoreError, from_ms, to_ms};

/// Most calls whose messages one statement reads.
const CALLS_OF_MESSAGES_MAX: usize = 500;

/// All that the history has of a bin.
pub(super) async fn read_history(db: &mut DbConnection, bin: &BinKey) -> Result<BinInput, StoreError> {
    let (from, to) = (bin.bin_ms, bin.bin_ms + BIN_MS);
    let rows = sqlx::query(concat!(
        "SELECT c.*, FALSE AS is_erased, ",
        segments_of_call!(),
        " AS segments_json, ",
        wrap_ups_of_call!(),
        " AS wrap_ups_json FROM calls AS c",
        indexed_by!("calls_by_direction"),
        "WHERE c.direction = 'inbound' AND c.offered_ms >= $1 AND c.offered_ms < $2 AND c.pbx = $3"
    ))
    .bind(from)
    .bind(to)
    .bind(bin.pbx.as_str())
    .fetch_all(&mut *db)
    .await?;
    let mut calls = Vec::with_capacity(rows.len());
    let mut wrap_ups = HashMap::new();
    for row in &rows {
        let segments =
            list_of_json::<SegmentText>(row, "segments_json")?.into_iter().map(segment_of_text).collect();
        let call = FinishedCall { segments, ..call_of(row)? };
        let work = list_of_json::<WrapUpText>(row, "wrap_ups_json")?;
        if !work.is_empty() {
            wrap_ups.insert(call.id, work.into_iter().map(wrap_up_of_text).collect());
        }
        calls.push(call);
    }
    let messages = sqlx::query(
        "SELECT account_id, count(*) AS messages FROM messages
         WHERE created_ms >= $1 AND created_ms < $2 AND pbx = $3 AND deleted_ms IS NULL AND kind = 'message'
         GROUP BY account_id",
    )
    .bind(from)
    .bind(to)
    .bind(bin.pbx.as_str())
    .fetch_all(&mut *db)
    .await?;
    let count = |row: &DbRow| {
        let messages: i64 = row.try_get("messages")?;
        Ok((row.try_get("account_id")?, u64::try_from(messages).unwrap_or(0)))
    };
    let messages = messages.iter().map(count).collect::<Result<_, sqlx::Error>>()?;
    let care = read_care(db, &calls).await?;
    let contacts = read_contacts(db, bin, &calls).await?;
    Ok(BinInput { calls, wrap_ups, care, contacts, messages })
}

/// A segment in `segments_json`: kind, operator, target, from, until, result.
type SegmentText = (String, Option<String>, Option<String>, i64, Option<i64>, Option<String>);

/// After-call work in `wrap_ups_json`: whose, from, until.
type WrapUpText = (Uuid, i64, i64);

fn segment_of_text((kind, operator, target, from, until, result): SegmentText) -> Segment {
    Segment {
        kind,
        operator: operator.and_then(|text| Extension::parse(&text).ok()),
        target,
        from: from_ms(from),
        until: until.map(from_ms),
        result,
    }
}

fn wrap_up_of_text((person, since, ended): WrapUpText) -> WrapUpTime {
    WrapUpTime { person: RecordId(person), ms: u64::try_from(ended - since).unwrap_or(0) }
}

/// What became of what the callers of these calls left. Few callers leave something, so their messages are looked up.
pub(super) async fn read_care(
    db: &mut DbConnection,
    calls: &[FinishedCall],
) -> Result<HashMap<CallId, Care>, StoreError> {
    let left: Vec<&FinishedCall> = calls.iter().filter(|call| call.left_behind.is_some()).collect();
    let mut care: HashMap<CallId, Care> = HashMap::new();
    for calls in left.chunks(CALLS_OF_MESSAGES_MAX) {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT m.call_id, m.kind, m.state, m.sent_ms, m.acknowledged_ms FROM messages AS m
             WHERE m.deleted_ms IS NULL AND m.kind IN ('voice', 'callback') AND m.call_id IN (",
        );
        let mut ids = query.separated(", ");
        for call in calls {
            ids.push_bind(call.id);
        }
        query.push(")");
        for row in &query.build().fetch_all(&mut *db).await? {
            let id: CallId = row.try_get("call_id")?;
            let Some(call) = calls.iter().find(|call| call.id == id) else { continue };
            let message = LeftMessage {
                kind: MessageKind::parse(row.try_get("kind")?).unwrap_or_default(),
                state: MessageState::parse(row.try_get("state")?).unwrap_or(MessageState::Open),
                sent_ms: row.try_get("sent_ms")?,
                acknowledged_ms: row.try_get("acknowledged_ms")?,
            };
            care.entry(id).or_default().add(&message, to_ms(call.ended_at));
        }
    }
    Ok(care)
}

/// The calls of the bin's known callers to the same accounts, in and around the bin, at every PBX: looked up for each call of
/// the bin, because few callers call twice within half an hour.
async fn read_contacts(
    db: &mut DbConnection,
    bin: &BinKey,
    calls: &[FinishedCall],
) -> Result<Vec<CallerContact>, StoreError> {
    let rows = sqlx::query(concat!(
        "SELECT DISTINCT near.id, near.account_id, near.caller_key, near.offered_ms, near.outcome FROM calls AS c",
        indexed_by!("calls_by_direction"),
        "CROSS JOIN calls AS near",
        indexed_by!("calls_by_caller"),
        "WHERE c.direction = 'inbound' AND c.offered_ms >= $1 AND c.offered_ms < $2 AND c.pbx = $3
            AND near.account_id = c.account_id AND near.caller_key = c.caller_key
            AND near.offered_ms >= c.offered_ms - 1800000 AND near.offered_ms <= c.offered_ms + 1800000
            AND near.direction = 'inbound' AND near.id <> c.id"
    ))
    .bind(bin.bin_ms)
    .bind(bin.bin_ms + BIN_MS)
    .bind(bin.pbx.as_str())
    .fetch_all(db)
    .await?;
    let mut contacts = contacts_of(&rows)?;
    let found: HashSet<CallId> = contacts.iter().map(|contact| contact.call).collect();
    contacts.extend(calls.iter().filter(|call| !found.contains(&call.id)).filter_map(contact_of));
    Ok(contacts)
}

/// A call as the contact of a known caller.
fn contact_of(call: &FinishedCall) -> Option<CallerContact> {
    Some(CallerContact {
        call: call.id,
        account: call.account?,
        caller: call.caller.as_ref()?.to_string(),
        offered_ms: to_ms(call.offered_at),
        outcome: call.outcome,
    })
}

pub(super) fn give_segments(calls: &mut [FinishedCall], rows: &[DbRow]) -> Result<(), StoreError> {
    let mut segments: HashMap<CallId, Vec<Segment>> = HashMap::new();
    for row in rows {
        segments.entry(row.try_get("call_id")?).or_default().push(segment_of(row)?);
    }
    for call in calls {
        call.segments = segments.remove(&call.id).unwrap_or_default();
    }
    Ok(())
}

pub(super) fn wrap_ups_of(rows: &[DbRow]) -> Result<HashMap<CallId, Vec<WrapUpTime>>, StoreError> {
    let mut wrap_ups: HashMap<CallId, Vec<WrapUpTime>> = HashMap::new();
    for row in rows {
        let ms = row.try_get::<i64, _>("ended_ms")? - row.try_get::<i64, _>("since_ms")?;
        let one = WrapUpTime { person: row.try_get("user_id")?, ms: u64::try_from(ms).unwrap_or(0) };
        wrap_ups.entry(row.try_get("call_id")?).or_default().push(one);
    }
    Ok(wrap_ups)
}

pub(super) fn contacts_of(rows: &[DbRow]) -> Result<Vec<CallerContact>, StoreError> {
    let contact = |row: &DbRow| {
        Ok(CallerContact {
            call: row.try_get("id")?,
            account: row.try_get("account_id")?,
            caller: row.try_get("caller_key")?,
            offered_ms: row.try_get("offered_ms")?,
            outcome: parse_outcome(row.try_get("outcome")?),
        })
    };
    Ok(rows.iter().map(contact).collect::<Result<_, sqlx::Error>>()?)
}
