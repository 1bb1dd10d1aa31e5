//! Writing the audit trail of what people do through the gateway: people, tokens, passwords, sign-ins, records.
//!
//! | entry | about |
//! |---|---|
//! | `user.created`, `user.changed`, `user.revoked` | a person; role, extension and team before and after |
//! | `password.link_created` | the person who may set a password by it; when it expires |
//! | `token.created`, `token.revoked` | a person's token |
//! | `session.opened`, `session.closed`, `session.refused` | a sign-in with a password, a sign-out, a sign-in that was refused |
//! | `account.*`, `contact.*`, `customer.*` (`created`, `changed`, `deleted`, `imported`) | a record; the names of the fields that a request set, of an account and a contact also the fields that differ, before and after (of a contact's number and address the last characters) |
//! | `customer.merged`, `customer.separated` | the customer who stays, with the id of the one who went; the one who is back |
//! | `records.exported` | a file of accounts, customers, contacts or users |
//! | `words.changed` | a list of words; the words before and after |
//! | `team.renamed` | a team; its name before and after |
//! | `notice.created`, `notice.changed`, `notice.ended` | a notice; its account, and its end or the names of the fields that were set |
//! | `pronunciation.changed`, `pronunciation.deleted` | the account whose name it is |
//! | `callback.marked` | an abandoned call; how far it is to call its caller back |
//! | `contact.presence` | a contact; where the contact is said to be, and until when |
//! | `transfer.rule_overridden` | the account of a call; the call, and the contact who takes no calls and got one all the same |
//! | `message.changed`, `message.deleted` | a message whose text another person wrote |
//! | `script.saved`, `script.published`, `script.retired` | a script of an account; version, state, the version that was restored |
//! | `endpoint.*` (`created`, `changed`, `deleted`, `tested`), `address.resumed` | an endpoint; an address that was suspended |
//! | `template.changed`, `template.reset` | the account whose mails it writes |
//! | `delivery.retried` | a delivery of a message that was sent again |
//! | `routes.saved` | the routes of an account, or of all; the version |
//! | `callflow.changed`, `callflow.deleted` | the account; what was set |
//! | `callflow_template.saved`, `callflow_template.deleted` | a template; its code, and what was set |
//! | `caller_rule.set`, `caller_rule.deleted` | the account; what the rule does, its id, until when |
//! | `sound.uploaded`, `sound.deleted` | a sound; its name and title |
//! | `guidance_pin.set`, `guidance_pin.removed` | the account; what is entered for it, and not the PIN |
//! | `guidance.used`, `guidance.discarded` | the account; the recording that had waited, and what callers heard before |
//! | `override.set`, `override.ended` | the account, or none for the whole service; what it does, until when, why |
//! | `holiday.saved`, `holiday.deleted` | one of the installation's days off |
//! | `holiday.imported` | the Cabinet Office's table; how many days, of which years |
//! | `message.corrected` | a message; its number and revision, and the names of the fields that were set. The reason is in the revision |
//! | `messages.exported` | a file of messages; the filter without the text that was searched for, and how many |
//! | `webhook.retried`, `webhook.tested` | a delivery; a receiver |
//! | `fax.read`, `fax.deleted` | a fax whose document was taken, or that was deleted |
//! | `history.exported` | a file of finished calls; how many, of which account and time |
//! | `stats.exported` | a file of figures; by what, and of which time |
//! | `billing_plan.changed`, `billing_plan.deleted` | the account whose plan it is |
//! | `contract.changed`, `contract.deleted` | the account with which it was agreed |
//! | `bill.closed` | the account; the month and the amount |
//! | `bills.exported` | a file of bills; the month, and how many |
//!
//! What the core does (supervision, help, states of others) is recorded there; what the command line does, by it.
//!
//! | the store | what happens to an entry |
//! |---|---|
//! | takes it | it is there when the request is answered |
//! | is busy or away | it waits in the journal queue ([`crate::journal::queue`]) |
//! | refuses it | it is logged as an error |
//!
//! Invariants: an entry holds no password, no token and nothing of a caller or customer besides the id of the record. A
//! request never fails because of its entry. Of what one person does again and again, the entries are counted
//! ([`crate::store::audit::limit`]); an administrator's are all written.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use super::auth::Caller;
use super::state::AppState;
use super::throttle::network;
use crate::contract::audit::AuditEntry;
use crate::ids::RecordId;
use crate::journal::entry::JournalEntry;
use crate::people::role::Role;
use crate::people::roster::Person;
use crate::store::audit::limit::AuditLimit;

/// How often windows of the limit are looked at.
const LIMIT_INTERVAL: Duration = Duration::from_secs(10);

/// Characters of a masked value that are shown: its last ones.
const MASK_SHOWN_CHARS: usize = 4;

/// What the gateway counts of the audit trail.
#[derive(Debug, Default)]
pub(crate) struct AuditTrail {
    limit: Mutex<AuditLimit>,
}

