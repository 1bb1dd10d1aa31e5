//! One lab, held by one test at a time.
//!
//! The first test that asks starts the two Asterisks; they serve all tests that wait for their turn. The last of
//! these tests stops both before it returns, so that nothing is left when the test binary ends. The connections
//! belong to each test, because they live on its runtime. A test starts with a reset: no channel and no setting of
//! the previous test, and both Asterisks alive, whatever the previous test did to them.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use super::ami::Ami;
use super::call::{CallSpec, PlacedCall};
use super::events::Event;
use super::phone::Phone;
use super::process::{AsteriskVersion, LabProcess, Side};
use super::product_actions::ProductActions;
use super::sound::Recording;
use crate::support::wait::eventually;

/// The file that [`Lab::change_features`] changes a copy of.
const FEATURES: &str = include_str!("../../asterisk-conf/features.conf");

type SharedProcess = Arc<Mutex<LabProcess>>;

/// Alive as long as a test holds it or waits for its turn.
static PROCESS: Mutex<Weak<Mutex<LabProcess>>> = Mutex::new(Weak::new());
static TURN: AsyncMutex<()> = AsyncMutex::const_new(());

/// The dialplan function that reads a channel's SIP Call-ID.
pub(crate) const SIP_CALL_ID: &str = "CHANNEL(pjsip,call-id)";

/// How the product under test reaches the PBX's manager.
#[derive(Clone, Debug)]
pub(crate) struct ManagerAccess {
    /// Always a loopback address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// The user for events and lists, and its secret.
    pub(crate) events: (String, String),
    /// The user for actions, and its secret.
    pub(crate) actions: (String, String),
}

/// A PBX and its far end, for one test.
pub(crate) struct Lab {
    /// The PBX, with all manager rights, for setup and checks.
    pub(crate) pbx: Ami,
    /// The carrier and all telephones.
    pub(crate) far: Ami,
    // Dropped before the turn is released, so that the next test finds it stopped or complete.
    process: SharedProcess,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Lab {
    /// Waits for this test's turn and gives it a lab that has been reset.
    ///
    /// # Panics
    /// When Asterisk is not available or does not start; the reason and what to install are on stderr.
    pub(crate) async fn start() -> Self {
        // Taken before the turn, so that a waiting test keeps the lab running.
        let process = tokio::task::spawn_blocking(shared_process);
        let process = process.await.expect("the lab starts");
        let turn = TURN.lock().await;
        Self::over(process, Some(turn)).await
    }

    /// A lab of its own, which ends with the returned value.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub(crate) async fn start_own(version: AsteriskVersion) -> Self {
        let process = tokio::task::spawn_blocking(move || LabProcess::start(version));
        let process = Arc::new(Mutex::new(process.await.expect("the lab starts")));
        Self::over(process, None).await
    }

    async fn over(process: SharedProcess, turn: Option<MutexGuard<'static, ()>>) -> Self {
        let whole = process.clone();
        let whole = tokio::task::spawn_blocking(move || lock(&whole).make_whole());
        whole.await.expect("both Asterisks are alive");
        let pbx = connect(&process, Side::Pbx).await;
        let far = connect(&process, Side::FarEnd).await;
        let lab = Self { pbx, far, process, _turn: turn };
        lab.reset().await;
        lab
    }

    /// Ends every call and clears every setting: telephones ring for ever again, no queue member is paused, night mode is off,
    /// features.conf is the product's.
    pub(crate) async fn reset(&self) {
        for tree in ["behaviour", "tone"] {
            // Refused when there is nothing to delete.
            self.far.action(&[("Action", "DBDelTree"), ("Family", tree)]).await;
        }
        self.pbx.action(&[("Action", "DBDelTree"), ("Family", "toritsugi")]).await;
        self.hang_up_everything().await;
        for phone in ["1001", "1002", "1003"] {
            self.pbx
                .must(&[
                    ("Action", "QueuePause"),
                    ("Interface", &format!("PJSIP/{phone}")),
                    ("Paused", "false"),
                ])
                .await;
        }
        let members = self.pbx.must(&[("Action", "QueueStatus")]).await.items;
        for member in members.iter().filter(|member| member.has("Membership", "dynamic")) {
            let of = |key| member.header(key).unwrap_or("");
            let (queue, device) = (of("Queue"), of("Location"));
            self.pbx.must(&[("Action", "QueueRemove"), ("Queue", queue), ("Interface", device)]).await;
        }
        self.set_global("QUEUE_WAIT_SECONDS", "60").await;
        self.set_global("OPEN_HOURS", "*,*,*,*").await;
        let prompt = format!("{}/pbx/sounds/accept", self.fact("LAB_INSIDE"));
        self.set_global("SOUND_ACCEPT", &prompt).await;
        self.write_features(FEATURES).await;
        self.far.events.clear();
        self.pbx.events.clear();
    }

