//! `toritsugi demo`: follows the events and prints each pop as an operator sees it, in Japanese.
//!
//! It reads the public event stream only, so it shows what every desktop receives. Invariant: with `--once`, exit code
//! 0 means that one complete pop arrived.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Deserialize;

use super::Global;
use super::client::ClientArgs;
use super::events::EventStream;
use super::output::{plain, print, print_line};

/// The event stream.
const EVENTS_PATH: &str = "/v1/events";

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Exit after the first pop.
    #[arg(long)]
    once: bool,
    /// Fail if no pop arrives within this time after the last one. Without it the command waits until it is ended.
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The fields that every event has.
#[derive(Debug, Deserialize)]
struct Envelope {
    kind: String,
    #[serde(default)]
    data: serde_json::Value,
}

/// The printed fields of `call.presented`. Account and customers are absent while the store is still searched.
#[derive(Debug, Deserialize)]
struct Pop {
    #[serde(default)]
    operator: String,
    dialled: Option<String>,
    diverted_by: Option<String>,
    #[serde(default)]
    caller: Caller,
    account: Option<Account>,
    #[serde(default)]
    customers: Vec<Customer>,
    #[serde(default)]
    history: History,
}

#[derive(Debug, Default, Deserialize)]
struct Caller {
    number: Option<String>,
    display: Option<String>,
    presentation: String,
    area: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Account {
    name: String,
    kana: String,
    answer_phrase: String,
    notes: String,
    #[serde(default)]
    notices: Vec<Notice>,
    matched_by: String,
}

/// What holds today.
#[derive(Debug, Deserialize)]
struct Notice {
    text: String,
    by_name: String,
}

#[derive(Debug, Deserialize)]
struct Customer {
    name: String,
    kana: String,
    company: Option<String>,
    department: Option<String>,
    notes: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct History {
    calls: u64,
    last_message: Option<String>,
    open_messages: u64,
}

impl Demo {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let mut events = EventStream::connect(self.client.client(global)?, EVENTS_PATH).await?;
        // The operator of a pop that arrived before its records.
        let mut incomplete_for: Option<String> = None;
        let mut patience = Patience::new(self.patience);
        loop {
            let event: Envelope = serde_json::from_str(&patience.wait(events.next()).await??.data)?;
            match event.kind.as_str() {
                "call.presented" | "call.updated" => {
                    let mut pop: Pop = serde_json::from_value(event.data)?;
                    if event.kind == "call.updated" {
                        // An update of a pop that was complete at once is not printed again.
                        let Some(operator) = incomplete_for.take() else { continue };
                        pop.operator = operator;
                    }
                    let Some(account) = &pop.account else {
                        incomplete_for = Some(pop.operator);
                        continue;
                    };
                    print(&pop_text(&pop, account))?;
                    if self.once {
                        return Ok(ExitCode::SUCCESS);
                    }
                    patience = Patience::new(self.patience);
                }
                kind => {
                    if let Some(text) = event_text(kind) {
                        print_line(&format!("   {text}"))?;
                    }
                }
            }
        }
    }
}

/// How long the next pop may take; without a limit, for ever.
struct Patience {
    limit: Option<(u64, tokio::time::Instant)>,
}

impl Patience {
    fn new(seconds: Option<u64>) -> Self {
        let limit = seconds.map(|s| (s, tokio::time::Instant::now() + Duration::from_secs(s)));
        Self { limit }
    }

    /// # Errors
    /// The time is over before `next` is there.
    async fn wait<T>(&self, next: impl Future<Output = T>) -> anyhow::Result<T> {
        let Some((seconds, deadline)) = self.limit else { return Ok(next.await) };
        match tokio::time::timeout_at(deadline, next).await {
            Ok(event) => Ok(event),
            Err(_) => {
                bail!("no pop arrived within {seconds} s; is a call placed, and may this token see it?")
            }
        }
    }
}

/// The printed text for an event after the pop.
fn event_text(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "call.answered" => "応答しました",
        "call.rescinded" => "呼出が終わりました",
        "call.ended" => "通話が終わりました",
        "pbx.down" => "PBX との接続が切れました",
        "pbx.up" => "PBX に接続しました",
        _ => return None,
    })
}

/// Formats the pop, with a blank line above it.
fn pop_text(pop: &Pop, account: &Account) -> String {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: &str| {
        for (number, line) in text.lines().enumerate() {
            let label = if number == 0 { label } else { "　　　　" };
            lines.push(format!("│ {label}  {}", plain(line)));
        }
    };
    add("契約先　", &with_kana(&account.name, &account.kana));
    add("応答文　", &account.answer_phrase);
    add("応対注意", &account.notes);
    for notice in &account.notices {
        add("連絡事項", &format!("{}（{}）", notice.text, notice.by_name));
    }
    add("特定方法", &matched_by(pop, account));
    add("発信者　", &caller_text(&pop.caller));
    match pop.customers.as_slice() {
        [] => add("お相手　", "登録なし"),
        several => {
            for customer in several {
                add("お相手　", &customer_text(customer));
            }
        }
    }
    let history = match pop.history.calls {
        0 => "はじめてのお電話".to_owned(),
        calls => format!("これまで {calls} 回、未報告の伝言 {} 件", pop.history.open_messages),
    };
    add("履歴　　", &history);
    add("前回伝言", pop.history.last_message.as_deref().unwrap_or_default());
    format!("\n┌ 内線 {} に着信中\n{}\n└\n", plain(&pop.operator), lines.join("\n"))
}

