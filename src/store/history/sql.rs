//! The SQL of finished calls and of a caller's history.

use std::borrow::Cow;

use smol_str::SmolStr;
use sqlx::{QueryBuilder, Row};

use super::dialect::{AS_ID, AS_NUMBER};
use super::history_large::{Large, find_large, find_many_of_account};
use super::history_page::Plan;
use super::script::Script;
use super::stat_marks::mark_call;
use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::call::{Direction, Outcome};
use crate::contract::card::{CustomerView, HistoryView, MatchedBy};
use crate::contract::history::{CallSource, FinishedCall, LeftBehind, Segment};
use crate::identity::Presentation;
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};
#[cfg(doc)]
use crate::store::history::{CALLS_COUNTED_MAX, CUSTOMERS_PER_CARD_MAX};
use crate::store::history::{CallerHistory, HistoryCursor, HistoryFilter};
use crate::store::{StoreError, from_ms, to_ms};

/// A record that replaces another brings no caller back who was erased.
const INSERT: &str = "
    INSERT INTO calls (id, pbx, direction, account_id, customer_id, matched_by, caller_key, presentation, dialled,
        diverted_by, offered_ms, answered_ms, ended_ms, outcome, operators_json, channels_json, inferred,
        handled_by_json, source, left_behind)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
        (SELECT CASE m.kind WHEN 'voice' THEN 'voice_message' ELSE 'callback' END FROM messages AS m
            WHERE m.call_id = $1 AND m.kind IN ('voice', 'callback') ORDER BY m.kind DESC LIMIT 1))
    ON CONFLICT (id) DO UPDATE SET direction = excluded.direction, account_id = excluded.account_id,
        customer_id = CASE WHEN EXISTS (SELECT 1 FROM erased_calls WHERE call_id = excluded.id) THEN NULL
            ELSE excluded.customer_id END,
        caller_key = CASE WHEN EXISTS (SELECT 1 FROM erased_calls WHERE call_id = excluded.id) THEN NULL
            ELSE excluded.caller_key END,
        dialled = CASE WHEN excluded.direction = 'outbound'
            AND EXISTS (SELECT 1 FROM erased_calls WHERE call_id = excluded.id) THEN NULL ELSE excluded.dialled END,
        matched_by = excluded.matched_by, presentation = excluded.presentation, diverted_by = excluded.diverted_by,
        offered_ms = excluded.offered_ms, answered_ms = excluded.answered_ms, ended_ms = excluded.ended_ms,
        outcome = excluded.outcome, operators_json = excluded.operators_json,
        channels_json = excluded.channels_json, inferred = excluded.inferred,
        handled_by_json = excluded.handled_by_json, source = excluded.source, left_behind = excluded.left_behind
    WHERE calls.inferred AND (NOT excluded.inferred OR excluded.source = 'offline' AND calls.source = 'seen')";

