//! A call from the carrier or from a telephone: how it looks on the wire, and what the caller does and hears.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::events::Event;
use super::rig::{Lab, SIP_CALL_ID};
use super::sound::{Recording, Tone};
use crate::support::wait::eventually;

/// Longest line that Asterisk reads from a manager connection, with its CRLF.
const AMI_LINE_BYTES_MAX: usize = 1024;

static NEXT_CALL: AtomicU64 = AtomicU64::new(1);

/// A call to be placed; by default an ordinary call that shows its number.
#[derive(Clone, Debug)]
pub(crate) struct CallSpec {
    from: String,
    to: String,
    name: String,
    withheld: bool,
    gives_up_after: Duration,
    /// The file that the caller, a fax machine, sends; as the far end sees it.
    fax: Option<String>,
    headers: Vec<(String, String)>,
}

impl CallSpec {
    /// From one number to another, as dialled in Japan (0355501001).
    pub(crate) fn new(from: &str, to: &str) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            name: String::new(),
            withheld: false,
            gives_up_after: Duration::from_secs(120),
            fax: None,
            headers: Vec::new(),
        }
    }

    /// The client company's line forwards the call: a Diversion header.
    pub(crate) fn diverted_by(self, number: &str) -> Self {
        let value = format!("<sip:{number}@carrier.example>;reason=unconditional;counter=1");
        self.header("Diversion", &value)
    }

    /// The client company's line forwards the call: a History-Info header, as between
    /// Japanese carriers (the diverting number, then the number dialled here).
    pub(crate) fn forwarded_with_history(self, number: &str) -> Self {
        let value = format!(
            "<sip:{number}@carrier.example?Reason=SIP%3Bcause%3D302>;index=1,<sip:{}@carrier.example;cause=302>;index=1.1",
            self.to
        );
        self.header("History-Info", &value)
    }

    /// The name in From.
    pub(crate) fn display_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The number is withheld: From is anonymous, P-Asserted-Identity has the number, and `Privacy: id` forbids showing it.
    pub(crate) fn withheld(mut self) -> Self {
        self.withheld = true;
        self
    }

    /// The caller hangs up when the call is not answered within this time.
    pub(crate) fn gives_up_after(mut self, time: Duration) -> Self {
        self.gives_up_after = time;
        self
    }

    /// The caller is a fax machine that sends this file.
    pub(crate) fn sends_fax(mut self, file: String) -> Self {
        self.fax = Some(file);
        self
    }

    /// Any other header on the INVITE.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A call that was placed, seen from the caller's side.
pub(crate) struct PlacedCall<'a> {
    lab: &'a Lab,
    /// The far end's Uniqueid of the caller's channel, chosen by the lab.
    id: String,
    party: String,
    to: String,
}