    async fn hang_up_everything(&self) {
        eventually("every channel has ended", async || {
            let mut left = Vec::new();
            for side in [&self.far, &self.pbx] {
                side.action(&[("Action", "Hangup"), ("Channel", "/^.*$/")]).await;
                left.extend(side.channels().await);
            }
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
    }

    /// Sets a global variable of the PBX's dialplan, for instance `QUEUE_WAIT_SECONDS`.
    pub(crate) async fn set_global(&self, name: &str, value: &str) {
        self.pbx.must(&[("Action", "Setvar"), ("Variable", name), ("Value", value)]).await;
    }

    /// Replaces a line of the PBX's features.conf until the next reset.
    pub(crate) async fn change_features(&self, line: &str, replacement: &str) {
        let is_it = |one: &str| one == line;
        assert!(FEATURES.lines().any(is_it), "features.conf has no line {line}");
        let lines = FEATURES.lines().map(|one| if is_it(one) { replacement } else { one });
        self.write_features(&lines.collect::<Vec<_>>().join("\n")).await;
    }

    /// Writes features.conf and loads it, unless the PBX has it already.
    async fn write_features(&self, text: &str) {
        let file = Path::new(&self.fact("LAB_INSTANCE")).join("pbx/etc/features.conf");
        if std::fs::read_to_string(&file).unwrap() != text {
            std::fs::write(&file, text).unwrap();
            self.pbx.must(&[("Action", "Reload"), ("Module", "features")]).await;
        }
    }

    /// Places a call from the carrier.
    pub(crate) async fn place_call(&self, spec: CallSpec) -> PlacedCall<'_> {
        PlacedCall::place(self, spec, "carrier").await
    }

    /// Places a call of a fax machine from the carrier; it sends `file` of the far end's fax directory, by T.38 or as sound.
    pub(crate) async fn send_fax(&self, spec: CallSpec, file: &str, is_t38: bool) -> PlacedCall<'_> {
        let file = format!("{}/far/spool/fax/{file}", self.fact("LAB_INSIDE"));
        let endpoint = if is_t38 { "carrier-t38" } else { "carrier" };
        PlacedCall::place(self, spec.sends_fax(file), endpoint).await
    }

    /// Calls from the carrier as a caller who hears what comes before an answer; returns the dial status, the cause, and what
    /// the caller heard until the PBX ended the call.
    pub(crate) async fn call_until_ended(&self, from: &str, to: &str) -> (String, u32, Recording) {
        let (begun, status, cause) = self.early_call("carrier", from, to).await;
        (status, cause, Recording::of(self, &begun).await)
    }

    /// The same from a caller who withholds the number.
    pub(crate) async fn withheld_until_ended(&self, to: &str) -> (String, u32, Recording) {
        let (begun, status, cause) = self.early_call("carrier-anonymous", "anonymous", to).await;
        (status, cause, Recording::of(self, &begun).await)
    }

    /// The same of a call that the PBX ends without a sound, of which there is nothing to record.
    pub(crate) async fn call_until_rejected(&self, from: &str, to: &str) -> (String, u32) {
        let (_, status, cause) = self.early_call("carrier", from, to).await;
        (status, cause)
    }

