//! Scripts at work: the form of a call and the answers so far, and a message held against its script.
//!
//! The facts of a call are those of the moment at which it reached the service, so that the form does not change under the
//! operator's hands when the account closes during a call, and so that a message is held against the form that was shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::call_facts::{CallFacts, call_facts};
use super::customers::no_such_account;
use super::extract::Body;
use super::messages::invalid;
use super::problem::{Kind, Problem, ProblemBody};
use super::scripts::{account_of, needs_edit};
use super::state::AppState;
use crate::contract::message::{Action, Mark, MessageFields, ScriptVersion, Urgency};
use crate::contract::records::Account;
use crate::directory::scripts::account_numbers;
use crate::ids::{CallId, RecordId};
use crate::people::role::Permission;
use crate::script::{self, Answers, Facts, Finding, Form, MessageProblem, Script};
use crate::store::PAGE_RECORDS_MAX;
use crate::store::messages::MessageFilter;

/// Most messages of a call whose offers are looked at.
const MESSAGES_OF_CALL_MAX: u32 = 50;

/// A form to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluateScript {
    /// The call, live or finished; what is known of it decides which script it has.
    #[schema(value_type = Option<uuid::Uuid>)]
    call: Option<CallId>,
    /// The account; the call's if absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    account: Option<RecordId>,
    /// The customer; the call's if absent.
    #[schema(value_type = Option<uuid::Uuid>)]
    customer: Option<RecordId>,
    /// The number that rang, without a call.
    dialled: Option<String>,
    /// The moment, without a call; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// This version, whichever is live: a form that was begun with a version goes on with it.
    script: Option<ScriptVersion>,
    /// This text instead of a saved one; for those who may change scripts.
    body: Option<String>,
    /// The reason that was chosen.
    reason: Option<String>,
    /// The answers by question; several for a question with several choices.
    #[serde(default)]
    values: BTreeMap<String, Vec<String>>,
    /// The action, if a person chose it.
    action: Option<Action>,
    /// The urgency, if a person chose it.
    urgency: Option<Urgency>,
    /// The mark, if a person set it.
    mark: Option<Mark>,
    /// The contact that was chosen.
    #[schema(value_type = Option<uuid::Uuid>)]
    contact: Option<RecordId>,
    /// Whether a transfer of the call failed.
    #[serde(default)]
    transfer_failed: bool,
    /// The offers that were answered.
    #[serde(default)]
    offers: BTreeSet<String>,
}

/// A form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvaluatedScript {
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    /// The version that was used; absent: the built-in script, or the text of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<ScriptVersion>,
    /// What the script is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The form; absent if the text of the request cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<Form>,
    /// What was found in the text of the request.
    findings: Vec<Finding>,
}

