//! `toritsugi messages`: lists and shows messages, exports them for spreadsheets, and follows their delivery (`deliveries.rs`).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use toritsugi::messages::csv::{self, Encoding};

use super::Global;
use super::client::{Client, ClientArgs, Ids};
use super::deliveries::{Deliveries, Resend};
use super::named;
use super::output::{Output, Table, plain, print, print_error, print_json};
use super::when;

const PATH: &str = "/v1/messages";
const EXPORT_PATH: &str = "/v1/export/messages.csv";
/// The newest messages, among which the beginning of an id is looked for.
pub(super) const NEWEST: Ids = Ids {
    what: "message among the newest 500",
    paths: &["/v1/messages?limit=500"],
    command: "toritsugi messages list",
};

#[derive(Debug, Args)]
pub(super) struct Messages {
    #[command(subcommand)]
    command: MessagesCommand,
}

#[derive(Debug, Subcommand)]
enum MessagesCommand {
    /// List messages, the newest first.
    List(List),
    /// Print one message with its revisions.
    Show(Show),
    /// Export messages as CSV.
    Export(Export),
    /// List the latest deliveries of messages, with what the mail server said.
    Deliveries(Deliveries),
    /// Send a message again to the recipient of a delivery, now.
    Resend(Resend),
    /// Note what a person of the account said about a message.
    Answer(Answer),
}

/// Which messages.
#[derive(Debug, Args)]
struct Filter {
    /// Only messages for this account: its code, its name or the beginning of its id.
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only messages in this state: open, sent, failed or acknowledged.
    #[arg(long)]
    state: Option<String>,
    /// Only messages whose delivery is in this state: none, held, queued, sent, delivered or failed.
    #[arg(long, value_name = "STATE")]
    delivery: Option<String>,
    /// Only messages that were sent and that nobody confirmed until their route was over.
    #[arg(long)]
    unanswered: bool,
    /// Only messages of this urgency: low, normal or urgent.
    #[arg(long)]
    urgency: Option<String>,
    /// Only messages with this mark: complaint or thanks.
    #[arg(long)]
    mark: Option<String>,
    /// Only messages in which each of these words occurs: in the number, a name, the subject, the text or a telephone
    /// number. Without --from, of the last 90 days.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only messages taken at or after this time: today, -2h, 2026-11-29, 14:30, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    from: Option<Timestamp>,
    /// Only messages taken before this time.
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    to: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    filter: Filter,
    /// How many messages, the newest first, 1 to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Show {
    /// The number of the message (受付番号), or its id or the beginning of it.
    #[arg(value_name = "NUMBER|ID")]
    message: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Answer {
    /// The number of the message (受付番号), or its id or the beginning of it.
    #[arg(value_name = "NUMBER|ID")]
    message: String,
    /// What: seen, done, call_me, not_mine or note (which confirms nothing).
    #[arg(value_name = "KIND")]
    kind: String,
    /// Who said so: the name.
    #[arg(long, value_name = "NAME")]
    by: String,
    /// What else they said, up to 200 characters.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    filter: Filter,
    /// The encoding of the file. In Shift_JIS (CP932), a character that it does not have becomes 〓, and the number of these
    /// is the last line of standard error.
    #[arg(long, value_enum, default_value_t = FileEncoding::Utf8)]
    encoding: FileEncoding,
    /// The file; standard output if absent. An existing file is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileEncoding {
    /// UTF-8 with a byte order mark.
    #[value(name = "utf-8")]
    Utf8,
    /// Shift_JIS as Windows writes it.
    #[value(name = "shift_jis", alias = "cp932")]
    ShiftJis,
}

/// The printed fields of a message.
#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    number: Option<String>,
    created_at: Timestamp,
    state: String,
    #[serde(default)]
    urgency: String,
    mark: Option<String>,
    #[serde(default)]
    from: Sender,
    subject: Option<String>,
    text: String,
    taken_by_name: Option<String>,
    #[serde(default)]
    delivery: Delivery,
}

