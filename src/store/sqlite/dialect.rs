//! The SQL that differs in SQLite.

/// Aggregates texts to one JSON array.
macro_rules! json_list {
    ($of:literal) => {
        concat!("json_group_array(", $of, ")")
    };
}

/// The items of a JSON array of texts, as rows with the text as `value`.
macro_rules! json_items {
    ($of:literal) => {
        concat!("json_each(", $of, ")")
    };
}

/// $1 the batch; $2 the time; $3 to $7 whether the file has the columns kana, company, department, notes, flags; $8 whether
/// it has all that a search compares: otherwise the daemon folds the row again.
pub(super) const UPSERT_CUSTOMERS: &str = "
    INSERT INTO customers (id, account_id, code, name, kana, company, department, notes, flags_json, created_ms,
        changed_ms, search)
    SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5,
        value ->> 6, value ->> 7, value ->> 8, $2, $2, value ->> 10
    FROM json_each($1) WHERE true
    ON CONFLICT (account_id, code) WHERE code IS NOT NULL DO UPDATE SET name = excluded.name,
        kana = iif($3, excluded.kana, kana), company = iif($4, excluded.company, company),
        department = iif($5, excluded.department, department), notes = iif($6, excluded.notes, notes),
        flags_json = iif($7, excluded.flags_json, flags_json), changed_ms = excluded.changed_ms,
        search = iif($8, excluded.search, NULL)";

/// $1 the batch.
pub(super) const DELETE_NUMBERS: &str = "
    DELETE FROM customer_numbers WHERE customer_id IN (
        SELECT c.id FROM json_each($1) AS row CROSS JOIN customers AS c
        WHERE c.account_id = unhex(row.value ->> 1) AND c.code = row.value ->> 2)";

/// $1 the batch.
pub(super) const INSERT_NUMBERS: &str = "
    INSERT INTO customer_numbers (account_id, key, customer_id, original, position)
    SELECT c.account_id, number.value ->> 0, c.id, number.value ->> 1, number.key
    FROM json_each($1) AS row CROSS JOIN customers AS c CROSS JOIN json_each(row.value, '$[9]') AS number
    WHERE c.account_id = unhex(row.value ->> 1) AND c.code = row.value ->> 2";

/// Numbers come in no order and touch pages all over the index: with the usual cache each page would be written to
/// the write-ahead log and read again many times.
pub(super) const BEGIN_IMPORT: &str = "PRAGMA cache_size = -524288";
/// The usual cache, as in `open.rs`.
pub(super) const END_IMPORT: &str = "PRAGMA cache_size = -16384";

/// After a query whose rows the same statement changes: this database has one writer, so nobody else takes them.
macro_rules! for_this_writer {
    ($of:literal) => {
        $of
    };
}
