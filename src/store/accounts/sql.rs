//! The SQL of accounts and their numbers.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbConnection, DbRow, list_of_json};
use crate::contract::message::Privacy;
use crate::contract::records::search::account_search_text;
use crate::contract::records::{
    Account, AccountFields, CallerIdPolicy, CheckedAccount, Language, ReportCalls, StoredNumber,
    UnansweredMinutes,
};
use crate::contract::supervision::Notify;
use crate::ids::RecordId;
use crate::numbers::NumberPlan;
use crate::store::erasure::RemovalStep;
use crate::store::error::{Constraint, violated_constraint};
use crate::store::{StoreError, from_ms, to_ms};

/// A query of accounts with their numbers.
macro_rules! accounts_where {
    ($($rest:expr),+) => {
        concat!(
            "SELECT a.*, (SELECT ",
            json_list!("original ORDER BY position"),
            " FROM account_numbers WHERE account_id = a.id AND kind = 'dialled') AS dialled_json, (SELECT ",
            json_list!("original ORDER BY position"),
            " FROM account_numbers WHERE account_id = a.id AND kind = 'forwarding') AS forwarding_json
             FROM accounts AS a WHERE NOT EXISTS (SELECT 1 FROM account_removals WHERE account_id = a.id) ",
            $($rest),+
        )
    };
}

impl Backend {
    pub(in crate::store) async fn accounts(
        &self,
        after: Option<RecordId>,
        limit: i64,
    ) -> Result<Vec<Account>, StoreError> {
        let rows = sqlx::query(accounts_where!("AND ($1 IS NULL OR a.id > $1) ORDER BY a.id LIMIT $2"))
            .bind(after)
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(account_of).collect::<Result<_, sqlx::Error>>()?)
    }

    /// In one transaction, so that the version belongs to the accounts that were read.
    pub(in crate::store) async fn all_accounts(&self) -> Result<(Vec<Account>, i64), StoreError> {
        let mut reader = self.begin_reading().await?;
        let version =
            sqlx::query_scalar("SELECT version FROM directory_version").fetch_one(&mut *reader).await?;
        let rows = sqlx::query(accounts_where!("ORDER BY a.id")).fetch_all(&mut *reader).await?;
        Ok((rows.iter().map(account_of).collect::<Result<_, sqlx::Error>>()?, version))
    }

    pub(in crate::store) async fn accounts_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT version FROM directory_version").fetch_one(self.readers()).await?)
    }

    pub(in crate::store) async fn account(&self, id: RecordId) -> Result<Option<Account>, StoreError> {
        read(&mut *self.readers().acquire().await?, id).await
    }

    pub(in crate::store) async fn find_accounts(
        &self,
        text: &str,
        limit: i64,
    ) -> Result<Vec<Account>, StoreError> {
        let sql = accounts_where!(
            "AND a.id IN ",
            searched_ids!("accounts", "account", "w.id"),
            " ORDER BY a.id LIMIT $5"
        );
        let rows = self.rows_of_text(sql, text, limit).await?;
        Ok(rows.iter().map(account_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn fold_accounts(
        &self,
        plan: &NumberPlan,
        limit: i64,
    ) -> Result<u64, StoreError> {
        const UPDATE: &str =
            "UPDATE accounts SET search = $2 WHERE id = $1 AND search IS NULL AND changed_ms = $3";
        let rows = sqlx::query(accounts_where!("AND a.search IS NULL ORDER BY a.id LIMIT $1"))
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        let text_of = |row: &DbRow| {
            let account = account_of(row)?;
            let text = account_search_text(&account.fields, plan);
            Ok((account.id, account.changed_at, text))
        };
        let texts = rows.iter().map(text_of).collect::<Result<_, sqlx::Error>>()?;
        self.write_search_texts(UPDATE, texts).await
    }

    pub(in crate::store) async fn create_account(
        &self,
        account: &CheckedAccount,
        at: Timestamp,
    ) -> Result<Account, StoreError> {
        let mut transaction = self.begin().await?;
        let id = insert(&mut transaction, account, at).await?;
        transaction.commit().await?;
        Ok(Account { id, fields: account.fields.clone(), created_at: at, changed_at: at })
    }

    pub(in crate::store) async fn update_account(
        &self,
        id: RecordId,
        account: &CheckedAccount,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Account, StoreError> {
        let mut transaction = self.begin().await?;
        claim(&mut transaction, id, seen).await?;
        let created_ms = update(&mut transaction, id, account, at).await?;
        transaction.commit().await?;
        Ok(Account { id, fields: account.fields.clone(), created_at: from_ms(created_ms), changed_at: at })
    }

    pub(in crate::store) async fn delete_account(
        &self,
        id: RecordId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        hide(&mut transaction, id, at).await?;
        Ok(transaction.commit().await?)
    }

    /// One step of what is left of deleted accounts (`store/erasure`). An account that can be brought back waits.
    pub(in crate::store) async fn remove_step(&self, rows: u32) -> Result<RemovalStep, StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        let account: Option<RecordId> =
            sqlx::query_scalar(
                "SELECT r.account_id FROM account_removals AS r
                 WHERE NOT EXISTS (SELECT 1 FROM deletions AS d WHERE d.id = r.account_id) ORDER BY r.account_id LIMIT 1",
            )
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(account) = account else { return Ok(RemovalStep::Idle) };
        for sql in [
            "DELETE FROM drafts WHERE (user_id, call_id) IN (
                SELECT d.user_id, d.call_id FROM drafts AS d
                WHERE $1 IN (d.account_id, (SELECT account_id FROM calls WHERE id = d.call_id)) LIMIT $2)",
            "DELETE FROM messages WHERE id IN (
                SELECT id FROM messages WHERE account_id = $1 ORDER BY created_ms, id LIMIT $2)",
            "DELETE FROM faxes WHERE id IN (
                SELECT id FROM faxes WHERE account_id = $1 ORDER BY received_ms, id LIMIT $2)",
            "DELETE FROM customers WHERE id IN (
                SELECT id FROM customers WHERE account_id = $1 ORDER BY id LIMIT $2)",
            "DELETE FROM contacts WHERE id IN (SELECT id FROM contacts WHERE account_id = $1 ORDER BY id LIMIT $2)",
            "DELETE FROM script_versions WHERE (account_id, script, version) IN (
                SELECT account_id, script, version FROM script_versions WHERE account_id = $1
                ORDER BY script, version LIMIT $2)",
        ] {
            let done =
                sqlx::query(sql).bind(account).bind(i64::from(rows)).execute(&mut *transaction).await?;
            if done.rows_affected() > 0 {
                transaction.commit().await?;
                return Ok(RemovalStep::Done(done.rows_affected()));
            }
        }
        sqlx::query("DELETE FROM accounts WHERE id = $1").bind(account).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM account_removals WHERE account_id = $1")
            .bind(account)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(RemovalStep::Finished(account))
    }
}