#[derive(Debug, Default, Deserialize)]
struct Delivery {
    #[serde(default)]
    state: String,
    reason: Option<String>,
    last_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Sender {
    name: Option<String>,
    company: Option<String>,
    number: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Revisions {
    items: Vec<Revision>,
}

#[derive(Debug, Deserialize)]
struct Revision {
    revision: u32,
    at: Timestamp,
    by_name: String,
    why: Option<String>,
    content: Content,
}

#[derive(Debug, Deserialize)]
struct Content {
    text: String,
}

impl Filter {
    async fn query(self, client: &Client) -> anyhow::Result<Vec<(&'static str, String)>> {
        let account = named::account_filter(client, self.account.as_deref()).await?.pop().map(|(_, id)| id);
        let texts = [
            ("account", account),
            ("state", self.state),
            ("delivery", self.delivery),
            ("unanswered", self.unanswered.then(|| "true".to_owned())),
            ("urgency", self.urgency),
            ("mark", self.mark),
            ("q", self.q),
            ("from", self.from.map(|at| at.to_string())),
            ("to", self.to.map(|at| at.to_string())),
        ];
        Ok(texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect())
    }
}

impl Messages {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            MessagesCommand::List(List { filter, limit, client, output }) => {
                let client = client.client(global)?;
                let mut query = filter.query(&client).await?;
                query.push(("limit", limit.to_string()));
                let query: Vec<_> = query.iter().map(|(key, text)| (*key, text.as_str())).collect();
                if output.json {
                    print_json(&client.get::<Value>(PATH, &query).await?)?;
                } else {
                    let page: Page = client.get(PATH, &query).await?;
                    print(&table(&page.items, &TimeZone::system()))?;
                }
            }
            MessagesCommand::Show(Show { message, client, output }) => {
                let client = client.client(global)?;
                show(&client, &message, output).await?;
            }
            MessagesCommand::Export(export) => export.run(global).await?,
            MessagesCommand::Deliveries(deliveries) => deliveries.run(global).await?,
            MessagesCommand::Resend(resend) => resend.run(global).await?,
            MessagesCommand::Answer(answer) => answer.run(global).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Answer {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let id = id_of(&client, &self.message).await?;
        let body = json!({ "kind": self.kind, "by_name": self.by, "note": self.note });
        client.post::<_, Value>(&format!("{PATH}/{id}/answers"), &body).await?;
        Ok(())
    }
}

/// The id of the message with this number, or with an id that begins so.
async fn id_of(client: &Client, text: &str) -> anyhow::Result<String> {
    Ok(match is_number(text) {
        true => {
            let page: Page = client.get(PATH, &[("number", text)]).await?;
            let Some(message) = page.items.into_iter().next() else {
                bail!("no message has the number {text}")
            };
            message.id
        }
        false => client.whole_id(text, NEWEST).await?.to_string(),
    })
}

async fn show(client: &Client, text: &str, output: Output) -> anyhow::Result<()> {
    let id = id_of(client, text).await?;
    let path = format!("{PATH}/{id}");
    if output.json {
        print_json(&client.get::<Value>(&path, &[]).await?)?;
        return Ok(());
    }
    let message: Message = client.get(&path, &[]).await?;
    let revisions: Revisions = client.get(&format!("{path}/revisions"), &[]).await?;
    print(&whole(&message, &revisions.items, &TimeZone::system()))?;
    Ok(())
}

/// Whether this is a number of a message: six digits, a hyphen and digits.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(day, count)| day.len() == 6 && digits(day) && count.len() < 9 && digits(count))
}

impl Export {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let mut query = self.filter.query(&client).await?;
        // The daemon writes UTF-8, so that this command can count what Shift_JIS does not have.
        query.push(("encoding", "utf-8".to_owned()));
        let query: Vec<_> = query.iter().map(|(key, text)| (*key, text.as_str())).collect();
        let mut chunks = client.download(EXPORT_PATH, &query).await?.bytes_stream();
        let mut file: Box<dyn std::io::Write> = match &self.output {
            Some(path) => Box::new(
                std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
            ),
            None => Box::new(std::io::stdout()),
        };
        let (mut replaced, mut rest) = (0, Vec::new());
        while let Some(chunk) = chunks.next().await {
            rest.extend_from_slice(&chunk.context("the connection ended in the middle of the export")?);
            replaced += write(&mut file, &mut rest, self.encoding)?;
        }
        if !rest.is_empty() {
            bail!("the connection ended in the middle of the export");
        }
        file.flush().context("cannot write the export")?;
        if self.encoding == FileEncoding::ShiftJis {
            print_error(&format!("{replaced} characters that Shift_JIS does not have were replaced by 〓"));
        }
        Ok(())
    }
}

/// Writes the whole characters of `rest` and leaves the others in it; returns how many were replaced.
fn write(file: &mut dyn std::io::Write, rest: &mut Vec<u8>, encoding: FileEncoding) -> anyhow::Result<u64> {
    let whole = match std::str::from_utf8(rest) {
        Ok(_) => rest.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => bail!("the daemon's export is not UTF-8"),
    };
    let others = rest.split_off(whole);
    let text = String::from_utf8(std::mem::replace(rest, others))?;
    let (bytes, replaced) = match encoding {
        FileEncoding::Utf8 => (text.into_bytes(), 0),
        FileEncoding::ShiftJis => csv::encoded(text.trim_start_matches('\u{feff}'), Encoding::ShiftJis),
    };
    file.write_all(&bytes).context("cannot write the export")?;
    Ok(replaced)
}

