//! The SQL of calls that are to be reported.

use sqlx::{QueryBuilder, Row};

use super::{Backend, Db, DbRow};
use crate::contract::records::ReportCalls;
use crate::store::call_reports::{CALL_REPORTS_MAX, CallReport, CallReportQuery};
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn call_reports(
        &self,
        query: CallReportQuery<'_>,
    ) -> Result<Vec<CallReport>, StoreError> {
        let wanted: Option<i64> =
            sqlx::query_scalar("SELECT CAST(1 AS BIGINT) FROM accounts WHERE report_calls <> 'off' LIMIT 1")
                .fetch_optional(self.readers())
                .await?;
        if wanted.is_none() {
            return Ok(Vec::new());
        }
        let CallReportQuery { no_message_reasons, from, until, until_undisposed } = query;
        // The history has a call once it is over: nobody is speaking with its caller.
        let mut query = QueryBuilder::<Db>::new(concat!(
            "SELECT w.call_id, w.user_id, w.disposition, a.id AS account_id, a.report_calls, c.customer_id, c.caller_key, u.name
             FROM wrap_ups AS w JOIN calls AS c ON c.id = w.call_id
             JOIN accounts AS a ON a.id = c.account_id AND a.report_calls <> 'off'
             LEFT JOIN users AS u ON u.id = w.user_id
             WHERE ",
            account_is_kept!("c"),
            " AND NOT ",
            call_is_being_erased!(),
            " AND w.ended_ms >= "
        ));
        query.push_bind(to_ms(from)).push(" AND w.ended_ms <= ").push_bind(to_ms(until));
        query
            .push(" AND (w.disposition IS NOT NULL OR w.ended_ms <= ")
            .push_bind(to_ms(until_undisposed))
            .push(") AND (a.report_calls = 'all'");
        if !no_message_reasons.is_empty() {
            query.push(" OR w.disposition IN (");
            let mut listed = query.separated(", ");
            for reason in no_message_reasons {
                listed.push_bind(reason.to_string());
            }
            query.push(")");
        }
        query
            .push(
                ") AND (SELECT count(*) FROM messages AS m WHERE m.call_id = w.call_id
                    AND (m.deleted_ms IS NULL OR m.kind = 'report')) = 0
                 ORDER BY w.ended_ms, w.call_id, w.user_id LIMIT ",
            )
            .push_bind(i64::from(CALL_REPORTS_MAX));
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(report_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn report_of(row: &DbRow) -> Result<CallReport, sqlx::Error> {
    Ok(CallReport {
        call: row.try_get("call_id")?,
        account: row.try_get("account_id")?,
        reporting: ReportCalls::parse(row.try_get("report_calls")?).unwrap_or_default(),
        customer: row.try_get("customer_id")?,
        caller: row.try_get::<Option<String>, _>("caller_key")?.filter(|key| !key.is_empty()),
        by: row.try_get("user_id")?,
        by_name: row.try_get::<Option<String>, _>("name")?.unwrap_or_default(),
        disposition: row.try_get("disposition")?,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::contract::call::{Direction, Outcome};
    use crate::contract::card::MatchedBy;
    use crate::contract::history::{CallSource, FinishedCall};
    use crate::contract::message::{MessageFields, MessageKind, NewMessage};
    use crate::contract::operator::WrapUp;
    use crate::contract::records::AccountFields;
    use crate::identity::Presentation;
    use crate::ids::{CallId, ChannelId, PbxId, RecordId};
    use crate::journal::entry::{JournalEntry, WrapUpRecord};
    use crate::numbers::NumberPlan;
    use crate::operators::CompletedWrapUp;
    use crate::store::Store;

    const SATO: RecordId = RecordId(Uuid::from_u128(21));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn pbx() -> PbxId {
        PbxId::parse("osaka-1").unwrap()
    }

    /// A call that ended at 30 s, and the work after it, which ended at 60 s.
    async fn finished(store: &Store, n: u32, account: RecordId, disposition: Option<&str>) -> CallId {
        let id = CallId::derive(&pbx(), &ChannelId::parse(&format!("{n}.1")).unwrap());
        let call = FinishedCall {
            id,
            pbx: pbx(),
            direction: Direction::Inbound,
            account: Some(account),
            matched_by: MatchedBy::Dialled,
            customer: None,
            caller: Some("+81355501001".into()),
            presentation: Presentation::Allowed,
            dialled: None,
            diverted_by: None,
            offered_at: at(0),
            answered_at: Some(at(5)),
            ended_at: at(30),
            outcome: Outcome::Answered,
            operators: Vec::new(),
            handled_by: None,
            channels: Vec::new(),
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: Vec::new(),
        };
        store.record_call(&call).await.unwrap();
        let work = WrapUp {
            call: id,
            account: Some(account),
            account_name: String::new(),
            since: at(30),
            until: at(60),
            planned_s: 30,
            extensions: Vec::new(),
            set_aside_ms: None,
        };
        let disposition = disposition.map(Into::into);
        let finished = CompletedWrapUp { work, ended_at: at(60), disposition, notes: None };
        let record = WrapUpRecord { user: SATO, finished };
        store.write_entry(&pbx(), &JournalEntry::WrapUp(Box::new(record))).await.unwrap();
        id
    }

    #[tokio::test]
    #[expect(clippy::too_many_lines, reason = "one call, through its states")]
    async fn a_call_is_found_until_it_has_a_message() {
        let (_held, store) = super::super::empty_store().await;
        let mut accounts = Vec::new();
        for (code, report_calls) in
            [("A", ReportCalls::Off), ("B", ReportCalls::NoMessage), ("C", ReportCalls::All)]
        {
            let fields = AccountFields {
                code: code.into(),
                name: code.into(),
                report_calls,
                ..AccountFields::default()
            };
            let checked = fields.checked(&NumberPlan::default()).unwrap();
            accounts.push(store.create_account(&checked, at(0)).await.unwrap().id);
        }
        let reasons = ["sales".into()];
        let found = async |until: i64, until_undisposed: i64| {
            let query = CallReportQuery {
                no_message_reasons: &reasons,
                from: at(-100),
                until: at(until),
                until_undisposed: at(until_undisposed),
            };
            let found = store.call_reports(query).await.unwrap();
            let mut calls: Vec<CallId> = found.iter().map(|report| report.call).collect();
            calls.sort_unstable();
            (calls, found)
        };
        let mut calls = Vec::new();
        for (n, (account, disposition)) in
            [(0, Some("sales")), (1, Some("sales")), (1, Some("message")), (2, Some("message")), (2, None)]
                .into_iter()
                .enumerate()
        {
            let n = u32::try_from(n).unwrap();
            calls.push(finished(&store, n, accounts[account], disposition).await);
        }
        let sorted = |mut calls: Vec<CallId>| {
            calls.sort_unstable();
            calls
        };
        assert_eq!(found(59, 59).await.0, [], "the work is not over");
        assert_eq!(found(60, 59).await.0, sorted(vec![calls[1], calls[3]]));
        let (all, reports) = found(60, 60).await;
        assert_eq!(all, sorted(vec![calls[1], calls[3], calls[4]]));
        let one = reports.iter().find(|report| report.call == calls[1]).unwrap();
        assert_eq!((one.account, one.reporting, one.by), (accounts[1], ReportCalls::NoMessage, SATO));
        assert_eq!(
            (one.caller.as_deref(), one.disposition.as_deref()),
            (Some("+81355501001"), Some("sales"))
        );
        // A message, and a report that was withdrawn, end it; a message that was withdrawn does not.
        let message = |n: u128, call: usize, account: usize, kind| NewMessage {
            id: RecordId(Uuid::from_u128(n)),
            account: accounts[account],
            call: Some(calls[call]),
            customer: None,
            kind,
            taken_by: Some(SATO),
            taken_by_name: "佐藤".into(),
            caller: None,
            content: MessageFields { text: "x".into(), ..MessageFields::default() }
                .checked(&NumberPlan::default())
                .unwrap(),
            day: "231114".into(),
            not_before: at(1_000),
        };
        for (n, call, account, kind) in
            [(1, 1, 1, MessageKind::Report), (2, 3, 2, MessageKind::Message), (3, 4, 2, MessageKind::Message)]
        {
            store.create_message(&message(n, call, account, kind), &pbx(), at(70)).await.unwrap();
        }
        assert_eq!(found(60, 60).await.0, []);
        for n in [1, 3] {
            store.withdraw_message(RecordId(Uuid::from_u128(n)), at(70), at(71)).await.unwrap();
        }
        assert_eq!(found(60, 60).await.0, [calls[4]]);
    }
}