    async fn early_call(&self, trunk: &str, from: &str, to: &str) -> (Event, String, u32) {
        let mark = self.far.events.mark();
        self.far
            .must(&[
                ("Action", "Originate"),
                ("Channel", &format!("Local/{to}@early/n")),
                ("Context", "talk"),
                ("Exten", "s"),
                ("Priority", "1"),
                ("Async", "true"),
                ("Timeout", "60000"),
                ("Variable", &format!("__PARTY={from},__TRUNK={trunk}")),
            ])
            .await;
        let is_mine = |event: &Event, name: &str| event.has("UserEvent", name) && event.has("Party", from);
        let recording = |event: &Event| is_mine(event, "EarlyRecording");
        let begun = self.far.events.wait_after(mark, "the early caller's recording", recording).await;
        let ended = |event: &Event| is_mine(event, "EarlyEnded");
        let ended = self.far.events.wait_after(mark, "the early caller's call to end", ended).await;
        let status = ended.header("Status").unwrap_or("").to_owned();
        let cause = ended.header("Cause").and_then(|cause| cause.parse().ok()).unwrap_or(0);
        (begun, status, cause)
    }

    /// The keys of the PBX's database below `toritsugi`, with their values.
    pub(crate) async fn plan_keys(&self) -> BTreeMap<String, String> {
        let reply = self.pbx.action(&[("Action", "DBGetTree"), ("Family", "toritsugi")]).await;
        let items = reply.items.iter().filter(|item| item.name() == "DBGetTreeResponse");
        let text = |item: &Event, key| item.header(key).unwrap_or("").to_owned();
        items.map(|item| (text(item, "Key").replacen("/toritsugi/", "", 1), text(item, "Val"))).collect()
    }

    /// Writes a key of the PBX's database below `toritsugi`.
    pub(crate) async fn write_plan_key(&self, key: &str, value: &str) {
        let put = [("Action", "DBPut"), ("Family", "toritsugi"), ("Key", key), ("Val", value)];
        self.pbx.must(&put).await;
    }