/// Makes the form of a call, or of an account at a moment, with the answers so far: what the operator says, the questions
/// that apply, defaults, the next offer, and what is missing. Nothing is saved.
#[utoipa::path(post, path = "/v1/scripts/evaluate", tag = "scripts", request_body = EvaluateScript, responses(
    (status = 200, description = "The form", body = EvaluatedScript),
    (status = 403, description = "not-permitted: `body` needs the permission to change scripts", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn evaluate(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(request): Body<EvaluateScript>,
) -> Result<Json<EvaluatedScript>, Problem> {
    caller.needs(Permission::TakeMessages)?;
    if request.body.is_some() {
        needs_edit(&state, &caller)?;
    }
    let call = match request.call {
        Some(call) => Some(call_facts(&state, &caller, call).await?),
        None => None,
    };
    let account = request.account.or(call.as_ref().and_then(|call| call.account));
    let account = account.ok_or_else(|| invalid("account: the call has no account; give one"))?;
    let account = account_of(&state, account)?;
    let at =
        call.as_ref().map(|call| call.offered_at).or(request.at).unwrap_or_else(|| state.app.clock.now());
    let customer = request.customer.or(call.as_ref().and_then(|call| call.customer));
    let of = OfCall { call: call.as_ref(), customer, at, transfer_failed: request.transfer_failed };
    let mut facts = of.facts(&state, &account).await?;
    facts.operator = Some(caller.person.name.clone());
    if let Some(call) = request.call {
        facts.offered = offered(&state, call).await?;
    }
    let contact_name = match request.contact {
        Some(id) => state.app.store.contact(id).await?.map(|contact| contact.fields.name),
        None => None,
    };
    let answers = Answers {
        reason: request.reason,
        values: request.values,
        action: request.action,
        urgency: request.urgency,
        mark: request.mark,
        contact_name,
        offers: request.offers,
    };
    let form = |script: &Script| script::evaluate(script, &facts, &answers, state.app.directory.plan());
    if let Some(body) = &request.body {
        let (script, findings) = findings(&state, &account, body).await?;
        let (name, form) = script.as_ref().map(|script| (script.name.clone(), form(script))).unzip();
        return Ok(Json(EvaluatedScript { account: account.id, script: None, name, form, findings }));
    }
    let chosen = match request.script {
        Some(version) => {
            let script = stored(&state, account.id, &version).await?;
            Some((version, Arc::new(script)))
        }
        None => of.script(&state, &account, request.dialled.as_deref()),
    };
    let (script, form, name) = match chosen {
        Some((version, script)) => (Some(version), form(&script), script.name.clone()),
        None => {
            let mut form = form(script::built_in());
            // An account without a script has an answer phrase.
            if !account.fields.answer_phrase.is_empty() {
                form.opening.clone_from(&account.fields.answer_phrase);
            }
            (None, form, script::built_in().name.clone())
        }
    };
    let (name, form) = (Some(name), Some(form));
    Ok(Json(EvaluatedScript { account: account.id, script, name, form, findings: Vec::new() }))
}

/// Whether the script of a call says that the call needs a message. A call of which nothing is known needs none.
pub(super) async fn script_wants_message(
    state: &AppState,
    caller: &Caller,
    call: CallId,
) -> Result<bool, Problem> {
    let Ok(facts) = call_facts(state, caller, call).await else { return Ok(false) };
    let Some(account) = facts.account else { return Ok(false) };
    let account = account_of(state, account)?;
    let of =
        OfCall { call: Some(&facts), customer: facts.customer, at: facts.offered_at, transfer_failed: false };
    Ok(of.script(state, &account, None).is_some_and(|(_, script)| script.message_required))
}

/// What a form or a message is about.
pub(super) struct OfCall<'a> {
    pub(super) call: Option<&'a CallFacts>,
    pub(super) customer: Option<RecordId>,
    /// When the call reached the service; without a call, when the message was taken.
    pub(super) at: Timestamp,
    pub(super) transfer_failed: bool,
}

