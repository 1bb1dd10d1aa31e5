//! Measures how long the look-up of a call's card takes among a million customers in SQLite.
//!
//! `cargo bench --bench lookup` makes a database with [`CUSTOMERS`] customers of [`ACCOUNTS`] accounts through the
//! CSV import, then calls [`Directory::card`] for [`CALLS`] callers in random order, most of them known. The table shows
//! each look-up beside a bare read of one record by its id on the same database, in the same run.
//!
//! The target is p99 <= 1 ms for the card. `LOOKUP_CUSTOMERS=10000` makes it a quick run.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::error::Error;
use std::hint::black_box;
use std::io::{Cursor, Write};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use toritsugi::directory::import::{ImportKind, ImportOptions, TextEncoding};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::identity::{Caller, DialledSource, DiversionSource, Identity, Presentation};
use toritsugi::ids::RecordId;
use toritsugi::store::{CustomerFilter, Store};

const CUSTOMERS: u64 = 1_000_000;
const ACCOUNTS: u64 = 500;
const CALLS: u64 = 50_000;
/// Number of customers among ten callers.
const KNOWN_OF_TEN: u64 = 8;
const TARGET_P99: Duration = Duration::from_millis(1);

/// A pseudo-random generator with a fixed seed: each run looks up the same callers.
struct Random(u64);

impl Random {
    /// The next number below `bound` (xorshift64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test --benches` and `--list` do not run the bench.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let customers = std::env::var("LOOKUP_CUSTOMERS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUSTOMERS);
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("toritsugi.db");
    let directory = Directory::load(Store::open(&path).await?, DirectoryOptions::default()).await?;
    import(&directory, ImportKind::Accounts, accounts_csv()?).await?;
    let started = Instant::now();
    import(&directory, ImportKind::Customers, customers_csv(customers)?).await?;
    let took = started.elapsed();
    println!(
        "import: {customers} customers in {:.1} s, {:.0} a second; {} MiB on disk",
        took.as_secs_f64(),
        f64::from(u32::try_from(customers)?) / took.as_secs_f64(),
        std::fs::metadata(&path)?.len() >> 20,
    );

    let identities = calls(customers);
    let ids = some_ids(&directory).await?;
    // Warm up, so that neither side pays for the first access to the file.
    for identity in identities.iter().take(5_000) {
        directory.card(&directory.identify(identity, None), Timestamp::now()).await?;
    }
    let mut bare = Vec::with_capacity(identities.len());
    let mut identify = Vec::with_capacity(identities.len());
    let mut card = Vec::with_capacity(identities.len());
    let mut found = 0_usize;
    let mut random = Random(7);
    for identity in &identities {
        let id = ids[usize::try_from(random.below(ids.len() as u64))?];
        let started = Instant::now();
        black_box(directory.store().customer(id).await?);
        bare.push(started.elapsed());
        let started = Instant::now();
        let account = black_box(directory.identify(identity, None));
        identify.push(started.elapsed());
        let started = Instant::now();
        let found_card = directory.card(&account, Timestamp::now()).await?;
        card.push(started.elapsed());
        found += usize::from(!found_card.customers.is_empty());
    }
    println!("{found} of {} callers were known\n", identities.len());
    println!("{:<34} {:>10} {:>10} {:>10} {:>8}", "lookup", "p50", "p99", "max", "ratio");
    let base = percentile(&mut bare, 50);
    for (name, times) in
        [("one record by id (bare)", &mut bare), ("account from memory", &mut identify), ("card", &mut card)]
    {
        let (p50, p99, max) = (percentile(times, 50), percentile(times, 99), percentile(times, 100));
        let ratio = p50.as_secs_f64() / base.as_secs_f64();
        println!("{name:<34} {p50:>10.1?} {p99:>10.1?} {max:>10.1?} {ratio:>8.2}");
    }
    let p99 = percentile(&mut card, 99);
    let verdict = if p99 <= TARGET_P99 { "met" } else { "MISSED" };
    println!("\ntarget: card p99 <= {TARGET_P99:?}: {verdict}");
    Ok(())
}

async fn import(directory: &Directory, kind: ImportKind, csv: Vec<u8>) -> Result<(), Box<dyn Error>> {
    let options = ImportOptions { kind, encoding: TextEncoding::Utf8, dry_run: false };
    directory.import(Cursor::new(csv), options, Timestamp::UNIX_EPOCH).await?;
    Ok(())
}

fn accounts_csv() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut csv = b"code,name,kana,answer_phrase,forwarding\n".to_vec();
    for n in 0..ACCOUNTS {
        writeln!(csv, "A{n},株式会社第{n}商事,だい{n}しょうじ,第{n}商事でございます。,033{n:07}")?;
    }
    Ok(csv)
}

fn customers_csv(customers: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut csv = b"account,code,name,kana,company,number,number2,notes\n".to_vec();
    for n in 0..customers {
        let (account, number) = (account_of(n), number_of(n));
        let second = if n % 4 == 0 { format!("06{:08}", n % 100_000_000) } else { String::new() };
        writeln!(
            csv,
            "A{account},C{n},田中{n}郎,たなか{n}ろう,第{n}工業,{number},{second},折り返しは午後に。"
        )?;
    }
    Ok(csv)
}

fn account_of(customer: u64) -> u64 {
    customer % ACCOUNTS
}

/// Spreads the numbers over the whole mobile range, so that adjacent customers are not adjacent in the index.
fn number_of(customer: u64) -> String {
    format!("090{:08}", customer.wrapping_mul(48_271) % 100_000_000)
}

fn calls(customers: u64) -> Vec<Identity> {
    let mut random = Random(42);
    let one = |random: &mut Random| {
        let customer = random.below(customers);
        let known = random.below(10) < KNOWN_OF_TEN;
        let number = if known { number_of(customer) } else { format!("080{:08}", random.below(100_000_000)) };
        Identity {
            dialled: vec![(DialledSource::To, "0355501000".into())],
            diverted_by: vec![(DiversionSource::Diversion, format!("033{:07}", account_of(customer)).into())],
            caller: Caller::new(Some(&number), None, Presentation::Allowed),
        }
    };
    (0..CALLS).map(|_| one(&mut random)).collect()
}

/// Ids from many accounts.
async fn some_ids(directory: &Directory) -> Result<Vec<RecordId>, Box<dyn Error>> {
    let mut ids = Vec::new();
    for account in directory.store().all_accounts().await?.0.iter().take(50) {
        let filter = CustomerFilter { account: Some(account.id), ..CustomerFilter::default() };
        let page = directory.store().customers(&filter, None, 200).await?;
        ids.extend(page.items.iter().map(|customer| customer.id));
    }
    Ok(ids)
}

/// The time within which `percent` of the look-ups finish.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or_default()
}
