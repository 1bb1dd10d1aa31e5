//! Imports. Accounts and contacts are few and are written one by one; customers are many, so that a whole batch
//! travels to the database as one JSON text and is taken apart there, in the words of its dialect.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::dialect::{CUSTOMERS, FORGET_NUMBERS, IMPORT_BEGINS, IMPORT_ENDS, NUMBERS};
use super::{Backend, WriteTransaction, accounts, contacts};
use crate::directory::import::{Batch, Column, ImportKind, Row, RowError};
use crate::directory::record::{CheckedAccount, CheckedContact, CheckedCustomer};
use crate::ids::RecordId;
use crate::store::import::Present;
use crate::store::{StoreError, to_ms};

/// An import under way.
#[derive(Debug)]
pub(crate) struct Import {
    transaction: WriteTransaction,
    kind: ImportKind,
    present: Present,
    at: Timestamp,
    before: i64,
}

/// A customer on its way: id, account, code, name, kana, company, department, notes, flags, numbers.
#[derive(Serialize)]
struct Travelling<'a>(
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
);

impl Backend {
    pub(in crate::store) async fn begin_import(
        &self,
        kind: ImportKind,
        present: Present,
        at: Timestamp,
    ) -> Result<Import, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(IMPORT_BEGINS).execute(&mut *transaction).await?;
        let mut import = Import { transaction, kind, present, at, before: 0 };
        import.before = import.count().await?;
        Ok(import)
    }
}

impl Import {
    pub(in crate::store) async fn write(&mut self, batch: &Batch) -> Result<Vec<RowError>, StoreError> {
        let mut refused = Vec::new();
        match batch {
            Batch::Accounts(rows) => {
                // Numbers may move between accounts of one file: all of them are let go first.
                for row in rows {
                    self.let_numbers_go(&row.value).await?;
                }
                for row in rows {
                    self.say("SAVEPOINT line").await?;
                    let written = self.write_account(&row.value).await;
                    refused.extend(self.settle(row.line, written).await?);
                }
            }
            Batch::Customers(rows) => self.write_customers(rows).await?,
            Batch::Contacts(rows) => {
                for row in rows {
                    self.say("SAVEPOINT line").await?;
                    let written = self.write_contact(&row.value).await;
                    refused.extend(self.settle(row.line, written).await?);
                }
            }
        }
        Ok(refused)
    }

    /// A row that the tables refuse is the file's fault, and the rows after it are still looked at; any other
    /// failure is the store's.
    async fn settle(
        &mut self,
        line: u64,
        written: Result<(), StoreError>,
    ) -> Result<Option<RowError>, StoreError> {
        match written {
            Ok(()) => self.say("RELEASE SAVEPOINT line").await.map(|()| None),
            Err(error @ (StoreError::Taken { .. } | StoreError::Missing { .. })) => {
                self.say("ROLLBACK TO SAVEPOINT line").await?;
                Ok(Some(RowError { line, problem: error.to_string() }))
            }
            Err(error) => Err(error),
        }
    }