/// A row for each customer, with the history beside it; one row without a customer when nobody has the number. One
/// statement, because each is a round trip to the connection's thread. The limits are [`CALLS_COUNTED_MAX`] and
/// [`CUSTOMERS_PER_CARD_MAX`] as literals: SQLite plans a statement with a bound LIMIT again at every run, which took twice
/// as long as running it.
const CALLER_HISTORY: &str = concat!(
    "SELECT past.*, known.*
    FROM (SELECT
            (SELECT count(*) FROM (SELECT 1 FROM calls
                WHERE account_id = $1 AND caller_key = $2 AND offered_ms > erased.ms LIMIT 5000) AS counted) AS calls,
            (SELECT max(offered_ms) FROM calls
                WHERE account_id = $1 AND caller_key = $2 AND offered_ms > erased.ms) AS last_call_ms,
            (SELECT m.text FROM messages AS m WHERE m.account_id = $1 AND m.caller_key = $2 AND m.deleted_ms IS NULL
                AND m.created_ms > erased.ms AND NOT ",
    message_is_being_erased!(),
    " ORDER BY m.created_ms DESC LIMIT 1) AS last_message,
            (SELECT count(*) FROM messages AS m",
    indexed_by!("messages_open_of_caller"),
    "WHERE m.account_id = $1 AND m.caller_key = $2
                AND m.state <> 'acknowledged' AND m.deleted_ms IS NULL AND m.created_ms > erased.ms AND NOT ",
    message_is_being_erased!(),
    ") AS open_messages
        FROM (SELECT coalesce(max(asked_ms), -1) AS ms FROM erasure_numbers
            WHERE account_id = $1 AND key = $2) AS erased) AS past
    LEFT JOIN (
        SELECT c.id, c.code, c.name, c.kana, c.company, c.department, c.notes, c.flags_json, n.original,
            n.position = 0 AS is_first,
            (SELECT max(offered_ms) FROM calls WHERE customer_id = c.id) AS last_ms
        FROM customer_numbers AS n JOIN customers AS c ON c.id = n.customer_id
        WHERE n.account_id = $1 AND n.key = $2
        ORDER BY is_first DESC, last_ms DESC NULLS LAST, c.kana, c.name, c.id
        LIMIT 20) AS known ON TRUE
    ORDER BY known.is_first DESC, known.last_ms DESC NULLS LAST, known.kana, known.name, known.id"
);

/// Most segments of one statement.
const SEGMENTS_PER_INSERT_MAX: usize = 100;

impl Backend {
    pub(in crate::store) async fn record_call(&self, call: &FinishedCall) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let mut script = Script::default();
        write_call(&mut script, &*as_written(&mut transaction, call).await?);
        script.run(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn finished_call(
        &self,
        id: CallId,
    ) -> Result<Option<FinishedCall>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT c.*, ",
            call_is_being_erased!(),
            " AS is_erased FROM calls AS c WHERE c.id = $1"
        ))
        .bind(id)
        .fetch_optional(self.readers())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let mut call = call_of(&row)?;
        let segments = sqlx::query(
            "SELECT s.*, EXISTS (SELECT 1 FROM erasure_writings AS called WHERE called.writing = s.target
                AND ($2 IS NULL OR called.account_id = $2)) AS is_erased
             FROM call_segments AS s WHERE s.call_id = $1 ORDER BY s.ordinal",
        )
        .bind(id)
        .bind(call.account)
        .fetch_all(self.readers())
        .await?;
        call.segments = segments.iter().map(segment_of).collect::<Result<_, sqlx::Error>>()?;
        Ok(Some(call))
    }

    pub(in crate::store) async fn history(
        &self,
        filter: &HistoryFilter,
        before: Option<HistoryCursor>,
        limit: u32,
    ) -> Result<Vec<FinishedCall>, StoreError> {
        let mut large = Vec::new();
        if let Some(mut query) = find_large(filter, before) {
            for row in query.build().fetch_all(self.readers()).await? {
                large.push(Large::of(row.try_get("id")?, row.try_get("key")?));
            }
        }
        let is_account_small = match find_many_of_account(filter, before) {
            Some(mut query) => query.build().fetch_optional(self.readers()).await?.is_none(),
            None => false,
        };
        let mut query = Plan::of(filter, large, is_account_small).query(filter, before, limit);
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(call_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn customer_names(
        &self,
        ids: &[RecordId],
    ) -> Result<Vec<(RecordId, String)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::<Db>::new(concat!(
            "SELECT c.id, c.name FROM customers AS c WHERE ",
            account_is_kept!("c"),
            " AND c.id IN ("
        ));
        let mut listed = query.separated(", ");
        for id in ids {
            listed.push_bind(*id);
        }
        query.push(")");
        let rows = query.build().fetch_all(self.readers()).await?;
        let name = |row: &DbRow| Ok((row.try_get("id")?, row.try_get("name")?));
        Ok(rows.iter().map(name).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn caller_history(
        &self,
        account: RecordId,
        key: &str,
    ) -> Result<CallerHistory, StoreError> {
        let rows = sqlx::query(CALLER_HISTORY).bind(account).bind(key).fetch_all(self.card_readers()).await?;
        let mut caller = CallerHistory::default();
        for row in &rows {
            caller.history = history_of(row)?;
            if row.try_get::<Option<RecordId>, _>("id")?.is_some() {
                caller.customers.push(customer_of(row)?);
            }
        }
        Ok(caller)
    }
}

/// Writes the row and the segments of a finished call where they replace what is stored (`mod.rs` has the table). Nothing is
/// read in between, so that all of it is one turn of the connection's thread.
pub(super) fn write_call(script: &mut Script, call: &FinishedCall) {
    mark_call(script, call);
    // Before the row is written, which may take the place of an inferred one.
    script
        .statement(
            "DELETE FROM call_segments WHERE call_id = $1 AND (SELECT
                CASE WHEN inferred AND NOT $2 THEN $3 >= stored ELSE $3 > stored AND (inferred OR NOT $2) END
                FROM (SELECT inferred, (SELECT count(*) FROM call_segments WHERE call_id = $1) AS stored
                    FROM calls WHERE id = $1) AS stored_call)",
        )
        .bind(call.id)
        .bind(call.inferred)
        .bind(i64::try_from(call.segments.len()).unwrap_or(i64::MAX));
    script
        .statement(INSERT)
        .bind(call.id)
        .bind(call.pbx.as_str().to_owned())
        .bind(direction_as_str(call.direction))
        .bind(call.account)
        .bind(call.customer)
        .bind(matched_by_as_str(call.matched_by))
        .bind(call.caller.as_deref().map(ToOwned::to_owned))
        .bind(presentation_as_str(call.presentation))
        .bind(call.dialled.clone())
        .bind(call.diverted_by.clone())
        .bind(to_ms(call.offered_at))
        .bind(call.answered_at.map(to_ms))
        .bind(to_ms(call.ended_at))
        .bind(outcome_as_str(call.outcome))
        .bind(serde_json::to_string(&call.operators).unwrap_or_default())
        .bind(serde_json::to_string(&call.channels).unwrap_or_default())
        .bind(call.inferred)
        .bind(call.handled_by.as_ref().map(|people| serde_json::to_string(people).unwrap_or_default()))
        .bind(call.source.as_str());
    let ordinals: Vec<(i64, &Segment)> = (0..).zip(&call.segments).collect();
    for segments in ordinals.chunks(SEGMENTS_PER_INSERT_MAX) {
        insert_segments(script, call, segments);
    }
}

/// The call as [`write_call`] takes it. Only a record of the PBX needs something that is stored.
pub(super) async fn as_written<'c>(
    db: &mut DbConnection,
    call: &'c FinishedCall,
) -> Result<Cow<'c, FinishedCall>, StoreError> {
    let completed = match call.source {
        CallSource::Offline => with_what_was_seen(db, call).await?,
        CallSource::Seen => None,
    };
    Ok(completed.map_or(Cow::Borrowed(call), Cow::Owned))
}