/// Keeps other transactions from the record until the end of this one, if it was not changed since `seen`.
async fn claim(db: &mut DbConnection, id: RecordId, seen: Option<Timestamp>) -> Result<(), StoreError> {
    let Some(seen) = seen else { return Ok(()) };
    let found = sqlx::query("UPDATE accounts SET changed_ms = changed_ms WHERE id = $1 AND changed_ms = $2")
        .bind(id)
        .bind(to_ms(seen))
        .execute(db)
        .await?;
    if found.rows_affected() == 0 { Err(StoreError::Changed { what: "account" }) } else { Ok(()) }
}

/// Hides an account from every reader; what it has is removed later.
pub(super) async fn hide(db: &mut DbConnection, id: RecordId, at: Timestamp) -> Result<(), StoreError> {
    let noted = sqlx::query(
        "INSERT INTO account_removals (account_id, asked_ms) SELECT id, $2 FROM accounts WHERE id = $1
         ON CONFLICT (account_id) DO NOTHING",
    )
    .bind(id)
    .bind(to_ms(at))
    .execute(&mut *db)
    .await?;
    if noted.rows_affected() == 0 {
        return Err(StoreError::Missing { what: "account" });
    }
    // Its code and its numbers are free for another account.
    sqlx::query("DELETE FROM account_numbers WHERE account_id = $1").bind(id).execute(&mut *db).await?;
    sqlx::query(
        "UPDATE accounts SET code = $2, name = '', kana = '', answer_phrase = '', notes = '', link = NULL,
            search = ''
         WHERE id = $1",
    )
    .bind(id)
    .bind(format!("removed {id}"))
    .execute(&mut *db)
    .await?;
    Ok(())
}

/// One account.
pub(super) async fn read(db: &mut DbConnection, id: RecordId) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query(accounts_where!("AND a.id = $1")).bind(id).fetch_optional(db).await?;
    Ok(row.as_ref().map(account_of).transpose()?)
}

