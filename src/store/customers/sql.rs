//! The SQL of customers and their numbers.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::dialect::text_words;
use super::{Backend, DbConnection, DbRow, list_of_json};
use crate::contract::records::search::{fold, fold_number, search_text};
use crate::contract::records::{CheckedCustomer, Customer, CustomerFields};
use crate::ids::RecordId;
use crate::numbers::NumberPlan;
use crate::store::customers::{CustomerFilter, searched};
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

/// Whether a customer has the text $4 or the digits $6. While a row is not folded yet, its texts are compared with $7 as they
/// are written.
macro_rules! has_text {
    () => {
        "($7 IS NULL OR instr(c.search, $4) > 0 OR ($6 IS NOT NULL AND instr(c.search, $6) > 0)
            OR (c.search IS NULL AND (instr(c.name, $7) > 0 OR instr(c.kana, $7) > 0 OR instr(c.company, $7) > 0)))"
    };
}

/// A query of customers with their numbers.
macro_rules! customers_where {
    ($($rest:expr),+) => {
        concat!(
            "SELECT c.*, (SELECT ",
            json_list!("original ORDER BY position"),
            " FROM customer_numbers WHERE customer_id = c.id) AS numbers_json FROM customers AS c ",
            $($rest),+
        )
    };
}

impl Backend {
    pub(in crate::store) async fn customers(
        &self,
        filter: &CustomerFilter,
        after: Option<RecordId>,
        limit: i64,
    ) -> Result<Vec<Customer>, StoreError> {
        let text = filter.text.as_deref().map(searched);
        let folded = text.as_deref().map(fold);
        if folded.as_deref() == Some("") {
            // Nothing that could be compared, for instance a dot.
            return Ok(Vec::new());
        }
        // One statement per combination that has an index; the other conditions are checked row by row.
        let sql = match (filter.account, &filter.number_key, &text) {
            (_, Some(_), _) => customers_where!(
                "WHERE ",
                account_is_kept!("c"),
                " AND c.id IN (SELECT customer_id FROM customer_numbers WHERE key = $2)
                 AND ($1 IS NULL OR c.account_id = $1) AND ($3 IS NULL OR c.id > $3) AND ",
                has_text!(),
                " ORDER BY c.id LIMIT $5"
            ),
            (account, None, Some(_)) => return self.search(account, after, limit, text, folded).await,
            (Some(_), None, None) => customers_where!(
                "WHERE c.account_id = $1 AND $2 IS NULL AND ($3 IS NULL OR c.id > $3) AND ",
                account_is_kept!("c"),
                " AND ",
                has_text!(),
                " ORDER BY c.id LIMIT $5"
            ),
            (None, None, None) => customers_where!(
                "WHERE $1 IS NULL AND $2 IS NULL AND ($3 IS NULL OR c.id > $3) AND ",
                account_is_kept!("c"),
                " AND ",
                has_text!(),
                " ORDER BY c.id LIMIT $5"
            ),
        };
        let digits = text.as_deref().and_then(fold_number);
        let rows = sqlx::query(sql)
            .bind(filter.account)
            .bind(&filter.number_key)
            .bind(after)
            .bind(folded)
            .bind(limit)
            .bind(digits)
            .bind(text)
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(customer_of).collect::<Result<_, sqlx::Error>>()?)
    }

    /// The customers with a text, by the text index.
    async fn search(
        &self,
        account: Option<RecordId>,
        after: Option<RecordId>,
        limit: i64,
        text: Option<String>,
        folded: Option<String>,
    ) -> Result<Vec<Customer>, StoreError> {
        let digits = text.as_deref().and_then(fold_number).filter(|digits| Some(digits) != folded.as_ref());
        let words = |text: &Option<String>| text.as_deref().map(|text| text_words(account, text));
        let rows = sqlx::query(customers_where!(search_customers!()))
            .bind(account)
            .bind(words(&folded))
            .bind(after)
            .bind(&folded)
            .bind(limit)
            .bind(&digits)
            .bind(text)
            .bind(words(&digits))
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(customer_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn customer(&self, id: RecordId) -> Result<Option<Customer>, StoreError> {
        read(&mut *self.readers().acquire().await?, id).await
    }

    pub(in crate::store) async fn create_customer(
        &self,
        customer: &CheckedCustomer,
        at: Timestamp,
    ) -> Result<Customer, StoreError> {
        let id = RecordId(Uuid::now_v7());
        let fields = &customer.fields;
        let mut transaction = self.begin().await?;
        insert(&mut transaction, id, customer, at).await?;
        transaction.commit().await?;
        Ok(Customer { id, fields: fields.clone(), created_at: at, changed_at: at })
    }

    pub(in crate::store) async fn update_customer(
        &self,
        id: RecordId,
        customer: &CheckedCustomer,
        at: Timestamp,
        seen: Option<Timestamp>,
    ) -> Result<Customer, StoreError> {
        let mut transaction = self.begin().await?;
        claim(&mut transaction, id, seen).await?;
        let changed = replace(&mut transaction, id, customer, at).await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// The rows that a statement of `searched_ids!` finds for a text.
    pub(super) async fn rows_of_text(
        &self,
        sql: &'static str,
        text: &str,
        limit: i64,
    ) -> Result<Vec<DbRow>, StoreError> {
        let folded = fold(text);
        if folded.is_empty() {
            return Ok(Vec::new());
        }
        let digits = fold_number(text).filter(|digits| *digits != folded);
        let rows = sqlx::query(sql)
            .bind(text_words(None, &folded))
            .bind(&folded)
            .bind(&digits)
            .bind(text)
            .bind(limit)
            .bind(digits.as_deref().map(|digits| text_words(None, digits)))
            .fetch_all(self.readers())
            .await?;
        Ok(rows)
    }

    /// Writes search texts, each with the time at which its record had been changed when it was read; returns how many there were.
    /// `update` writes $2 of the record $1, if it was not changed since $3.
    pub(super) async fn write_search_texts(
        &self,
        update: &'static str,
        texts: Vec<(RecordId, Timestamp, String)>,
    ) -> Result<u64, StoreError> {
        if texts.is_empty() {
            return Ok(0);
        }
        let written = texts.len() as u64;
        let mut transaction = self.begin().await?;
        for (id, changed_at, text) in texts {
            sqlx::query(update)
                .bind(id)
                .bind(text)
                .bind(to_ms(changed_at))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(written)
    }

    pub(in crate::store) async fn fold_customers(
        &self,
        plan: &NumberPlan,
        limit: i64,
    ) -> Result<u64, StoreError> {
        const UPDATE: &str =
            "UPDATE customers SET search = $2 WHERE id = $1 AND search IS NULL AND changed_ms = $3";
        let rows = sqlx::query(customers_where!("WHERE c.search IS NULL ORDER BY c.id LIMIT $1"))
            .bind(limit)
            .fetch_all(self.readers())
            .await?;
        let text_of = |row: &DbRow| {
            let customer = customer_of(row)?;
            let text = search_text(&customer.fields, plan);
            Ok((customer.id, customer.changed_at, text))
        };
        let texts = rows.iter().map(text_of).collect::<Result<_, sqlx::Error>>()?;
        self.write_search_texts(UPDATE, texts).await
    }

    pub(in crate::store) async fn delete_customer(&self, id: RecordId) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM customers WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 { Err(StoreError::Missing { what: "customer" }) } else { Ok(()) }
    }
}

/// One customer.
pub(super) async fn read(db: &mut DbConnection, id: RecordId) -> Result<Option<Customer>, StoreError> {
    let row = sqlx::query(customers_where!("WHERE c.id = $1 AND ", account_is_kept!("c")))
        .bind(id)
        .fetch_optional(db)
        .await?;
    Ok(row.as_ref().map(customer_of).transpose()?)
}

/// Adds a customer with this id.
pub(super) async fn insert(
    db: &mut DbConnection,
    id: RecordId,
    customer: &CheckedCustomer,
    at: Timestamp,
) -> Result<(), StoreError> {
    let fields = &customer.fields;
    sqlx::query(
        "INSERT INTO customers (id, account_id, code, name, kana, company, department, notes, flags_json,
            created_ms, changed_ms, search)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
    )
    .bind(id)
    .bind(fields.account)
    .bind(&fields.code)
    .bind(&fields.name)
    .bind(&fields.kana)
    .bind(&fields.company)
    .bind(&fields.department)
    .bind(&fields.notes)
    .bind(flags_json(fields))
    .bind(to_ms(at))
    .bind(&customer.search)
    .execute(&mut *db)
    .await
    .map_err(|error| refusal(error, "the customer code", fields.code.as_deref()))?;
    insert_numbers(db, id, customer).await
}

/// Replaces a customer's fields and numbers.
pub(super) async fn replace(
    db: &mut DbConnection,
    id: RecordId,
    customer: &CheckedCustomer,
    at: Timestamp,
) -> Result<Customer, StoreError> {
    let fields = &customer.fields;
    let created_ms: Option<i64> = sqlx::query_scalar(
        "UPDATE customers SET account_id = $2, code = $3, name = $4, kana = $5, company = $6, department = $7,
                notes = $8, flags_json = $9, changed_ms = $10, search = $11
             WHERE id = $1 RETURNING created_ms",
    )
    .bind(id)
    .bind(fields.account)
    .bind(&fields.code)
    .bind(&fields.name)
    .bind(&fields.kana)
    .bind(&fields.company)
    .bind(&fields.department)
    .bind(&fields.notes)
    .bind(flags_json(fields))
    .bind(to_ms(at))
    .bind(&customer.search)
    .fetch_optional(&mut *db)
    .await
    .map_err(|error| refusal(error, "the customer code", fields.code.as_deref()))?;
    let created_ms = created_ms.ok_or(StoreError::Missing { what: "customer" })?;
    sqlx::query("DELETE FROM customer_numbers WHERE customer_id = $1").bind(id).execute(&mut *db).await?;
    insert_numbers(db, id, customer).await?;
    Ok(Customer { id, fields: fields.clone(), created_at: from_ms(created_ms), changed_at: at })
}

/// Keeps other transactions from the record until the end of this one, if it was not changed since `seen`.
pub(super) async fn claim(
    db: &mut DbConnection,
    id: RecordId,
    seen: Option<Timestamp>,
) -> Result<(), StoreError> {
    let Some(seen) = seen else { return Ok(()) };
    let found = sqlx::query("UPDATE customers SET changed_ms = changed_ms WHERE id = $1 AND changed_ms = $2")
        .bind(id)
        .bind(to_ms(seen))
        .execute(db)
        .await?;
    if found.rows_affected() == 0 { Err(StoreError::Changed { what: "customer" }) } else { Ok(()) }
}

async fn insert_numbers(
    db: &mut DbConnection,
    id: RecordId,
    customer: &CheckedCustomer,
) -> Result<(), StoreError> {
    for (position, number) in (0_i64..).zip(&customer.numbers) {
        sqlx::query(
            "INSERT INTO customer_numbers (account_id, key, customer_id, original, position)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(customer.fields.account)
        .bind(&number.key)
        .bind(id)
        .bind(&number.original)
        .bind(position)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

fn customer_of(row: &DbRow) -> Result<Customer, sqlx::Error> {
    Ok(Customer {
        id: row.try_get("id")?,
        fields: CustomerFields {
            account: row.try_get("account_id")?,
            code: row.try_get("code")?,
            name: row.try_get("name")?,
            kana: row.try_get("kana")?,
            company: row.try_get("company")?,
            department: row.try_get("department")?,
            notes: row.try_get("notes")?,
            flags: list_of_json(row, "flags_json")?,
            numbers: list_of_json(row, "numbers_json")?,
        },
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

fn flags_json(fields: &CustomerFields) -> String {
    serde_json::to_string(&fields.flags).unwrap_or_default()
}