/// A record of the PBX, completed with what a daemon saw of the call before it stopped: who called, and what happened until then.
/// `None` if no daemon saw it.
async fn with_what_was_seen(
    db: &mut DbConnection,
    call: &FinishedCall,
) -> Result<Option<FinishedCall>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT c.*, ",
        call_is_being_erased!(),
        " AS is_erased, (SELECT count(*) FROM call_segments AS s WHERE s.call_id = c.id) AS segments
         FROM calls AS c WHERE c.id = $1 AND c.inferred AND c.source = 'seen'"
    ))
    .bind(call.id)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let seen = call_of(&row)?;
    let has_segments = row.try_get::<i64, _>("segments")? > 0;
    let later = call.operators.iter().filter(|operator| !seen.operators.contains(operator));
    Ok(Some(FinishedCall {
        account: seen.account.or(call.account),
        matched_by: if seen.account.is_some() { seen.matched_by } else { call.matched_by },
        dialled: seen.dialled.or_else(|| call.dialled.clone()),
        answered_at: seen.answered_at.or(call.answered_at),
        operators: seen.operators.iter().chain(later).cloned().collect(),
        ended_at: call.ended_at,
        outcome: if seen.answered_at.is_some() { Outcome::Answered } else { call.outcome },
        source: call.source,
        // Without segments, the stored ones stay.
        segments: if has_segments { Vec::new() } else { call.segments.clone() },
        ..seen
    }))
}