impl AuditTrail {
    fn limit(&self) -> MutexGuard<'_, AuditLimit> {
        self.limit.lock()
    }
}

fn log_lost(entry: &AuditEntry, reason: &str) {
    tracing::error!(
        at = %entry.at, actor = ?entry.actor, action = entry.action, subject = ?entry.subject_id, reason,
        "an entry of the audit trail is not in the store; check its disk"
    );
}

/// Records what `caller` did to the record `subject`, which people know as `name`.
pub(crate) async fn record(
    state: &AppState,
    caller: &Caller,
    action: &str,
    (name, subject): (&str, Option<RecordId>),
    mut details: Value,
) {
    details["session"] = json!(caller.token);
    let key = (caller.person.role != Role::Admin).then(|| format!("{action} {}", caller.person.id));
    let entry = entry_of(state, Some(&caller.person), action, (name, subject), details);
    write(state, key.as_deref(), entry).await;
}

/// Records that `person` signed in with a password, from `address`.
pub(crate) async fn record_sign_in(
    state: &AppState,
    person: &Person,
    session: RecordId,
    address: Option<IpAddr>,
) {
    let details = json!({ "session": session, "address": address });
    let about = (person.name.as_str(), Some(person.id));
    let entry = entry_of(state, Some(person), "session.opened", about, details);
    write(state, Some(&format!("session.opened {}", person.id)), entry).await;
}

/// Records a sign-in that was refused. `login` is kept only where it names a person: people type passwords into that field.
pub(crate) async fn record_refused_sign_in(
    state: &AppState,
    login: &str,
    address: Option<IpAddr>,
    reason: &str,
) {
    let roster = state.app.people.stored();
    let by_extension =
        || crate::ids::Extension::parse(login).ok().and_then(|extension| roster.at(&extension));
    let person = roster.named(login).or_else(by_extension);
    let about = (person.map_or("", |person| person.name.as_str()), person.map(|person| person.id));
    let details = json!({ "address": address, "reason": reason });
    let entry = entry_of(state, None, "session.refused", about, details);
    let network = address.map(|address| network(address).to_string()).unwrap_or_default();
    write(state, Some(&format!("session.refused {network}")), entry).await;
}

/// The names of the fields that a JSON merge patch sets.
pub(crate) fn fields_of(patch: &Value) -> Value {
    let fields: Vec<&String> = patch.as_object().into_iter().flat_map(|object| object.keys()).collect();
    json!({ "fields": fields })
}

/// The fields that differ, each before and after. Only for records that hold nothing of a caller or a customer.
pub(crate) fn differences_of<T: serde::Serialize>(before: &T, after: &T) -> Value {
    let fields = |record: &T| match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(before), fields(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differing
        .map(|name| (name.clone(), json!({ "before": before.get(name), "after": after.get(name) })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Differences with the values of these fields masked: their ends tell them apart, and say no more.
pub(crate) fn masked(mut differences: Value, fields: &[&str]) -> Value {
    for field in fields {
        for side in ["before", "after"] {
            let value = differences.get_mut(*field).and_then(|both| both.get_mut(side));
            if let Some(Value::String(text)) = value {
                let end = text.chars().count().saturating_sub(MASK_SHOWN_CHARS);
                *text = std::iter::once('…').chain(text.chars().skip(end)).collect();
            }
        }
    }
    differences
}

fn entry_of(
    state: &AppState,
    actor: Option<&Person>,
    action: &str,
    (name, subject): (&str, Option<RecordId>),
    details: Value,
) -> AuditEntry {
    AuditEntry {
        at: state.app.clock.now(),
        actor: actor.map(|person| person.id),
        actor_name: actor.map(|person| person.name.clone()).unwrap_or_default(),
        action: action.into(),
        subject: name.into(),
        subject_id: subject,
        call: None,
        details,
    }
}

async fn write(state: &AppState, key: Option<&str>, entry: AuditEntry) {
    let admitted = match key {
        None => Some(entry),
        Some(key) => state.audit_trail.limit().admit(entry.at, key, entry),
    };
    if let Some(entry) = admitted {
        add(state, entry).await;
    }
}

async fn add(state: &AppState, entry: AuditEntry) {
    match state.app.store.record_audit(&entry).await {
        Ok(()) => {}
        Err(error) if error.is_transient() => state.app.bus.record(JournalEntry::Audit(Box::new(entry))),
        Err(error) => log_lost(&entry, &error.to_string()),
    }
}

/// Writes what the limit withheld, until `shutdown`.
pub(super) async fn run(state: Arc<AppState>) {
    loop {
        let stops = tokio::select! {
            () = state.shutdown.cancelled() => true,
            () = tokio::time::sleep(LIMIT_INTERVAL) => false,
        };
        let now = state.app.clock.now();
        let summaries = {
            let mut limit = state.audit_trail.limit();
            if stops { limit.finish() } else { limit.handle_timeout(now) }
        };
        for entry in summaries {
            add(&state, entry).await;
        }
        if stops {
            return;
        }
    }
}