    async fn say(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&mut *self.transaction).await?;
        Ok(())
    }

    async fn let_numbers_go(&mut self, account: &CheckedAccount) -> Result<(), StoreError> {
        for (column, kind) in [(Column::Dialled, "dialled"), (Column::Forwarding, "forwarding")] {
            if self.present.has(column) {
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
        let Some(known) = accounts::by_code(db, &account.fields.code).await? else {
            accounts::insert(db, account, self.at).await?;
            return Ok(());
        };
        let mut whole = account.clone();
        let (fields, old) = (&mut whole.fields, known.fields);
        let present = &self.present;
        let keep = |column| !present.has(column);
        if keep(Column::Kana) {
            fields.kana = old.kana;
        }
        if keep(Column::AnswerPhrase) {
            fields.answer_phrase = old.answer_phrase;
        }
        if keep(Column::Notes) {
            fields.notes = old.notes;
        }
        if keep(Column::CallerId) {
            fields.caller_id_policy = old.caller_id_policy;
        }
        if keep(Column::AcceptByKey) {
            fields.accept_by_key = old.accept_by_key;
        }
        if keep(Column::AcceptSound) {
            fields.accept_sound = old.accept_sound;
        }
        if keep(Column::ExtraNumbers) {
            fields.extra_numbers = old.extra_numbers;
        }
        if keep(Column::NeverMonitor) {
            fields.never_monitor = old.never_monitor;
        }
        if keep(Column::SupervisionNotify) {
            fields.supervision_notify = old.supervision_notify;
        }
        if keep(Column::WrapUp) {
            fields.wrap_up_s = old.wrap_up_s;
        }
        if keep(Column::HoursOpen) {
            fields.hours = old.hours;
        }
        if keep(Column::Link) {
            fields.link = old.link;
        }
        if keep(Column::Dialled) {
            whole.dialled = accounts::numbers(db, known.id, "dialled").await?;
        }
        if keep(Column::Forwarding) {
            whole.forwarding = accounts::numbers(db, known.id, "forwarding").await?;
        }
        accounts::update(db, known.id, &whole, self.at).await?;
        Ok(())
    }

    async fn write_contact(&mut self, contact: &CheckedContact) -> Result<(), StoreError> {
        let db = &mut *self.transaction;
        let code = contact.fields.code.as_deref().unwrap_or_default();
        let Some(known) = contacts::by_code(db, contact.fields.account, code).await? else {
            contacts::insert(db, contact, self.at).await?;
            return Ok(());
        };
        let mut whole = contact.clone();
        let (fields, old) = (&mut whole.fields, known.fields);
        let keep = |column| !self.present.has(column);
        if keep(Column::Kana) {
            fields.kana = old.kana;
        }
        if keep(Column::Role) {
            fields.role = old.role;
        }
        if keep(Column::Email) {
            fields.email = old.email;
        }
        if keep(Column::OnCallOrder) {
            fields.on_call_order = old.on_call_order;
        }
        if keep(Column::AcceptByKey) {
            fields.accept_by_key = old.accept_by_key;
        }
        if keep(Column::RingSeconds) {
            fields.ring_s = old.ring_s;
        }
        if keep(Column::Numbers) {
            fields.number = old.number;
            whole.number = contacts::number(db, known.id).await?;
        }
        contacts::update(db, known.id, &whole, self.at).await?;
        Ok(())
    }

    async fn write_customers(&mut self, rows: &[Row<CheckedCustomer>]) -> Result<(), StoreError> {
        let travelling: Vec<_> = rows.iter().map(|row| pack(&row.value)).collect();
        let json = serde_json::to_string(&travelling).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let has = |column| self.present.has(column);
        sqlx::query(CUSTOMERS)
            .bind(&json)
            .bind(to_ms(self.at))
            .bind(has(Column::Kana))
            .bind(has(Column::Company))
            .bind(has(Column::Department))
            .bind(has(Column::Notes))
            .bind(has(Column::Flags))
            .execute(&mut *self.transaction)
            .await?;
        if self.present.has(Column::Numbers) {
            if self.before > 0 {
                sqlx::query(FORGET_NUMBERS).bind(&json).execute(&mut *self.transaction).await?;
            }
            sqlx::query(NUMBERS).bind(&json).execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    pub(in crate::store) async fn created(&mut self) -> Result<u64, StoreError> {
        Ok((self.count().await? - self.before).try_into().unwrap_or(0))
    }

    async fn count(&mut self) -> Result<i64, StoreError> {
        let sql = match self.kind {
            ImportKind::Accounts => "SELECT count(*) FROM accounts",
            ImportKind::Customers => "SELECT count(*) FROM customers",
            ImportKind::Contacts => "SELECT count(*) FROM contacts",
        };
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *self.transaction).await?)
    }

    pub(in crate::store) async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query(IMPORT_ENDS).execute(&mut *self.transaction).await?;
        Ok(self.transaction.commit().await?)
    }

    pub(in crate::store) async fn undo(mut self) -> Result<(), StoreError> {
        sqlx::query(IMPORT_ENDS).execute(&mut *self.transaction).await?;
        Ok(self.transaction.rollback().await?)
    }
}

fn pack(customer: &CheckedCustomer) -> Travelling<'_> {
    let fields = &customer.fields;
    let hex = |id: Uuid| id.simple().to_string();
    let RecordId(account) = fields.account;
    Travelling(
        hex(Uuid::now_v7()),
        hex(account),
        &fields.code,
        &fields.name,
        &fields.kana,
        &fields.company,
        &fields.department,
        &fields.notes,
        serde_json::to_string(&fields.flags).unwrap_or_else(|_| "[]".to_owned()),
        customer.numbers.iter().map(|number| (number.key.as_str(), number.original.as_str())).collect(),
    )
}
