//! The SQL of imports. Accounts and contacts are few and are written one by one. Customers are many: a whole batch is
//! sent to the database as one JSON text, which a statement of the dialect turns into rows. A record that the file would leave as it
//! is, is not written.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::dialect::{
    BEGIN_IMPORT, DELETE_NUMBERS, END_IMPORT, INSERT_NUMBERS, UNCHANGED_CUSTOMERS, UPSERT_CUSTOMERS,
};
use super::{Backend, WriteTransaction, accounts, contacts};
use crate::contract::import_batch::{Batch, Column, DeputyRow, ImportKind, Row, RowError};
use crate::contract::records::{
    Account, AccountFields, CheckedAccount, CheckedContact, CheckedCustomer, Contact,
};
use crate::ids::RecordId;
use crate::store::import::PresentColumns;
use crate::store::{StoreError, to_ms};

/// An import in progress.
#[derive(Debug)]
pub(crate) struct Import {
    transaction: WriteTransaction,
    present: PresentColumns,
    at: Timestamp,
    created: u64,
    unchanged: u64,
}

/// A customer as a JSON array: id, account, code, name, kana, company, department, notes, flags, numbers, search text.
#[derive(Serialize)]
struct CustomerRow<'a>(
    String,
    String,
    &'a Option<String>,
    &'a str,
    &'a str,
    &'a Option<String>,
    &'a Option<String>,
    &'a Option<String>,
    String,
    Vec<(&'a str, &'a str)>,
    &'a str,
);

impl Backend {
    pub(in crate::store) async fn begin_import(
        &self,
        kind: ImportKind,
        present: PresentColumns,
        at: Timestamp,
    ) -> Result<Import, StoreError> {
        let mut transaction = self.begin().await?;
        if kind == ImportKind::Accounts {
            // All of the file.
            sqlx::query(BEGIN_IMPORT).execute(&mut *transaction).await?;
        }
        Ok(Import { transaction, present, at, created: 0, unchanged: 0 })
    }
}

impl Import {
    pub(in crate::store) async fn write(&mut self, batch: &Batch) -> Result<Vec<RowError>, StoreError> {
        let mut refused = Vec::new();
        match batch {
            Batch::Accounts(rows) => {
                // Numbers may move between accounts of one file: those of all that change are deleted first.
                let mut changing = Vec::new();
                for row in rows {
                    if self.has_account(&row.value).await? {
                        self.unchanged += 1;
                    } else {
                        self.delete_numbers(&row.value).await?;
                        changing.push(row);
                    }
                }
                for row in changing {
                    self.execute("SAVEPOINT line").await?;
                    let written = self.write_account(&row.value).await;
                    refused.extend(self.end_row(row.line, written).await?);
                }
            }
            Batch::Customers(rows) => self.write_customers(rows).await?,
            Batch::Contacts(rows) => {
                for row in rows {
                    if self.has_contact(&row.value).await? {
                        self.unchanged += 1;
                        continue;
                    }
                    self.execute("SAVEPOINT line").await?;
                    let written = self.write_contact(&row.value).await;
                    refused.extend(self.end_row(row.line, written).await?);
                }
            }
        }
        Ok(refused)
    }