impl OfCall<'_> {
    async fn facts(&self, state: &AppState, account: &Account) -> Result<Facts, Problem> {
        let customer = match self.customer {
            Some(id) => state.app.store.customer(id).await?,
            None => None,
        };
        let customer = customer.filter(|customer| customer.fields.account == account.id);
        let caller = script::Caller {
            presentation: self.call.map(|call| call.presentation).unwrap_or_default(),
            is_known: customer.is_some(),
            flags: customer.map(|customer| customer.fields.flags).unwrap_or_default(),
        };
        let mut facts = state.app.directory.script_facts(account, caller, self.at);
        facts.transfer_failed = self.transfer_failed;
        facts.common_surnames.clone_from(&state.app.settings.messages.common_surnames);
        Ok(facts)
    }

    fn script(
        &self,
        state: &AppState,
        account: &Account,
        dialled: Option<&str>,
    ) -> Option<(ScriptVersion, Arc<Script>)> {
        let of_call = self.call.into_iter().flat_map(|call| &call.numbers).map(String::as_str);
        state.app.directory.script_for(account, of_call.chain(dialled), self.at)
    }

    /// Holds a message of `account` against the script that it names, unless it changes nothing of what the script decides.
    pub(super) async fn hold(
        &self,
        state: &AppState,
        account: RecordId,
        mut fields: MessageFields,
        before: Option<&MessageFields>,
    ) -> Result<MessageFields, Problem> {
        let Some(version) = &fields.script else { return Ok(fields) };
        let decided = |fields: &MessageFields| {
            (
                fields.script.clone(),
                fields.reason.clone(),
                fields.answers.clone(),
                fields.offers.clone(),
                fields.from.clone(),
            )
        };
        let is_decided = before.is_some_and(|before| decided(before) == decided(&fields));
        if is_decided && before.is_some_and(|before| before.action == fields.action) {
            return Ok(fields);
        }
        let script = stored(state, account, version).await?;
        // A subject that nobody wrote follows the reason and the action.
        let made = before.and_then(|before| script::subject(&script, before));
        if fields.subject.is_none() || fields.subject == made {
            fields.subject = script::subject(&script, &fields).or(fields.subject);
        }
        if is_decided {
            return Ok(fields);
        }
        let record = state
            .app
            .directory
            .account(account)
            .ok_or_else(|| no_such_account(crate::store::StoreError::Missing { what: "account" }))?;
        let facts = self.facts(state, &record).await?;
        script::hold(&script, &facts, fields, state.app.directory.plan()).map_err(|problem| match problem {
            MessageProblem::Unknown(detail) => Kind::InvalidBody.with(detail),
            MessageProblem::Incomplete(missing) => {
                let labels: Vec<&str> = missing.iter().map(|missing| missing.label.as_str()).collect();
                Kind::ScriptIncomplete.with(labels.join(", ")).missing(missing)
            }
        })
    }
}

/// What a text does wrong; the script, if it can be read.
pub(super) async fn findings(
    state: &AppState,
    account: &Account,
    body: &str,
) -> Result<(Option<Script>, Vec<Finding>), Problem> {
    let read = match script::read(body) {
        Ok(read) => read,
        Err(findings) => return Ok((None, findings)),
    };
    let contacts = contact_codes(state, account.id).await?;
    let plan = state.app.directory.plan();
    let zone = state.app.directory.time_zone();
    let hours = account.fields.hours.as_ref();
    let known = script::Account {
        code: account.fields.code.clone(),
        contacts,
        numbers: account_numbers(account, plan),
        has_hours: hours.is_some(),
    };
    let zone = hours.map_or_else(|| zone.clone(), |hours| hours.zone(zone));
    let today = state.app.clock.now().to_zoned(zone).date();
    let findings = script::check(&read, &known, today, plan);
    Ok((Some(read), findings))
}

/// The codes of an account's contacts.
async fn contact_codes(state: &AppState, account: RecordId) -> Result<Vec<String>, Problem> {
    let (mut codes, mut after) = (Vec::new(), None);
    loop {
        let page = state.app.store.contacts(Some(account), after, PAGE_RECORDS_MAX).await?;
        codes.extend(page.items.into_iter().filter_map(|contact| contact.fields.code));
        let Some(next) = page.next else { return Ok(codes) };
        after = Some(next);
    }
}

/// A version that a message or a form names.
async fn stored(state: &AppState, account: RecordId, version: &ScriptVersion) -> Result<Script, Problem> {
    let unknown = || invalid("script: the account has no such version");
    let record = state.app.store.script(account, &version.id, Some(version.version)).await?;
    let body = record.and_then(|record| record.body).ok_or_else(unknown)?;
    script::read(&body).map_err(|_| unknown())
}

/// The offers that were made in the messages of a call.
async fn offered(state: &AppState, call: CallId) -> Result<Vec<String>, Problem> {
    let filter = MessageFilter { call: Some(call), ..MessageFilter::default() };
    let messages = state.app.store.messages(&filter, None, MESSAGES_OF_CALL_MAX).await?;
    Ok(messages.into_iter().flat_map(|message| message.fields.offers).map(|offer| offer.id).collect())
}
