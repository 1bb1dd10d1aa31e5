//! The SQL of the service's own mails.

use jiff::Timestamp;
use sqlx::Row;

use super::deliveries::progress_of;
use super::mail_servers::server_of_account;
use super::{Backend, DbConnection, DbRow};
use crate::contract::delivery::DeliveryState;
use crate::delivery::{DeliveryInput, DeliveryProgress, Outcome};
use crate::identity::printable;
use crate::ids::RecordId;
use crate::store::deliveries::ERROR_CHARS_MAX;
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::service_mails::{ClaimedServiceMail, NewServiceMail, ServiceMailState};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn claim_service_mail(
        &self,
        server: &str,
        claim: RecordId,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Option<ClaimedServiceMail>, StoreError> {
        // A mail whose daemon is gone is due when its lease ends.
        let row = sqlx::query(concat!(
            // Materialised: a subquery that takes locks could run once for each row.
            "WITH due AS MATERIALIZED (",
            for_this_writer!(
                "SELECT id FROM service_mails WHERE server = $1 AND state IN ('queued', 'sending') AND next_ms <= $2
                 ORDER BY next_ms LIMIT 1"
            ),
            ") UPDATE service_mails SET state = 'sending', attempts = attempts + 1, leased_by = $3, lease_ms = $4, next_ms = $4,
                maybe_sent = CASE WHEN state = 'sending' THEN 1 ELSE maybe_sent END
             WHERE id IN (SELECT id FROM due)
             RETURNING *",
        ))
        .bind(server)
        .bind(to_ms(now))
        .bind(claim)
        .bind(to_ms(until))
        .fetch_optional(&mut *self.write_once().await?)
        .await?;
        let claimed = |row: &DbRow| {
            Ok::<_, sqlx::Error>(ClaimedServiceMail { mail: mail_of(row)?, progress: progress_of(row)? })
        };
        Ok(row.as_ref().map(claimed).transpose()?)
    }

    pub(in crate::store) async fn renew_service_mail_claim(
        &self,
        claim: RecordId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE service_mails SET lease_ms = $2, next_ms = $2
             WHERE state = 'sending' AND lease_ms > 0 AND leased_by = $1",
        )
        .bind(claim)
        .bind(to_ms(until))
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn end_service_mail_claims(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE service_mails SET next_ms = $1 WHERE state = 'sending' AND lease_ms > $1")
            .bind(to_ms(now))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn settle_service_mail(
        &self,
        mail: RecordId,
        claim: RecordId,
        input: DeliveryInput,
        (now, seed): (Timestamp, u64),
    ) -> Result<Option<DeliveryState>, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("SELECT * FROM service_mails WHERE id = $1 AND leased_by = $2")
            .bind(mail)
            .bind(claim)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let Outcome::Changed(next) = progress_of(&row)?.apply(input, now, seed) else { return Ok(None) };
        let changed = sqlx::query(
            "UPDATE service_mails SET state = $3, attempts = $4, maybe_sent = $5, next_ms = $6, error = $7, status = $8,
                leased_by = NULL, lease_ms = NULL
             WHERE id = $1 AND leased_by = $2",
        )
        .bind(mail)
        .bind(claim)
        .bind(next.state.as_str())
        .bind(i64::from(next.attempts))
        .bind(i64::from(next.maybe_sent))
        .bind(to_ms(next.next_at))
        .bind(next.error.as_deref().map(|text| printable(text, ERROR_CHARS_MAX).unwrap_or_default().to_string()))
        .bind(&next.status)
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(next.state))
    }

    pub(in crate::store) async fn report_mails(
        &self,
        account: RecordId,
        month: &str,
    ) -> Result<Vec<ServiceMailState>, StoreError> {
        let rows = sqlx::query(
            "SELECT address, state, error FROM service_mails WHERE account_id = $1 AND month = $2 ORDER BY created_ms, id",
        )
        .bind(account)
        .bind(month)
        .fetch_all(self.readers())
        .await?;
        let state = |row: &DbRow| {
            let state: String = row.try_get("state")?;
            Ok(ServiceMailState {
                address: row.try_get("address")?,
                state: DeliveryState::parse(&state).unwrap_or(DeliveryState::Failed),
                error: row.try_get("error")?,
            })
        };
        Ok(rows.iter().map(state).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Makes a mail that is due at once.
pub(super) async fn insert_mail(db: &mut DbConnection, mail: &NewServiceMail) -> Result<(), StoreError> {
    let progress = DeliveryProgress::queued(mail.created_at, mail.created_at);
    let (account, month) = mail.report.as_ref().map(|(account, month)| (*account, month.as_str())).unzip();
    let server = match account {
        Some(account) => server_of_account(&mut *db, account).await?,
        None => MAIL_SERVER.to_owned(),
    };
    sqlx::query(
        "INSERT INTO service_mails (id, kind, account_id, month, address, subject, body, state, next_ms, give_up_ms, created_ms,
            server)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(mail.id)
    .bind(if account.is_some() { "report" } else { "alarm" })
    .bind(account)
    .bind(month)
    .bind(&mail.address)
    .bind(&mail.subject)
    .bind(&mail.body)
    .bind(progress.state.as_str())
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .bind(to_ms(mail.created_at))
    .bind(server)
    .execute(db)
    .await?;
    Ok(())
}

fn mail_of(row: &DbRow) -> Result<NewServiceMail, sqlx::Error> {
    let (account, month): (Option<RecordId>, Option<String>) =
        (row.try_get("account_id")?, row.try_get("month")?);
    Ok(NewServiceMail {
        id: row.try_get("id")?,
        report: account.zip(month),
        address: row.try_get("address")?,
        subject: row.try_get("subject")?,
        body: row.try_get("body")?,
        created_at: from_ms(row.try_get("created_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::store::Store;
    use crate::store::reports::{ReportPlan, StoredReportPlan};
    use crate::store::retention::PurgeTarget;

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn mail(n: u128, account: RecordId, at: Timestamp) -> NewServiceMail {
        NewServiceMail {
            id: RecordId(Uuid::from_u128(n)),
            report: Some((account, "2025-10".into())),
            address: "a@example.jp".into(),
            subject: "警報".into(),
            body: "本文".into(),
            created_at: at,
        }
    }

    async fn claim(store: &Store, n: u128, now: Timestamp) -> Option<ClaimedServiceMail> {
        store
            .claim_service_mail(MAIL_SERVER, RecordId(Uuid::from_u128(n)), (now, now + MINUTE))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_mail_is_claimed_by_one_daemon_and_settled_by_the_same() {
        let (_held, store) = super::super::empty_store().await;
        let now = from_ms(1_760_000_400_000);
        let fields = AccountFields {
            code: "A".into(),
            name: "A".into(),
            mail_host: Some("clinic".into()),
            ..AccountFields::default()
        };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&fields, now).await.unwrap().id;
        let plan = StoredReportPlan {
            account,
            plan: ReportPlan { mail_day: Some(1), to: Vec::new() },
            sent_month: "2025-09".into(),
            by_name: "花".into(),
            changed_at: now,
        };
        store.set_report_plan(&plan).await.unwrap();
        let mails = [mail(1, account, now), mail(2, account, now)];
        store.keep_mail_servers(&[MAIL_SERVER, "clinic"]).await.unwrap();
        assert!(store.make_report_mails(account, "2025-10", &mails).await.unwrap());
        assert_eq!(claim(&store, 10, now).await, None, "they wait for the account's own server");
        store.keep_mail_servers(&[MAIL_SERVER]).await.unwrap();
        let (first, second) = tokio::join!(claim(&store, 11, now), claim(&store, 12, now));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_ne!(first.mail.id, second.mail.id);
        assert_eq!((first.progress.attempts, first.progress.maybe_sent), (1, false));
        assert_eq!(claim(&store, 13, now).await, None);
        let by = |n: u128| RecordId(Uuid::from_u128(n));
        let settle = async |mail: &ClaimedServiceMail, n, input| {
            store.settle_service_mail(mail.mail.id, by(n), input, (now, 0)).await.unwrap()
        };
        assert_eq!(settle(&first, 12, DeliveryInput::Accepted).await, None, "another daemon's claim");
        assert_eq!(settle(&first, 11, DeliveryInput::Accepted).await, Some(DeliveryState::Sent));
        assert_eq!(settle(&first, 11, DeliveryInput::Accepted).await, None, "it is settled");
        let later = DeliveryInput::Deferred { error: "451 later".into(), status: None };
        assert_eq!(settle(&second, 12, later).await, Some(DeliveryState::Queued));
        assert_eq!(claim(&store, 14, now).await, None, "it waits");
        let again = claim(&store, 14, now + MINUTE).await.unwrap();
        assert_eq!((again.progress.attempts, again.progress.error.as_deref()), (2, Some("451 later")));
        // The daemon is gone: the lease ends, or the only daemon of a file starts again.
        assert_eq!(claim(&store, 15, now + MINUTE).await, None);
        let after = claim(&store, 15, now + MINUTE * 3).await.unwrap();
        assert!(after.progress.maybe_sent);
        store.renew_service_mail_claim(by(15), now + MINUTE * 9).await.unwrap();
        assert_eq!(claim(&store, 16, now + MINUTE * 5).await, None);
        store.end_service_mail_claims(now + MINUTE * 5).await.unwrap();
        let last = claim(&store, 16, now + MINUTE * 5).await.unwrap();
        // What is over is purged with its address; what is on its way stays.
        let purge = async || store.purge(PurgeTarget::ServiceMails, now + MINUTE, 10).await.unwrap();
        assert_eq!(purge().await, 1);
        assert_eq!(store.report_mails(account, "2025-10").await.unwrap().len(), 1);
        assert_eq!(settle(&last, 16, DeliveryInput::Accepted).await, Some(DeliveryState::Sent));
        assert_eq!((purge().await, purge().await), (1, 0));
    }
}
