//! Plans: no statement of the store costs more the more calls there are.
//!
//! The statements are not listed by hand. A second run of this test binary carries out the tests of the store and what
//! stands on it, and writes down each statement that a database received ([`record_statements`]). A statement is the
//! store's when it begins with a literal of the store's own sources; a literal that began no statement is explained as it
//! stands, and fails the test if it is only a part of one, because then a statement would go unseen. Each is explained on
//! both databases, filled with a generated month.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::history::{HistoryCursor, HistoryFilter, PARTY_CUSTOMERS_MAX, PartyFilter, VisibilityFilter};
use super::messages::{MessageCursor, MessageFilter};
use super::{CustomerFilter, Location, PostgresAddress, Store};
use crate::contract::call::{Direction, Outcome};
use crate::contract::records::search::fold;
use crate::ids::{Extension, RecordId};
use crate::year::sink::Sink;
use crate::year::{Made, Size, account, busiest_customer, customer, extension, make, number_of, operator};

/// The file to which a run writes the statements that it makes.
const STATEMENTS_FILE: &str = "TORITSUGI_STATEMENTS";

/// Tables that grow with the calls, the customers or the time.
const GROWING: &[&str] = &[
    "calls",
    "call_segments",
    "call_operators",
    "customers",
    "customer_numbers",
    "customer_changes",
    "customer_rows",
    "customer_texts",
    "customer_words",
    "message_rows",
    "message_texts",
    "message_words",
    "contacts",
    "contact_rows",
    "contact_texts",
    "contact_words",
    "account_rows",
    "account_texts",
    "account_words",
    "messages",
    "faxes",
    "voice_messages",
    "deliveries",
    "delivery_log",
    "digests",
    "digest_items",
    "message_revisions",
    "bounces",
    "message_endpoints",
    "suspended_addresses",
    "wrap_ups",
    "operator_history",
    "supervision_log",
    "audit",
    "events",
    "webhook_outbox",
    "stats",
    "queue_stats",
    "operator_stats",
    "stat_bins",
    "closed_bills",
    "closed_reports",
    "service_mails",
    "alarms",
    "erased_calls",
    "erased_messages",
];

/// Statements that read a whole table or index that grows, each with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("SELECT count(*) FROM messages", "an export counts for the audit trail what it then reads whole"),
    (
        "SELECT * FROM audit WHERE substr",
        "in the order of its pages; see docs/operations.md for a long trail",
    ),
    ("INSERT INTO stat_marks (bin_ms, pbx, is_wide) SELECT DISTINCT", "a step of an upgrade, once"),
    ("SELECT id, receiver, event", "the outbox is bounded by [webhooks] and read up to a limit"),
    ("SELECT * FROM webhook_outbox", "the outbox is bounded by [webhooks] and read up to a limit"),
];

/// Statements that find a few rows among all by one index (or by another, behind a bar), and the column that the index must
/// be searched by: of one dialect, where the other spells it differently. An index that is walked from end to end is no
/// scan of a table, and is as slow.
const SEARCHED: &[(&str, Option<&str>, &str, &str)] = &[
    ("SELECT id FROM calls WHERE customer_id", None, "calls_of_customer", "customer_id"),
    ("SELECT id FROM calls WHERE account_id", None, "calls_by_caller|calls_by_number", "caller_key"),
    ("SELECT id FROM calls WHERE direction", Some("postgres"), "calls_by_called_number", "dialled"),
    ("SELECT id FROM calls INDEXED BY", Some("sqlite"), "calls_by_called_number", "dialled"),
    ("SELECT s.call_id, s.ordinal FROM call_segments", None, "segments_by_target", "target"),
    ("UPDATE calls SET customer_id = $2", None, "calls_of_customer", "customer_id"),
    ("UPDATE messages SET customer_id = $2", None, "messages_by_customer", "customer_id"),
    ("SELECT id FROM messages WHERE customer_id", None, "messages_by_customer", "customer_id"),
    ("SELECT id FROM messages WHERE account_id", None, "messages_by_caller", "caller_key"),
    ("SELECT m.id FROM messages AS m WHERE", Some("postgres"), "messages_by_sender", "from_key"),
    ("SELECT m.id FROM messages AS m INDEXED BY", Some("sqlite"), "messages_by_sender", "from_key"),
    ("SELECT call_id FROM erased_calls", None, "erased_calls_by_customer", "customer_id"),
    ("SELECT past.*, known.* FROM", None, "messages_open_of_caller|messages_by_caller", "caller_key"),
    ("SELECT DISTINCT near.id", None, "calls_by_caller|calls_by_number", "caller_key"),
];

