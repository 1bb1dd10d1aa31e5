//! Sends each GET of the OpenAPI document to a gateway over the year, as an administrator, a supervisor of 20 operators, and an
//! operator: with each parameter of the query by itself, with values that are found and with some that are not.
//!
//! Left out are the event streams, and the files (`.csv`), which take as long as what is asked for.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use toritsugi::bus::{Bus, BusSettings};
use toritsugi::contract::event_id::StreamToken;
use toritsugi::gateway::serve;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::people::role::Role;
use toritsugi::people::token::Token;
use toritsugi::store::Store;
use toritsugi::store::history::HistoryFilter;
use toritsugi::store::messages::MessageFilter;
use toritsugi::store::users::{TokenDraft, TokenKind, UserDraft};

use crate::desktops;
use crate::year::{account, busiest_customer, extension, number_of, operator};

/// How often each request is sent.
const ROUNDS: usize = 40;
/// A request that has taken this long in all is not sent again.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(4);
const TARGET: Duration = Duration::from_millis(50);
/// The first of the extensions that the bench gives its own people.
const EXTENSIONS_FROM: i64 = 800_000;

/// Ids and numbers that the paths and the queries name.
struct Known {
    call: String,
    message: String,
}

/// One request: what the table calls it, and its path with its query.
struct Request {
    name: String,
    target: String,
}

/// Sends each GET whose path begins with `prefix`.
pub(crate) async fn run(store: &Store, prefix: &str) -> Result<(), Box<dyn Error>> {
    let call = store.history(&HistoryFilter::default(), None, 1).await?.pop().ok_or("there are no calls")?;
    let message = store.messages(&MessageFilter::default(), None, 1).await?.pop().ok_or("no messages")?;
    let known = Known { call: call.id.to_string(), message: message.id.to_string() };
    let (own, tokens) = people(store).await?;
    let bus = Bus::new(BusSettings {
        pbx: desktops::pbx(),
        stream: StreamToken::parse("b")?,
        replay_events_max: 1_000,
        replay_age_max: Duration::from_secs(60),
        subscriber_events_max: 64,
        subscribers_max: 16,
    });
    let app = desktops::app(store.clone(), bus, 16).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, shutdown) = (listener.local_addr()?, CancellationToken::new());
    let serving = tokio::spawn(serve(listener, app, shutdown.clone()));
    let document: Value = serde_json::from_str(include_str!("../../src/gateway/openapi.json"))?;
    println!(
        "\n{:<42} {:>8} {:>10} {:>10} {:>10}  the slowest of its requests",
        "GET, of all roles", "requests", "p50", "p99", "max"
    );
    let mut number = 0;
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        let is_file_or_stream = path.ends_with(".csv") || path.starts_with("/v1/events");
        if methods["get"].is_null() || is_file_or_stream || !path.starts_with(prefix) {
            continue;
        }
        let requests = requests(&document, path, &methods["get"], &known);
        number += requests.len() * tokens.len();
        measure(address, path, &requests, &tokens).await?;
    }
    println!("{number} requests, each {ROUNDS} times");
    shutdown.cancel();
    serving.await??;
    for user in own {
        store.revoke_user(user, Timestamp::now()).await?;
    }
    Ok(())
}

/// Adds an administrator and a supervisor of the first team; returns the people to be removed afterwards, and the tokens of
/// these two and of an operator.
async fn people(store: &Store) -> Result<(Vec<RecordId>, Vec<(&'static str, String)>), Box<dyn Error>> {
    let now = Timestamp::now();
    // Several runs on one database have people of their own.
    let run = now.as_millisecond();
    let extension = Extension::parse(&(EXTENSIONS_FROM + run % 100_000).to_string())?;
    let draft = |role, extension: Option<Extension>| UserDraft {
        name: format!("bench {role:?} {run}"),
        kana: String::new(),
        role,
        team: extension.is_some().then(|| "1班".to_owned()),
        extension,
        password: None,
    };
    let administrator = store.add_user(&draft(Role::Admin, None), now).await?;
    let supervisor = store.add_user(&draft(Role::Supervisor, Some(extension)), now).await?;
    let mut tokens = Vec::new();
    for (role, user) in
        [("administrator", administrator), ("supervisor", supervisor), ("operator", RecordId(operator(3)))]
    {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let token = Token::from_random(bytes);
        let kind = TokenKind::Token;
        let draft = TokenDraft { user, hash: token.hash(), kind, label: "bench".into(), expires_at: None };
        store.add_token(&draft, now).await?;
        tokens.push((role, token.expose()));
    }
    // The last administrator of an installation stays.
    Ok((vec![supervisor], tokens))
}

/// The requests of a path: with what it requires alone, and with each value of each further parameter.
fn requests(document: &Value, path: &str, operation: &Value, known: &Known) -> Vec<Request> {
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    let mut target = path.to_owned();
    let mut required = Vec::new();
    for parameter in &parameters {
        let name = parameter["name"].as_str().unwrap_or_default();
        if parameter["in"] == "path" {
            target = target.replace(&format!("{{{name}}}"), &in_path(path, name, known));
        } else if parameter["required"] == true {
            let value = values(document, path, parameter, known).swap_remove(0);
            required.push((name.to_owned(), value));
        }
    }
    let mut requests = Vec::new();
    let mut add = |further: &[(&str, &str)]| {
        let mut query: BTreeMap<&str, &str> =
            required.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        query.extend(further.iter().copied());
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let name =
            further.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        requests.push(Request { name, target: format!("{target}{mark}{}", query.join("&")) });
    };
    add(&[]);
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
        let name = parameter["name"].as_str().unwrap_or_default();
        for value in values(document, path, parameter, known) {
            match (path, name) {
                // Each account has its own callers.
                (_, "caller") => add(&[(name, &value), ("account", &account(0).to_string())]),
                // A search of messages looks back 90 days, and the year may be longer ago.
                ("/v1/messages", "q") => add(&[(name, &value), ("from", JULY), ("to", SEPTEMBER)]),
                _ => add(&[(name, &value)]),
            }
        }
    }
    requests
}

