//! A telephone of the far end: what it does when it rings, set before or while it rings, and what its user does and
//! hears.
use std::time::Duration;

use super::call::{CallSpec, PlacedCall, press, redirect, say};
use super::events::Event;
use super::rig::Lab;
use super::sound::{Recording, Tone};

/// An operator's, a supervisor's or a contact's telephone.
pub(crate) struct Phone<'a> {
    lab: &'a Lab,
    number: String,
}

impl<'a> Phone<'a> {
    pub(crate) fn new(lab: &'a Lab, number: &str) -> Self {
        let number = number.to_owned();
        Self { lab, number }
    }

    // ---- What it does at the next ring; the default is to ring for ever --------------

    /// The user answers after this time and talks until the call ends.
    pub(crate) async fn answers_after(&self, time: Duration) {
        self.behaves(&format!("answer/{}", time.as_secs_f64())).await;
    }

    /// The user does not answer.
    pub(crate) async fn rings_for_ever(&self) {
        self.behaves("ring").await;
    }

    /// Rings shortly, then the user rejects the call (603/21).
    pub(crate) async fn refuses(&self) {
        self.behaves("refuse").await;
    }

    /// Busy at once (486/17).
    pub(crate) async fn is_busy(&self) {
        self.behaves("busy").await;
    }

    /// Switched off or out of coverage (480/20).
    pub(crate) async fn is_unreachable(&self) {
        self.behaves("unreachable").await;
    }

    /// The network has no line to it (503/42).
    pub(crate) async fn is_congested(&self) {
        self.behaves("congested").await;
    }

    /// Answers and presses these keys two seconds later.
    pub(crate) async fn presses_after(&self, time: Duration, keys: &str) {
        self.behaves(&format!("press/{}/{keys}", time.as_secs_f64())).await;
    }

    /// A mailbox: answers, is silent, presses nothing.
    pub(crate) async fn is_a_mailbox_after(&self, time: Duration) {
        self.behaves(&format!("mailbox/{}", time.as_secs_f64())).await;
    }

    /// Answers after `after` and hangs up after `talk`.
    pub(crate) async fn talks_briefly(&self, after: Duration, talk: Duration) {
        let (after, talk) = (after.as_secs_f64(), talk.as_secs_f64());
        self.behaves(&format!("brief/{after}/{talk}")).await;
    }

    /// Rings shortly, then forwards the call to this number (302).
    pub(crate) async fn forwards_to(&self, number: &str) {
        self.behaves(&format!("forward/0.3/{number}")).await;
    }

    async fn behaves(&self, behaviour: &str) {
        self.lab
            .far
            .must(&[("Action", "DBPut"), ("Family", "behaviour"), ("Key", &self.number), ("Val", behaviour)])
            .await;
    }

    // ---- What its user does ----------------------------------------------------------

    /// Waits until it rings (or has rung and is still up); returns its leg's first event.
    pub(crate) async fn rings(&self) -> Event {
        let mut mark = 0;
        loop {
            let log = &self.lab.far.events;
            let leg = log
                .wait_after(mark, &format!("telephone {} to ring", self.number), |event| {
                    self.is_a_new_leg(event)
                })
                .await;
            if !self.has_ended(&leg) {
                return leg;
            }
            mark = 1 + log.position(&leg);
        }
    }

    /// Picks up the call that rings now.
    pub(crate) async fn answers(&self) {
        self.rings().await;
        redirect(self.lab, &self.channel().await, "s").await;
        self.talks().await;
    }

    /// Waits until it has answered; returns the event of its recording.
    pub(crate) async fn talks(&self) -> Event {
        loop {
            let leg = self.rings().await;
            let id = leg.header("Uniqueid").unwrap_or("");
            let far = &self.lab.far.events;
            let is_recorded = |event: &Event| event.has("UserEvent", "Recording");
            let next = far
                .wait("the telephone to be answered", |event| {
                    event.has("Uniqueid", id) && (is_recorded(event) || event.name() == "Hangup")
                })
                .await;
            // A leg that was refused is not the one that is answered later.
            if is_recorded(&next) {
                return next;
            }
        }
    }

