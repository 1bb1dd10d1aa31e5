//! `toritsugi explain`: prints which account and customers the pop of a call would show, and why.
//!
//! It reads the store and needs neither a running daemon nor a call. The lookup is that of the pop itself.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use toritsugi::callflow::CallflowThen;
use toritsugi::contract::card::MatchedBy;
use toritsugi::contract::records::CallerIdPolicy;
use toritsugi::contract::supervision::Notify;
use toritsugi::directory::explain::{
    CustomerMatchReason, ExplainRequest, Explanation, MatchResult, SupervisionPolicyInfo, TransferPolicyInfo,
};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::store::{SchemaStatus, Store};

use super::Global;
use super::callflow::{because, sentence, word};
use super::output::{self, Output, Table};
use super::when;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The dialled number, as the dialplan's extension has it.
    #[arg(long, value_name = "NUMBER", required_unless_present_any = ["called_party", "request_uri", "to"])]
    dialled: Option<String>,
    /// The number in the header P-Called-Party-ID.
    #[arg(long, value_name = "NUMBER")]
    called_party: Option<String>,
    /// The number in the Request-URI.
    #[arg(long, value_name = "NUMBER")]
    request_uri: Option<String>,
    /// The number in the header To.
    #[arg(long, value_name = "NUMBER")]
    to: Option<String>,
    /// The caller's number; without it, the caller is not looked up.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// The number that forwarded the call.
    #[arg(long, value_name = "NUMBER")]
    diverted_by: Option<String>,
    /// The endpoint of the trunk through which the call arrives.
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// The time of the call: tomorrow, 14:30, 2026-11-29, +2h, or RFC 3339 [default: now].
    #[arg(long, value_name = "TIME", value_parser = when::time, allow_hyphen_values = true)]
    at: Option<Timestamp>,
    /// Exit with 1 if no account has the number.
    #[arg(long)]
    fail_if_none: bool,
    #[command(flatten)]
    output: Output,
}