/// The account with this code.
pub(super) async fn by_code(db: &mut DbConnection, code: &str) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query(accounts_where!("AND a.code = $1")).bind(code).fetch_optional(db).await?;
    Ok(row.as_ref().map(account_of).transpose()?)
}

/// An account's numbers of one kind.
pub(super) async fn numbers(
    db: &mut DbConnection,
    id: RecordId,
    kind: &str,
) -> Result<Vec<StoredNumber>, StoreError> {
    let rows = sqlx::query(
        "SELECT key, original FROM account_numbers WHERE account_id = $1 AND kind = $2 ORDER BY position",
    )
    .bind(id)
    .bind(kind)
    .fetch_all(db)
    .await?;
    let number =
        |row: &DbRow| Ok(StoredNumber { key: row.try_get("key")?, original: row.try_get("original")? });
    Ok(rows.iter().map(number).collect::<Result<_, sqlx::Error>>()?)
}

/// Binds the fields of an account as $1 to $24, for the INSERT and the UPDATE.
macro_rules! values_of {
    ($statement:expr, $id:expr, $account:expr, $at:expr) => {
        $statement
            .bind($id)
            .bind(&$account.fields.code)
            .bind(&$account.fields.name)
            .bind(&$account.fields.kana)
            .bind(&$account.fields.answer_phrase)
            .bind(&$account.fields.notes)
            .bind(policy_as_str($account.fields.caller_id_policy))
            .bind($account.fields.never_monitor)
            .bind($account.fields.wrap_up_s.map(i64::from))
            .bind(hours_json(&$account.fields))
            .bind($account.fields.accept_by_key)
            .bind(&$account.fields.accept_sound)
            .bind(serde_json::to_string(&$account.fields.extra_numbers).unwrap_or_else(|_| "[]".to_owned()))
            .bind(to_ms($at))
            .bind($account.fields.supervision_notify.map(Notify::as_str))
            .bind(&$account.fields.link)
            .bind($account.fields.report_calls.as_str())
            .bind($account.fields.language.as_str())
            .bind($account.fields.privacy.as_str())
            .bind($account.fields.open_on_answer)
            .bind(i64::from($account.fields.unanswered_min))
            .bind(i64::from($account.fields.unanswered_urgent_min))
            .bind(&$account.search)
            .bind(&$account.fields.mail_host)
    };
}

/// Adds an account.
pub(super) async fn insert(
    db: &mut DbConnection,
    account: &CheckedAccount,
    at: Timestamp,
) -> Result<RecordId, StoreError> {
    let id = RecordId(Uuid::now_v7());
    let fields = &account.fields;
    values_of!(sqlx::query(
        "INSERT INTO accounts (id, code, name, kana, answer_phrase, notes, caller_id_policy, never_monitor,
            wrap_up_s, hours_json, accept_by_key, accept_sound, extra_numbers_json, created_ms, changed_ms,
            supervision_notify, link, report_calls, language, privacy, open_on_answer, unanswered_min,
            unanswered_urgent_min, search, mail_host)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15, $16, $17, $18,
            $19, $20, $21, $22, $23, $24)",
    ), id, account, at)
    .execute(&mut *db)
    .await
    .map_err(|error| code_taken(error, fields))?;
    replace_numbers(db, id, account).await?;
    Ok(id)
}

/// Replaces an account's fields; returns when it was created.
pub(super) async fn update(
    db: &mut DbConnection,
    id: RecordId,
    account: &CheckedAccount,
    at: Timestamp,
) -> Result<i64, StoreError> {
    let fields = &account.fields;
    let created_ms: Option<i64> = values_of!(
        sqlx::query_scalar(
            "UPDATE accounts SET code = $2, name = $3, kana = $4, answer_phrase = $5, notes = $6,
            caller_id_policy = $7, never_monitor = $8, wrap_up_s = $9, hours_json = $10, accept_by_key = $11,
            accept_sound = $12, extra_numbers_json = $13, changed_ms = $14,
            supervision_notify = $15,
            link = $16, report_calls = $17, language = $18, privacy = $19, open_on_answer = $20,
            unanswered_min = $21, unanswered_urgent_min = $22, search = $23, mail_host = $24
         WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM account_removals WHERE account_id = $1)
         RETURNING created_ms",
        ),
        id,
        account,
        at
    )
    .fetch_optional(&mut *db)
    .await
    .map_err(|error| code_taken(error, fields))?;
    let created_ms = created_ms.ok_or(StoreError::Missing { what: "account" })?;
    sqlx::query("DELETE FROM account_numbers WHERE account_id = $1").bind(id).execute(&mut *db).await?;
    replace_numbers(db, id, account).await?;
    Ok(created_ms)
}

