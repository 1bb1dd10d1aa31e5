//! A plausible year of an answering service, written straight into a database of the current schema: calls of all outcomes
//! over the hours of real weeks, their segments, after-call work, states, supervisions, messages, audit entries, and
//! customers with several numbers.
//!
//! Invariant: the same [`Size`] makes the same rows. [`Made`] counts them while they are made, apart from the database:
//! a test holds the store's answers against it.
//!
//! | part | is |
//! |---|---|
//! | `mod.rs` | what is made |
//! | [`sink`] | rows on their way into SQLite or PostgreSQL |
//! | `generate.rs` | `make scale-data` |
//!
//! The tests of the store use a small year, `benches/scale.rs` a whole one.
#![allow(dead_code, reason = "each binary uses its own part")]
#![allow(unreachable_pub, reason = "it is a module of several binaries")]

pub mod sink;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::sink::{Sink, Table, Value};
use self::words::{COMPANIES, FAMILY_NAMES, GIVEN_NAMES, NOTES};

/// Midnight of 2025-04-01 (a Tuesday) in Tokyo, in milliseconds since 1970.
pub const BEGIN_MS: i64 = 1_743_433_200_000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// How much is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Finished calls.
    pub calls: u64,
    /// Customers of all accounts.
    pub customers: u64,
    /// Accounts.
    pub accounts: u64,
    /// Operators, of whom the last two have no call.
    pub operators: u64,
    /// Days over which the calls are spread.
    pub days: u64,
    /// Another seed makes another year of the same size.
    pub seed: u64,
}

impl Size {
    /// A year of a large service.
    pub const FULL: Self =
        Self { calls: 5_000_000, customers: 1_000_000, accounts: 5_000, operators: 200, days: 365, seed: 1 };
    /// Enough that a scan differs from a search, for tests.
    pub const SMALL: Self =
        Self { calls: 4_000, customers: 1_500, accounts: 20, operators: 12, days: 30, seed: 1 };
}

/// What was made, counted beside the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// Inbound calls of each outcome.
    pub inbound_by_outcome: BTreeMap<String, u64>,
    /// Inbound calls that each extension had.
    pub inbound_by_extension: BTreeMap<String, u64>,
    /// Inbound calls that no operator had.
    pub inbound_unowned: u64,
    /// Inbound calls of each account.
    pub inbound_by_account: BTreeMap<Uuid, u64>,
    /// Outbound calls.
    pub outbound: u64,
    /// Calls of the customer who calls most, [`busiest_customer`].
    pub calls_of_busiest: u64,
    /// Messages about that customer.
    pub messages_of_busiest: u64,
    /// Customers with the family name 高橋, however it is written.
    pub takahashi: u64,
}

/// The id of a generated record: its kind, and its number within that kind.
#[must_use]
pub fn id(kind: u64, number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(kind) << 40 | u128::from(number))
}

/// The account with this number.
#[must_use]
pub fn account(number: u64) -> Uuid {
    id(0xa, number)
}

/// The customer with this number.
#[must_use]
pub fn customer(number: u64) -> Uuid {
    id(0xc, number)
}

/// The customer who calls most: every [`BUSIEST_EVERY`]th call, up to [`BUSIEST_CALLS_MAX`].
#[must_use]
pub fn busiest_customer() -> Uuid {
    customer(0)
}

/// The person who is operator `number`.
#[must_use]
pub fn operator(number: u64) -> Uuid {
    id(0xd, number)
}

/// That person's extension.
#[must_use]
pub fn extension(number: u64) -> String {
    (1001 + number).to_string()
}

/// The first number of a customer, as a key.
#[must_use]
pub fn number_of(customer: u64) -> String {
    format!("+8190{:08}", customer.wrapping_mul(48_271) % 100_000_000)
}

const BUSIEST_EVERY: u64 = 40;
const BUSIEST_CALLS_MAX: u64 = 1_000;