/// Writes some segments where none are stored of these: worse ones were deleted, better ones are there. Those of an inferred
/// record are not added to an observed one without any.
fn insert_segments(script: &mut Script, call: &FinishedCall, segments: &[(i64, &Segment)]) {
    script.statement(
        "INSERT INTO call_segments (call_id, ordinal, kind, operator, target, from_ms, until_ms, result)
         SELECT call_id, ordinal, kind, operator,
            CASE WHEN EXISTS (SELECT 1 FROM erased_calls AS e WHERE e.call_id = new.call_id) THEN NULL ELSE target END,
            from_ms, until_ms, result
         FROM (",
    );
    for (n, (ordinal, segment)) in segments.iter().enumerate() {
        let then = |name: &'static str| if n > 0 { ", " } else { name };
        script.push(if n > 0 { " UNION ALL SELECT " } else { "SELECT " });
        script.push_bind(call.id).push(AS_ID).push(then(" AS call_id, "));
        script.push_bind(*ordinal).push(AS_NUMBER).push(then(" AS ordinal, "));
        script.push_bind(segment.kind.to_string()).push(then(" AS kind, "));
        let operator = segment.operator.as_ref().map(|operator| operator.as_str().to_owned());
        script.push_bind(operator).push(then(" AS operator, "));
        let target = segment.target.as_ref().map(ToString::to_string);
        script.push_bind(target).push(then(" AS target, "));
        script.push_bind(to_ms(segment.from)).push(AS_NUMBER).push(then(" AS from_ms, "));
        script.push_bind(segment.until.map(to_ms)).push(AS_NUMBER).push(then(" AS until_ms, "));
        script.push_bind(segment.result.as_ref().map(ToString::to_string));
        script.push(if n > 0 { "" } else { " AS result" });
    }
    let first = segments.first().map_or(0, |(ordinal, _)| *ordinal);
    script.push(") AS new WHERE NOT EXISTS (SELECT 1 FROM call_segments AS s WHERE s.call_id = ");
    script.push_bind(call.id).push(" AND s.ordinal >= ").push_bind(first);
    script.push(") AND (SELECT c.inferred OR NOT ").push_bind(call.inferred);
    script.push(" FROM calls AS c WHERE c.id = ").push_bind(call.id).push(")");
}

fn history_of(row: &DbRow) -> Result<HistoryView, sqlx::Error> {
    Ok(HistoryView {
        calls: row.try_get::<i64, _>("calls")?.try_into().unwrap_or(0),
        last_call: row.try_get::<Option<i64>, _>("last_call_ms")?.map(from_ms),
        last_message: row.try_get("last_message")?,
        open_messages: row.try_get::<i64, _>("open_messages")?.try_into().unwrap_or(0),
    })
}

fn customer_of(row: &DbRow) -> Result<CustomerView, sqlx::Error> {
    Ok(CustomerView {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        kana: row.try_get("kana")?,
        company: row.try_get("company")?,
        department: row.try_get("department")?,
        notes: row.try_get("notes")?,
        flags: serde_json::from_str(row.try_get("flags_json")?).unwrap_or_default(),
        code: row.try_get("code")?,
        number: row.try_get("original")?,
    })
}

pub(super) fn call_of(row: &DbRow) -> Result<FinishedCall, sqlx::Error> {
    let pbx: &str = row.try_get("pbx")?;
    let operators: Vec<Extension> = serde_json::from_str(row.try_get("operators_json")?).unwrap_or_default();
    let handled_by: Option<&str> = row.try_get("handled_by_json")?;
    let channels: Vec<ChannelId> = serde_json::from_str(row.try_get("channels_json")?).unwrap_or_default();
    let is_shown = !row.try_get::<bool, _>("is_erased")?;
    let direction = parse_direction(row.try_get("direction")?);
    Ok(FinishedCall {
        id: row.try_get("id")?,
        pbx: PbxId::parse(pbx).map_err(|e| sqlx::Error::Decode(e.into()))?,
        direction,
        account: row.try_get("account_id")?,
        matched_by: parse_matched_by(row.try_get("matched_by")?),
        customer: row.try_get::<Option<RecordId>, _>("customer_id")?.filter(|_| is_shown),
        caller: row.try_get::<Option<&str>, _>("caller_key")?.filter(|_| is_shown).map(SmolStr::new),
        presentation: parse_presentation(row.try_get("presentation")?),
        dialled: row
            .try_get::<Option<String>, _>("dialled")?
            .filter(|_| is_shown || direction != Direction::Outbound),
        diverted_by: row.try_get("diverted_by")?,
        offered_at: from_ms(row.try_get("offered_ms")?),
        answered_at: row.try_get::<Option<i64>, _>("answered_ms")?.map(from_ms),
        ended_at: from_ms(row.try_get("ended_ms")?),
        outcome: parse_outcome(row.try_get("outcome")?),
        operators,
        handled_by: handled_by.and_then(|people| serde_json::from_str(people).ok()),
        channels,
        inferred: row.try_get("inferred")?,
        source: CallSource::parse(row.try_get("source")?).unwrap_or_default(),
        left_behind: row.try_get::<Option<&str>, _>("left_behind")?.and_then(LeftBehind::parse),
        segments: Vec::new(),
    })
}

pub(super) fn segment_of(row: &DbRow) -> Result<Segment, sqlx::Error> {
    let is_erased: bool = row.try_get("is_erased")?;
    Ok(Segment {
        kind: row.try_get("kind")?,
        operator: row.try_get::<Option<&str>, _>("operator")?.and_then(|text| Extension::parse(text).ok()),
        target: row.try_get::<Option<String>, _>("target")?.filter(|_| !is_erased),
        from: from_ms(row.try_get("from_ms")?),
        until: row.try_get::<Option<i64>, _>("until_ms")?.map(from_ms),
        result: row.try_get("result")?,
    })
}

/// Defines a function from an enum to its text in a column, and one back. An unknown text becomes `else`.
macro_rules! column_texts {
    ($to:ident, $from:ident, $type:ident { $($variant:ident = $text:literal),+ ; else $other:ident }) => {
        pub(super) fn $to(value: $type) -> &'static str {
            match value { $($type::$variant => $text),+ }
        }

        pub(super) fn $from(text: &str) -> $type {
            match text { $($text => $type::$variant,)+ _ => $type::$other }
        }
    };
}

