//! The SQL that differs in PostgreSQL.

use crate::ids::RecordId;
use crate::store::upgrade::Step;

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

/// The segments of the call `c`, in order, as one JSON text: a row costs more on its way than most are worth.
macro_rules! segments_of_call {
    () => {
        "(SELECT coalesce(json_agg(json_build_array(s.kind, s.operator, s.target, s.from_ms, s.until_ms, s.result) ORDER BY s.ordinal), '[]')::text
            FROM call_segments AS s WHERE s.call_id = c.id)"
    };
}

/// The after-call work of the call `c`, as one JSON text.
macro_rules! wrap_ups_of_call {
    () => {
        "(SELECT coalesce(json_agg(json_build_array(w.user_id, w.since_ms, w.ended_ms) ORDER BY w.user_id, w.since_ms), '[]')::text
            FROM wrap_ups AS w WHERE w.call_id = c.id)"
    };
}

/// Before and after a bound JSON array of texts: its items, as rows with the text as `value`.
pub(super) const JSON_TEXTS: (&str, &str) =
    ("(SELECT item AS value FROM jsonb_array_elements_text(", "::jsonb) AS items (item))");
/// Between statements whose rows of `c` are those of all of them, and after each: a join, for which the planner has more ways
/// than for INTERSECT.
pub(super) const INTERSECTED_WITH: (&str, &str) = (" AND (c.offered_ms, c.id) IN (SELECT ", ")");
/// After a value of a row that is selected and not inserted: its type, an id or a number, where nothing else tells it.
pub(super) const AS_ID: &str = "::uuid";
pub(super) const AS_NUMBER: &str = "::bigint";
/// Rows of one script, and of one statement: each statement waits for an answer.
pub(super) const ROWS_PER_SCRIPT: usize = ROWS_PER_STATEMENT;
pub(super) const ROWS_PER_STATEMENT: usize = 64;
/// Whether a subquery of a join may name the tables before it.
pub(super) const HAS_LATERAL: bool = true;

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
        changed_ms = excluded.changed_ms, search = CASE WHEN $8 THEN excluded.search END
    RETURNING id";

/// The places of the rows that would change nothing. $1 the batch; $2 to $7 whether the file has the columns kana, company,
/// department, notes, flags, numbers.
pub(super) const UNCHANGED_CUSTOMERS: &str = "
    SELECT line.place - 1 FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS line (value, place)
    JOIN customers AS c ON c.account_id = (line.value ->> 1)::uuid AND c.code = line.value ->> 2
    WHERE c.name = line.value ->> 3 AND (NOT $2 OR c.kana = line.value ->> 4)
        AND (NOT $3 OR c.company IS NOT DISTINCT FROM line.value ->> 5)
        AND (NOT $4 OR c.department IS NOT DISTINCT FROM line.value ->> 6)
        AND (NOT $5 OR c.notes IS NOT DISTINCT FROM line.value ->> 7) AND (NOT $6 OR c.flags_json = line.value ->> 8)
        AND (NOT $7 OR line.value -> 9 = coalesce(
            (SELECT jsonb_agg(jsonb_build_array(n.key, n.original) ORDER BY n.position)
             FROM customer_numbers AS n WHERE n.customer_id = c.id), '[]'::jsonb))";

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

/// What takes long by its nature (an import, a step of an upgrade, a start) has no statement timeout.
pub(super) const BEGIN_IMPORT: &str = "SET LOCAL statement_timeout = 0";
/// The setting ends with the transaction.
pub(super) const END_IMPORT: &str = "SELECT 1";

/// Nothing: PostgreSQL has statistics, and no hints.
macro_rules! indexed_by {
    ($index:literal) => {
        " "
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
        // An expression's statistics come with ANALYZE, and without them the planner thinks that each word is rare.
        "customer_texts" => Step::Statements(&[
            "CREATE INDEX customer_texts ON customers USING gin (search_words(search))
             WITH (gin_pending_list_limit = 256)",
            "ANALYZE customers",
            "ANALYZE calls",
            "ANALYZE call_operators",
        ]),
        "message_texts" => Step::Statements(&[
            "CREATE INDEX message_texts ON messages USING gin (search_words(coalesce(search, text)))
             WITH (gin_pending_list_limit = 256)",
            "ANALYZE messages",
        ]),
        "stats_of_account" => Step::Statements(&[
            "CREATE INDEX stats_of_account ON stats (account_id, bin_ms) INCLUDE (pbx, counters)",
            "DROP INDEX IF EXISTS stats_by_account",
        ]),
        "operator_stats_of_user" => Step::Statements(&[
            "CREATE INDEX operator_stats_of_user ON operator_stats (user_id, bin_ms) INCLUDE (pbx, account_id, counters)",
            "DROP INDEX IF EXISTS operator_stats_by_user",
        ]),
        _ => return None,
    })
}