impl<'a> PlacedCall<'a> {
    pub(crate) async fn place(lab: &'a Lab, spec: CallSpec, endpoint: &str) -> PlacedCall<'a> {
        let id = format!("caller-{}-{}", std::process::id(), NEXT_CALL.fetch_add(1, Ordering::Relaxed));
        let is_carrier = endpoint.starts_with("carrier");
        let endpoint = if spec.withheld { "carrier-anonymous" } else { endpoint };
        let mut headers = spec.headers;
        let (number, name) = if spec.withheld {
            headers.push(("Privacy".to_owned(), "id".to_owned()));
            ("anonymous", "Anonymous")
        } else {
            (spec.from.as_str(), spec.name.as_str())
        };
        let asserted = headers.iter().any(|(name, _)| name == "P-Asserted-Identity");
        if is_carrier && !asserted {
            let value = format!("<sip:{}@carrier.example>", spec.from);
            headers.push(("P-Asserted-Identity".to_owned(), value));
        }
        let mut action = vec![
            ("Action", "Originate".to_owned()),
            ("Channel", format!("PJSIP/{}@{endpoint}", spec.to)),
            ("ChannelId", id.clone()),
            ("Context", if spec.fax.is_some() { "fax" } else { "talk" }.to_owned()),
            ("Exten", "s".to_owned()),
            ("Priority", "1".to_owned()),
            ("CallerID", format!("\"{name}\" <{number}>")),
            ("Timeout", spec.gives_up_after.as_millis().to_string()),
            ("Async", "true".to_owned()),
            ("Variable", format!("PARTY={}", spec.from)),
        ];
        if is_carrier {
            action.push(("Variable", "PARTY_KIND=caller".to_owned()));
        }
        if let Some(file) = &spec.fax {
            action.push(("Variable", format!("FAX_FILE={file}")));
        }
        for (name, value) in headers {
            let value = escape(&value);
            action.push(("Variable", format!("PJSIP_HEADER(add,{name})={value}")));
        }
        for (key, value) in &action {
            assert!(
                key.len() + value.len() + 4 <= AMI_LINE_BYTES_MAX,
                "Asterisk reads {AMI_LINE_BYTES_MAX} bytes in a line: {value}"
            );
        }
        let action: Vec<_> = action.iter().map(|(key, value)| (*key, value.as_str())).collect();
        lab.far.must(&action).await;
        PlacedCall { lab, id, party: spec.from, to: spec.to }
    }

    /// The far end's Uniqueid of the caller's channel, as in its call detail records.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The number it was dialled for.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// The number it comes from.
    pub(crate) fn from(&self) -> &str {
        &self.party
    }

    /// Waits until the call is answered.
    ///
    /// # Panics
    /// When the call ends before that.
    pub(crate) async fn answered(&self) -> Event {
        let log = &self.lab.far.events;
        let is_either = |event: &Event| self.is_answer(event) || self.is_end(event);
        let event = log.wait("the call to be answered", is_either).await;
        assert!(self.is_answer(&event), "nobody answered, and the call was ended: {event:?}");
        event
    }

    /// Waits until the caller and who answered are in one bridge. The caller's side hears of the answer some milliseconds
    /// before, and a caller who leaves in between was never connected.
    pub(crate) async fn connected(&self) {
        let at_pbx = self.at_pbx().await;
        let linked = at_pbx.header("Linkedid").unwrap_or("");
        let is_second = |event: &Event| {
            event.name() == "BridgeEnter"
                && event.has("Linkedid", linked)
                && event.has("BridgeNumChannels", "2")
        };
        self.lab.pbx.events.wait("two in a bridge", is_second).await;
    }

    /// Whether the call has been answered.
    pub(crate) fn is_answered(&self) -> bool {
        !self.lab.far.events.all(|event| self.is_answer(event)).is_empty()
    }

    /// Waits until the call is over for the caller, and returns the Q.850 cause (16 =
    /// normal, 17 = busy, 19 = no answer, 21 = refused, 34 = no circuit).
    pub(crate) async fn ended(&self) -> u32 {
        let hangup = self.lab.far.events.wait("the call to end", |event| self.is_end(event));
        let cause = hangup.await.header("Cause").and_then(|cause| cause.parse().ok());
        cause.expect("Hangup has a numeric Cause")
    }

    /// Waits until the call is over for the caller, without a time-out.
    pub(crate) async fn ends(&self) {
        self.lab.far.events.at_any_time_after(0, "the call to end", |event| self.is_end(event)).await;
    }

    /// Whether the call is over for the caller.
    pub(crate) fn is_over(&self) -> bool {
        !self.lab.far.events.all(|event| self.is_end(event)).is_empty()
    }

    fn is_answer(&self, event: &Event) -> bool {
        event.has("UserEvent", "Recording") && event.has("Uniqueid", &self.id)
    }

    fn is_end(&self, event: &Event) -> bool {
        event.name() == "Hangup" && event.has("Uniqueid", &self.id)
    }

    /// The caller hangs up; returns when the far end's channel is gone.
    pub(crate) async fn hang_up(&self) {
        let channel = self.channel().await;
        // Refused when the call has just ended by itself, which has the same result.
        self.lab.far.action(&[("Action", "Hangup"), ("Channel", &channel), ("Cause", "16")]).await;
        self.ended().await;
    }

    /// The caller, once answered, presses keys; returns when the PBX has heard the last one.
    pub(crate) async fn send_dtmf(&self, keys: &str) {
        // The PBX knows of the answer before the far end does, which silently drops keys until then.
        self.answered().await;
        press(self.lab, &self.channel().await, keys).await;
    }

    /// The caller, once answered, plays another tone from now on.
    pub(crate) async fn says(&self, tone: Tone) {
        self.answered().await;
        say(self.lab, &self.channel().await, &self.party, tone).await;
    }

    /// The caller, once answered, says nothing from now on.
    pub(crate) async fn falls_silent(&self) {
        self.answered().await;
        redirect(self.lab, &self.channel().await, "quiet").await;
    }

    /// Waits until the PBX has a channel of the call and returns its `Newchannel` event. Exact for simultaneous calls: matched
    /// by the SIP Call-ID.
    pub(crate) async fn at_pbx(&self) -> Event {
        let channel = self.channel().await;
        // Empty until the INVITE is on its way, a moment after the channel exists.
        let sip_id = eventually("the carrier sends the call", async || {
            let sip_id = self.lab.far.channel_value(&channel, SIP_CALL_ID).await;
            let sip_id = sip_id.expect("the caller's channel is up");
            if sip_id.is_empty() { Err("no SIP Call-ID".to_owned()) } else { Ok(sip_id) }
        })
        .await;
        self.lab.pbx_channel_of(&sip_id).await
    }

    /// What the caller heard. Waits for the call to end, because a recording is complete only then.
    pub(crate) async fn heard(&self) -> Recording {
        self.ended().await;
        Recording::of(self.lab, &self.answered().await).await
    }

    /// The far end's name of the caller's channel.
    pub(crate) async fn channel(&self) -> String {
        let created = self.lab.far.events.wait("the caller's channel", |event| {
            event.name() == "Newchannel" && event.has("Uniqueid", &self.id)
        });
        created.await.header("Channel").unwrap_or("").to_owned()
    }
}

/// A finger needs this long to the next key. Asterisk's RTP clock may stand still while it sends a digit: a second digit
/// before the next voice packet then has the time stamp of the first, and the receiver drops it as a repetition.
const BEFORE_KEY: Duration = Duration::from_millis(150);

/// Presses keys on a far-end channel, one after the other.
pub(crate) async fn press(lab: &Lab, channel: &str, keys: &str) {
    for key in keys.chars() {
        tokio::time::sleep(BEFORE_KEY).await;
        let mark = lab.pbx.events.mark();
        let key = key.to_string();
        lab.far.must(&[("Action", "PlayDTMF"), ("Channel", channel), ("Digit", &key)]).await;
        lab.pbx
            .events
            .wait_after(mark, &format!("the PBX to hear key {key} of {keys} from {channel}"), |event| {
                event.name() == "DTMFEnd" && event.has("Digit", &key) && event.has("Direction", "Received")
            })
            .await;
    }
}

impl Lab {
    /// The tone that a party plays from the beginning of its next call on.
    pub(crate) async fn will_say(&self, party: &str, tone: Tone) {
        let hertz = tone.hertz().to_string();
        self.far.must(&[("Action", "DBPut"), ("Family", "tone"), ("Key", party), ("Val", &hertz)]).await;
    }
}

/// Lets a talking far-end channel play another tone.
pub(crate) async fn say(lab: &Lab, channel: &str, party: &str, tone: Tone) {
    let hertz = tone.hertz().to_string();
    let says = |event: &Event| event.has("UserEvent", "Says") && event.has("Channel", channel);
    lab.far.events.wait("the party to say something", says).await;
    lab.will_say(party, tone).await;
    let mark = lab.far.events.mark();
    redirect(lab, channel, "tone").await;
    let says_this = |event: &Event| says(event) && event.has("Hz", &hertz);
    lab.far.events.wait_after(mark, "the party to play its other tone", says_this).await;
}

/// Sends a far-end channel to an extension of context `talk`.
pub(crate) async fn redirect(lab: &Lab, channel: &str, extension: &str) {
    lab.far
        .must(&[
            ("Action", "Redirect"),
            ("Channel", channel),
            ("Context", "talk"),
            ("Exten", extension),
            ("Priority", "1"),
        ])
        .await;
}

/// Asterisk splits a `Variable:` header like application arguments: these characters
/// keep their meaning only behind a backslash.
fn escape(value: &str) -> String {
    let mut escaped = String::new();
    for character in value.chars() {
        if matches!(character, '\\' | '"' | ',' | '(' | ')' | '[' | ']') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
