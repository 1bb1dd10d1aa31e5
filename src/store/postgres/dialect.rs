//! The SQL that differs in PostgreSQL.

/// Aggregates texts to one JSON array.
macro_rules! json_list {
    ($of:literal) => {
        concat!("coalesce(json_agg(", $of, "), '[]')::text")
    };
}

/// The items of a JSON array of texts, as rows with the text as `value`.
macro_rules! json_items {
    ($of:literal) => {
        concat!("(SELECT item AS value FROM jsonb_array_elements_text(", $of, "::jsonb) AS items (item))")
    };
}

/// $1 the batch; $2 the time; $3 to $7 whether the file has the columns kana, company, department, notes, flags; $8 whether
/// it has all that a search compares: otherwise the daemon folds the row again.
pub(super) const UPSERT_CUSTOMERS: &str = "
    INSERT INTO customers (id, account_id, code, name, kana, company, department, notes, flags_json, created_ms,
        changed_ms, search)
    SELECT (value ->> 0)::uuid, (value ->> 1)::uuid, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
        value ->> 6, value ->> 7, value ->> 8, $2, $2, value ->> 10
    FROM jsonb_array_elements($1::jsonb) AS line (value)
    ON CONFLICT (account_id, code) WHERE code IS NOT NULL DO UPDATE SET name = excluded.name,
        kana = CASE WHEN $3 THEN excluded.kana ELSE customers.kana END,
        company = CASE WHEN $4 THEN excluded.company ELSE customers.company END,
        department = CASE WHEN $5 THEN excluded.department ELSE customers.department END,
        notes = CASE WHEN $6 THEN excluded.notes ELSE customers.notes END,
        flags_json = CASE WHEN $7 THEN excluded.flags_json ELSE customers.flags_json END,
        changed_ms = excluded.changed_ms, search = CASE WHEN $8 THEN excluded.search END";

/// $1 the batch.
pub(super) const DELETE_NUMBERS: &str = "
    DELETE FROM customer_numbers WHERE customer_id IN (
        SELECT c.id FROM jsonb_array_elements($1::jsonb) AS line (value) JOIN customers AS c
        ON c.account_id = (line.value ->> 1)::uuid AND c.code = line.value ->> 2)";

/// $1 the batch.
pub(super) const INSERT_NUMBERS: &str = "
    INSERT INTO customer_numbers (account_id, key, customer_id, original, position)
    SELECT c.account_id, number.value ->> 0, c.id, number.value ->> 1, number.place - 1
    FROM jsonb_array_elements($1::jsonb) AS line (value)
    JOIN customers AS c ON c.account_id = (line.value ->> 1)::uuid AND c.code = line.value ->> 2
    CROSS JOIN LATERAL jsonb_array_elements(line.value -> 9) WITH ORDINALITY AS number (value, place)";

/// An import has no statement timeout.
pub(super) const BEGIN_IMPORT: &str = "SET LOCAL statement_timeout = 0";
/// The setting ends with the transaction.
pub(super) const END_IMPORT: &str = "SELECT 1";

/// After a query whose rows the same statement changes: rows that another daemon takes at this moment are left to it.
macro_rules! for_this_writer {
    ($of:literal) => {
        concat!($of, " FOR UPDATE SKIP LOCKED")
    };
}