const JULY: &str = "2025-07-01T00:00:00+09:00";
const SEPTEMBER: &str = "2025-09-01T00:00:00+09:00";

fn in_path(path: &str, name: &str, known: &Known) -> String {
    match (path, name) {
        (_, "account") => account(0).to_string(),
        (_, "call") => known.call.clone(),
        (_, "customer") => busiest_customer().to_string(),
        (_, "message") => known.message.clone(),
        (_, "operator" | "user") => operator(3).to_string(),
        (_, "month") => "2025-08".to_owned(),
        _ => uuid::Uuid::nil().to_string(),
    }
}

/// What a parameter is asked with, what is found first.
fn values(document: &Value, path: &str, parameter: &Value, known: &Known) -> Vec<String> {
    let nobody = uuid::Uuid::nil().to_string();
    let name = parameter["name"].as_str().unwrap_or_default();
    let of = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    if let Some(reference) = parameter["schema"]["$ref"].as_str() {
        let schema = &document["components"]["schemas"][reference.rsplit('/').next().unwrap_or_default()];
        return schema["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(Into::into)
            .collect();
    }
    match (path, name) {
        (_, "limit") => of(&["1", "500"]),
        (_, "cursor" | "version" | "team" | "formula" | "queue") => Vec::new(),
        ("/v1/explain", "dialled") => of(&["0330000001"]),
        ("/v1/explain", _) => Vec::new(),
        ("/v1/stats" | "/v1/stats/calls", "from") => of(&["2025-08-01"]),
        ("/v1/stats" | "/v1/stats/calls", "to") => of(&["2025-09-01"]),
        (_, "from") => of(&[JULY, "2035-01-01T00:00:00Z"]),
        (_, "to" | "until") => of(&[SEPTEMBER, "2015-01-01T00:00:00Z"]),
        (_, "account") => vec![account(0).to_string(), account(4_999).to_string(), nobody],
        (_, "operator") => vec![extension(3), extension(199)],
        (_, "person" | "user" | "taken_by") => vec![operator(3).to_string(), nobody],
        (_, "call") => vec![known.call.clone(), nobody],
        (_, "message") => vec![known.message.clone(), nobody],
        (_, "customer") => vec![busiest_customer().to_string(), nobody],
        (_, "contact") => vec![nobody],
        (_, "caller") => vec![number_of(0), number_of(77), "+819000000000".to_owned()],
        ("/v1/customers", "number") => vec![number_of(77), "+819000000000".to_owned()],
        (_, "number") => of(&["20250801-1"]),
        ("/v1/history", "q") => vec!["佐藤花子".to_owned(), number_of(77), "存在しない名前".to_owned()],
        (_, "q") => of(&["高橋", "折り返し", "48271", "存在しない名前"]),
        (_, "action") => of(&["customer.changed", "nothing.such"]),
        (_, "counter") => of(&["abandoned", "offered"]),
        (_, "month") => of(&["2025-08"]),
        (_, "held" | "unmatched") => of(&["true", "false"]),
        (_, "year") => of(&["2025"]),
        (_, "within") => of(&["20"]),
        _ => Vec::new(),
    }
}

fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => text + &char::from(byte).to_string(),
        _ => text + &format!("%{byte:02X}"),
    })
}

/// Sends the requests of a path; prints its slowest, and each that misses the target or is not answered.
async fn measure(
    address: SocketAddr,
    path: &str,
    requests: &[Request],
    tokens: &[(&str, String)],
) -> Result<(), Box<dyn Error>> {
    let mut slowest = None::<([Duration; 3], String)>;
    let mut connection = TcpStream::connect(address).await?;
    for (role, token) in tokens {
        for Request { name, target } in requests {
            let mut times = Vec::with_capacity(ROUNDS);
            let mut status = 0;
            while times.len() < ROUNDS && times.iter().sum::<Duration>() < REQUEST_TIME_MAX {
                let started = Instant::now();
                status = answer(&mut connection, target, token).await?;
                times.push(started.elapsed());
            }
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
            let figures = [at(50), at(99), at(100)];
            let name = format!("{name} as {role}: {status}");
            // 503: what only a PBX could answer.
            if !matches!(status, 200 | 400 | 403 | 404 | 503) || figures[1] > TARGET {
                println!("  {path} {name}: {figures:.1?} MISSED");
            }
            if slowest.as_ref().is_none_or(|(slowest, _)| slowest[1] < figures[1]) {
                slowest = Some((figures, name));
            }
        }
    }
    if let Some(([p50, p99, max], name)) = slowest {
        let number = requests.len() * tokens.len();
        println!("{path:<42} {number:>8} {p50:>10.1?} {p99:>10.1?} {max:>10.1?}  {name}");
    }
    Ok(())
}

/// Sends one request and reads its whole answer; returns its status.
async fn answer(connection: &mut TcpStream, target: &str, token: &str) -> Result<u16, Box<dyn Error>> {
    let head = format!("GET {target} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(64 * 1024);
    loop {
        if connection.read_buf(&mut bytes).await? == 0 {
            return Err(format!("the gateway closed the connection of {target}").into());
        }
        let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let length = length.ok_or_else(|| format!("{target}: an answer without a length: {head}"))?;
        if bytes.len() >= end + 4 + length {
            let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
            return Ok(status.ok_or_else(|| format!("{target}: {head}"))?);
        }
    }
}