    /// Waits until it has answered a call that came after its first `rung`. After a transfer, the PBX may already dial
    /// a phone again whose own end of the earlier call is not yet over: [`Self::talks`] would find that one.
    pub(crate) async fn talks_again(&self, rung: usize) -> Event {
        let far = &self.lab.far.events;
        let (mut mark, mut id) = (0, String::new());
        for leg in 0..=rung {
            let what = format!("telephone {} to ring for call {}", self.number, leg + 1);
            let leg = far.wait_after(mark, &what, |event| self.is_a_new_leg(event)).await;
            mark = 1 + far.position(&leg);
            leg.header("Uniqueid").unwrap_or("").clone_into(&mut id);
        }
        far.wait("the telephone to be answered again", |event| {
            event.has("UserEvent", "Recording") && event.has("Uniqueid", &id)
        })
        .await
    }

    /// Hangs up, or rejects the call that rings.
    pub(crate) async fn hangs_up(&self) {
        let leg = self.rings().await;
        let channel = leg.header("Channel").unwrap_or("");
        self.lab.far.action(&[("Action", "Hangup"), ("Channel", channel), ("Cause", "16")]).await;
        self.ended(&leg).await;
    }

    /// Puts the other party on hold, as its hold key does (re-INVITE, sendonly).
    pub(crate) async fn holds(&self) {
        redirect(self.lab, &self.channel().await, "hold").await;
    }

    /// Resumes the call.
    pub(crate) async fn resumes(&self) {
        redirect(self.lab, &self.channel().await, "tone").await;
    }

    /// Presses keys; returns when the PBX has heard the last one.
    pub(crate) async fn presses(&self, keys: &str) {
        press(self.lab, &self.channel().await, keys).await;
    }

    /// Plays another tone from now on.
    pub(crate) async fn says(&self, tone: Tone) {
        say(self.lab, &self.channel().await, &self.number, tone).await;
    }

    /// Transfers its call to a number with its own transfer key (REFER).
    pub(crate) async fn transfers_to(&self, number: &str) {
        let channel = self.channel().await;
        self.lab
            .far
            .must(&[("Action", "Setvar"), ("Channel", &channel), ("Variable", "REFER_TO"), ("Value", number)])
            .await;
        redirect(self.lab, &channel, "refer").await;
    }

    /// Places a call, with its own number and password.
    pub(crate) async fn dials(&self, number: &str) -> PlacedCall<'a> {
        let spec = CallSpec::new(&self.number, number);
        PlacedCall::place(self.lab, spec, &format!("phone-{}", self.number)).await
    }

    // ---- What happened to it ---------------------------------------------------------

    /// How often it has rung since the reset.
    pub(crate) fn times_rung(&self) -> usize {
        self.lab.far.events.all(|event| self.is_a_new_leg(event)).len()
    }

    /// Whether it neither rings nor talks.
    pub(crate) fn is_idle(&self) -> bool {
        let legs = self.lab.far.events.all(|event| self.is_a_new_leg(event));
        legs.iter().all(|leg| self.has_ended(leg))
    }

    /// Waits until it neither rings nor talks.
    pub(crate) async fn goes_idle(&self) {
        for leg in self.lab.far.events.all(|event| self.is_a_new_leg(event)) {
            self.ended(&leg).await;
        }
    }

    /// What it heard in its last call that was answered. Waits for that call to end.
    pub(crate) async fn heard(&self) -> Recording {
        let legs = self
            .lab
            .far
            .events
            .all(|event| event.has("UserEvent", "Recording") && event.has("Party", &self.number));
        let last = legs.last().expect("this telephone has answered a call");
        self.ended(last).await;
        Recording::of(self.lab, last).await
    }

    /// The name of its channel that rings or talks.
    pub(crate) async fn channel(&self) -> String {
        let leg = self.rings().await;
        leg.header("Channel").unwrap_or("").to_owned()
    }

    async fn ended(&self, leg: &Event) {
        let id = leg.header("Uniqueid").unwrap_or("");
        let hangup = self.lab.far.events.wait("the telephone to be hung up", |event| {
            event.name() == "Hangup" && event.has("Uniqueid", id)
        });
        hangup.await;
    }

    fn is_a_new_leg(&self, event: &Event) -> bool {
        event.name() == "Newchannel" && event.has("Exten", &self.number) && event.has("Context", "from-pbx")
    }

    fn has_ended(&self, leg: &Event) -> bool {
        let id = leg.header("Uniqueid").unwrap_or("");
        let hangups = self.lab.far.events.all(|event| event.name() == "Hangup" && event.has("Uniqueid", id));
        !hangups.is_empty()
    }
}
