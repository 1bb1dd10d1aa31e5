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
                listed.push_bind(reason.as_str());
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