impl Explain {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let location = config.store.location()?;
        if Store::inspect_at(&location).await? == SchemaStatus::Absent {
            anyhow::bail!("there is no database at {location} yet; import accounts with `toritsugi import`");
        }
        let store = Store::open_at(&location).await?;
        let directory = Directory::load(store, DirectoryOptions::from(&config.directory)).await?;
        let from_is_given = self.from.is_some();
        let request = ExplainRequest {
            dialled: self.dialled,
            called_party: self.called_party,
            request_uri: self.request_uri,
            to: self.to,
            from: self.from,
            diverted_by: self.diverted_by,
            trunk: self.trunk,
            at: self.at.unwrap_or_else(Timestamp::now),
        };
        let explained = directory.explain(&request).await?;
        directory.store().close().await;
        if self.output.json {
            output::print_json(&explained)?;
        } else {
            output::print(&text(&explained, from_is_given))?;
        }
        let is_none = explained.card.account.id.is_none();
        Ok(if self.fail_if_none && is_none { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// How the PBX treats the call before an operator.
fn callflow_text(callflow: &CallflowThen) -> impl Iterator<Item = String> {
    let value = serde_json::to_value(callflow).unwrap_or_default();
    let first = format!("Callflow:  {} by {}", word(&value["treatment"]), because(&value["because"]));
    let steps = value["steps"].as_array().cloned().unwrap_or_default();
    std::iter::once(first).chain(steps.into_iter().map(|step| format!("           {}", sentence(&step))))
}

/// Formats the explanation for people, from the account down to its contacts.
fn text(explained: &Explanation, from_is_given: bool) -> String {
    let card = &explained.card;
    let account = &card.account;
    let mut lines = Vec::new();
    if account.id.is_some() {
        lines.push(format!(
            "Account:   {} ({}), matched by {}",
            account.name,
            account.kana,
            matched_by_text(account.matched_by)
        ));
        if let Some(decided) = &explained.decided_by {
            lines.push(format!("Decided:   {} from {}", decided.number, source_text(decided.source)));
        }
        lines.push(format!("Answer:    {}", account.answer_phrase));
        lines.extend(script_text(explained));
        lines.extend(account.notes.lines().map(|line| format!("Notes:     {line}")));
    } else {
        lines.push("Account:   no account has one of these numbers".to_owned());
    }
    if let Some(info) = &explained.hours {
        let hours = info.hours.as_deref().unwrap_or("always open");
        let open = if info.open { "open" } else { "closed" };
        lines.push(format!("Hours:     {hours}; {open} at {}", info.local_time));
    }
    if let Some(callflow) = &explained.callflow {
        lines.extend(callflow_text(callflow));
    }
    lines.extend(explained.transfers.as_ref().map(transfer_text));
    if let Some(supervision) = &explained.supervision {
        lines.push(format!("Listening: {}", supervision_text(supervision)));
    }
    let caller = match card.caller.number.as_deref() {
        Some(number) => number,
        None if !from_is_given => "not given; add --from",
        None => "withheld",
    };
    let area = card.caller.area.as_deref().map(|area| format!(" ({area})")).unwrap_or_default();
    lines.push(format!("Caller:    {caller}{area}"));
    lines.push(format!("Customers: {}", customers_text(explained.customers)));
    let mut text: String = lines.iter().map(|line| output::plain(line) + "\n").collect();

    let mut tried = Table::new(["NUMBER TRIED", "FROM", "COMPARED AS", "ACCOUNT", "VERDICT"]);
    for one in &explained.tried {
        let (key, account) = (one.key.as_deref().unwrap_or("-"), one.account.as_deref().unwrap_or("-"));
        tried.row([&one.number, source_text(one.source), key, account, verdict_text(one.verdict)]);
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
            let key_is_enabled = explained.transfers.as_ref().is_none_or(|transfers| transfers.accept_by_key);
            let accepts = if key_is_enabled && fields.accept_by_key { "yes" } else { "no" };
            contacts.row([&order, &fields.name, &fields.role, number, &rings, accepts]);
        }
        text.push_str(&format!("\n{}", contacts.render()));
    }
    text
}

/// The script of the call, and what the operator says first.
fn script_text(explained: &Explanation) -> Vec<String> {
    match &explained.card.script {
        Some(script) => vec![
            format!("Script:    {} ({}), version {}", script.name, script.id, script.version),
            format!("Opening:   {}", script.opening.replace('\n', " ")),
        ],
        None => vec!["Script:    none for this call; the built-in one".to_owned()],
    }
}

fn transfer_text(account: &TransferPolicyInfo) -> String {
    let shown = match account.caller_id_policy {
        CallerIdPolicy::Caller => "the caller's number",
        CallerIdPolicy::Account => "the account's number",
        CallerIdPolicy::Service => "the service's number",
    };
    let accept = match (account.accept_by_key, &account.accept_sound) {
        (true, Some(sound)) => format!("press 1 after {sound}"),
        (true, None) => "press 1".to_owned(),
        (false, _) => "press no key".to_owned(),
    };
    let extra = match account.extra_numbers.as_slice() {
        [] => String::new(),
        some => format!("; numbers that begin with {}… are allowed as well", some.join("…, ")),
    };
    format!("Transfers: contacts see {shown} and {accept}{extra}")
}

fn supervision_text(supervision: &SupervisionPolicyInfo) -> &'static str {
    match (supervision.never_monitor, supervision.notify) {
        (true, _) => "never",
        (false, None) => "allowed",
        (false, Some(Notify::Tone)) => "allowed; the operator hears a tone",
        (false, Some(Notify::Desktop)) => "allowed; the operator sees a notice on the desktop",
        (false, Some(Notify::Silent)) => "allowed; the operator is not notified",
    }
}

fn matched_by_text(matched_by: MatchedBy) -> &'static str {
    match matched_by {
        MatchedBy::Diversion => "the forwarding number",
        MatchedBy::HistoryInfo => "the forwarding number (History-Info)",
        MatchedBy::Dialled => "the dialled number",
        MatchedBy::Trunk => "the trunk's default",
        MatchedBy::None => "nothing",
    }
}

/// The header as SIP writes it.
fn source_text(source: &'static str) -> &'static str {
    match source {
        "diversion" => "Diversion",
        "history_info" => "History-Info",
        "redirecting" => "the PBX's redirecting number",
        "called_party" => "P-Called-Party-ID",
        "request_uri" => "Request-URI",
        "to" => "To",
        other => other,
    }
}

fn verdict_text(verdict: MatchResult) -> &'static str {
    match verdict {
        MatchResult::Matched => "decided",
        MatchResult::Agrees => "leads to the same account",
        MatchResult::Outranked => "a number with precedence decided",
        MatchResult::NoAccount => "no account has it",
        MatchResult::NotANumber => "not a number",
    }
}

fn customers_text(reason: CustomerMatchReason) -> &'static str {
    match reason {
        CustomerMatchReason::One => "one has the caller's number",
        CustomerMatchReason::Several => "several have the caller's number; the operator chooses",
        CustomerMatchReason::NoneHasIt => "none of this account has the caller's number",
        CustomerMatchReason::NoNumber => "there is no caller's number to match",
        CustomerMatchReason::NotANumber => "the given caller's number is not a number",
        CustomerMatchReason::NoAccount => "customers are searched only if there is an account",
    }
}
