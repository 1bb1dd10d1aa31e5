//! `toritsugi demo`: follow the events and print each pop as an operator would see it, in Japanese.
//!
//! It is a client like any other and reads the public contract alone, so what it shows is what every desktop
//! gets. Invariant: with `--once` exit code 0 means that one complete pop arrived here.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Deserialize;

use super::client::ClientArgs;
use super::events::Follow;
use super::output::{plain, print, print_line};

/// Where a desktop gets its events.
const EVENTS_PATH: &str = "/v1/events";

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End with the first pop.
    #[arg(long)]
    once: bool,
    /// Fail when no pop arrives within so many seconds of the last one.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    #[command(flatten)]
    client: ClientArgs,
}

/// What every event has.
#[derive(Debug, Deserialize)]
struct Envelope {
    kind: String,
    #[serde(default)]
    data: serde_json::Value,
}

/// `call.presented`, as far as it is printed. Who calls whom is absent while the records are still looked up.
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
    matched_by: String,
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
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut follow = Follow::start(self.client.client()?, EVENTS_PATH).await?;
        let patience = Duration::from_secs(self.patience);
        // Whose pop came before its records were found.
        let mut waiting: Option<String> = None;
        let mut deadline = tokio::time::Instant::now() + patience;
        loop {
            let Ok(event) = tokio::time::timeout_at(deadline, follow.next()).await else {
                bail!("no pop arrived within {} s", self.patience);
            };
            let event: Envelope = serde_json::from_str(&event?.data)?;
            match event.kind.as_str() {
                "call.presented" | "call.updated" => {
                    let mut pop: Pop = serde_json::from_value(event.data)?;
                    if event.kind == "call.updated" {
                        // An update of a pop that was complete when it came is not shown a second time.
                        let Some(operator) = waiting.take() else { continue };
                        pop.operator = operator;
                    }
                    let Some(account) = &pop.account else {
                        waiting = Some(pop.operator);
                        continue;
                    };
                    print(&card(&pop, account))?;
                    if self.once {
                        return Ok(ExitCode::SUCCESS);
                    }
                    deadline = tokio::time::Instant::now() + patience;
                }
                kind => {
                    if let Some(words) = words_of(kind) {
                        print_line(&format!("   {words}"))?;
                    }
                }
            }
        }
    }
}

/// What happens to a call after its pop.
fn words_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "call.answered" => "応答しました",
        "call.rescinded" => "呼出が取り下げられました",
        "call.ended" => "通話が終わりました",
        "pbx.down" => "PBX との接続が切れました",
        "pbx.up" => "PBX に接続しました",
        _ => return None,
    })
}

/// The pop, with a blank line above it.
fn card(pop: &Pop, account: &Account) -> String {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: &str| {
        for (number, line) in text.lines().enumerate() {
            let label = if number == 0 { label } else { "　　　　" };
            lines.push(format!("│ {label}  {}", plain(line)));
        }
    };
    add("契約企業", &with_kana(&account.name, &account.kana));
    add("応答例　", &account.answer_phrase);
    add("連絡事項", &account.notes);
    add("特定方法", &matched_by(pop, account));
    add("発信者　", &caller(&pop.caller));
    match pop.customers.as_slice() {
        [] => add("お客様　", "登録なし"),
        several => {
            for customer in several {
                add("お客様　", &describe(customer));
            }
        }
    }
    let history = match pop.history.calls {
        0 => "はじめてのお電話".to_owned(),
        calls => format!("これまで {calls} 回、未確認の伝言 {} 件", pop.history.open_messages),
    };
    add("履歴　　", &history);
    add("前回伝言", pop.history.last_message.as_deref().unwrap_or_default());
    format!("\n┌ 内線 {} を呼出中\n{}\n└\n", plain(&pop.operator), lines.join("\n"))
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
        _ => format!("該当する契約企業なし（着信番号 {dialled}）"),
    }
}

fn caller(caller: &Caller) -> String {
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

fn describe(customer: &Customer) -> String {
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

    #[test]
    fn a_pop_is_printed_as_people_read_it() {
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
┌ 内線 1001 を呼出中
│ 契約企業  さくら商事（サクラショウジ）
│ 応答例　  さくら商事でございます。
│ 連絡事項  本日終日外出。
│ 　　　　  急ぎは営業部へ。
│ 特定方法  転送元番号 06-6111-2222（着信番号 050-1111-0001）
│ 発信者　  090-1234-5678　携帯電話
│ お客様　  青木製作所　田中一郎（タナカイチロウ）
│ 履歴　　  これまで 3 回、未確認の伝言 1 件
│ 前回伝言  折り返し?[2J希望
└
";
        assert_eq!(card(&pop, pop.account.as_ref().unwrap()), expected);
    }

    #[test]
    fn a_withheld_caller_of_nobody_is_a_pop_too() {
        let pop: Pop = serde_json::from_str(
            r#"{"operator":"1001","caller":{"presentation":"withheld"},
            "account":{"name":"","kana":"","answer_phrase":"","notes":"","matched_by":"none"},
            "customers":[],"history":{"calls":0,"open_messages":0}}"#,
        )
        .unwrap();
        let text = card(&pop, pop.account.as_ref().unwrap());
        for part in ["特定方法  該当する契約企業なし（着信番号 不明）", "発信者　  非通知", "はじめて"]
        {
            assert!(text.contains(part), "{text}");
        }
    }
}
