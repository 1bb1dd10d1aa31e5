//! Guidance by telephone: hands what the dialplan reports to the recorder ([`crate::voice::guidance`]), and answers by a variable of
//! the caller's channel.
//!
//! | the dialplan reports | `TORITSUGI_GUIDANCE` becomes |
//! |---|---|
//! | `check`: what was entered | the account's id, 32 hexadecimal digits; `no` |
//! | `keep` | `kept`; `no` |
//! | either, where the daemon takes no recordings or brings no sounds | `off` |
//! | `over` | - |
//!
//! What waited for an account to close becomes its guidance once the account is open: nobody hears it until then.
//!
//! Invariant: only the leader answers, and lets callers hear what waited. The loop waits for neither the store nor the PBX.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use crate::ami::action::Action;
use crate::ami::client::Handle;
use crate::ami::event::{Channel, Event, user_text};
use crate::bus::Bus;
use crate::config::Config;
use crate::contract::audit::AuditEntry;
use crate::contract::event::EventKind;
use crate::contract::guidance_pin::GuidancePin;
use crate::directory::Directory;
use crate::ids::{CallId, ChannelId};
use crate::journal::entry::JournalEntry;
use crate::publish;
use crate::store::guidance_drafts::NamedOutcome;
use crate::store::{Store, StoreError};
use crate::voice::{GuidanceCaller, GuidanceRecorder};

/// The event of `toritsugi-guidance` in the dialplan.
const EVENT: &str = "ToritsugiGuidance";
/// The variable in which the dialplan finds the answer.
const ANSWER: &str = "TORITSUGI_GUIDANCE";

/// How often recordings that wait for their accounts to close are looked at.
const DUE_INTERVAL: Duration = Duration::from_secs(15);

/// Lets callers hear what waited for its account to close, until `shutdown`.
pub(super) async fn run(directory: Directory, bus: Bus, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(DUE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if !bus.is_leader() {
            continue;
        }
        if let Err(error) = use_due(&directory, &bus, Timestamp::now()).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "guidance that waits cannot be read; it waits on");
        }
    }
}

/// Names in the callflows what waited until `now` for its account to close.
async fn use_due(directory: &Directory, bus: &Bus, now: Timestamp) -> Result<(), StoreError> {
    for draft in directory.guidance_due(now).await? {
        let by =
            directory.account(draft.account).map(|account| account.fields.name.clone()).unwrap_or_default();
        let store = directory.store();
        if store.name_closed_guidance((draft.account, &draft.name), &by, now).await?
            == NamedOutcome::NoCallflow
        {
            continue;
        }
        store.end_guidance_draft(draft.account, draft.sound).await?;
        bus.record(JournalEntry::Audit(Box::new(AuditEntry {
            at: now,
            actor: None,
            actor_name: String::new(),
            action: "guidance.used".into(),
            subject: draft.account_name.clone(),
            subject_id: Some(draft.account),
            call: None,
            details: json!({ "name": draft.name }),
        })));
        bus.publish(publish::guidance(EventKind::GuidanceUsed, &draft, now));
    }
    Ok(())
}

/// What the dialplan asks for.
enum Request {
    Check { caller: Option<GuidanceCaller>, entry: String, pin: Option<GuidancePin> },
    Keep,
    Over,
}

/// The recorder; `None` where recordings are not taken, or sounds are not brought to the PBX.
pub(super) fn recorder(
    config: &Config,
    bus: &Bus,
    store: &Store,
    directory: &Directory,
) -> Option<Arc<GuidanceRecorder>> {
    config.callflow.sounds_directory.as_ref()?;
    let spool = config.voice.directory.clone()?;
    Some(Arc::new(GuidanceRecorder::new(spool, bus.clone(), store.clone(), directory.clone())))
}

impl Core {
    /// A request of the dialplan, if `event` is one.
    pub(super) fn on_guidance_event(&self, event: &Event) {
        let Event::User { name, channel, fields } = event else { return };
        if name != EVENT || !self.deps.bus.is_leader() {
            return;
        }
        let request = match user_text(fields, "Step") {
            Some("check") => Request::Check {
                caller: self.guidance_caller(channel),
                entry: user_text(fields, "Entry").unwrap_or_default().to_owned(),
                pin: user_text(fields, "Pin").and_then(GuidancePin::entered),
            },
            Some("keep") => Request::Keep,
            Some("over") => Request::Over,
            _ => return,
        };
        let call = self.model.leg_view(&channel.id).map(|leg| leg.call);
        let call = call.filter(|id| self.model.call(*id).is_some());
        let (recorder, pbx, channel) =
            (self.deps.guidance.clone(), self.deps.pbx.clone(), channel.id.clone());
        self.deps.tasks.spawn(async move {
            if let Some(answer) = carry_out(recorder.as_deref(), (&channel, call), request).await {
                reply(&pbx, &channel, &answer).await;
            }
        });
    }

    /// From where the caller on this channel calls; `None` for one whose number nobody knows.
    fn guidance_caller(&self, channel: &Channel) -> Option<GuidanceCaller> {
        let leg = self.model.leg_view(&channel.id)?;
        if let Some(phone) = leg.phone {
            return Some(GuidanceCaller::Phone(phone));
        }
        let card = self.model.call(leg.call)?.card?;
        let number = card.caller.number.clone().filter(|_| !card.caller.presentation.hides_number());
        number.map(GuidanceCaller::Number)
    }
}

/// Carries a request out; returns the answer, where the dialplan waits for one.
async fn carry_out(
    recorder: Option<&GuidanceRecorder>,
    (channel, call): (&ChannelId, Option<CallId>),
    request: Request,
) -> Option<String> {
    let no = || Some("no".to_owned());
    let Some(recorder) = recorder else {
        if matches!(request, Request::Over) {
            return None;
        }
        tracing::warn!(
            "guidance cannot be recorded by telephone: set voice.directory and callflow.sounds_directory"
        );
        return Some("off".to_owned());
    };
    match request {
        Request::Check { caller, entry, pin } => {
            match recorder.check((channel, call), caller, (&entry, pin)).await {
                Ok(account) => account.map(|account| account.0.simple().to_string()).or_else(no),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a PIN for guidance cannot be checked");
                    no()
                }
            }
        }
        Request::Keep => match recorder.keep(channel, call).await {
            Ok(()) => Some("kept".to_owned()),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "guidance that was recorded by telephone is not kept");
                no()
            }
        },
        Request::Over => {
            recorder.over(channel).await;
            None
        }
    }
}

async fn reply(pbx: &Handle, channel: &ChannelId, answer: &str) {
    // A caller who has hung up meanwhile hears no answer.
    if let Ok(action) = Action::setvar(channel.as_str(), ANSWER, answer) {
        pbx.send(action).await;
    }
}