    /// Ends the savepoint of a row. A row that a constraint refuses is undone and reported, and the import goes on, so
    /// that one run reports every such row; any other failure ends the import.
    async fn end_row(
        &mut self,
        line: u64,
        written: Result<(), StoreError>,
    ) -> Result<Option<RowError>, StoreError> {
        match written {
            Ok(()) => self.execute("RELEASE SAVEPOINT line").await.map(|()| None),
            Err(error @ (StoreError::Taken { .. } | StoreError::Missing { .. })) => {
                self.execute("ROLLBACK TO SAVEPOINT line").await?;
                Ok(Some(RowError { line, problem: error.to_string() }))
            }
            Err(error) => Err(error),
        }
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn delete_numbers(&mut self, account: &CheckedAccount) -> Result<(), StoreError> {
        for (column, kind) in [(Column::Dialled, "dialled"), (Column::Forwarding, "forwarding")] {
            if self.present.contains(column) {
                sqlx::query(
                    "DELETE FROM account_numbers WHERE kind = $1
                        AND account_id = (SELECT id FROM accounts WHERE code = $2)",
                )
                .bind(kind)
                .bind(&account.fields.code)
                .execute(&mut *self.transaction)
                .await?;
            }
        }
        Ok(())
    }

    async fn write_account(&mut self, account: &CheckedAccount) -> Result<(), StoreError> {
        let db = &mut *self.transaction;
        let Some(stored) = accounts::by_code(db, &account.fields.code).await? else {
            accounts::insert(db, account, self.at).await?;
            self.created += 1;
            return Ok(());
        };
        let id = stored.id;
        let whole = self.whole_account(account, stored).await?;
        accounts::update(&mut self.transaction, id, &whole, self.at).await?;
        Ok(())
    }

    /// Whether the store has the account as the file would leave it.
    async fn has_account(&mut self, account: &CheckedAccount) -> Result<bool, StoreError> {
        let db = &mut *self.transaction;
        let Some(stored) = accounts::by_code(db, &account.fields.code).await? else { return Ok(false) };
        let dialled = accounts::numbers(db, stored.id, "dialled").await?;
        let forwarding = accounts::numbers(db, stored.id, "forwarding").await?;
        let old = stored.fields.clone();
        let mut whole = self.whole_account(account, stored).await?;
        if (&whole.dialled, &whole.forwarding) != (&dialled, &forwarding) {
            return Ok(false);
        }
        // The same numbers are the same texts.
        whole.fields.dialled.clone_from(&old.dialled);
        whole.fields.forwarding.clone_from(&old.forwarding);
        Ok(whole.fields == old)
    }

    /// The account as the file would leave it: a field without a column stays.
    async fn whole_account(
        &mut self,
        account: &CheckedAccount,
        stored: Account,
    ) -> Result<CheckedAccount, StoreError> {
        let db = &mut *self.transaction;
        let mut whole = account.clone();
        let (fields, old, present) = (&mut whole.fields, stored.fields, &self.present);
        keep_choices(fields, &old, present);
        let is_absent = |column| !present.contains(column);
        if is_absent(Column::Kana) {
            fields.kana = old.kana;
        }
        if is_absent(Column::AnswerPhrase) {
            fields.answer_phrase = old.answer_phrase;
        }
        if is_absent(Column::Notes) {
            fields.notes = old.notes;
        }
        if is_absent(Column::CallerId) {
            fields.caller_id_policy = old.caller_id_policy;
        }
        if is_absent(Column::AcceptByKey) {
            fields.accept_by_key = old.accept_by_key;
        }
        if is_absent(Column::AcceptSound) {
            fields.accept_sound = old.accept_sound;
        }
        if is_absent(Column::ExtraNumbers) {
            fields.extra_numbers = old.extra_numbers;
        }
        if is_absent(Column::NeverMonitor) {
            fields.never_monitor = old.never_monitor;
        }
        if is_absent(Column::SupervisionNotify) {
            fields.supervision_notify = old.supervision_notify;
        }
        if is_absent(Column::WrapUp) {
            fields.wrap_up_s = old.wrap_up_s;
        }
        if is_absent(Column::HoursOpen) {
            fields.hours = old.hours;
        }
        if is_absent(Column::Link) {
            fields.link = old.link;
        }
        if is_absent(Column::Dialled) {
            whole.dialled = accounts::numbers(db, stored.id, "dialled").await?;
        }
        if is_absent(Column::Forwarding) {
            whole.forwarding = accounts::numbers(db, stored.id, "forwarding").await?;
        }
        if [Column::Kana, Column::Dialled, Column::Forwarding].into_iter().any(is_absent) {
            // The daemon folds it (`daemon/search_texts.rs`).
            whole.search = None;
        }
        Ok(whole)
    }

    async fn write_contact(&mut self, contact: &CheckedContact) -> Result<(), StoreError> {
        let db = &mut *self.transaction;
        let code = contact.fields.code.as_deref().unwrap_or_default();
        let Some(stored) = contacts::by_code(db, contact.fields.account, code).await? else {
            contacts::insert(db, contact, self.at).await?;
            self.created += 1;
            return Ok(());
        };
        let id = stored.id;
        let whole = self.whole_contact(contact, stored).await?;
        contacts::update(&mut self.transaction, id, &whole, self.at).await?;
        Ok(())
    }

    /// Whether the store has the contact as the file would leave it.
    async fn has_contact(&mut self, contact: &CheckedContact) -> Result<bool, StoreError> {
        let db = &mut *self.transaction;
        let account = contact.fields.account;
        let code = contact.fields.code.as_deref().unwrap_or_default();
        let Some(stored) = contacts::by_code(db, account, code).await? else { return Ok(false) };
        if self.present.contains(Column::Deputy) {
            let deputy = match contact.deputy_code.as_deref() {
                Some(code) => match contacts::by_code(db, account, code).await? {
                    Some(deputy) => Some(deputy.id),
                    None => return Ok(false),
                },
                None => None,
            };
            if deputy != stored.fields.deputy {
                return Ok(false);
            }
        }
        let number = contacts::number(db, stored.id).await?;
        let old = stored.fields.clone();
        let mut whole = self.whole_contact(contact, stored).await?;
        if whole.number != number {
            return Ok(false);
        }
        whole.fields.number.clone_from(&old.number);
        Ok(whole.fields == old)
    }

    /// The contact as the file would leave it: a field without a column stays.
    async fn whole_contact(
        &mut self,
        contact: &CheckedContact,
        stored: Contact,
    ) -> Result<CheckedContact, StoreError> {
        let db = &mut *self.transaction;
        let mut whole = contact.clone();
        let (fields, old) = (&mut whole.fields, stored.fields);
        let is_absent = |column| !self.present.contains(column);
        // No column has these. The deputy comes after all contacts of the file.
        (fields.deputy, fields.days_off, fields.on_call_shifts) =
            (old.deputy, old.days_off, old.on_call_shifts);
        if is_absent(Column::AbsentUntil) {
            (fields.absent_from, fields.absent_until) = (old.absent_from, old.absent_until);
        } else if fields.absent_until == old.absent_until {
            // No column has the beginning of an absence.
            fields.absent_from = old.absent_from;
        }
        if is_absent(Column::Kana) {
            fields.kana = old.kana;
        }
        if is_absent(Column::Role) {
            fields.role = old.role;
        }
        if is_absent(Column::Email) {
            fields.email = old.email;
        }
        if is_absent(Column::OnCallOrder) {
            fields.on_call_order = old.on_call_order;
        }
        if is_absent(Column::AcceptByKey) {
            fields.accept_by_key = old.accept_by_key;
        }
        if is_absent(Column::RingSeconds) {
            fields.ring_s = old.ring_s;
        }
        if is_absent(Column::NoTransfer) {
            fields.no_transfer = old.no_transfer;
        }
        if is_absent(Column::DoNotTell) {
            fields.do_not_tell = old.do_not_tell;
        }
        if is_absent(Column::Language) {
            fields.language = old.language;
        }
        if is_absent(Column::EndpointOrder) {
            fields.endpoint_order = old.endpoint_order;
        }
        if is_absent(Column::Numbers) {
            fields.number = old.number;
            whole.number = contacts::number(db, stored.id).await?;
        }
        if [Column::Kana, Column::Role, Column::DoNotTell, Column::Numbers].into_iter().any(is_absent) {
            whole.search = None;
        }
        Ok(whole)
    }

    /// Writes who stands in for contacts; returns the rows whose deputy is no other contact of the account.
    pub(in crate::store) async fn write_deputies(
        &mut self,
        rows: &[DeputyRow],
    ) -> Result<Vec<RowError>, StoreError> {
        let mut refused = Vec::new();
        for DeputyRow { line, account, code, deputy } in rows {
            let db = &mut *self.transaction;
            let found = match deputy.as_deref().filter(|deputy| *deputy != code) {
                Some(deputy) => {
                    contacts::by_code(&mut *db, *account, deputy).await?.map(|contact| contact.id)
                }
                None => None,
            };
            if let Some(deputy) = deputy.as_ref().filter(|_| found.is_none()) {
                let problem = format!("deputy: {deputy:?} is no code of another contact of the account");
                refused.push(RowError { line: *line, problem });
                continue;
            }
            sqlx::query(
                "UPDATE contacts SET deputy_id = $3
                 WHERE account_id = $1 AND code = $2 AND deputy_id IS DISTINCT FROM $3",
            )
            .bind(account)
            .bind(code)
            .bind(found)
            .execute(&mut *db)
            .await?;
        }
        Ok(refused)
    }

    async fn write_customers(&mut self, rows: &[Row<CheckedCustomer>]) -> Result<(), StoreError> {
        let mut rows: Vec<_> = rows.iter().map(|row| customer_row(&row.value, Uuid::now_v7())).collect();
        let mut json = json_of(&rows)?;
        let has = |column| self.present.contains(column);
        let same: Vec<i64> = sqlx::query_scalar(UNCHANGED_CUSTOMERS)
            .bind(&json)
            .bind(has(Column::Kana))
            .bind(has(Column::Company))
            .bind(has(Column::Department))
            .bind(has(Column::Notes))
            .bind(has(Column::Flags))
            .bind(has(Column::Numbers))
            .fetch_all(&mut *self.transaction)
            .await?;
        if !same.is_empty() {
            let same: HashSet<i64> = same.into_iter().collect();
            self.unchanged += same.len() as u64;
            let mut at = 0..;
            rows.retain(|_| at.next().is_some_and(|at| !same.contains(&at)));
            if rows.is_empty() {
                return Ok(());
            }
            json = json_of(&rows)?;
        }
        let written: Vec<RecordId> = sqlx::query_scalar(UPSERT_CUSTOMERS)
            .bind(&json)
            .bind(to_ms(self.at))
            .bind(has(Column::Kana))
            .bind(has(Column::Company))
            .bind(has(Column::Department))
            .bind(has(Column::Notes))
            .bind(has(Column::Flags))
            .bind([Column::Kana, Column::Company, Column::Department, Column::Numbers].into_iter().all(has))
            .fetch_all(&mut *self.transaction)
            .await?;
        // The id of a customer who was there already is another one.
        let new: HashSet<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        let created = written.iter().filter(|id| new.contains(id.0.simple().to_string().as_str())).count();
        self.created += created as u64;
        if self.present.contains(Column::Numbers) {
            if created < rows.len() {
                sqlx::query(DELETE_NUMBERS).bind(&json).execute(&mut *self.transaction).await?;
            }
            sqlx::query(INSERT_NUMBERS).bind(&json).execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    pub(in crate::store) fn created(&self) -> u64 {
        self.created
    }

    pub(in crate::store) fn unchanged(&self) -> u64 {
        self.unchanged
    }

    pub(in crate::store) async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query(END_IMPORT).execute(&mut *self.transaction).await?;
        Ok(self.transaction.commit().await?)
    }

    pub(in crate::store) async fn roll_back(mut self) -> Result<(), StoreError> {
        sqlx::query(END_IMPORT).execute(&mut *self.transaction).await?;
        Ok(self.transaction.rollback().await?)
    }
}

fn json_of(rows: &[CustomerRow<'_>]) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn customer_row(customer: &CheckedCustomer, id: Uuid) -> CustomerRow<'_> {
    let fields = &customer.fields;
    let hex = |id: Uuid| id.simple().to_string();
    let RecordId(account) = fields.account;
    CustomerRow(
        hex(id),
        hex(account),
        &fields.code,
        &fields.name,
        &fields.kana,
        &fields.company,
        &fields.department,
        &fields.notes,
        serde_json::to_string(&fields.flags).unwrap_or_else(|_| "[]".to_owned()),
        customer.numbers.iter().map(|number| (number.key.as_str(), number.original.as_str())).collect(),
        &customer.search,
    )
}

/// Keeps what an account chooses for its messages where the file has no column.
fn keep_choices(fields: &mut AccountFields, old: &AccountFields, present: &PresentColumns) {
    let is_absent = |column| !present.contains(column);
    if is_absent(Column::ReportCalls) {
        fields.report_calls = old.report_calls;
    }
    if is_absent(Column::Language) {
        fields.language = old.language;
    }
    if is_absent(Column::Privacy) {
        fields.privacy = old.privacy;
    }
    if is_absent(Column::OpenOnAnswer) {
        fields.open_on_answer = old.open_on_answer;
    }
    if is_absent(Column::Unanswered) {
        fields.unanswered_min = old.unanswered_min;
    }
    if is_absent(Column::UnansweredUrgent) {
        fields.unanswered_urgent_min = old.unanswered_urgent_min;
    }
    if is_absent(Column::MailHost) {
        fields.mail_host.clone_from(&old.mail_host);
    }
}