column_texts!(direction_as_str, parse_direction, Direction {
    Inbound = "inbound", Outbound = "outbound", Internal = "internal"; else Internal
});
column_texts!(outcome_as_str, parse_outcome, Outcome {
    Answered = "answered", Abandoned = "abandoned", Overflowed = "overflowed", Closed = "closed",
    Blocked = "blocked", Refused = "refused", Elsewhere = "elsewhere", Fax = "fax", Unknown = "unknown"; else Unknown
});
column_texts!(presentation_as_str, parse_presentation, Presentation {
    Allowed = "allowed", Withheld = "withheld", Payphone = "payphone", Unavailable = "unavailable"; else Unavailable
});
column_texts!(matched_by_as_str, parse_matched_by, MatchedBy {
    Diversion = "diversion", HistoryInfo = "history_info", Dialled = "dialled", Trunk = "trunk", None = "none"; else None
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::history::{CALLS_COUNTED_MAX, PartyFilter};

    const SATO: RecordId = RecordId(uuid::Uuid::from_u128(21));
    const SUZUKI: RecordId = RecordId(uuid::Uuid::from_u128(22));

    fn call(n: u32) -> FinishedCall {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let channel = ChannelId::parse(&format!("17{n}.1")).unwrap();
        FinishedCall {
            id: CallId::derive(&pbx, &channel),
            pbx,
            direction: Direction::Inbound,
            account: Some(RecordId(uuid::Uuid::from_u128(1))),
            matched_by: MatchedBy::Diversion,
            customer: None,
            caller: Some("+819012345678".into()),
            presentation: Presentation::Allowed,
            dialled: Some("0355501001".into()),
            diverted_by: None,
            offered_at: from_ms(1_000 * i64::from(n)),
            answered_at: Some(from_ms(1_000 * i64::from(n) + 10)),
            ended_at: from_ms(1_000 * i64::from(n) + 20),
            outcome: Outcome::Answered,
            operators: vec![Extension::parse("1001").unwrap()],
            handled_by: Some(vec![SATO]),
            channels: vec![channel],
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: vec![Segment {
                kind: "talking".into(),
                operator: Extension::parse("1001").ok(),
                target: None,
                from: from_ms(5),
                until: None,
                result: None,
            }],
        }
    }

    #[tokio::test]
    async fn a_call_is_stored_once_and_read_back_whole() {
        let (_dir, store) = super::super::empty_store().await;
        let first = call(1);
        store.record_call(&first).await.unwrap();
        let mut again = first.clone();
        again.outcome = Outcome::Abandoned;
        store.record_call(&again).await.unwrap();
        assert_eq!(store.finished_call(first.id).await.unwrap(), Some(first.clone()));
        store.record_call(&call(2)).await.unwrap();
        let of_account = HistoryFilter { account: first.account, ..HistoryFilter::default() };
        let calls = store.history(&of_account, None, 10).await.unwrap();
        assert_eq!(calls.iter().map(|c| c.id).collect::<Vec<_>>(), [call(2).id, first.id]);
        let earlier = HistoryFilter { to: Some(call(2).offered_at), ..HistoryFilter::default() };
        assert_eq!(store.history(&earlier, None, 10).await.unwrap().len(), 1);
        let caller = store.caller_history(first.account.unwrap(), "+819012345678").await.unwrap();
        assert_eq!((caller.history.calls, caller.history.last_call), (2, Some(call(2).offered_at)));
    }

    #[tokio::test]
    async fn the_history_is_read_by_page_and_within_visibility() {
        use crate::store::history::VisibilityFilter;
        let (_dir, store) = super::super::empty_store().await;
        let extension = |text: &str| Extension::parse(text).unwrap();
        for n in 1..=9 {
            let (operators, people) = match n % 3 {
                0 => (vec![], vec![]),
                1 => (vec![extension("1001")], vec![SATO]),
                // 1001 is at another person's phone for once.
                _ => (vec![extension("1002"), extension("2001")], vec![SUZUKI, SATO]),
            };
            // A version before this one did not keep the people.
            let handled_by = (n != 5).then_some(people);
            store.record_call(&FinishedCall { operators, handled_by, ..call(n) }).await.unwrap();
        }
        let read = async |filter: HistoryFilter| {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = store.history(&filter, before, 2).await.unwrap();
                let Some(last) = page.last() else { return found };
                before = HistoryCursor::parse(&HistoryCursor::of(last).to_string());
                found.extend(page.iter().map(|call| to_ms(call.offered_at) / 1_000));
            }
        };
        let sees = |people: &[RecordId], extensions: &[&str], unowned| {
            let extensions = extensions.iter().map(|o| extension(o)).collect();
            let visibility = VisibilityFilter { people: people.to_vec(), extensions, unowned };
            HistoryFilter { visibility: Some(visibility), ..HistoryFilter::default() }
        };
        assert_eq!(read(HistoryFilter::default()).await, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(read(sees(&[SUZUKI], &["1002"], false)).await, [8, 5, 2]);
        assert_eq!(read(sees(&[SUZUKI], &["1002"], true)).await, [9, 8, 6, 5, 3, 2]);
        assert_eq!(read(sees(&[SATO], &["1001"], false)).await, [8, 7, 4, 2, 1]);
        // The people who have the phones now read nothing of those who had them.
        assert_eq!(read(sees(&[], &["1001"], false)).await, [0; 0]);
        assert_eq!(read(sees(&[], &["1002"], false)).await, [5]);
        assert_eq!(read(sees(&[], &[], false)).await, [0; 0]);
        // Nobody had some, and they were answered all the same.
        let answered = |filter| HistoryFilter { outcome: Some(Outcome::Answered), ..filter };
        assert_eq!(read(answered(sees(&[SUZUKI], &["1002"], true))).await, [9, 8, 6, 5, 3, 2]);
        assert_eq!(read(answered(sees(&[SUZUKI], &[], true))).await, [9, 8, 6, 3, 2]);
        assert_eq!(read(answered(sees(&[], &[], true))).await, [9, 6, 3]);
        // At an extension, of those that the reader sees: of few people, and of more than the extension has calls.
        let at = |name: &str, filter| HistoryFilter { operator: Some(extension(name)), ..filter };
        let team = [SATO, SUZUKI, RecordId(uuid::Uuid::nil()), RecordId(uuid::Uuid::max())];
        assert_eq!(read(at("1001", sees(&[SATO], &["1001"], true))).await, [7, 4, 1]);
        assert_eq!(read(at("1002", sees(&[SATO], &["1001"], true))).await, [8, 2]);
        assert_eq!(read(at("1002", sees(&[SATO], &["1001", "1002"], true))).await, [8, 5, 2]);
        assert_eq!(read(at("1002", sees(&team, &["1001", "1002"], true))).await, [8, 5, 2]);
        assert_eq!(read(at("1001", sees(&[SUZUKI], &[], false))).await, [0; 0]);
        assert_eq!(read(at("1001", sees(&team[1..], &["1002"], false))).await, [0; 0]);
        let filter = HistoryFilter {
            operator: Some(extension("1002")),
            from: Some(from_ms(5_000)),
            to: Some(from_ms(8_000)),
            outcome: Some(Outcome::Answered),
            account: call(1).account,
            ..HistoryFilter::default()
        };
        assert_eq!(read(filter).await, [5]);
        let of = |caller: &str| HistoryFilter { caller: Some(caller.to_owned()), ..HistoryFilter::default() };
        assert_eq!(read(of(call(1).caller.as_deref().unwrap())).await.len(), 9);
        assert_eq!(read(of("+819000000000")).await, [0; 0]);
        let stranger =
            HistoryFilter { customer: Some(RecordId(uuid::Uuid::nil())), ..HistoryFilter::default() };
        assert_eq!(read(stranger).await, [0; 0]);
    }

    #[tokio::test]
    async fn customers_have_names_beside_their_calls_until_they_are_deleted() {
        use crate::contract::records::{AccountFields, CustomerFields};
        let (_dir, store) = super::super::empty_store().await;
        let plan = crate::numbers::NumberPlan::default();
        let fields = AccountFields { code: "A".into(), name: "さくら".into(), ..AccountFields::default() };
        let account = store.create_account(&fields.checked(&plan).unwrap(), from_ms(0)).await.unwrap().id;
        let add = async |name: &str| {
            let customer = CustomerFields::named(account, name).checked(&plan).unwrap();
            store.create_customer(&customer, from_ms(0)).await.unwrap().id
        };
        let (tanaka, yamada) = (add("田中").await, add("山田").await);
        store.delete_customer(yamada).await.unwrap();
        assert_eq!(store.customer_names(&[tanaka, yamada]).await.unwrap(), [(tanaka, "田中".to_owned())]);
        assert_eq!(store.customer_names(&[]).await.unwrap(), []);
    }

    const MOBILE: &str = "+819012345678";

    /// An account with a customer, and that customer: `numbers` are the customer's.
    async fn account_with_customer(
        store: &crate::store::Store,
        code: &str,
        numbers: &[&str],
    ) -> (RecordId, RecordId) {
        use crate::contract::records::{AccountFields, CustomerFields};
        let plan = crate::numbers::NumberPlan::default();
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        let account = store.create_account(&fields.checked(&plan).unwrap(), from_ms(0)).await.unwrap().id;
        let numbers = numbers.iter().map(|text| (*text).to_owned()).collect();
        let fields = CustomerFields { numbers, ..CustomerFields::named(account, "田中") };
        let customer = store.create_customer(&fields.checked(&plan).unwrap(), from_ms(0)).await.unwrap().id;
        (account, customer)
    }

    /// Calls of two customers with the same number, of a stranger, and to the outside; 5 withholds the number.
    fn calls_of_parties(
        (sakura, tanaka): (RecordId, RecordId),
        (minato, yamada): (RecordId, RecordId),
    ) -> Vec<FinishedCall> {
        let to = |n, account, caller: &str, customer| FinishedCall {
            account: Some(account),
            caller: Some(caller.into()),
            customer,
            ..call(n)
        };
        let out = |n, dialled: &str| FinishedCall {
            direction: Direction::Outbound,
            account: None,
            caller: None,
            presentation: Presentation::Unavailable,
            dialled: Some(dialled.into()),
            ..call(n)
        };
        let withheld =
            FinishedCall { presentation: Presentation::Withheld, caller: None, ..to(5, sakura, "", None) };
        vec![
            // Before there was a record of the customer.
            to(1, sakura, MOBILE, None),
            to(2, minato, MOBILE, Some(yamada)),
            to(3, sakura, "+81312345678", Some(tanaka)),
            // A number that the record has no longer.
            to(4, sakura, "+81663450101", Some(tanaka)),
            withheld,
            out(6, MOBILE),
            out(7, "+81312345678"),
            to(8, minato, "+81312345678", None),
            FinishedCall { outcome: Outcome::Abandoned, ..to(9, sakura, MOBILE, Some(tanaka)) },
        ]
    }

    #[tokio::test]
    async fn a_call_is_found_by_the_number_or_the_customer_on_the_other_side() {
        use crate::store::history::VisibilityFilter;
        let (_dir, store) = super::super::empty_store().await;
        let sakura = account_with_customer(&store, "A", &["090-1234-5678", "03-1234-5678"]).await;
        let minato = account_with_customer(&store, "B", &["090-1234-5678"]).await;
        for record in calls_of_parties(sakura, minato) {
            store.record_call(&record).await.unwrap();
        }
        let read = async |filter: HistoryFilter| {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = store.history(&filter, before, 2).await.unwrap();
                let Some(last) = page.last() else { return found };
                before = Some(HistoryCursor::of(last));
                found.extend(page.iter().map(|call| to_ms(call.offered_at) / 1_000));
            }
        };
        let of = |number: Option<&str>, customers: &[RecordId]| {
            let party = PartyFilter { number: number.map(Into::into), customers: customers.to_vec() };
            HistoryFilter { party: Some(party), ..HistoryFilter::default() }
        };
        let outbound = |filter| HistoryFilter { direction: Some(Direction::Outbound), ..filter };
        let both = [sakura.1, minato.1];
        for (filter, inbound, dialled) in [
            (of(Some(MOBILE), &[]), vec![9, 2, 1], vec![6]),
            (of(None, &both[..1]), vec![9, 4, 3, 1], vec![7, 6]),
            (of(None, &both), vec![9, 4, 3, 2, 1], vec![7, 6]),
            (of(Some("+81312345678"), &both[1..]), vec![8, 3, 2], vec![7, 6]),
            (of(Some("+819000000000"), &[]), vec![], vec![]),
            (of(None, &[]), vec![], vec![]),
        ] {
            assert_eq!(read(filter.clone()).await, inbound, "{filter:?}");
            let filter = outbound(filter);
            assert_eq!(read(filter.clone()).await, dialled, "{filter:?}");
        }
        let of_minato = |filter| HistoryFilter { account: Some(minato.0), ..filter };
        assert_eq!(read(of_minato(of(Some(MOBILE), &[]))).await, [2]);
        assert_eq!(read(of_minato(of(None, &both))).await, [2]);
        let with = |outcome, filter| HistoryFilter { outcome: Some(outcome), ..filter };
        assert_eq!(read(with(Outcome::Answered, of(Some(MOBILE), &both[..1]))).await, [4, 3, 2, 1]);
        assert_eq!(read(with(Outcome::Abandoned, of(None, &both))).await, [9]);
        let late = HistoryFilter { from: Some(from_ms(3_000)), to: Some(from_ms(9_000)), ..of(None, &both) };
        assert_eq!(read(late).await, [4, 3]);
        let seen_by = |person| {
            let visibility = VisibilityFilter { people: vec![person], ..VisibilityFilter::default() };
            HistoryFilter { visibility: Some(visibility), ..of(Some(MOBILE), &both) }
        };
        assert_eq!(read(seen_by(SATO)).await, [9, 4, 3, 2, 1]);
        assert_eq!(read(seen_by(SUZUKI)).await, [0; 0]);
    }

    #[tokio::test]
    async fn the_earlier_calls_of_a_caller_are_counted_up_to_a_limit() {
        const ROWS: u64 = 500;
        let (_dir, store) = super::super::empty_store().await;
        let account = call(1).account.unwrap();
        let mut transaction = super::super::of(&store).begin().await.unwrap();
        for first in (0..CALLS_COUNTED_MAX + ROWS).step_by(ROWS as usize) {
            let mut query = QueryBuilder::<Db>::new(
                "INSERT INTO calls (id, pbx, direction, account_id, caller_key, presentation, offered_ms, ended_ms, outcome) ",
            );
            query.push_values(first..first + ROWS, |mut row, n| {
                row.push_bind(RecordId(uuid::Uuid::from_u128(u128::from(n) + 1)))
                    .push("'osaka-1', 'inbound'")
                    .push_bind(account)
                    .push_bind(MOBILE)
                    .push("'allowed'")
                    .push_bind(i64::try_from(n).unwrap())
                    .push("0, 'answered'");
            });
            query.build().execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
        let history = store.caller_history(account, MOBILE).await.unwrap().history;
        let newest = i64::try_from(CALLS_COUNTED_MAX + ROWS - 1).unwrap();
        assert_eq!((history.calls, history.last_call), (CALLS_COUNTED_MAX, Some(from_ms(newest))));
    }

    /// A call to the outside is in the history of its operator, and in no figure of the callers.
    #[tokio::test]
    async fn an_outbound_call_is_found_by_its_direction_alone() {
        let (_dir, store) = super::super::empty_store().await;
        let outbound = FinishedCall {
            direction: Direction::Outbound,
            account: None,
            matched_by: MatchedBy::None,
            caller: None,
            presentation: Presentation::Unavailable,
            dialled: Some("09011112222".into()),
            ..call(1)
        };
        store.record_call(&outbound).await.unwrap();
        store.record_call(&call(2)).await.unwrap();
        let read = async |direction| {
            let filter = HistoryFilter { direction, ..HistoryFilter::default() };
            let calls = store.history(&filter, None, 10).await.unwrap();
            calls.into_iter().map(|call| call.id).collect::<Vec<_>>()
        };
        assert_eq!(read(None).await, [call(2).id]);
        assert_eq!(read(Some(Direction::Inbound)).await, [call(2).id]);
        assert_eq!(read(Some(Direction::Outbound)).await, [outbound.id]);
        assert_eq!(store.finished_call(outbound.id).await.unwrap(), Some(outbound));
        let account = call(2).account.unwrap();
        let caller = store.caller_history(account, call(2).caller.as_deref().unwrap()).await.unwrap();
        assert_eq!((caller.history.calls, caller.history.last_call), (1, Some(call(2).offered_at)));
        let of_account = HistoryFilter { account: Some(account), ..HistoryFilter::default() };
        assert_eq!(store.history(&of_account, None, 10).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_observed_record_replaces_an_inferred_one() {
        let (_dir, store) = super::super::empty_store().await;
        let inferred =
            FinishedCall { inferred: true, outcome: Outcome::Unknown, segments: vec![], ..call(1) };
        store.record_call(&inferred).await.unwrap();
        store.record_call(&call(1)).await.unwrap();
        store.record_call(&inferred).await.unwrap();
        assert_eq!(store.finished_call(inferred.id).await.unwrap(), Some(call(1)));
    }

    /// As the PBX writes a call down: without the caller.
    fn offline(seen: &FinishedCall) -> FinishedCall {
        let operator = Extension::parse("1002").unwrap();
        FinishedCall {
            customer: None,
            caller: None,
            presentation: Presentation::Unavailable,
            operators: vec![operator],
            handled_by: None,
            inferred: true,
            source: CallSource::Offline,
            segments: vec![],
            ended_at: from_ms(to_ms(seen.ended_at) + 5_000),
            outcome: Outcome::Closed,
            ..seen.clone()
        }
    }

    #[tokio::test]
    async fn what_the_pbx_wrote_down_completes_an_inferred_record_and_changes_no_observed_one() {
        let (_dir, store) = super::super::empty_store().await;
        let alone = offline(&call(3));
        store.record_call(&alone).await.unwrap();
        store.record_call(&alone).await.unwrap();
        assert_eq!(store.finished_call(alone.id).await.unwrap().as_ref(), Some(&alone));
        // A daemon saw its beginning, and the next one inferred its end; either record may come first.
        let inferred =
            FinishedCall { inferred: true, outcome: Outcome::Unknown, answered_at: None, ..call(1) };
        store.record_call(&inferred).await.unwrap();
        for _ in 0..2 {
            store.record_call(&offline(&call(1))).await.unwrap();
            store.record_call(&inferred).await.unwrap();
        }
        let stored = store.finished_call(inferred.id).await.unwrap().unwrap();
        let operators = ["1001", "1002"].map(|text| Extension::parse(text).unwrap());
        assert_eq!((stored.source, stored.outcome), (CallSource::Offline, Outcome::Closed));
        assert_eq!((&stored.caller, &stored.customer), (&inferred.caller, &inferred.customer));
        assert_eq!((stored.operators.as_slice(), &stored.segments), (&operators[..], &inferred.segments));
        assert_eq!(stored.ended_at, offline(&call(1)).ended_at);
        // Observed to its end by another daemon.
        store.record_call(&call(1)).await.unwrap();
        store.record_call(&offline(&call(1))).await.unwrap();
        assert_eq!(store.finished_call(inferred.id).await.unwrap(), Some(call(1)));
    }

    #[tokio::test]
    async fn the_leaders_record_has_more_segments_and_either_daemon_may_write_first() {
        let shown = Segment { kind: "shown".into(), ..call(1).segments.remove(0) };
        let leader = FinishedCall { segments: vec![shown, call(1).segments.remove(0)], ..call(1) };
        for records in [[&leader, &call(1)], [&call(1), &leader]] {
            let (_dir, store) = super::super::empty_store().await;
            for record in records {
                store.record_call(record).await.unwrap();
            }
            assert_eq!(store.finished_call(leader.id).await.unwrap().as_ref(), Some(&leader));
        }
    }

    #[tokio::test]
    async fn of_two_inferred_records_the_one_with_more_segments_stays_and_an_observed_one_loses_nothing() {
        let more = FinishedCall {
            inferred: true,
            segments: vec![
                call(1).segments.remove(0),
                Segment { kind: "shown".into(), ..call(1).segments.remove(0) },
            ],
            ..call(1)
        };
        let less = FinishedCall { inferred: true, ..call(1) };
        for records in [[&more, &less], [&less, &more]] {
            let (_dir, store) = super::super::empty_store().await;
            for record in records {
                store.record_call(record).await.unwrap();
            }
            assert_eq!(store.finished_call(more.id).await.unwrap().as_ref(), Some(&more));
            store.record_call(&call(1)).await.unwrap();
            let observed = FinishedCall { inferred: false, ..more.clone() };
            assert_eq!(store.finished_call(more.id).await.unwrap().as_ref(), Some(&observed));
            // An inferred record with more segments does not replace those of an observed one.
            let longer = FinishedCall { segments: vec![more.segments[0].clone(); 3], ..more.clone() };
            store.record_call(&longer).await.unwrap();
            assert_eq!(store.finished_call(more.id).await.unwrap().as_ref(), Some(&observed));
        }
    }

    #[tokio::test]
    async fn the_table_refuses_a_withheld_number() {
        let (_dir, store) = super::super::empty_store().await;
        let leak = FinishedCall { presentation: Presentation::Withheld, ..call(1) };
        assert!(store.record_call(&leak).await.is_err());
    }
}