fn with_kana(name: &str, kana: &str) -> String {
    if kana.is_empty() { name.to_owned() } else { format!("{name}（{kana}）") }
}

fn matched_by(pop: &Pop, account: &Account) -> String {
    let dialled = pop.dialled.as_deref().unwrap_or("不明");
    let diverted = pop.diverted_by.as_deref().unwrap_or("不明");
    match account.matched_by.as_str() {
        "diversion" | "history_info" => format!("転送元番号 {diverted}（着信番号 {dialled}）"),
        "dialled" => format!("着信番号 {dialled}"),
        "trunk" => format!("回線の既定（着信番号 {dialled}）"),
        _ => format!("該当する契約先なし（着信番号 {dialled}）"),
    }
}

fn caller_text(caller: &Caller) -> String {
    let mut text = match (caller.presentation.as_str(), &caller.number) {
        ("withheld", _) => "非通知".to_owned(),
        ("payphone", _) => "公衆電話".to_owned(),
        (_, Some(number)) => number.clone(),
        _ => "表示圏外".to_owned(),
    };
    for part in [&caller.area, &caller.display].into_iter().flatten() {
        text.push('　');
        text.push_str(part);
    }
    text
}

fn customer_text(customer: &Customer) -> String {
    let parts = [
        customer.company.as_deref(),
        customer.department.as_deref(),
        Some(&*with_kana(&customer.name, &customer.kana)),
        customer.notes.as_deref(),
    ]
    .map(|part| part.unwrap_or_default().to_owned());
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("　")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_limit_that_was_asked_for_ends_the_wait() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            demo: Demo,
        }
        let parse = |arguments: &[&str]| {
            let all = ["toritsugi", "--url", "http://127.0.0.1:1"].iter().chain(arguments);
            <Command as clap::Parser>::try_parse_from(all).unwrap().demo.patience
        };
        let a_day = tokio::time::sleep(Duration::from_secs(24 * 3600));
        Patience::new(parse(&[])).wait(a_day).await.unwrap();
        let limited = Patience::new(parse(&["--patience", "60"]));
        assert!(limited.wait(tokio::time::sleep(Duration::from_secs(59))).await.is_ok());
        let error = limited.wait(tokio::time::sleep(Duration::from_secs(2))).await.unwrap_err();
        assert!(error.to_string().starts_with("no pop arrived within 60 s"), "{error}");
    }

    #[test]
    fn a_pop_is_printed_for_people() {
        let pop: Pop = serde_json::from_str(
            r#"{"operator":"1001","dialled":"050-1111-0001","diverted_by":"06-6111-2222",
            "caller":{"number":"090-1234-5678","presentation":"allowed","area":"携帯電話","name":"田中"},
            "account":{"id":"x","name":"さくら商事","kana":"サクラショウジ","answer_phrase":"さくら商事でございます。",
                       "notes":"本日終日外出。\n急ぎは営業部へ。","matched_by":"diversion"},
            "customers":[{"id":"y","name":"田中一郎","kana":"タナカイチロウ","company":"青木製作所","flags":[]}],
            "history":{"calls":3,"open_messages":1,"last_message":"折り返し\u001b[2J希望"}}"#,
        )
        .unwrap();
        let expected = "
┌ 内線 1001 に着信中
│ 契約先　  さくら商事（サクラショウジ）
│ 応答文　  さくら商事でございます。
│ 応対注意  本日終日外出。
│ 　　　　  急ぎは営業部へ。
│ 特定方法  転送元番号 06-6111-2222（着信番号 050-1111-0001）
│ 発信者　  090-1234-5678　携帯電話
│ お相手　  青木製作所　田中一郎（タナカイチロウ）
│ 履歴　　  これまで 3 回、未報告の伝言 1 件
│ 前回伝言  折り返し?[2J希望
└
";
        assert_eq!(pop_text(&pop, pop.account.as_ref().unwrap()), expected);
    }

    #[test]
    fn a_withheld_caller_without_an_account_is_a_pop() {
        let pop: Pop = serde_json::from_str(
            r#"{"operator":"1001","caller":{"presentation":"withheld"},
            "account":{"name":"","kana":"","answer_phrase":"","notes":"","matched_by":"none"},
            "customers":[],"history":{"calls":0,"open_messages":0}}"#,
        )
        .unwrap();
        let text = pop_text(&pop, pop.account.as_ref().unwrap());
        for part in ["特定方法  該当する契約先なし（着信番号 不明）", "発信者　  非通知", "はじめて"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
