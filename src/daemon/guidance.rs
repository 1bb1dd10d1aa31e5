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
//! Invariant: only the leader answers. The loop waits for neither the store nor the PBX.

use std::sync::Arc;

use super::core::Core;
use crate::ami::action::Action;
use crate::ami::client::Handle;
use crate::ami::event::{Channel, Event, user_text};
use crate::bus::Bus;
use crate::config::Config;
use crate::contract::guidance_pin::GuidancePin;
use crate::directory::Directory;
use crate::ids::{CallId, ChannelId};
use crate::store::Store;
use crate::voice::{GuidanceCaller, GuidanceRecorder};

/// The event of `toritsugi-guidance` in the dialplan.
const EVENT: &str = "ToritsugiGuidance";
/// The variable in which the dialplan finds the answer.
const ANSWER: &str = "TORITSUGI_GUIDANCE";

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