/// Writes down each statement from now on, if this process was asked to.
pub(crate) fn record_statements() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(path) = std::env::var_os(STATEMENTS_FILE) else { return };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        let layer = Recorder { file: Mutex::new(file) }.with_filter(
            tracing_subscriber::filter::Targets::new().with_target("sqlx::query", tracing::Level::DEBUG),
        );
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
    });
}

struct Recorder {
    file: Mutex<std::fs::File>,
}

#[derive(Default)]
struct Statement {
    summary: String,
    whole: String,
}

impl Visit for Statement {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let text = if statement.whole.is_empty() { statement.summary } else { statement.whole };
        let line = serde_json::to_string(&text).unwrap() + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).unwrap();
    }
}

fn normal(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The statements of a run of the other tests.
fn recorded() -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("statements");
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["store::", "directory::", "messages::", "--skip", "plan_tests", "--skip", "a_full_disk"])
        .env(STATEMENTS_FILE, &file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let mut statements = BTreeSet::new();
    for line in text.lines() {
        // Several statements in one turn (`sqlite/script.rs`).
        let texts = serde_json::from_str::<String>(line).unwrap();
        statements.extend(texts.split(";\n").map(normal));
    }
    assert!(statements.len() > 100, "{}", String::from_utf8_lossy(&run.stdout));
    statements
}

/// The string literals of a source file before its tests, of those that begin a statement.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                chars.by_ref().find(|c| *c == '\n');
            }
            '\'' => {
                let mut ahead = chars.clone();
                let (first, second) = (ahead.next(), ahead.next());
                if second == Some('\'') || first == Some('\\') {
                    chars.next();
                    chars.by_ref().find(|c| *c == '\'');
                }
            }
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some('n') => text.push('\n'),
                            Some('\n') => text.push(' '),
                            Some(other) => text.push(other),
                            None => break,
                        },
                        other => text.push(other),
                    }
                }
                found.push(normal(&text));
            }
            _ => {}
        }
    }
    let begins = |text: &String| {
        ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|verb| text.starts_with(verb))
            && text.len() > 12
            // Put together by `format!`.
            && !text.contains('{')
    };
    found.into_iter().filter(begins).collect()
}

/// The sources of statements: `dialect.rs`, and `sql.rs` with what stands beside it.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            found.extend(files(&path));
        } else if name == "dialect.rs"
            || dir.join("sql.rs").exists() && !["mod.rs", "tests.rs"].contains(&name)
        {
            found.push(path);
        }
    }
    found
}

/// The beginnings of the store's statements in one dialect.
fn beginnings(dialect: &str, other: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let own = files(&root).into_iter().filter(|path| !path.starts_with(root.join(other)));
    let found: BTreeSet<String> =
        own.flat_map(|path| literals(&std::fs::read_to_string(path).unwrap())).collect();
    assert!(found.len() > 80, "{dialect}: {found:?}");
    found
}

/// The table behind each name that a statement uses.
fn names(sql: &str) -> BTreeMap<String, String> {
    let words: Vec<&str> =
        sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    let mut found = BTreeMap::new();
    for (n, word) in words.iter().enumerate() {
        if GROWING.contains(word) {
            found.insert((*word).to_owned(), (*word).to_owned());
            if words.get(n + 1) == Some(&"AS")
                && let Some(alias) = words.get(n + 2)
            {
                found.insert((*alias).to_owned(), (*word).to_owned());
            }
        }
    }
    found
}

