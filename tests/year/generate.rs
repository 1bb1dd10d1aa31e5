//! `make scale-data`: fills a new database with a generated year.
//!
//! ```text
//! scale-data FILE|postgres://… [--calls N] [--customers N] [--accounts N] [--operators N] [--days N] [--seed N]
//! ```
//!
//! Beside a file, or in the working directory for PostgreSQL, it leaves `….made.json`: what it made, as it counted it.
#![expect(clippy::print_stdout, reason = "a command prints what it does")]

#[path = "mod.rs"]
mod year;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use toritsugi::contract::records::search::fold;
use toritsugi::store::{Location, PostgresAddress, Store};

use self::year::sink::Sink;
use self::year::{Size, make};

const USAGE: &str = "scale-data FILE|postgres://… [--calls N] [--customers N] [--accounts N] [--operators N] [--days N] [--seed N]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().ok_or(USAGE)?;
    let mut size = Size::FULL;
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?.parse()?;
        match option.as_str() {
            "--calls" => size.calls = value,
            "--customers" => size.customers = value,
            "--accounts" => size.accounts = value,
            "--operators" => size.operators = value,
            "--days" => size.days = value,
            "--seed" => size.seed = value,
            _ => return Err(USAGE.into()),
        }
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(fill(&target, size))
}

async fn fill(target: &str, size: Size) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let (location, beside) = if target.starts_with("postgres") {
        (Location::Postgres(PostgresAddress::parse(target)?), PathBuf::from("scale-data.made.json"))
    } else {
        (Location::File(target.into()), PathBuf::from(format!("{target}.made.json")))
    };
    // Makes the tables.
    Store::open_at(&location).await?.close().await;
    let mut sink = match &location {
        Location::File(path) => Sink::sqlite(SqliteConnectOptions::new().filename(path).connect().await?),
        Location::Postgres(_) => Sink::postgres(target.parse::<PgConnectOptions>()?.connect().await?),
    };
    let made = make(size, fold, &mut sink).await?;
    sink.close().await?;
    std::fs::write(&beside, serde_json::to_string_pretty(&(size, &made))?)?;
    for (table, rows) in &made.rows {
        println!("{table:<20} {rows:>12}");
    }
    println!(
        "filled {location} in {:.0} s; what was made is in {}",
        started.elapsed().as_secs_f64(),
        beside.display()
    );
    Ok(())
}