fn table(messages: &[Message], zone: &TimeZone) -> String {
    let mut table = Table::new(["NUMBER", "TIME", "STATE", "MARK", "FROM", "SUBJECT", "TEXT"]);
    for one in messages {
        let time = one.created_at.to_zoned(zone.clone()).strftime("%m-%d %H:%M").to_string();
        let marks: Vec<&str> = [one.urgency.as_str(), one.mark.as_deref().unwrap_or_default()]
            .into_iter()
            .filter(|word| !word.is_empty() && *word != "normal")
            .collect();
        table.row([
            one.number.as_deref().unwrap_or(&one.id),
            &time,
            &one.state,
            &marks.join(" "),
            &sender(&one.from),
            one.subject.as_deref().unwrap_or("-"),
            &one.text,
        ]);
    }
    table.render()
}

fn sender(from: &Sender) -> String {
    let parts: Vec<&str> = [&from.name, &from.company].into_iter().flatten().map(String::as_str).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(" / ") }
}

/// A message with everything that people wrote, each text in full.
fn whole(message: &Message, revisions: &[Revision], zone: &TimeZone) -> String {
    let time = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let or_dash = |text: &Option<String>| plain(text.as_deref().unwrap_or("-"));
    let why = if message.delivery.last_error.is_some() {
        &message.delivery.last_error
    } else {
        &message.delivery.reason
    };
    let mut lines = vec![
        format!("number    {}", or_dash(&message.number)),
        format!("id        {}", plain(&message.id)),
        format!("taken     {}  {}", time(message.created_at), or_dash(&message.taken_by_name)),
        format!("state     {}", plain(&message.state)),
        format!("delivery  {}  {}", plain(&message.delivery.state), or_dash(why)),
        format!("from      {}  {}", plain(&sender(&message.from)), or_dash(&message.from.number)),
        format!("subject   {}", or_dash(&message.subject)),
    ];
    let indented = |text: &str| text.lines().map(|line| format!("    {}", plain(line))).collect::<Vec<_>>();
    lines.extend(indented(&message.text));
    // The last one is the message itself.
    for one in revisions.iter().rev().skip(1) {
        let why = one.why.as_ref().map(|why| format!("  {}", plain(why))).unwrap_or_default();
        lines.push(format!("revision {}  {}  {}{why}", one.revision, time(one.at), plain(&one.by_name)));
        lines.extend(indented(&one.content.text));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_printed_with_what_it_was() {
        let message = serde_json::json!({
            "id": "m-1", "number": "260401-0007", "created_at": "2026-04-01T00:00:00Z", "state": "open",
            "urgency": "urgent", "mark": "complaint", "from": {"name": "ヤマモト", "company": "ミホン"},
            "subject": "折り返し希望", "text": "番号は\n4444\u{1b}[2J", "taken_by_name": "佐藤",
            "delivery": {"state": "none", "reason": "no_address"},
        });
        let message: Message = serde_json::from_value(message).unwrap();
        let text = table(std::slice::from_ref(&message), &TimeZone::UTC);
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.starts_with("260401-0007  04-01 00:00  open   urgent complaint  ヤマモト / ミホン"),
            "{text}"
        );
        let revisions = serde_json::json!([
            {"revision": 1, "at": "2026-04-01T00:00:00Z", "by_name": "佐藤", "content": {"text": "番号は2222"}},
            {"revision": 2, "at": "2026-04-01T00:05:00Z", "by_name": "佐藤", "why": "誤り", "content": {"text": "x"}},
        ]);
        let revisions: Vec<Revision> = serde_json::from_value(revisions).unwrap();
        let shown = whole(&message, &revisions, &TimeZone::UTC);
        assert!(shown.contains("\ndelivery  none  no_address\n"), "{shown}");
        assert!(
            shown.ends_with(
                "    番号は\n    4444?[2J\nrevision 1  2026-04-01 00:00:00  佐藤\n    番号は2222\n"
            ),
            "{shown}"
        );
    }

    #[test]
    fn a_number_is_no_id() {
        assert!(is_number("260401-0007") && is_number("260401-12345"));
        for text in ["260401", "260401-", "2604010-1", "0a1b2c3d-0007", "m"] {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn an_export_is_encoded_in_whole_characters() {
        let mut file = Vec::new();
        let bytes = "\u{feff}番号,髙𠮷".as_bytes();
        let (mut rest, mut replaced) = (Vec::new(), 0);
        for byte in bytes {
            rest.push(*byte);
            replaced += write(&mut file, &mut rest, FileEncoding::ShiftJis).unwrap();
        }
        assert!(rest.is_empty());
        let (expected, count) = csv::encoded("番号,髙𠮷", Encoding::ShiftJis);
        assert_eq!((file, replaced, count), (expected, 1, 1));
        assert!(write(&mut Vec::new(), &mut vec![0xff, 0x20], FileEncoding::Utf8).is_err());
    }
}
