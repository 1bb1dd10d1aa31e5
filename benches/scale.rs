//! Measures the questions of the API against a year of calls.
//!
//! `make bench-scale DB=FILE` takes a database that `make scale-data` filled, a SQLite file or a PostgreSQL address. At the end
//! it removes callers' numbers and a customer, after which the database serves no further run. `SCALE_ONLY` in the environment is
//! `reads`, `figures` (a part of them), `writes`, or the beginning of the paths that are asked over HTTP, such as `/v1/stats`. Each
//! question is asked [`ROUNDS`] times. The first two lines are what everything else is measured against: `SELECT 1` through the same
//! pool, and one record by its id. After the questions to the store, each GET of the API is sent over HTTP ([`requests`]).
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

#[path = "desktops/mod.rs"]
mod desktops;
#[path = "requests/mod.rs"]
mod requests;
#[path = "../tests/year/mod.rs"]
mod year;

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use toritsugi::billing::BillingMonth;
use toritsugi::contract::call::{Direction, Outcome};
use toritsugi::contract::history::FinishedCall;
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::ids::{CallId, Extension, RecordId};
use toritsugi::numbers::NumberPlan;
use toritsugi::report::{ReportFont, Sources, gather, pages_of, pdf_of};
use toritsugi::store::erasure::{ErasureStep, LiveCalls};
use toritsugi::store::history::{HistoryCursor, HistoryFilter, PartyFilter, VisibilityFilter};
use toritsugi::store::messages::MessageFilter;
use toritsugi::store::retention::{PurgePace, PurgeTarget};
use toritsugi::store::stats::StatsOf;
use toritsugi::store::{AuditFilter, CustomerFilter, Location, PostgresAddress, Store, StoreError};

use self::year::{Size, account, busiest_customer, customer, extension, number_of, operator};