/// $1 the time after which, $2 the time up to which calls get their rows.
pub(super) const FILL_CALL_OPERATORS: &[&str] =
    &["INSERT INTO call_operators (who, direction, offered_ms, call_id, outcome, account_id)
        SELECT who, direction, offered_ms, id, outcome, account_id
        FROM calls CROSS JOIN LATERAL whose_call(operators_json, handled_by_json) AS owners (who)
        WHERE offered_ms > $1 AND offered_ms <= $2 ON CONFLICT DO NOTHING"];

/// The text index of this dialect is one statement.
pub(super) const FILL_CUSTOMER_TEXTS: &[&str] = &[];

/// The text index of this dialect is one statement.
pub(super) const FILL_MESSAGE_TEXTS: &[&str] = &[];

/// Up to $5 messages that may contain a text. $1 the account; the words of the text: $2 folded, $3 its digits, $4 as it was
/// written.
pub(super) const MATCHING_MESSAGES: &str = "SELECT id FROM ((SELECT m.id FROM messages AS m
        WHERE search_words(coalesce(m.search, m.text)) @> string_to_array($2, E'\n')
            AND ($1 IS NULL OR m.account_id = $1) LIMIT $5)
    UNION (SELECT m.id FROM messages AS m
        WHERE search_words(coalesce(m.search, m.text)) @> string_to_array($3, E'\n')
            AND ($1 IS NULL OR m.account_id = $1) LIMIT $5)
    UNION (SELECT m.id FROM messages AS m
        WHERE search_words(coalesce(m.search, m.text)) @> string_to_array($4, E'\n')
            AND ($1 IS NULL OR m.account_id = $1) LIMIT $5)) AS matching LIMIT $5";

/// The words of the text index that a folded text contains, a line each.
pub(super) fn text_words(_account: Option<RecordId>, text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let words: Vec<String> =
        chars.windows(chars.len().clamp(1, 3)).map(|word| word.iter().collect()).collect();
    words.join("\n")
}

/// The rest of a query of customers by text. $1 the account; $2 the words of the text, $8 those of the digits; $3 the
/// customer after whom the page begins; $4 the folded text, $6 the digits; $5 the limit; $7 the text as it was written.
/// Each condition is a part of its own: behind an OR the words of every row that the index finds would be made again, which
/// took 85 µs each.
macro_rules! search_customers {
    () => {
        "JOIN (
            SELECT id FROM ((SELECT w.id FROM customers AS w
                WHERE search_words(w.search) @> string_to_array($2, E'\n') AND instr(w.search, $4) > 0
                    AND ($1 IS NULL OR w.account_id = $1) AND ($3 IS NULL OR w.id > $3)
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = w.account_id)
                ORDER BY w.id LIMIT $5)
            UNION (SELECT w.id FROM customers AS w
                WHERE search_words(w.search) @> string_to_array($8, E'\n') AND instr(w.search, $6) > 0
                    AND ($1 IS NULL OR w.account_id = $1) AND ($3 IS NULL OR w.id > $3)
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = w.account_id)
                ORDER BY w.id LIMIT $5)
            UNION (SELECT w.id FROM customers AS w
                WHERE w.search IS NULL AND (instr(w.name, $7) > 0 OR instr(w.kana, $7) > 0 OR instr(w.company, $7) > 0)
                    AND ($1 IS NULL OR w.account_id = $1) AND ($3 IS NULL OR w.id > $3)
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = w.account_id)
                ORDER BY w.id LIMIT $5)) AS matching
            ORDER BY id LIMIT $5) AS found ON found.id = c.id ORDER BY c.id LIMIT $5"
    };
}

/// In parentheses, the ids of up to $5 accounts or contacts with a text, by the text index and in the order of creation: `$account`
/// is the column of their account. $1 the words of the text, $6 those of the digits; $2 the folded text, $3 the digits; $4 the text
/// as it was written, with which rows that are not folded yet are compared. Each condition is a part of its own, as for customers.
macro_rules! searched_ids {
    ($table:literal, $one:literal, $account:literal) => {
        concat!(
            "(SELECT id FROM ((SELECT w.id FROM ",
            $table,
            " AS w
                WHERE w.search IS NOT NULL AND search_words(w.search) @> string_to_array($1, E'\n')
                    AND instr(w.search, $2) > 0
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = ",
            $account,
            ")
                ORDER BY w.id LIMIT $5)
            UNION (SELECT w.id FROM ",
            $table,
            " AS w
                WHERE w.search IS NOT NULL AND search_words(w.search) @> string_to_array($6, E'\n')
                    AND instr(w.search, $3) > 0
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = ",
            $account,
            ")
                ORDER BY w.id LIMIT $5)
            UNION (SELECT w.id FROM ",
            $table,
            " AS w
                WHERE w.search IS NULL AND (instr(w.name, $4) > 0 OR instr(w.kana, $4) > 0)
                    AND NOT EXISTS (SELECT 1 FROM account_removals AS gone WHERE gone.account_id = ",
            $account,
            ")
                ORDER BY w.id LIMIT $5)) AS matching ORDER BY id LIMIT $5)"
        )
    };
}

/// After a query whose rows the same statement changes: rows that another daemon takes at this moment are left to it.
macro_rules! for_this_writer {
    ($of:literal) => {
        concat!($of, " FOR UPDATE SKIP LOCKED")
    };
}