/// What is wrong with the plan that SQLite makes.
fn sqlite_faults(sql: &str, plan: &[String]) -> Vec<String> {
    let names = names(sql);
    let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE FOR ORDER BY"));
    let is_page = sql.contains("LIMIT") && !sorts;
    let is_fault = |line: &&String| {
        let Some(rest) = line.strip_prefix("SCAN ") else { return false };
        let name = rest.split(' ').next().unwrap_or_default();
        let is_match = rest.contains("VIRTUAL TABLE INDEX") && rest.contains(":M");
        // Holds only the records that are left to fold.
        let is_left_over = rest.ends_with("_unfolded");
        let is_in_order = rest.contains(" USING ") && is_page;
        names.contains_key(name) && !(is_match || is_left_over || is_in_order)
    };
    let mut faults: Vec<String> = plan.iter().filter(is_fault).cloned().collect();
    // What is intersected is walked in the order of the indexes, and not gathered first.
    if sql.contains(" INTERSECT ") && !plan.iter().any(|line| line == "MERGE (INTERSECT)") {
        faults.push("an intersection that is not merged".to_owned());
    }
    faults
}

/// What is wrong with the plan that PostgreSQL makes when it avoids scans of tables: what it scans all the same, no index
/// can find. Which index it takes depends on its statistics, and a generated month is too small to tell.
fn postgres_faults(plan: &[String]) -> Vec<String> {
    let is_fault = |line: &&String| {
        let scanned =
            line.split_once("Seq Scan on ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        scanned.is_some_and(|table| GROWING.contains(&table))
    };
    plan.iter().filter(is_fault).cloned().collect()
}

/// Whether a plan searches `index` by `column`: SQLite names the column in the line of the index, PostgreSQL in the next one.
fn is_searched_by(plan: &[String], index: &str, column: &str) -> bool {
    let is_searched = |n: usize| {
        let is_by = |line: &str| column.split('|').any(|column| line.contains(column));
        let condition = |line: &String| line.contains("Index Cond") && is_by(line);
        plan[n].contains("SEARCH") && is_by(&plan[n]) || plan.get(n + 1).is_some_and(condition)
    };
    let is_used = |line: &str| index.split('|').any(|index| line.contains(index));
    (0..plan.len()).any(|n| is_used(&plan[n]) && is_searched(n))
}

fn allowed(sql: &str) -> bool {
    ALLOWED.iter().any(|(beginning, _)| sql.starts_with(beginning))
}

async fn sqlite_plan(db: &mut SqliteConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(db).await?;
    rows.iter().map(|row| row.try_get("detail")).collect()
}

async fn postgres_explain(db: &mut PgConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    let words = sql.split(|c: char| !(c == '$' || c.is_ascii_digit()));
    let parameters: BTreeSet<&str> = words.filter(|word| word.len() > 1 && word.starts_with('$')).collect();
    let nulls = vec!["NULL"; parameters.len()].join(", ");
    let values = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let text = format!("PREPARE one AS {sql}; EXPLAIN (COSTS OFF) EXECUTE one {values}");
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).fetch_all(&mut *db).await;
    let _ = sqlx::raw_sql("DEALLOCATE one").execute(db).await;
    rows?.iter().map(|row| row.try_get(0)).collect()
}

/// The parameter whose type the server cannot find out. The daemon says the type of each value.
fn untyped(error: &sqlx::Error) -> Option<String> {
    let text = error.to_string();
    let rest = text.split("could not determine data type of parameter ").nth(1)?;
    Some(rest.chars().take_while(|c| *c == '$' || c.is_ascii_digit()).collect())
}

/// The plan for any values, not for these.
async fn postgres_plan(db: &mut PgConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut sql = sql.to_owned();
    loop {
        let error = match postgres_explain(db, &sql).await {
            Ok(plan) => return Ok(plan),
            Err(error) => error,
        };
        let Some(parameter) = untyped(&error) else { return Err(error) };
        let mut typed = None;
        for kind in ["uuid", "bigint", "text"] {
            let next = sql.replace(&format!("{parameter} IS NULL"), &format!("{parameter}::{kind} IS NULL"));
            let tried = postgres_explain(db, &next).await;
            if tried.is_ok()
                || tried.is_err_and(|error| untyped(&error).is_some_and(|other| other != parameter))
            {
                typed = Some(next);
                break;
            }
        }
        let Some(next) = typed else { return Err(error) };
        sql = next;
    }
}

