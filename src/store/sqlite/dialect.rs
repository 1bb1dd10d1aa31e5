//! The SQL that differs in SQLite.

use crate::ids::RecordId;
use crate::store::upgrade::Step;

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

/// The segments of the call `c`, in order, as one JSON text: a row costs more on its way than most are worth.
macro_rules! segments_of_call {
    () => {
        "(SELECT json_group_array(json_array(s.kind, s.operator, s.target, s.from_ms, s.until_ms, s.result) ORDER BY s.ordinal)
            FROM call_segments AS s WHERE s.call_id = c.id)"
    };
}

/// The after-call work of the call `c`, as one JSON text.
macro_rules! wrap_ups_of_call {
    () => {
        "(SELECT json_group_array(json_array(hex(w.user_id), w.since_ms, w.ended_ms) ORDER BY w.user_id, w.since_ms)
            FROM wrap_ups AS w WHERE w.call_id = c.id)"
    };
}

/// Before and after a bound JSON array of texts: its items, as rows with the text as `value`.
pub(super) const JSON_TEXTS: (&str, &str) = ("json_each(", ")");
/// Between statements whose rows are those of all of them, in the order of the whole, and after the last: each is walked in
/// the order of its index, side by side with the others, until there are enough.
pub(super) const INTERSECTED_WITH: (&str, &str) = (" INTERSECT SELECT ", "");
/// After a value of a row that is selected and not inserted: its type, an id or a number, where nothing else tells it.
pub(super) const AS_ID: &str = "";
pub(super) const AS_NUMBER: &str = "";
/// Rows of one text, few enough that the connection keeps it prepared.
pub(super) const ROWS_PER_SCRIPT: usize = 12;
/// Rows of one statement. One with several keeps what it changed in a journal of its own until it ends.
pub(super) const ROWS_PER_STATEMENT: usize = 1;
/// Whether a subquery of a join may name the tables before it.
pub(super) const HAS_LATERAL: bool = false;

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
        search = iif($8, excluded.search, NULL)
    RETURNING id";

/// The places of the rows that would change nothing. $1 the batch; $2 to $7 whether the file has the columns kana, company,
/// department, notes, flags, numbers.
pub(super) const UNCHANGED_CUSTOMERS: &str = "
    SELECT row.key FROM json_each($1) AS row CROSS JOIN customers AS c
    WHERE c.account_id = unhex(row.value ->> 1) AND c.code = row.value ->> 2 AND c.name = row.value ->> 3
        AND (NOT $2 OR c.kana = row.value ->> 4) AND (NOT $3 OR c.company IS row.value ->> 5)
        AND (NOT $4 OR c.department IS row.value ->> 6) AND (NOT $5 OR c.notes IS row.value ->> 7)
        AND (NOT $6 OR c.flags_json = row.value ->> 8)
        AND (NOT $7 OR row.value -> 9 = (SELECT json_group_array(json_array(n.key, n.original) ORDER BY n.position)
            FROM customer_numbers AS n WHERE n.customer_id = c.id))";

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
pub(super) const END_IMPORT: &str = "PRAGMA cache_size = -65536";

/// Names the index that a statement must use, so that its plan does not depend on statistics: SQLite guesses that any
/// equality is rare, also that of a column with three values.
macro_rules! indexed_by {
    ($index:literal) => {
        concat!(" INDEXED BY ", $index, " ")
    };
}

