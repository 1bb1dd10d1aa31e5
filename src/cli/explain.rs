//! `toritsugi explain`: which account and customers a call would pop, and why.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use toritsugi::directory::card::MatchedBy;
use toritsugi::directory::explain::{
    CustomersWhy, Explanation, Question, SupervisionThen, TransfersThen, Verdict,
};
use toritsugi::directory::record::CallerIdPolicy;
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::store::{Condition, Store};
use toritsugi::supervision::Notify;

use super::Global;
use super::output::{self, Output, Table};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The number that was dialled.
    #[arg(long, value_name = "NUMBER")]
    dialled: String,
    /// The caller's number [default: withheld].
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// The number that forwarded the call.
    #[arg(long, value_name = "NUMBER")]
    diverted_by: Option<String>,
    /// The endpoint of the trunk it comes in on.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// The time of the call, RFC 3339 [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let location = config.store.location()?;
        if Store::inspect_at(&location).await? == Condition::Absent {
            anyhow::bail!("there is no database at {location} yet; import accounts first");
        }
        let store = Store::open_at(&location).await?;
        let directory = Directory::load(store, DirectoryOptions::from(&config.directory)).await?;
        let question = Question {
            dialled: Some(self.dialled),
            from: self.from,
            diverted_by: self.diverted_by,
            trunk: self.trunk,
            at: self.at.unwrap_or_else(Timestamp::now),
        };
        let explained = directory.explain(&question).await?;
        directory.store().close().await;
        if self.output.json {
            output::print_json(&explained)?;
        } else {
            output::print(&text(&explained))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The answer as people read it, from the account down to whom to call.
fn text(explained: &Explanation) -> String {
    let card = &explained.card;
    let account = &card.account;
    let mut lines = Vec::new();
    if account.id.is_some() {
        lines.push(format!(
            "Account:   {} ({}), matched by {}",
            account.name,
            account.kana,
            word(account.matched_by)
        ));
        lines.push(format!("Answer:    {}", account.answer_phrase));
        lines.extend(account.notes.lines().map(|line| format!("Notes:     {line}")));
    } else {
        lines.push("Account:   none has any of these numbers".to_owned());
    }
    if let Some(then) = &explained.hours {
        let hours = then.hours.as_deref().unwrap_or("always open");
        let open = if then.open { "open" } else { "closed" };
        lines.push(format!("Hours:     {hours}; {open} at {}", then.local_time));
    }
    lines.extend(explained.transfers.as_ref().map(transfers));
    if let Some(supervision) = &explained.supervision {
        lines.push(format!("Listening: {}", listening(supervision)));
    }
    let caller = card.caller.number.as_deref().unwrap_or("withheld");
    let area = card.caller.area.as_deref().map(|area| format!(" ({area})")).unwrap_or_default();
    lines.push(format!("Caller:    {caller}{area}"));
    lines.push(format!("Customers: {}", customers_why(explained.customers)));
    let mut text: String = lines.iter().map(|line| output::plain(line) + "\n").collect();

    let mut tried = Table::new(["NUMBER TRIED", "FROM", "COMPARED AS", "ACCOUNT", "VERDICT"]);
    for one in &explained.tried {
        let (key, account) = (one.key.as_deref().unwrap_or("-"), one.account.as_deref().unwrap_or("-"));
        tried.row([&one.number, one.source, key, account, verdict(one.verdict)]);
    }
    text.push_str(&format!("\n{}", tried.render()));
    if !card.customers.is_empty() {
        let mut customers = Table::new(["CUSTOMER", "KANA", "COMPANY", "FLAGS"]);
        for one in &card.customers {
            let company = one.company.as_deref().unwrap_or("-");
            customers.row([&one.name, &one.kana, company, &one.flags.join(" ")]);
        }
        text.push_str(&format!("\n{}", customers.render()));
    }
    if !explained.contacts.is_empty() {
        let mut contacts = Table::new(["ON CALL", "CONTACT", "ROLE", "NUMBER", "RINGS", "PRESSES 1"]);
        for contact in &explained.contacts {
            let fields = &contact.fields;
            let order = fields.on_call_order.map_or_else(|| "-".to_owned(), |order| order.to_string());
            let number = fields.number.as_deref().unwrap_or("-");
            let rings = fields.ring_s.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
            let asked = explained.transfers.as_ref().is_none_or(|transfers| transfers.accept_by_key);
            let accepts = if asked && fields.accept_by_key { "yes" } else { "no" };
            contacts.row([&order, &fields.name, &fields.role, number, &rings, accepts]);
        }
        text.push_str(&format!("\n{}", contacts.render()));
    }
    text
}

fn transfers(account: &TransfersThen) -> String {
    let shown = match account.caller_id_policy {
        CallerIdPolicy::Caller => "the caller's number",
        CallerIdPolicy::Account => "the account's number",
        CallerIdPolicy::Service => "the service's number",
    };
    let accept = match (account.accept_by_key, &account.accept_sound) {
        (true, Some(sound)) => format!("press 1 after {sound}"),
        (true, None) => "press 1".to_owned(),
        (false, _) => "do not press a key".to_owned(),
    };
    let opened = match account.extra_numbers.as_slice() {
        [] => String::new(),
        some => format!("; may also go to {}…", some.join("…, ")),
    };
    format!("Transfers: contacts see {shown} and {accept}{opened}")
}

fn listening(supervision: &SupervisionThen) -> &'static str {
    match (supervision.never_monitor, supervision.notify) {
        (true, _) => "never",
        (false, None) => "allowed",
        (false, Some(Notify::Tone)) => "allowed; the operator hears a tone",
        (false, Some(Notify::Desktop)) => "allowed; the operator gets a notice on her screen",
        (false, Some(Notify::Silent)) => "allowed; the operator is not told",
    }
}

fn word(matched_by: MatchedBy) -> &'static str {
    match matched_by {
        MatchedBy::Diversion => "the forwarding number",
        MatchedBy::HistoryInfo => "the forwarding number (History-Info)",
        MatchedBy::Dialled => "the number dialled",
        MatchedBy::Trunk => "the trunk's default",
        MatchedBy::None => "nothing",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Matched => "decided",
        Verdict::Agrees => "leads to the same account",
        Verdict::Outranked => "another number decided before",
        Verdict::NoAccount => "no account has it",
        Verdict::NotANumber => "not a number",
    }
}

fn customers_why(why: CustomersWhy) -> &'static str {
    match why {
        CustomersWhy::One => "one has the caller's number",
        CustomersWhy::Several => "several have the caller's number; the operator chooses",
        CustomersWhy::NoneHasIt => "none of this account has the caller's number",
        CustomersWhy::NoNumber => "without the caller's number nobody is matched",
        CustomersWhy::NotANumber => "what was given as the caller's number is none",
        CustomersWhy::NoAccount => "none is looked for without an account",
    }
}