async fn replace_numbers(
    db: &mut DbConnection,
    id: RecordId,
    account: &CheckedAccount,
) -> Result<(), StoreError> {
    insert_numbers(db, id, "dialled", "the dialled number", &account.dialled).await?;
    insert_numbers(db, id, "forwarding", "the forwarding number", &account.forwarding).await
}

async fn insert_numbers(
    db: &mut DbConnection,
    id: RecordId,
    kind: &str,
    what: &'static str,
    numbers: &[StoredNumber],
) -> Result<(), StoreError> {
    for (position, number) in (0_i64..).zip(numbers) {
        sqlx::query(
            "INSERT INTO account_numbers (kind, key, account_id, original, position) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(kind)
        .bind(&number.key)
        .bind(id)
        .bind(&number.original)
        .bind(position)
        .execute(&mut *db)
        .await
        .map_err(|error| match violated_constraint(&error) {
            Some(Constraint::Unique) => StoreError::Taken { what, value: number.original.clone() },
            _ => error.into(),
        })?;
    }
    Ok(())
}

fn code_taken(error: sqlx::Error, fields: &AccountFields) -> StoreError {
    match violated_constraint(&error) {
        Some(Constraint::Unique) => {
            StoreError::Taken { what: "the account code", value: fields.code.clone() }
        }
        _ => error.into(),
    }
}

fn account_of(row: &DbRow) -> Result<Account, sqlx::Error> {
    let hours: Option<&str> = row.try_get("hours_json")?;
    let notify: Option<&str> = row.try_get("supervision_notify")?;
    Ok(Account {
        id: row.try_get("id")?,
        fields: AccountFields {
            code: row.try_get("code")?,
            name: row.try_get("name")?,
            kana: row.try_get("kana")?,
            answer_phrase: row.try_get("answer_phrase")?,
            notes: row.try_get("notes")?,
            dialled: list_of_json(row, "dialled_json")?,
            forwarding: list_of_json(row, "forwarding_json")?,
            caller_id_policy: parse_policy(row.try_get("caller_id_policy")?),
            accept_by_key: row.try_get("accept_by_key")?,
            accept_sound: row.try_get("accept_sound")?,
            extra_numbers: list_of_json(row, "extra_numbers_json")?,
            never_monitor: row.try_get("never_monitor")?,
            supervision_notify: notify.and_then(Notify::parse),
            wrap_up_s: row
                .try_get::<Option<i64>, _>("wrap_up_s")?
                .and_then(|seconds| seconds.try_into().ok()),
            hours: hours.and_then(|json| serde_json::from_str(json).ok()),
            link: row.try_get("link")?,
            report_calls: ReportCalls::parse(row.try_get("report_calls")?).unwrap_or_default(),
            language: Language::parse(row.try_get("language")?).unwrap_or_default(),
            privacy: Privacy::parse(row.try_get("privacy")?).unwrap_or_default(),
            open_on_answer: row.try_get("open_on_answer")?,
            unanswered_min: unanswered_of(row)?.normal,
            unanswered_urgent_min: unanswered_of(row)?.urgent,
            mail_host: row.try_get("mail_host")?,
        },
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

/// How many minutes messages of an account may stay unconfirmed.
pub(super) fn unanswered_of(row: &DbRow) -> Result<UnansweredMinutes, sqlx::Error> {
    let minutes = |column: &str| {
        let stored: i64 = row.try_get(column)?;
        Ok::<_, sqlx::Error>(u16::try_from(stored).unwrap_or(u16::MAX))
    };
    Ok(UnansweredMinutes { normal: minutes("unanswered_min")?, urgent: minutes("unanswered_urgent_min")? })
}

fn hours_json(fields: &AccountFields) -> Option<String> {
    fields.hours.as_ref().and_then(|hours| serde_json::to_string(hours).ok())
}

fn policy_as_str(policy: CallerIdPolicy) -> &'static str {
    match policy {
        CallerIdPolicy::Caller => "caller",
        CallerIdPolicy::Account => "account",
        CallerIdPolicy::Service => "service",
    }
}

fn parse_policy(text: &str) -> CallerIdPolicy {
    match text {
        "account" => CallerIdPolicy::Account,
        "service" => CallerIdPolicy::Service,
        _ => CallerIdPolicy::Caller,
    }
}