/// How often each question is asked.
const ROUNDS: usize = 200;
/// Finished calls that are recorded while the retention runs.
const RECORDED: usize = 300;
const DAY_MS: i64 = 86_400_000;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches`, `cargo bench` without a database, and `--list` measure nothing here.
    let listed = std::env::args().any(|argument| argument == "--list" || argument == "--test");
    let Some(database) = std::env::var("SCALE_DB").ok().filter(|_| !listed) else {
        println!("scale: needs a database: make bench-scale DB=FILE");
        return Ok(());
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&database))
}

/// The lines of the table.
struct Table;

impl Table {
    fn head() {
        println!(
            "{:<90} {:>10} {:>10} {:>10} {:>6} {:>10}",
            "question", "p50", "p99", "max", "rows", "target"
        );
    }

    fn line(name: &str, times: &mut [Duration], rows: usize, target: Duration) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        let (p50, p99, max) = (at(50), at(99), at(100));
        let verdict = if p99 <= target { "" } else { " MISSED" };
        println!("{name:<90} {p50:>10.1?} {p99:>10.1?} {max:>10.1?} {rows:>6} {target:>10?}{verdict}");
    }
}

async fn ask<F, R>(name: &str, target_ms: u64, question: impl Fn() -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = Result<R, StoreError>>,
    R: Rows,
{
    let (mut times, mut rows) = (Vec::with_capacity(ROUNDS), 0);
    for round in 0..ROUNDS {
        let started = Instant::now();
        match question().await {
            Ok(answer) => rows = answer.rows(),
            Err(error) => {
                println!("{name:<90} {error} after {:.1?}", started.elapsed());
                return Ok(());
            }
        }
        times.push(started.elapsed());
        // A question that takes seconds is known after a few.
        if round >= 4 && times.iter().sum::<Duration>() > Duration::from_secs(20) {
            break;
        }
    }
    Table::line(name, &mut times, rows, Duration::from_millis(target_ms));
    Ok(())
}

/// How many records an answer has.
trait Rows {
    fn rows(&self) -> usize;
}

impl<T> Rows for Vec<T> {
    fn rows(&self) -> usize {
        self.len()
    }
}

impl<T> Rows for Option<T> {
    fn rows(&self) -> usize {
        usize::from(self.is_some())
    }
}

impl Rows for () {
    fn rows(&self) -> usize {
        0
    }
}

async fn run(database: &str) -> Result<(), Box<dyn Error>> {
    let location = if database.starts_with("postgres") {
        Location::Postgres(PostgresAddress::parse(database)?)
    } else {
        Location::File(database.into())
    };
    let started = Instant::now();
    let store = Store::open_at(&location).await?;
    println!("the first open, with the upgrade where there is one: {:.1?}", started.elapsed());
    store.close().await;
    let started = Instant::now();
    let store = Store::open_at(&location).await?;
    store.all_accounts().await?;
    println!("open and read the accounts: {:.1?} (target 1s)\n", started.elapsed());
    Table::head();
    ask("SELECT 1", 50, || store.ping()).await?;
    ask("one customer by id (bare)", 50, || store.customer(RecordId(customer(77)))).await?;
    match std::env::var("SCALE_ONLY").as_deref() {
        Ok("reads") => reads(&store).await?,
        Ok("figures") => figures(&store).await?,
        Ok("writes") => writes(&store).await?,
        Ok(path) if path.starts_with('/') => requests::run(&store, path).await?,
        Ok(other) => return Err(format!("SCALE_ONLY={other}: reads, figures, writes, or a path").into()),
        Err(_) => {
            reads(&store).await?;
            writes(&store).await?;
        }
    }
    store.close().await;
    Ok(())
}

async fn reads(store: &Store) -> Result<(), Box<dyn Error>> {
    history(store).await?;
    records(store).await?;
    figures(store).await?;
    reports(store).await?;
    requests::run(store, "/").await
}

fn seen_by(people: std::ops::Range<u64>, unowned: bool) -> Option<VisibilityFilter> {
    Some(VisibilityFilter {
        extensions: people.clone().filter_map(|number| Extension::parse(&extension(number)).ok()).collect(),
        people: people.map(|number| RecordId(operator(number))).collect(),
        unowned,
    })
}

fn party(number: Option<String>, customers: &[uuid::Uuid]) -> HistoryFilter {
    let customers = customers.iter().copied().map(RecordId).collect();
    HistoryFilter { party: Some(PartyFilter { number, customers }), ..HistoryFilter::default() }
}

#[expect(clippy::too_many_lines, reason = "one line for each question")]
async fn history(store: &Store) -> Result<(), Box<dyn Error>> {
    let Size { operators, .. } = Size::FULL;
    let nobody = operators - 1..operators;
    let roles = [
        ("administrator", None),
        ("supervisor of 20", seen_by(0..20, true)),
        ("supervisor of all 200", seen_by(0..operators, true)),
        ("operator", seen_by(3..4, false)),
        ("operator without calls", seen_by(nobody.clone(), false)),
    ];
    let month = Timestamp::from_millisecond(year::BEGIN_MS + 30 * DAY_MS)?;
    let all = HistoryFilter::default;
    let extension = |number| Extension::parse(&extension(number)).ok();
    let filters = [
        ("", all()),
        ("operator", HistoryFilter { operator: extension(3), ..all() }),
        ("operator without calls", HistoryFilter { operator: extension(nobody.start), ..all() }),
        ("outcome=blocked", HistoryFilter { outcome: Some(Outcome::Blocked), ..all() }),
        ("outcome=answered", HistoryFilter { outcome: Some(Outcome::Answered), ..all() }),
        ("large account", HistoryFilter { account: Some(RecordId(account(0))), ..all() }),
        ("small account", HistoryFilter { account: Some(RecordId(account(4_999))), ..all() }),
        (
            "large account, outcome=unknown",
            HistoryFilter { account: Some(RecordId(account(0))), outcome: Some(Outcome::Unknown), ..all() },
        ),
        ("customer", HistoryFilter { customer: Some(RecordId(busiest_customer())), ..all() }),
        ("customer without calls", HistoryFilter { customer: Some(RecordId(uuid::Uuid::nil())), ..all() }),
        (
            "caller",
            HistoryFilter { account: Some(RecordId(account(0))), caller: Some(number_of(0)), ..all() },
        ),
        (
            "caller, outcome=unknown",
            HistoryFilter {
                account: Some(RecordId(account(0))),
                caller: Some(number_of(0)),
                outcome: Some(Outcome::Unknown),
                ..all()
            },
        ),
        (
            "caller, operator without calls",
            HistoryFilter {
                account: Some(RecordId(account(0))),
                caller: Some(number_of(0)),
                operator: extension(nobody.start),
                ..all()
            },
        ),
        ("number on the other side", party(Some(number_of(0)), &[])),
        (
            "two customers with tens of thousands of calls on the other side",
            party(None, &[customer(0), customer(77)]),
        ),
        ("number on the other side, none", party(Some("+819000000000".into()), &[])),
        ("outbound", HistoryFilter { direction: Some(Direction::Outbound), ..all() }),
        ("internal", HistoryFilter { direction: Some(Direction::Internal), ..all() }),
        ("before the second month", HistoryFilter { to: Some(month), ..all() }),
        (
            "operator, outcome=blocked",
            HistoryFilter { operator: extension(3), outcome: Some(Outcome::Blocked), ..all() },
        ),
    ];
    for (role, visibility) in &roles {
        for (name, filter) in &filters {
            let filter = HistoryFilter { visibility: visibility.clone(), ..filter.clone() };
            ask(&format!("history {name} as {role}"), 50, || store.history(&filter, None, 51)).await?;
        }
    }
    let middle = HistoryCursor {
        offered_ms: year::BEGIN_MS + 180 * DAY_MS,
        call: CallId::parse(&uuid::Uuid::nil().to_string())?,
    };
    let filter = all();
    ask("history in the middle of the year", 50, || store.history(&filter, Some(middle), 51)).await?;
    Ok(())
}

async fn records(store: &Store) -> Result<(), Box<dyn Error>> {
    for text in ["高橋", "髙", "たなか", "株式会社さくら", "0904827", "48271", "zzz", "存在しない名前"]
    {
        for of in [None, Some(RecordId(account(0)))] {
            let filter =
                CustomerFilter { account: of, text: Some(text.to_owned()), ..CustomerFilter::default() };
            let place = if of.is_some() { "in an account" } else { "over all accounts" };
            ask(&format!("customers q={text} {place}"), 100, || async {
                store.customers(&filter, None, 50).await.map(|page| page.items)
            })
            .await?;
        }
    }
    let number = CustomerFilter { number_key: Some(number_of(77)), ..CustomerFilter::default() };
    ask("customers of a number over all accounts", 50, || async {
        store.customers(&number, None, 50).await.map(|page| page.items)
    })
    .await?;
    for (number, calls) in [(30, "about 1,000"), (0, "33,000")] {
        ask(&format!("card of a pop: a caller with {calls} calls"), 2, || async move {
            store
                .caller_history(RecordId(account(number)), &number_of(number))
                .await
                .map(|caller| caller.customers)
        })
        .await?;
    }
    messages(store).await?;
    ask("audit", 50, || async {
        store.audit(&AuditFilter::default(), None, 51).await.map(|page| page.items)
    })
    .await?;
    let none = AuditFilter { action: "nothing.such".into(), ..AuditFilter::default() };
    ask("audit of an action without entries", 50, || async {
        store.audit(&none, None, 51).await.map(|page| page.items)
    })
    .await?;
    Ok(())
}

async fn messages(store: &Store) -> Result<(), Box<dyn Error>> {
    use toritsugi::contract::message::{Mark, MessageState, Urgency};
    let all = MessageFilter::default;
    let (large, end) =
        (Some(RecordId(account(0))), Timestamp::from_millisecond(year::BEGIN_MS + 365 * DAY_MS)?);
    // A search without a time looks back as far as the gateway lets it.
    let from = Some(Timestamp::from_millisecond(year::BEGIN_MS + 275 * DAY_MS)?);
    for (name, filter) in [
        ("", all()),
        ("of an account", MessageFilter { account: large, ..all() }),
        (
            "failed, of an account",
            MessageFilter { account: large, state: Some(MessageState::Failed), ..all() },
        ),
        ("failed", MessageFilter { state: Some(MessageState::Failed), ..all() }),
        ("urgent", MessageFilter { urgency: Some(Urgency::Urgent), ..all() }),
        ("with a mark", MessageFilter { mark: Some(Mark::Thanks), ..all() }),
        ("taken by an operator", MessageFilter { taken_by: Some(RecordId(operator(3))), ..all() }),
        ("for a contact without any", MessageFilter { contact: Some(RecordId(uuid::Uuid::nil())), ..all() }),
        ("of a number", MessageFilter { account: large, caller: Some(number_of(0)), ..all() }),
        ("of a number over all accounts", MessageFilter { caller: Some(number_of(0)), ..all() }),
        (
            "q of 90 days, found",
            MessageFilter { text: Some("折り返し".into()), from, to: Some(end), ..all() },
        ),
        (
            "q of 90 days, not found",
            MessageFilter { text: Some("存在しない言葉".into()), from, to: Some(end), ..all() },
        ),
    ] {
        ask(&format!("messages {name}"), 50, || store.messages(&filter, None, 51)).await?;
    }
    Ok(())
}

/// Counts the whole year, then reads figures of a day, a month and the year.
async fn figures(store: &Store) -> Result<(), Box<dyn Error>> {
    let (begin, day) = (year::BEGIN_MS, DAY_MS);
    let started = Instant::now();
    store.mark_stats(Timestamp::UNIX_EPOCH, Timestamp::from_millisecond(begin + 400 * day)?).await?;
    let mut bins = 0;
    loop {
        match store.build_stats(None).await {
            Ok(0) => break,
            Ok(built) => bins += built,
            // What is read from a cold disk may take longer than a question may; what was read stays in memory.
            Err(StoreError::TooSlow) => println!("counting some quarters of an hour took too long; again"),
            Err(error) => return Err(error.into()),
        }
    }
    println!("{bins} quarters of an hour counted in {:.0} s (target 300 s)", started.elapsed().as_secs_f64());
    let month = (begin + 180 * day, begin + 210 * day);
    let large = StatsOf::Accounts(Some(RecordId(account(0))));
    let one = StatsOf::Person(RecordId(operator(3)));
    for (name, of, (from, to), target) in [
        ("a month of one account", large, month, 20),
        ("a month of one operator", one, month, 50),
        ("a day of all accounts", StatsOf::Accounts(None), (month.0, month.0 + day), 100),
        ("a month of all accounts", StatsOf::Accounts(None), month, 2_000),
        ("a month of all operators", StatsOf::Operators(None), month, 2_000),
        ("the year, all together", StatsOf::Total, (begin, begin + 365 * day), 1_000),
    ] {
        ask(&format!("figures of {name}"), target, || async move {
            let groups = store.stats(of, from, to, |row| Some((row.account, row.person))).await?;
            Ok::<Vec<_>, StoreError>(groups.into_iter().collect())
        })
        .await?;
    }
    Ok(())
}

/// What is made of figures: a report and its PDF, percentiles, and how soon a call is counted.
async fn reports(store: &Store) -> Result<(), Box<dyn Error>> {
    let directory = Directory::load(store.clone(), DirectoryOptions::default()).await?;
    let sources = Sources { store, directory: &directory, dispositions: &[], whole_from: None };
    let middle = Timestamp::from_millisecond(year::BEGIN_MS + 180 * DAY_MS)?;
    let month = BillingMonth::of(middle.to_zoned(directory.time_zone().clone()).date());
    let (now, large) = (Timestamp::now(), RecordId(account(0)));
    let (mut gathered, mut written) = (Vec::new(), Vec::new());
    let font = ReportFont::load(None)?;
    let (mut pages, mut bytes) = (0, 0);
    for _ in 0..20 {
        let started = Instant::now();
        let (report, _) = gather(sources, large, month, now).await?;
        gathered.push(started.elapsed());
        let started = Instant::now();
        let pdf = pdf_of(&report, &font, now)?;
        written.push(started.elapsed());
        (pages, bytes) = (pages_of(&report, &font)?, pdf.len());
    }
    Table::line(
        "the report of a month of the busiest account",
        &mut gathered,
        20,
        Duration::from_millis(500),
    );
    let target = Duration::from_millis(300 * pages as u64);
    Table::line(&format!("its PDF: {pages} pages, {bytes} bytes"), &mut written, 20, target);
    // How soon a call that has ended is in the figures: what the daemon does every 0.75 s, within the rest of a second.
    let Some(pattern) = store.history(&HistoryFilter::default(), None, 1).await?.pop() else { return Ok(()) };
    let mut times = Vec::new();
    for _ in 0..50 {
        let id = CallId::parse(&uuid::Uuid::now_v7().to_string())?;
        store.record_call(&FinishedCall { id, ..pattern.clone() }).await?;
        let started = Instant::now();
        while store.build_stats(None).await? > 0 {}
        times.push(started.elapsed());
    }
    Table::line(
        "counting the quarters of an hour of one more call",
        &mut times,
        50,
        Duration::from_millis(250),
    );
    Ok(())
}

/// Records calls of both kinds in turn: an inbound call marks its quarter of an hour to be counted, an outbound one does not.
async fn marks(store: &Store, pattern: &FinishedCall) -> Result<(), Box<dyn Error>> {
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for _ in 0..RECORDED {
        for (direction, times) in [(Direction::Inbound, &mut inbound), (Direction::Outbound, &mut outbound)] {
            let id = CallId::parse(&uuid::Uuid::now_v7().to_string())?;
            let call = FinishedCall { id, direction, ..pattern.clone() };
            let started = Instant::now();
            store.record_call(&call).await?;
            times.push(started.elapsed());
        }
    }
    let target = Duration::from_millis(10);
    Table::line("record_call of an inbound call, which is counted", &mut inbound, RECORDED, target);
    Table::line("record_call of an outbound call, which is not", &mut outbound, RECORDED, target);
    Ok(())
}

/// Records calls while the numbers of callers before the last month are removed for the first time.
async fn writes(store: &Store) -> Result<(), Box<dyn Error>> {
    let Some(pattern) = store.history(&HistoryFilter::default(), None, 1).await?.pop() else { return Ok(()) };
    marks(store, &pattern).await?;
    let before = Timestamp::from_millisecond(year::BEGIN_MS + 335 * DAY_MS)?;
    let purging = {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut rows, mut steps, mut pace) = (0_u64, Vec::new(), PurgePace::default());
            let started = Instant::now();
            while started.elapsed() < Duration::from_secs(40) {
                let step = Instant::now();
                match store.purge(PurgeTarget::Callers, before, pace.rows()).await {
                    Ok(0) => break,
                    Ok(done) => rows += done,
                    Err(error) => println!("{error}"),
                }
                pace.record(step.elapsed());
                steps.push(step.elapsed());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (rows, steps, started.elapsed())
        })
    };
    let mut times = Vec::with_capacity(RECORDED);
    for n in 0..RECORDED {
        let id = CallId::parse(&uuid::Uuid::now_v7().to_string())?;
        let call = FinishedCall { id, offered_at: pattern.offered_at, ..pattern.clone() };
        let started = Instant::now();
        store.record_call(&call).await?;
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(100 + (n % 7) as u64)).await;
    }
    Table::line("record_call while numbers are removed", &mut times, RECORDED, Duration::from_millis(10));
    let (rows, mut steps, took) = purging.await?;
    if !steps.is_empty() {
        Table::line("one step of removing numbers", &mut steps, rows as usize, Duration::from_millis(50));
        println!("{rows} numbers removed in {:.0} s", took.as_secs_f64());
    }
    let started = Instant::now();
    store.forget_customer(RecordId(busiest_customer()), &NumberPlan::default(), Timestamp::now()).await?;
    Table::line("delete a customer with 1,000 calls", &mut [started.elapsed()], 1, Duration::from_millis(50));
    erase(store, &pattern).await
}

/// Removes what the deleted customer left, while calls are recorded.
async fn erase(store: &Store, pattern: &FinishedCall) -> Result<(), Box<dyn Error>> {
    let erasing = {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut rows, mut steps, mut pace) = (0_u64, Vec::new(), PurgePace::default());
            // As if a minute had gone by, after which no call with the customer is live.
            let now = Timestamp::now() + jiff::SignedDuration::from_mins(2);
            loop {
                let step = Instant::now();
                let live = LiveCalls::Known(&[]);
                match store.erase_step(pace.rows(), live, &NumberPlan::default(), now).await {
                    Ok(ErasureStep::Idle) => break,
                    Ok(ErasureStep::Done(done)) => rows += done,
                    Ok(_) => {}
                    Err(error) => println!("{error}"),
                }
                pace.record(step.elapsed());
                steps.push(step.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (rows, steps)
        })
    };
    let mut times = Vec::new();
    while !erasing.is_finished() || times.len() < 20 {
        let id = CallId::parse(&uuid::Uuid::now_v7().to_string())?;
        let call = FinishedCall { id, offered_at: pattern.offered_at, ..pattern.clone() };
        let started = Instant::now();
        store.record_call(&call).await?;
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(20 + (times.len() % 7) as u64)).await;
    }
    let recorded = times.len();
    Table::line("record_call while a customer is erased", &mut times, recorded, Duration::from_millis(10));
    let (rows, mut steps) = erasing.await?;
    Table::line("one step of erasing a customer", &mut steps, rows as usize, Duration::from_millis(50));
    Ok(())
}