    /// A telephone: an operator's, a supervisor's, or a contact's mobile.
    pub(crate) fn phone(&self, number: &str) -> Phone<'_> {
        Phone::new(self, number)
    }

    /// The address and the users with which the product logs in.
    pub(crate) fn manager_access(&self) -> ManagerAccess {
        let process = lock(&self.process);
        let user = |kind: &str| {
            let secret = process.fact(&format!("LAB_PBX_{kind}_SECRET_FILE"));
            (process.fact(&format!("LAB_PBX_{kind}_USER")).to_owned(), read_secret(secret))
        };
        ManagerAccess {
            host: process.fact("LAB_PBX_AMI_HOST").to_owned(),
            port: process.fact("LAB_PBX_AMI_PORT").parse().unwrap(),
            events: user("EVENTS"),
            actions: user("ACTIONS"),
        }
    }

    /// The actions of the daemon, sent as the product's user for actions.
    pub(crate) async fn product_actions(&self) -> ProductActions<'_> {
        ProductActions::log_in(self).await
    }

    /// The PBX's newest leg to a telephone, as its `Newchannel` event.
    pub(crate) async fn leg_of(&self, number: &str) -> Event {
        let prefix = format!("PJSIP/{number}-");
        let is_leg = |event: &Event| {
            let name = event.header("Channel").unwrap_or("");
            event.name() == "Newchannel" && name.starts_with(&prefix)
        };
        let first = self.pbx.events.wait("the leg at the PBX", is_leg).await;
        self.pbx.events.all(is_leg).pop().unwrap_or(first)
    }

    /// The PBX's channel with this SIP Call-ID, as its `Newchannel` event, now or when it
    /// comes.
    pub(crate) async fn pbx_channel_of(&self, sip_call_id: &str) -> Event {
        eventually(&format!("the PBX has a channel of call {sip_call_id}"), async || {
            let created = self.pbx.events.all(|event| event.name() == "Newchannel");
            for event in created.into_iter().rev() {
                let name = event.header("Channel").unwrap_or("");
                let theirs = self.pbx.channel_value(name, SIP_CALL_ID).await;
                if theirs.is_some_and(|id| id == sip_call_id) {
                    return Ok(event);
                }
            }
            Err("no such channel".to_owned())
        })
        .await
    }

    /// Switches night mode, as operators do with *71 and *70.
    pub(crate) async fn switch_night(&self, closed: bool) {
        let value = if closed { "1" } else { "0" };
        self.pbx
            .must(&[("Action", "DBPut"), ("Family", "toritsugi"), ("Key", "night"), ("Val", value)])
            .await;
    }

    /// Makes the PBX's manager listen with TLS, too, with this certificate (PEM); returns the port.
    pub(crate) async fn listen_with_tls(&self, certificate: &str, key: &str) -> u16 {
        let config = Path::new(&self.fact("LAB_INSTANCE")).join("pbx");
        let port = self.fact("LAB_PBX_AMI_TLS_PORT");
        std::fs::write(config.join("keys/manager.pem"), format!("{certificate}{key}")).unwrap();
        let manager = config.join("etc/local.d/manager.conf");
        let before = std::fs::read_to_string(&manager).unwrap();
        let certificate = format!("{}/pbx/keys/manager.pem", self.fact("LAB_INSIDE"));
        let tls = format!(
            "[general](+)\ntlsenable = yes\ntlsbindaddr = 127.0.0.1:{port}\ntlscertfile = {certificate}\n"
        );
        std::fs::write(&manager, format!("{before}{tls}")).unwrap();
        self.pbx.must(&[("Action", "Reload"), ("Module", "manager")]).await;
        let log = &self.pbx.events;
        log.wait("the manager to be reloaded", |event| {
            event.name() == "Reload" && event.has("Module", "manager")
        })
        .await;
        port.parse().unwrap()
    }

    /// Grants or revokes the class that `PJSIPNotify` needs, for the product's user for actions. Existing sessions keep their
    /// rights.
    pub(crate) async fn permit_notify(&self, permitted: bool) {
        const LINE: &str = "[toritsugi-actions](+)\nwrite = originate,call,agent,reporting,system\n";
        let manager = Path::new(&self.fact("LAB_INSTANCE")).join("pbx/etc/local.d/manager.conf");
        let text = std::fs::read_to_string(&manager).unwrap().replace(LINE, "");
        let text = if permitted { text + LINE } else { text };
        std::fs::write(&manager, text).unwrap();
        let mark = self.pbx.events.mark();
        self.pbx.must(&[("Action", "Reload"), ("Module", "manager")]).await;
        let reloaded = |event: &Event| event.name() == "Reload" && event.has("Module", "manager");
        self.pbx.events.wait_after(mark, "the manager to be reloaded", reloaded).await;
    }

    /// A value from `lab.env`.
    pub(crate) fn fact(&self, name: &str) -> String {
        lock(&self.process).fact(name).to_owned()
    }

    /// Kills the PBX; its calls and connections end at once.
    pub(crate) async fn kill_pbx(&self) {
        let process = self.process.clone();
        let killed = tokio::task::spawn_blocking(move || lock(&process).kill(Side::Pbx));
        killed.await.expect("the lab's shell kills");
    }

    /// Restarts the PBX on the same ports and reconnects the lab to it.
    pub(crate) async fn revive_pbx(&mut self) {
        let process = self.process.clone();
        let alive = tokio::task::spawn_blocking(move || lock(&process).revive(Side::Pbx));
        alive.await.expect("the lab's shell starts");
        self.pbx = connect(&self.process, Side::Pbx).await;
    }
}

fn shared_process() -> SharedProcess {
    let mut shared = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(process) = shared.upgrade() {
        return process;
    }
    let process = Arc::new(Mutex::new(LabProcess::start(AsteriskVersion::wanted())));
    *shared = Arc::downgrade(&process);
    process
}

/// A test that panicked while it held the lock leaves a lab that the next test repairs.
fn lock(process: &SharedProcess) -> std::sync::MutexGuard<'_, LabProcess> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect(process: &SharedProcess, side: Side) -> Ami {
    let name = match side {
        Side::Pbx => "PBX",
        Side::FarEnd => "FAR",
    };
    let (host, port, user, secret) = {
        let process = lock(process);
        (
            process.fact(&format!("LAB_{name}_AMI_HOST")).to_owned(),
            process.fact(&format!("LAB_{name}_AMI_PORT")).parse().unwrap(),
            process.fact("LAB_USER").to_owned(),
            read_secret(process.fact("LAB_SECRET_FILE")),
        )
    };
    Ami::connect(&host, port, &user, &secret).await
}

fn read_secret(path: &str) -> String {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("the lab's secret {path}: {error}"));
    text.trim_end().to_owned()
}