async fn sqlite_year(dir: &Path) -> (PathBuf, Made) {
    let path = dir.join("year.db");
    Store::open(&path).await.unwrap().close().await;
    let mut sink = Sink::sqlite(SqliteConnectOptions::new().filename(&path).connect().await.unwrap());
    let made = make(Size::SMALL, fold, &mut sink).await.unwrap();
    sink.close().await.unwrap();
    (path, made)
}

async fn postgres_year() -> (String, Made) {
    let address = crate::backends::postgres().empty_database().await;
    let location = Location::Postgres(PostgresAddress::parse(&address).unwrap());
    Store::open_at(&location).await.unwrap().close().await;
    let mut sink = Sink::postgres(address.parse::<PgConnectOptions>().unwrap().connect().await.unwrap());
    let made = make(Size::SMALL, fold, &mut sink).await.unwrap();
    sink.close().await.unwrap();
    (address, made)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_a_table_that_grows() {
    let statements = tokio::task::spawn_blocking(recorded).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = sqlite_year(dir.path()).await;
    let mut sqlite = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let (address, _) = postgres_year().await;
    let mut postgres = address.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::raw_sql("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
        .execute(&mut postgres)
        .await
        .unwrap();
    let (mut faults, mut searched) = (String::new(), BTreeSet::new());
    for (dialect, other) in [("sqlite", "postgres"), ("postgres", "sqlite")] {
        let beginnings = beginnings(dialect, other);
        let mut unseen = beginnings.clone();
        // A literal that no test of the store made a statement of is explained as it stands.
        let mut explained = statements.clone();
        explained.extend(
            beginnings.iter().filter(|text| !statements.iter().any(|sql| sql.starts_with(*text))).cloned(),
        );
        for sql in &explained {
            let of: Vec<_> =
                beginnings.iter().filter(|beginning| sql.starts_with(beginning.as_str())).collect();
            if of.is_empty() {
                continue;
            }
            // A statement of the other dialect fails here.
            let plan = match dialect {
                "sqlite" => sqlite_plan(&mut sqlite, sql).await,
                _ => postgres_plan(&mut postgres, sql).await,
            };
            let Ok(plan) = plan else { continue };
            for beginning in of {
                unseen.remove(beginning);
            }
            let found = if dialect == "sqlite" { sqlite_faults(sql, &plan) } else { postgres_faults(&plan) };
            let is_meant = |(beginning, of, ..): &&(&str, Option<&str>, &str, &str)| {
                sql.starts_with(beginning) && of.is_none_or(|of| of == dialect)
            };
            for (_, _, index, column) in SEARCHED.iter().filter(is_meant) {
                searched.insert((dialect, *index));
                if !is_searched_by(&plan, index, column) {
                    writeln!(faults, "{dialect}: not by {index}: {sql}\n    {}\n", plan.join("\n    "))
                        .unwrap();
                }
            }
            if !found.is_empty() && !allowed(sql) {
                writeln!(faults, "{dialect}: {sql}\n    {}\n", plan.join("\n    ")).unwrap();
            }
        }
        for beginning in unseen {
            writeln!(faults, "{dialect}: nothing explains this statement: {beginning}\n").unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
    let indexes: BTreeSet<&str> = SEARCHED.iter().map(|(_, _, index, _)| *index).collect();
    assert_eq!(searched.len(), 2 * indexes.len(), "{searched:?}");
}

async fn pages(store: &Store, filter: &HistoryFilter) -> u64 {
    let (mut cursor, mut seen) = (None, BTreeSet::new());
    loop {
        let page = store.history(filter, cursor, 97).await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Some(HistoryCursor::of(last));
        for call in &page {
            assert!(seen.insert(call.id.uuid()), "{filter:?}");
        }
    }
    seen.len() as u64
}

/// Reads a generated month back by each filter of the API, page by page, and counts.
async fn read_back(store: &Store, made: &Made) {
    let all = HistoryFilter::default();
    let inbound: u64 = made.inbound_by_outcome.values().sum();
    assert_eq!(pages(store, &all).await, inbound);
    let outbound = HistoryFilter { direction: Some(Direction::Outbound), ..all.clone() };
    assert_eq!(pages(store, &outbound).await, made.outbound);
    for (outcome, name) in [
        (Outcome::Answered, "answered"),
        (Outcome::Abandoned, "abandoned"),
        (Outcome::Overflowed, "overflowed"),
        (Outcome::Closed, "closed"),
        (Outcome::Blocked, "blocked"),
        (Outcome::Unknown, "unknown"),
    ] {
        let filter = HistoryFilter { outcome: Some(outcome), ..all.clone() };
        assert_eq!(
            pages(store, &filter).await,
            made.inbound_by_outcome.get(name).copied().unwrap_or(0),
            "{name}"
        );
    }
    for number in 0..Size::SMALL.operators {
        let filter = HistoryFilter { operator: Extension::parse(&extension(number)).ok(), ..all.clone() };
        let of = made.inbound_by_extension.get(&extension(number)).copied().unwrap_or(0);
        assert_eq!(pages(store, &filter).await, of, "{number}");
        let visibility = VisibilityFilter {
            people: vec![RecordId(operator(number))],
            extensions: vec![Extension::parse(&extension(number)).unwrap()],
            unowned: false,
        };
        let own = HistoryFilter { visibility: Some(visibility.clone()), ..all.clone() };
        assert_eq!(pages(store, &own).await, of, "{number}");
        let both = HistoryFilter { visibility: Some(visibility), ..filter };
        assert_eq!(pages(store, &both).await, of, "{number}");
    }
    let everybody = VisibilityFilter {
        people: (0..300).map(|number| RecordId(operator(number))).collect(),
        extensions: (0..300).map(|number| Extension::parse(&extension(number)).unwrap()).collect(),
        unowned: true,
    };
    let nobody = VisibilityFilter { unowned: true, ..VisibilityFilter::default() };
    let seen_by =
        |visibility: &VisibilityFilter| HistoryFilter { visibility: Some(visibility.clone()), ..all.clone() };
    assert_eq!(pages(store, &seen_by(&everybody)).await, inbound);
    assert_eq!(pages(store, &seen_by(&nobody)).await, made.inbound_unowned);
    assert_eq!(pages(store, &seen_by(&VisibilityFilter::default())).await, 0);
    for number in 0..Size::SMALL.accounts {
        let of = made.inbound_by_account.get(&account(number)).copied().unwrap_or(0);
        let filter = HistoryFilter { account: Some(RecordId(account(number))), ..all.clone() };
        assert_eq!(pages(store, &filter).await, of, "{number}");
        let seen = HistoryFilter { visibility: Some(everybody.clone()), ..filter };
        assert_eq!(pages(store, &seen).await, of, "{number}");
    }
    let customer = HistoryFilter { customer: Some(RecordId(busiest_customer())), ..all.clone() };
    assert_eq!(pages(store, &customer).await, made.calls_of_busiest);
    let caller =
        HistoryFilter { account: Some(RecordId(account(0))), caller: Some(number_of(0)), ..all.clone() };
    assert_eq!(pages(store, &caller).await, made.calls_of_busiest);
    parties(store, made).await;
    let card = store.caller_history(RecordId(account(0)), &number_of(0)).await.unwrap();
    assert_eq!(card.history.calls, made.calls_of_busiest);
    messages(store, made).await;
    searches(store, made).await;
}

/// By who was on the other side: a number over all accounts, one customer, and many.
async fn parties(store: &Store, made: &Made) {
    let of = |number: Option<String>, customers: std::ops::Range<u64>| {
        let customers = customers.map(|number| RecordId(customer(number))).collect();
        HistoryFilter { party: Some(PartyFilter { number, customers }), ..HistoryFilter::default() }
    };
    assert_eq!(pages(store, &of(Some(number_of(0)), 0..0)).await, made.calls_of_busiest);
    assert_eq!(pages(store, &of(None, 0..1)).await, made.calls_of_busiest);
    let mut of_each = 0;
    for number in 0..40 {
        of_each += pages(store, &of(None, number..number + 1)).await;
    }
    assert_eq!(pages(store, &of(None, 0..40)).await, of_each);
    let many = of(Some(number_of(0)), 0..u64::from(PARTY_CUSTOMERS_MAX));
    assert!(pages(store, &many).await > of_each);
    pages(store, &HistoryFilter { direction: Some(Direction::Outbound), ..many.clone() }).await;
    let seen = VisibilityFilter {
        people: (0..6).map(|number| RecordId(operator(number))).collect(),
        ..VisibilityFilter::default()
    };
    let account = Some(RecordId(account(0)));
    pages(store, &HistoryFilter { visibility: Some(seen), account, ..many }).await;
}

async fn messages(store: &Store, made: &Made) {
    let (mut cursor, mut count, mut of_busiest) = (None, 0, 0);
    loop {
        let page = store.messages(&MessageFilter::default(), cursor, 97).await.unwrap();
        let Some(last) = page.last() else { break };
        cursor = Some(MessageCursor::of(last));
        count += page.len() as u64;
        of_busiest += page.iter().filter(|m| m.customer == Some(RecordId(busiest_customer()))).count() as u64;
    }
    assert_eq!((count, of_busiest), (made.rows["messages"], made.messages_of_busiest));
}

async fn found(store: &Store, account: Option<u64>, text: &str) -> Vec<crate::contract::records::Customer> {
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let filter = CustomerFilter {
            account: account.map(|number| RecordId(crate::year::account(number))),
            text: Some(text.to_owned()),
            ..CustomerFilter::default()
        };
        let page = store.customers(&filter, after, 41).await.unwrap();
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Texts of one, two and more characters, digits, and parts of a word, over all accounts and in one.
async fn searches(store: &Store, made: &Made) {
    assert_eq!(found(store, None, "髙橋").await.len() as u64, made.takahashi);
    let every = store.customers(&CustomerFilter::default(), None, 500).await.unwrap();
    assert!(every.next.is_some());
    for text in [
        "橋",
        "高橋",
        "たかはし",
        "タカハシタロウ",
        "ﾀｶﾊｼ",
        "会社さく",
        "090",
        "0904827",
        "c14",
        "+81 90-0004-8271",
        "zzzz",
        "無",
    ] {
        let (folded, digits) = (fold(text), crate::contract::records::search::fold_number(text));
        let mut expected = BTreeMap::<RecordId, usize>::new();
        let mut after = None;
        loop {
            let page = store.customers(&CustomerFilter::default(), after, 500).await.unwrap();
            for customer in &page.items {
                let plan = crate::numbers::NumberPlan::default();
                let search = crate::contract::records::search::search_text(&customer.fields, &plan);
                if search.contains(&folded) || digits.as_ref().is_some_and(|digits| search.contains(digits)) {
                    *expected.entry(customer.fields.account).or_default() += 1;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found(store, None, text).await.len(), expected.values().sum::<usize>(), "{text}");
        for number in [0, 7] {
            let of = expected.get(&RecordId(account(number))).copied().unwrap_or(0);
            assert_eq!(found(store, Some(number), text).await.len(), of, "{text} of {number}");
        }
    }
}

#[tokio::test]
async fn a_generated_month_is_read_back_as_it_was_made_from_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let (path, made) = sqlite_year(dir.path()).await;
    read_back(&Store::open(&path).await.unwrap(), &made).await;
}

#[tokio::test]
async fn a_generated_month_is_read_back_as_it_was_made_from_postgres() {
    let (address, made) = postgres_year().await;
    let location = Location::Postgres(PostgresAddress::parse(&address).unwrap());
    read_back(&Store::open_at(&location).await.unwrap(), &made).await;
}
