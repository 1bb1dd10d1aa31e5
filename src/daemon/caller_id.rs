//! What the core reads of a caller's channel: whether the number may be shown, and the SIP headers.
//!
//! | read | when | from |
//! |---|---|---|
//! | the presentation | a call came in | the channel's present value, what the route saved, the ANI |
//! | the headers | no identity event came before the queue, the first dial, or the time-out | what the dialplan stored, else the channel's own |
//!
//! Invariant: the loop does not wait for the PBX; each answer comes back as an input of the call model. A variable that
//! cannot be read hides nothing and shows nothing: the model shows a number only after both answers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use smol_str::SmolStr;

use super::core::{Core, TaskResult};
use crate::ami::action::{Action, ChannelVariable, SipHeader};
use crate::ami::client::Handle;
use crate::ami::event::USER_EVENT_FIELDS_MAX;
use crate::ami::session::ActionOutcome;
use crate::call::Input;
use crate::ids::{CallId, ChannelId};
use crate::sip;

/// Maximum number of retries of a channel variable that the PBX did not answer for.
const READ_ATTEMPTS_MAX: u32 = 50;
/// The header that the dialplan stores last, for every call.
const LAST_STORED_HEADER: &str = "RequestUri";
/// Delay before each retry.
const READ_RETRY_DELAY: Duration = Duration::from_millis(100);

impl Core {
    /// A call came in: a spawned task reads from the channel whether the number may be shown.
    pub(super) fn ask_channel(&mut self, call: CallId, channel: &ChannelId) {
        let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() else { return };
        let (pbx, results, channel) = (self.deps.pbx.clone(), self.results.clone(), channel.clone());
        self.deps.tasks.spawn(async move {
            let input = read_presentation(&pbx, call, &channel).await;
            let _ = results.send(TaskResult::Input(Box::new(input))).await;
            drop(permit);
        });
    }

    /// The dialplan reported no headers for this call: a spawned task reads those that it stored on the channel, else the
    /// channel's own.
    pub(super) fn ask_headers(&mut self, call: CallId, channel: &ChannelId, technology: &str) {
        let Ok(permit) = Arc::clone(&self.lookups).try_acquire_owned() else { return };
        let (pbx, results, channel) = (self.deps.pbx.clone(), self.results.clone(), channel.clone());
        let technology = SmolStr::new(technology);
        self.deps.tasks.spawn(async move {
            let input = read_headers(&pbx, call, &channel, &technology).await;
            let _ = results.send(TaskResult::Input(Box::new(input))).await;
            drop(permit);
        });
    }
}

/// Answers [`crate::call::Output::ReadChannel`]. The questions leave at once and in this order: a route that overwrites
/// the presentation after the first was answered has saved it before the second.
pub async fn read_presentation(pbx: &Handle, call: CallId, channel: &ChannelId) -> Input {
    let read = |what| read_channel_variable(pbx, channel, what);
    let (now, saved, ani) = tokio::join!(
        biased;
        read(ChannelVariable::Presentation),
        read(ChannelVariable::SavedPresentation),
        read(ChannelVariable::AniPresentation),
    );
    let presentation = sip::strictest(now.as_deref(), saved.as_deref(), ani.as_deref());
    Input::ChannelRead { call, presentation: presentation.map(str::to_owned) }
}

/// Answers [`crate::call::Output::ReadHeaders`].
pub async fn read_headers(pbx: &Handle, call: CallId, channel: &ChannelId, technology: &str) -> Input {
    let variable: Option<fn(SipHeader) -> ChannelVariable> = match technology {
        "PJSIP" => Some(ChannelVariable::Pjsip),
        "SIP" => Some(ChannelVariable::ChanSip),
        // An analog or ISDN line has none.
        _ => None,
    };
    let read = |what| read_channel_variable(pbx, channel, what);
    let all = SipHeader::ALL.into_iter().filter_map(|header| Some((header.name, variable?(header))));
    let own =
        all.map(|(name, what)| async move { Some((SmolStr::new(name), read(what).await?.into_bytes())) });
    let (stored, own) = tokio::join!(biased; read(ChannelVariable::SipHeaders), join_all(own));
    let stored = headers_of(&stored.unwrap_or_default());
    let by_dialplan = !stored.is_empty();
    let headers = if by_dialplan { stored } else { own.into_iter().flatten().collect() };
    Input::HeadersRead { call, by_dialplan, headers }
}

/// Reads a variable of a channel; `None` when it cannot be read or is empty. Just after a start the action session may
/// come up later than the session that listed the channel, and it may end while the PBX answers. Reading twice harms
/// nothing, so a question without an answer is asked again, up to [`READ_ATTEMPTS_MAX`] times.
pub(super) async fn read_channel_variable(
    pbx: &Handle,
    channel: &ChannelId,
    what: ChannelVariable,
) -> Option<String> {
    let action = Action::getvar(channel.as_str(), what).ok()?;
    let mut outcome = pbx.send(action.clone()).await;
    for _ in 0..READ_ATTEMPTS_MAX {
        if matches!(outcome, ActionOutcome::Response(_)) {
            break;
        }
        tokio::time::sleep(READ_RETRY_DELAY).await;
        outcome = pbx.send(action.clone()).await;
    }
    match outcome {
        ActionOutcome::Response(frame) if frame.get("Response") == Some(b"Success") => {
            frame.text("Value").map(|value| value.into_owned()).filter(|value| !value.is_empty())
        }
        _ => None,
    }
}

/// The headers in a channel variable that our dialplan sets (`,PAI1: %3Csip…,From: …`); empty when it has none, or while
/// the dialplan is still adding to it: a header that withholds the number may be the next one.
fn headers_of(variable: &str) -> Vec<(SmolStr, Vec<u8>)> {
    let pairs = variable.split(',').filter_map(|pair| pair.split_once(": "));
    let mut headers: Vec<_> = pairs
        .take(USER_EVENT_FIELDS_MAX)
        .map(|(name, value)| (SmolStr::new(name), value.as_bytes().to_vec()))
        .collect();
    if headers.last().is_none_or(|(name, _)| name != LAST_STORED_HEADER) {
        return Vec::new();
    }
    headers.push(("Encoding".into(), b"percent".to_vec()));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_count_when_the_dialplan_has_stored_them_all() {
        let whole = ",PAI1: %3Csip%3A0901%40c%3E,Privacy: id,From: x,RequestUri: sip%3A1";
        let names: Vec<_> = headers_of(whole).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PAI1", "Privacy", "From", "RequestUri", "Encoding"]);
        for partial in ["", ",PAI1: %3Csip%3A0901%40c%3E", ",PAI1: x,Privacy: id,From: x"] {
            assert!(headers_of(partial).is_empty(), "{partial}");
        }
    }
}
