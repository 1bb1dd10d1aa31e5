//! The AMI actions of the daemon, sent by a test. It logs in as the product's user for actions, so that an action
//! that needs more rights than `asterisk-conf/manager.conf` grants is refused here, too.
//!
//! For tests of the dialplan and for the recorded transcripts; tests of the product use the product.
use super::ami::Ami;
use super::call::PlacedCall;
use super::events::Event;
use super::rig::Lab;

/// A session of the product's user for actions.
pub(crate) struct ProductActions<'a> {
    lab: &'a Lab,
    session: Ami,
}

impl<'a> ProductActions<'a> {
    pub(crate) async fn log_in(lab: &'a Lab) -> ProductActions<'a> {
        let access = lab.manager_access();
        let (user, secret) = &access.actions;
        let session = Ami::connect(&access.host, access.port, user, secret).await;
        ProductActions { lab, session }
    }

    /// Transfers the caller to targets (`number/seconds/accept-…`, see `asterisk-conf/toritsugi-dialplan.conf`), with an
    /// operator to return to.
    pub(crate) async fn transfer(&self, call: &PlacedCall<'_>, targets: &str, back_to: &str) {
        let caller = call.at_pbx().await;
        let caller = channel_of(&caller);
        for (variable, value) in [
            ("TORITSUGI_TARGETS", targets),
            ("TORITSUGI_RETURN_TO", back_to),
            ("TORITSUGI_TRANSFER", "transfer-1"),
        ] {
            self.session
                .must(&[("Action", "Setvar"), ("Channel", caller), ("Variable", variable), ("Value", value)])
                .await;
        }
        self.redirect(caller, "toritsugi-transfer", "s").await;
    }

    /// Starts a consultation: the operator talks with the target, while the caller hears music.
    pub(crate) async fn consult(&self, operator: &str, target: &str) {
        let leg = self.lab.leg_of(operator).await;
        let channel = channel_of(&leg);
        let target = format!("{target}/25");
        for (variable, value) in
            [("__TORITSUGI_CONSULT", target.as_str()), ("__TORITSUGI_TRANSFER", "transfer-1")]
        {
            self.session
                .must(&[("Action", "Setvar"), ("Channel", channel), ("Variable", variable), ("Value", value)])
                .await;
        }
        self.session
            .must(&[
                ("Action", "Atxfer"),
                ("Channel", channel),
                ("Exten", "1"),
                ("Context", "toritsugi-consult"),
            ])
            .await;
    }

    /// Cancels the consultation: the operator has the caller again.
    pub(crate) async fn cancel_consultation(&self, operator: &str) {
        let leg = self.lab.leg_of(operator).await;
        self.session.must(&[("Action", "CancelAtxfer"), ("Channel", channel_of(&leg))]).await;
    }

    /// Calls a supervisor's telephone into `listen`, `whisper` or `barge` on the operator's newest leg; returns once ChanSpy
    /// runs.
    pub(crate) async fn supervise(&self, supervisor: &str, operator: &str, mode: &str) {
        let spyee = self.lab.leg_of(operator).await;
        let spyee = spyee.header("Uniqueid").unwrap_or("").to_owned();
        let mark = self.lab.pbx.events.mark();
        self.session
            .must(&[
                ("Action", "Originate"),
                ("Channel", &format!("PJSIP/{supervisor}")),
                ("Context", "toritsugi-spy"),
                ("Exten", mode),
                ("Priority", "1"),
                ("Async", "true"),
                ("CallerID", &format!("{operator} <{operator}>")),
                ("Variable", &format!("TORITSUGI_SPYEE={spyee}")),
            ])
            .await;
        self.spying_after(mark).await;
    }

    /// Switches a running supervision; returns once ChanSpy runs in the new mode.
    pub(crate) async fn switch_supervision(&self, supervisor: &str, mode: &str) {
        let leg = self.lab.leg_of(supervisor).await;
        let mark = self.lab.pbx.events.mark();
        self.redirect(channel_of(&leg), "toritsugi-spy", mode).await;
        self.spying_after(mark).await;
    }

    async fn spying_after(&self, mark: usize) {
        let log = &self.lab.pbx.events;
        log.wait_after(mark, "ChanSpy to run", |event| event.name() == "ChanSpyStart").await;
    }

    async fn redirect(&self, channel: &str, context: &str, extension: &str) {
        self.session
            .must(&[
                ("Action", "Redirect"),
                ("Channel", channel),
                ("Context", context),
                ("Exten", extension),
                ("Priority", "1"),
            ])
            .await;
    }
}

fn channel_of(event: &Event) -> &str {
    event.header("Channel").unwrap_or("")
}