/// How the named step of an upgrade is done (`store/upgrade`).
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn upgrade_step(name: &str) -> Option<Step> {
    Some(match name {
        "calls_by_direction" => Step::Statements(&[
            "CREATE INDEX calls_by_direction ON calls (direction, offered_ms, id)",
            "DROP INDEX IF EXISTS calls_outbound",
        ]),
        "calls_by_outcome" => Step::Statements(&[
            "CREATE INDEX calls_by_outcome ON calls (direction, outcome, offered_ms, id) WHERE outcome <> 'answered'",
        ]),
        "calls_of_account" => Step::Statements(&[
            "CREATE INDEX calls_of_account ON calls (account_id, direction, offered_ms, id, outcome)",
            "DROP INDEX IF EXISTS calls_by_account",
        ]),
        "calls_of_customer" => Step::Statements(&[
            "CREATE INDEX calls_of_customer ON calls (customer_id, offered_ms, id) WHERE customer_id IS NOT NULL",
            "DROP INDEX IF EXISTS calls_by_customer",
        ]),
        "calls_identified" => Step::Statements(&["CREATE INDEX calls_identified ON calls (offered_ms)
            WHERE caller_key IS NOT NULL OR customer_id IS NOT NULL"]),
        "wrap_ups_noted" => {
            Step::Statements(&["CREATE INDEX wrap_ups_noted ON wrap_ups (ended_ms) WHERE notes IS NOT NULL"])
        }
        "customer_numbers_by_key" => {
            Step::Statements(&["CREATE INDEX customer_numbers_by_key ON customer_numbers (key, customer_id)"])
        }
        "contacts_by_id" => Step::Statements(&["CREATE INDEX contacts_by_id ON contacts (account_id, id)"]),
        "calls_by_number" => Step::Statements(&[
            "CREATE INDEX calls_by_number ON calls (caller_key, offered_ms, id) WHERE caller_key IS NOT NULL",
        ]),
        "calls_by_called_number" => Step::Statements(&[
            "CREATE INDEX calls_by_called_number ON calls (dialled, offered_ms, id) WHERE direction = 'outbound'",
        ]),
        "stat_marks" => Step::Statements(&[
            "INSERT INTO stat_marks (bin_ms, pbx, is_wide) SELECT DISTINCT offered_ms - offered_ms % 900000, pbx, FALSE
                FROM calls WHERE direction = 'inbound'",
            "INSERT INTO stat_marks (bin_ms, pbx, is_wide) SELECT DISTINCT created_ms - created_ms % 900000, pbx, FALSE
                FROM messages",
        ]),
        "segments_by_target" => Step::Statements(&[
            "CREATE INDEX segments_by_target ON call_segments (target) WHERE target IS NOT NULL",
        ]),
        "messages_by_customer" => Step::Statements(&[
            "CREATE INDEX messages_by_customer ON messages (customer_id) WHERE customer_id IS NOT NULL",
        ]),
        "call_operators" => Step::CallOperators,
        "call_operators_by_outcome" => Step::Statements(&["CREATE INDEX call_operators_by_outcome
            ON call_operators (who, direction, outcome, offered_ms, call_id) WHERE outcome <> 'answered'"]),
        "messages_open_of_caller" => Step::Statements(&[
            "CREATE INDEX messages_open_of_caller ON messages (account_id, caller_key, created_ms)
            WHERE caller_key IS NOT NULL AND state <> 'acknowledged' AND deleted_ms IS NULL",
        ]),
        "messages_of_account_by_state" => Step::Statements(&[
            "CREATE INDEX messages_of_account_by_state ON messages (account_id, state, created_ms, id)",
        ]),
        "messages_of_rare_kinds" => Step::Statements(&[
            "CREATE INDEX messages_by_kind ON messages (kind, created_ms, id) WHERE kind <> 'message'",
            "CREATE INDEX messages_by_urgency ON messages (urgency, created_ms, id) WHERE urgency <> 'normal'",
            "CREATE INDEX messages_held ON messages (hold_until_ms) WHERE hold_until_ms IS NOT NULL",
        ]),
        "call_operators_unowned_answered" => {
            Step::Statements(&["CREATE INDEX call_operators_unowned_answered
                ON call_operators (direction, offered_ms, call_id) WHERE who = '-' AND outcome = 'answered'"])
        }
        "customer_texts" => Step::CustomerTexts,
        "message_texts" => Step::MessageTexts,
        "stats_of_account" => Step::Statements(&[
            "CREATE INDEX stats_of_account ON stats (account_id, bin_ms, counters)",
            "DROP INDEX IF EXISTS stats_by_account",
        ]),
        "operator_stats_of_user" => Step::Statements(&[
            "CREATE INDEX operator_stats_of_user ON operator_stats (user_id, bin_ms, account_id, counters)",
            "DROP INDEX IF EXISTS operator_stats_by_user",
        ]),
        _ => return None,
    })
}

/// $1 the time after which, $2 the time up to which calls get their rows.
pub(super) const FILL_CALL_OPERATORS: &[&str] = &[
    "INSERT OR IGNORE INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
        SELECT 'e' || value, direction, offered_ms, c.id, outcome, account_id
        FROM calls AS c CROSS JOIN json_each(c.operators_json) WHERE offered_ms > $1 AND offered_ms <= $2",
    "INSERT OR IGNORE INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
        SELECT 'n' || value, direction, offered_ms, c.id, outcome, account_id
        FROM calls AS c CROSS JOIN json_each(c.operators_json)
        WHERE offered_ms > $1 AND offered_ms <= $2 AND handled_by_json IS NULL",
    "INSERT OR IGNORE INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
        SELECT 'p' || value, direction, offered_ms, c.id, outcome, account_id
        FROM calls AS c CROSS JOIN json_each(c.handled_by_json) WHERE offered_ms > $1 AND offered_ms <= $2",
    "INSERT OR IGNORE INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
        SELECT '-', direction, offered_ms, id, outcome, account_id
        FROM calls WHERE offered_ms > $1 AND offered_ms <= $2 AND operators_json = '[]'",
];

/// $1 the id after which, $2 the id up to which customers get their words.
pub(super) const FILL_CUSTOMER_TEXTS: &[&str] = &[
    "INSERT OR IGNORE INTO customer_rows (customer_id)
        SELECT id FROM customers WHERE id > $1 AND id <= $2 ORDER BY id",
    "INSERT INTO customer_texts (rowid, words)
        SELECT number, words FROM customer_words WHERE customer_id > $1 AND customer_id <= $2
        AND NOT EXISTS (SELECT 1 FROM customer_texts_docsize WHERE id = number)",
];

/// $1 the id after which, $2 the id up to which messages get their words.
pub(super) const FILL_MESSAGE_TEXTS: &[&str] = &[
    "INSERT OR IGNORE INTO message_rows (message_id)
        SELECT id FROM messages WHERE id > $1 AND id <= $2 ORDER BY id",
    "INSERT INTO message_texts (rowid, words)
        SELECT number, words FROM message_words WHERE message_id > $1 AND message_id <= $2
        AND NOT EXISTS (SELECT 1 FROM message_texts_docsize WHERE id = number)",
];

/// Up to $5 messages that may contain a text. $1 the account; the words of the text: $2 folded, $3 its digits, $4 as it was
/// written.
pub(super) const MATCHING_MESSAGES: &str = "SELECT r.message_id FROM message_texts AS t CROSS JOIN message_rows AS r
    WHERE t.message_texts MATCH $2 || coalesce(' OR ' || $3, '') || coalesce(' OR ' || $4, '') AND r.number = t.rowid
        AND ($1 IS NULL OR TRUE) LIMIT $5";

/// The text of a question for the words of a text index: those of `text`, which is folded, and the account's.
pub(super) fn text_words(account: Option<RecordId>, text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let quoted = |word: &[char]| format!("\"{}\"", word.iter().collect::<String>().replace('"', "\"\""));
    let mut words: Vec<String> = match chars.len() {
        // A shorter text is the beginning of a word.
        0..=2 => vec![quoted(&chars) + "*"],
        _ => chars.windows(3).map(quoted).collect(),
    };
    words.extend(account.map(|account| format!("\"\u{1}{:X}\"", account.0.simple())));
    format!("({})", words.join(" AND "))
}

/// The rest of a query of customers by text. $1 the account; $2 the words of the text, $8 those of the digits; $3 the
/// customer after whom the page begins; $4 the folded text, $6 the digits; $5 the limit; $7 the text as it was written.
/// In the order of `customer_rows`, which is that of creation: the index gives its answers in this order, and a page ends
/// the search.
macro_rules! search_customers {
    () => {
        "JOIN (
            SELECT * FROM (
                SELECT r.number, w.id FROM customer_texts AS t CROSS JOIN customer_rows AS r CROSS JOIN customers AS w
                WHERE t.customer_texts MATCH iif($8 IS NULL, $2, $2 || ' OR ' || $8)
                    AND t.rowid > coalesce((SELECT number FROM customer_rows WHERE customer_id <= $3
                        ORDER BY customer_id DESC LIMIT 1), 0)
                    AND r.number = t.rowid AND w.id = r.customer_id
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = w.account_id)
                    AND ($1 IS NULL OR w.account_id = $1)
                    AND (instr(w.search, $4) > 0 OR ($6 IS NOT NULL AND instr(w.search, $6) > 0))
                ORDER BY t.rowid LIMIT $5)
            UNION ALL SELECT * FROM (
                SELECT r.number, w.id FROM customers AS w INDEXED BY customers_unfolded CROSS JOIN customer_rows AS r
                WHERE w.search IS NULL AND r.customer_id = w.id
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = w.account_id)
                    AND ($1 IS NULL OR w.account_id = $1)
                    AND r.number > coalesce((SELECT number FROM customer_rows WHERE customer_id <= $3
                        ORDER BY customer_id DESC LIMIT 1), 0)
                    AND (instr(w.name, $7) > 0 OR instr(w.kana, $7) > 0 OR instr(w.company, $7) > 0)
                ORDER BY r.number LIMIT $5)
        ) AS found ON found.id = c.id ORDER BY found.number LIMIT $5"
    };
}

/// In parentheses, the ids of up to $5 accounts or contacts with a text, by the text index and in the order of creation: `$account`
/// is the column of their account. $1 the words of the text, $6 those of the digits; $2 the folded text, $3 the digits; $4 the text
/// as it was written, with which rows that are not folded yet are compared.
macro_rules! searched_ids {
    ($table:literal, $one:literal, $account:literal) => {
        concat!(
            "(SELECT id FROM (
                SELECT w.id FROM ",
            $one,
            "_texts AS t CROSS JOIN ",
            $one,
            "_rows AS r CROSS JOIN ",
            $table,
            " AS w
                WHERE t.",
            $one,
            "_texts MATCH iif($6 IS NULL, $1, $1 || ' OR ' || $6)
                    AND r.number = t.rowid AND w.id = r.",
            $one,
            "_id
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = ",
            $account,
            ")
                    AND (instr(w.search, $2) > 0 OR ($3 IS NOT NULL AND instr(w.search, $3) > 0))
                ORDER BY t.rowid LIMIT $5)
            UNION SELECT id FROM (
                SELECT w.id FROM ",
            $table,
            " AS w INDEXED BY ",
            $table,
            "_unfolded
                WHERE w.search IS NULL
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = ",
            $account,
            ")
                    AND (instr(w.name, $4) > 0 OR instr(w.kana, $4) > 0)
                ORDER BY w.id LIMIT $5))"
        )
    };
}

/// After a query whose rows the same statement changes: this database has one writer, so nobody else takes them.
macro_rules! for_this_writer {
    ($of:literal) => {
        $of
    };
}