/// A pseudo-random generator (splitmix64): the same seed, the same year.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A number below `bound`, the small ones more often.
    fn skewed(&mut self, bound: u64) -> u64 {
        let part = (self.next() >> 40) as f64 / (1_u64 << 24) as f64;
        ((bound as f64) * part.powi(3)) as u64
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[(self.next() % of.len() as u64) as usize]
    }

    fn uuid(&mut self) -> Uuid {
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// Writes a year into the empty database behind `sink`. `fold` is the library's `contract::records::search::fold`: the
/// tests of the library itself call it by another path than a bench does.
///
/// # Errors
/// The database cannot be written.
pub async fn make(size: Size, fold: fn(&str) -> String, sink: &mut Sink) -> Result<Made, sqlx::Error> {
    let mut year = Year { size, fold, random: Random::new(size.seed), made: Made::default(), busiest: 0 };
    sink.begin().await?;
    year.people(sink).await?;
    year.directory(sink).await?;
    year.calls(sink).await?;
    sink.finish().await?;
    year.made.rows = sink.rows().clone();
    Ok(year.made)
}

struct Year {
    size: Size,
    fold: fn(&str) -> String,
    random: Random,
    made: Made,
    busiest: u64,
}

/// Milliseconds of each call's beginning in one day, oldest first.
fn times_of_day(random: &mut Random, day: u64, calls: u64) -> Vec<i64> {
    /// How many of 1,000 calls come in each hour of the day.
    const HOURS: [u64; 24] =
        [3, 2, 2, 1, 1, 2, 6, 20, 50, 110, 120, 95, 70, 95, 90, 85, 80, 70, 45, 25, 12, 8, 5, 3];
    let mut times: Vec<i64> = (0..calls)
        .map(|_| {
            let mut place = random.below(1_000);
            let hour = HOURS.iter().position(|part| match place.checked_sub(*part) {
                Some(rest) => {
                    place = rest;
                    false
                }
                None => true,
            });
            let hour = i64::try_from(hour.unwrap_or(12)).unwrap_or(12);
            BEGIN_MS
                + i64::try_from(day).unwrap_or(0) * DAY_MS
                + hour * HOUR_MS
                + random.below(3_600_000) as i64
        })
        .collect();
    times.sort_unstable();
    times
}

/// How many of the year's calls come on each day: few on Saturdays, fewer on Sundays.
fn calls_of_days(size: Size) -> Vec<u64> {
    // Day 0 is a Tuesday.
    let weight = |day: u64| match (day + 2) % 7 {
        0 => 15,
        6 => 40,
        1 => 120,
        _ => 100,
    };
    let total: u64 = (0..size.days).map(weight).sum();
    let (mut made, mut before) = (0, 0);
    (0..size.days)
        .map(|day| {
            before += weight(day);
            let until = size.calls * before / total;
            let today = until - made;
            made = until;
            today
        })
        .collect()
}

impl Year {
    async fn people(&mut self, sink: &mut Sink) -> Result<(), sqlx::Error> {
        let teams = self.size.operators.div_ceil(20);
        for team in 0..teams {
            sink.row(Table::Teams, vec![Value::Id(id(0xe, team)), Value::text(format!("{}班", team + 1))])
                .await?;
        }
        for number in 0..self.size.operators {
            let name = format!("{}{number}", FAMILY_NAMES[number as usize % FAMILY_NAMES.len()].0);
            sink.row(
                Table::Users,
                vec![
                    Value::Id(operator(number)),
                    Value::text(name),
                    Value::text("operator"),
                    Value::text(extension(number)),
                    Value::Id(id(0xe, number / 20)),
                    Value::Int(BEGIN_MS),
                    Value::Int(BEGIN_MS),
                ],
            )
            .await?;
        }
        Ok(())
    }

    async fn directory(&mut self, sink: &mut Sink) -> Result<(), sqlx::Error> {
        for number in 0..self.size.accounts {
            let company = format!("{}{number}", self.random.pick(COMPANIES));
            let phrase = format!("{company}でございます。");
            sink.row(
                Table::Accounts,
                vec![
                    Value::Id(account(number)),
                    Value::text(format!("A{number}")),
                    Value::text(company),
                    Value::text(phrase),
                    Value::Int(BEGIN_MS),
                    Value::Int(BEGIN_MS),
                ],
            )
            .await?;
            sink.row(
                Table::AccountNumbers,
                vec![
                    Value::text("forwarding"),
                    Value::text(format!("+8133{number:07}")),
                    Value::Id(account(number)),
                    Value::text(format!("033{number:07}")),
                ],
            )
            .await?;
        }
        for number in 0..self.size.customers {
            self.customer(number, sink).await?;
        }
        Ok(())
    }

    async fn customer(&mut self, number: u64, sink: &mut Sink) -> Result<(), sqlx::Error> {
        let account = account(number % self.size.accounts);
        let (family, family_kana) = *self.random.pick(FAMILY_NAMES);
        let (given, given_kana) = *self.random.pick(GIVEN_NAMES);
        let (name, kana) = (format!("{family}{given}"), format!("{family_kana}{given_kana}"));
        self.made.takahashi += u64::from(matches!(family, "高橋" | "髙橋"));
        let company =
            (!number.is_multiple_of(3)).then(|| format!("{}{}", self.random.pick(COMPANIES), number % 997));
        let mut numbers = vec![number_of(number)];
        if number.is_multiple_of(4) {
            numbers.push(format!("+816{:08}", number % 100_000_000));
        }
        if number.is_multiple_of(16) {
            numbers.push(format!("+8152{:07}", number % 10_000_000));
        }
        let fold = self.fold;
        let mut search = vec![fold(&name), fold(&kana)];
        search.extend(company.as_deref().map(fold));
        search.push(format!("c{number}"));
        for key in &numbers {
            search.extend([format!("0{}", &key[3..]), key[1..].to_owned()]);
        }
        sink.row(
            Table::Customers,
            vec![
                Value::Id(customer(number)),
                Value::Id(account),
                Value::text(format!("C{number}")),
                Value::text(name),
                Value::text(kana),
                company.map_or(Value::Null, Value::Text),
                if number.is_multiple_of(5) { Value::text(*self.random.pick(NOTES)) } else { Value::Null },
                Value::Int(BEGIN_MS + number as i64),
                Value::Int(BEGIN_MS + number as i64),
                Value::text(search.join("\n")),
            ],
        )
        .await?;
        for (position, key) in (0_i64..).zip(&numbers) {
            sink.row(
                Table::CustomerNumbers,
                vec![
                    Value::Id(account),
                    Value::text(key.clone()),
                    Value::Id(customer(number)),
                    Value::text(format!("0{}", &key[3..])),
                    Value::Int(position),
                ],
            )
            .await?;
        }
        Ok(())
    }

    async fn calls(&mut self, sink: &mut Sink) -> Result<(), sqlx::Error> {
        let mut number = 0;
        for (day, calls) in (0_u64..).zip(calls_of_days(self.size)) {
            for offered_ms in times_of_day(&mut self.random, day, calls) {
                let call = self.call(number, offered_ms);
                self.count(&call);
                self.write(number, call, sink).await?;
                number += 1;
            }
        }
        Ok(())
    }

    fn call(&mut self, number: u64, offered_ms: i64) -> Call {
        let Size { accounts, customers, operators, calls, .. } = self.size;
        let r = &mut self.random;
        let id = r.uuid();
        let busiest = number.is_multiple_of(BUSIEST_EVERY) && self.busiest < BUSIEST_CALLS_MAX;
        let outbound = !busiest && r.below(100) < 4;
        let account_number = if busiest { 0 } else { r.skewed(accounts) };
        let of_account = (customers / accounts).max(1);
        let customer_number = if busiest { 0 } else { account_number + accounts * r.skewed(of_account) };
        let kind = r.below(1_000);
        let (presentation, caller, customer_id) = match kind {
            _ if outbound => ("unavailable", None, None),
            _ if busiest => ("allowed", Some(number_of(0)), Some(busiest_customer())),
            0..60 => ("withheld", None, None),
            60..63 => ("payphone", None, None),
            63..73 => ("unavailable", None, None),
            73..750 if customer_number < customers => {
                ("allowed", Some(number_of(customer_number)), Some(customer(customer_number)))
            }
            _ => ("allowed", Some(format!("+8180{:08}", r.below(100_000_000))), None),
        };
        let outcome = match r.below(1_000) {
            0..860 => "answered",
            860..940 => "abandoned",
            940..960 if !outbound => "overflowed",
            960..990 if !outbound => "closed",
            990..998 => "blocked",
            _ => "unknown",
        };
        let mut owners = Vec::new();
        if outcome == "answered" || outbound {
            // The last two have no call.
            owners.push(r.skewed(operators - 2));
            if outcome == "answered" && r.below(100) < 15 {
                owners.push(r.below(operators - 2));
            }
            owners.dedup();
        }
        self.busiest += u64::from(busiest);
        let waits = r.below(25_000) as i64;
        let talks = 20_000 + r.skewed(600_000) as i64;
        Call {
            id,
            outbound,
            account: (!outbound).then(|| account(account_number)),
            account_number,
            customer: customer_id,
            presentation,
            caller,
            outcome,
            owners,
            // Versions before that of migration 16 did not keep the people.
            names_people: number >= calls / 5,
            offered_ms,
            answered_ms: (outcome == "answered").then_some(offered_ms + waits),
            ended_ms: offered_ms + waits + if outcome == "answered" { talks } else { 0 },
        }
    }

    fn count(&mut self, call: &Call) {
        let made = &mut self.made;
        if call.outbound {
            made.outbound += 1;
            return;
        }
        *made.inbound_by_outcome.entry(call.outcome.to_owned()).or_default() += 1;
        for owner in &call.owners {
            *made.inbound_by_extension.entry(extension(*owner)).or_default() += 1;
        }
        made.inbound_unowned += u64::from(call.owners.is_empty());
        if let Some(account) = call.account {
            *made.inbound_by_account.entry(account).or_default() += 1;
        }
        made.calls_of_busiest += u64::from(call.customer == Some(busiest_customer()));
    }

    async fn write(&mut self, number: u64, call: Call, sink: &mut Sink) -> Result<(), sqlx::Error> {
        sink.row(Table::Calls, call.row(&mut self.random)).await?;
        for row in call.segments() {
            sink.row(Table::Segments, row).await?;
        }
        self.work(&call, sink).await?;
        if call.account.is_some() && self.random.below(100) < 12 {
            let text = format!("{}（{}）", self.random.pick(NOTES), number);
            let mine = call.customer == Some(busiest_customer());
            self.made.messages_of_busiest += u64::from(mine);
            let search = (self.fold)(&text);
            sink.row(Table::Messages, call.message(&mut self.random, text, search)).await?;
        }
        if self.random.below(100) < 2 {
            let who = self.random.below(self.size.operators);
            sink.row(
                Table::Audit,
                vec![
                    Value::Int(call.ended_ms),
                    Value::Id(operator(who)),
                    Value::text(extension(who)),
                    Value::text(*self.random.pick(&[
                        "supervision.started",
                        "customer.changed",
                        "session.opened",
                    ])),
                    Value::text(extension(self.random.below(self.size.operators))),
                    Value::Id(call.id),
                ],
            )
            .await?;
        }
        Ok(())
    }

    /// After-call work, states and supervisions of the call's operators.
    async fn work(&mut self, call: &Call, sink: &mut Sink) -> Result<(), sqlx::Error> {
        for owner in &call.owners {
            if self.random.below(100) < 80 {
                let note = self.random.below(100) < 30;
                let note = note
                    .then(|| format!("{} {}", self.random.pick(NOTES), call.caller.as_deref().unwrap_or("")));
                sink.row(
                    Table::WrapUps,
                    vec![
                        Value::Id(call.id),
                        Value::Id(operator(*owner)),
                        Value::Int(call.ended_ms),
                        Value::Int(call.ended_ms + 30_000),
                        call.account.map_or(Value::Null, Value::Id),
                        Value::text(format!("A{}", call.account_number)),
                        Value::Int(30),
                        Value::text("message"),
                        note.map_or(Value::Null, Value::Text),
                    ],
                )
                .await?;
            }
            if self.random.below(100) < 50 {
                sink.row(
                    Table::OperatorHistory,
                    vec![
                        Value::Id(operator(*owner)),
                        Value::Int(i64::try_from(self.random.below(1 << 40)).unwrap_or(0)),
                        Value::Int(call.ended_ms),
                        Value::text(extension(*owner)),
                        Value::text(extension(*owner)),
                        Value::text("wrap_up"),
                        Value::Id(call.id),
                        Value::text("call"),
                    ],
                )
                .await?;
            }
            if self.random.below(1_000) < 5 {
                sink.row(
                    Table::SupervisionLog,
                    vec![
                        Value::Id(self.random.uuid()),
                        Value::Int(call.offered_ms + MINUTE_MS),
                        Value::Int(call.offered_ms + 2 * MINUTE_MS),
                        Value::text("lab"),
                        Value::Id(call.id),
                        Value::text(extension(*owner)),
                        Value::Id(operator(0)),
                        Value::text("監督"),
                        Value::text("1900"),
                        Value::text("listen"),
                        Value::text("{}"),
                    ],
                )
                .await?;
            }
        }
        Ok(())
    }
}

struct Call {
    id: Uuid,
    outbound: bool,
    account: Option<Uuid>,
    account_number: u64,
    customer: Option<Uuid>,
    presentation: &'static str,
    caller: Option<String>,
    outcome: &'static str,
    owners: Vec<u64>,
    names_people: bool,
    offered_ms: i64,
    answered_ms: Option<i64>,
    ended_ms: i64,
}

impl Call {
    fn row(&self, random: &mut Random) -> Vec<Value> {
        let extensions: Vec<String> = self.owners.iter().map(|owner| extension(*owner)).collect();
        let people: Vec<String> = self.owners.iter().map(|owner| operator(*owner).to_string()).collect();
        let json = |list: &[String]| Value::Text(serde_json::to_string(list).unwrap_or_default());
        let second = self.offered_ms / 1_000;
        let channels =
            [format!("{second}.{}", random.below(99_999)), format!("{second}.{}", random.below(99_999))];
        let dialled =
            if self.outbound { format!("090{:08}", random.below(100_000_000)) } else { "0355501000".into() };
        vec![
            Value::Id(self.id),
            Value::text("lab"),
            Value::text(if self.outbound { "outbound" } else { "inbound" }),
            self.account.map_or(Value::Null, Value::Id),
            self.customer.map_or(Value::Null, Value::Id),
            Value::text(if self.outbound { "none" } else { "diversion" }),
            self.caller.clone().map_or(Value::Null, Value::Text),
            Value::text(self.presentation),
            Value::text(dialled),
            if self.outbound { Value::Null } else { Value::text(format!("033{:07}", self.account_number)) },
            Value::Int(self.offered_ms),
            self.answered_ms.map_or(Value::Null, Value::Int),
            Value::Int(self.ended_ms),
            Value::text(self.outcome),
            json(&extensions),
            json(&channels),
            if self.names_people { json(&people) } else { Value::Null },
        ]
    }

    fn segments(&self) -> Vec<Vec<Value>> {
        let mut rows = Vec::new();
        let mut at = self.offered_ms;
        for (n, owner) in self.owners.iter().enumerate() {
            let until = self.answered_ms.unwrap_or(self.ended_ms);
            let half = until
                + (self.ended_ms - until) * i64::try_from(n + 1).unwrap_or(1) / self.owners.len() as i64;
            let answered = self.answered_ms.is_some();
            rows.push((if self.outbound { "dialling" } else { "presented" }, owner, at, until.max(at), None));
            if answered {
                rows.push(("talking", owner, until.max(at), half, None));
            }
            at = half;
        }
        let segment =
            |(ordinal, (kind, owner, from, until, target)): (usize, (&str, &u64, i64, i64, Option<&str>))| {
                vec![
                    Value::Id(self.id),
                    Value::Int(i64::try_from(ordinal).unwrap_or(0)),
                    Value::text(kind),
                    Value::text(extension(*owner)),
                    target.map_or(Value::Null, Value::text),
                    Value::Int(from),
                    Value::Int(until),
                ]
            };
        rows.into_iter().enumerate().map(segment).collect()
    }

    fn message(&self, random: &mut Random, text: String, search: String) -> Vec<Value> {
        let state = if random.below(100) < 97 { "acknowledged" } else { "open" };
        vec![
            Value::Id(random.uuid()),
            self.account.map_or(Value::Null, Value::Id),
            Value::Id(self.id),
            self.customer.map_or(Value::Null, Value::Id),
            self.owners.first().map_or(Value::Null, |owner| Value::Id(operator(*owner))),
            self.caller.clone().map_or(Value::Null, Value::Text),
            Value::Text(text),
            Value::text(state),
            Value::Int(self.ended_ms),
            Value::Int(self.ended_ms),
            Value::text("lab"),
            Value::Int(1),
            Value::Text(search),
        ]
    }
}
