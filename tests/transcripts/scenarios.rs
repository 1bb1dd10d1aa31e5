//! The scenarios. Each starts with a reset lab and an open recording, and ends with no channel left.
use std::path::Path;
use std::time::Duration;

use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall, ProductActions};
use crate::tap::Tap;

const KNOWN_CALLER: &str = "09012345678";
const OTHER_CALLER: &str = "0312345678";
const POOLED: &str = "0355501000";
const SAKURA: &str = "0355501001";
const MINATO: &str = "0355501002";
/// Numbers that the lab's own configuration adds (tests/pbx_lab/instance.sh).
const LOCAL_MEMBERS: &str = "0355501007";
const RING_GROUP: &str = "0355501008";
const ONE_WAITS: &str = "0355501009";
const SAKURA_FORWARDS: &str = "0335550101";
const MINATO_FORWARDS: &str = "0335550102";
const CONTACT: &str = "09011112222";

/// The lab and the recording of one scenario.
struct Stage<'a> {
    lab: &'a Lab,
    tap: Tap,
    actions: ProductActions<'a>,
}

macro_rules! scenarios {
    ($($name:ident: $played:literal),* $(,)?) => {
        /// Records all scenarios, or only those whose names contain one of `only`.
        pub(crate) async fn record_all(lab: &Lab, directory: &Path, only: &[String]) {
            let asterisk = asterisk_version(lab).await;
            $({
                let name = stringify!($name).replace('_', "-");
                if only.is_empty() || only.iter().any(|part| name.contains(part)) {
                    lab.reset().await;
                    let mut stage = Stage {
                        lab,
                        tap: Tap::open(lab).await,
                        actions: lab.product_actions().await,
                    };
                    $name(&mut stage).await;
                    stage.tap.close(directory, &name, &asterisk, $played).await;
                }
            })*
        }
    };
}

scenarios! {
    answered_first_operator: "Everybody's phone rings for a diverted call of a known customer; 1001 answers and hangs up first.",
    second_operator_after_no_answer: "Linear queue: 1001 rings 3 s in vain, 1002 answers; the caller hangs up.",
    two_operators_one_wins: "1001, 1002 and 1003 ring; 1002 answers; the others are withdrawn.",
    two_operators_answer_at_once: "1001 and 1002 pick up in the same instant; one has the call.",
    operator_refuses: "1001 rejects, 1003 is busy, 1002 answers.",
    caller_hangs_up_while_ringing: "The caller gives up while all phones ring.",
    withheld_number: "From is anonymous, P-Asserted-Identity has the number, Privacy: id.",
    diverted_call: "Pooled number; the account is known by the Diversion header alone.",
    forwarded_with_history: "Pooled number; the account is known by History-Info alone.",
    blind_transfer: "1001 answers; the caller is redirected to toritsugi-transfer; the contact answers, talks, hangs up.",
    blind_transfer_returned: "As before, but the contact is busy: the caller comes back to 1001.",
    blind_transfer_on_call_list: "First contact is a mailbox that presses nothing, the second presses 1.",
    attended_transfer_completed: "1001 consults the contact (Atxfer) and hangs up: caller and contact talk.",
    attended_transfer_cancelled: "1001 consults the contact, cancels, talks with the caller again.",
    hold: "1001 holds the caller (re-INVITE sendonly), resumes, hangs up.",
    listen_then_whisper: "2001 listens to 1001's channel, then whispers, then barges in; the caller hangs up.",
    queue_timeout: "Nobody answers within 3 s: the call overflows.",
    closed: "The night switch is on: the caller is sent away.",
    blocked: "One caller waits in a queue of one; the next hears busy.",
    ring_group: "No queue: an existing PBX dials 1001 and 1002 at once; 1002 answers.",
    local_queue_members: "The queue's members are Local channels, as in many existing PBXs; 1001 answers.",
    blind_transfer_by_phone: "1001 transfers with the telephone's own key (REFER), to 1002.",
    internal_call: "1001 calls 1002, without any queue.",
    outbound_call: "1001 calls a customer through the trunk.",
    login_during_calls: "One call talks and one rings while the session logs in and asks for all lists.",
}

async fn answered_first_operator(stage: &mut Stage<'_>) {
    stage.lab.phone("1001").answers_after(seconds(1.0)).await;
    let call = stage
        .place(CallSpec::new(KNOWN_CALLER, SAKURA).diverted_by(SAKURA_FORWARDS).display_name("田中太郎"));
    let call = call.await;
    call.answered().await;
    talk().await;
    stage.lab.phone("1001").hangs_up().await;
    call.ended().await;
}

async fn second_operator_after_no_answer(stage: &mut Stage<'_>) {
    stage.lab.phone("1002").answers_after(seconds(0.5)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, MINATO)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn two_operators_one_wins(stage: &mut Stage<'_>) {
    stage.lab.phone("1002").answers_after(seconds(1.0)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn two_operators_answer_at_once(stage: &mut Stage<'_>) {
    stage.lab.phone("1001").answers_after(seconds(0.5)).await;
    stage.lab.phone("1002").answers_after(seconds(0.5)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn operator_refuses(stage: &mut Stage<'_>) {
    stage.lab.phone("1001").refuses().await;
    stage.lab.phone("1002").answers_after(seconds(1.0)).await;
    stage.lab.phone("1003").is_busy().await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn caller_hangs_up_while_ringing(stage: &mut Stage<'_>) {
    let call = stage.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    stage.lab.phone("1001").rings().await;
    talk().await;
    call.hang_up().await;
}

async fn withheld_number(stage: &mut Stage<'_>) {
    stage.lab.phone("1001").answers_after(seconds(0.5)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, SAKURA).withheld()).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn diverted_call(stage: &mut Stage<'_>) {
    stage.lab.phone("1003").answers_after(seconds(0.5)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, POOLED).diverted_by(MINATO_FORWARDS)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn forwarded_with_history(stage: &mut Stage<'_>) {
    stage.lab.phone("1003").answers_after(seconds(0.5)).await;
    let spec = CallSpec::new(KNOWN_CALLER, POOLED).forwarded_with_history(MINATO_FORWARDS);
    let call = stage.place(spec).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn blind_transfer(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.lab.phone(CONTACT).talks_briefly(seconds(0.5), seconds(1.0)).await;
    stage.actions.transfer(&call, &format!("{CONTACT}/20/0"), "1001").await;
    call.ended().await;
}

async fn blind_transfer_returned(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.lab.phone(CONTACT).is_busy().await;
    stage.actions.transfer(&call, &format!("{CONTACT}/20/0"), "1001").await;
    stage.tap.heard("Step: returning").await;
    stage.lab.phone("1001").talks().await;
    talk().await;
    call.hang_up().await;
}

async fn blind_transfer_on_call_list(stage: &mut Stage<'_>) {
    const SECOND: &str = "09033334444";
    let call = stage.talking_with_1001().await;
    stage.lab.phone(CONTACT).is_a_mailbox_after(seconds(0.2)).await;
    stage.lab.phone(SECOND).presses_after(seconds(0.2), "1").await;
    stage.actions.transfer(&call, &format!("{CONTACT}/20/1-{SECOND}/20/1"), "1001").await;
    stage.tap.heard("Step: accepted").await;
    talk().await;
    stage.lab.phone(SECOND).hangs_up().await;
    call.ended().await;
}

async fn attended_transfer_completed(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.consult().await;
    stage.lab.phone("1001").hangs_up().await;
    stage.tap.heard("Event: AttendedTransfer").await;
    talk().await;
    call.hang_up().await;
}

async fn attended_transfer_cancelled(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.consult().await;
    stage.actions.cancel_consultation("1001").await;
    stage.lab.phone(CONTACT).goes_idle().await;
    talk().await;
    call.hang_up().await;
}

async fn hold(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.lab.phone("1001").holds().await;
    stage.tap.heard("Event: Hold").await;
    talk().await;
    stage.lab.phone("1001").resumes().await;
    stage.tap.heard("Event: Unhold").await;
    talk().await;
    stage.lab.phone("1001").hangs_up().await;
    call.ended().await;
}

async fn listen_then_whisper(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.lab.phone("2001").answers_after(seconds(0.3)).await;
    stage.actions.supervise("2001", "1001", "listen").await;
    for mode in ["whisper", "barge"] {
        talk().await;
        stage.actions.switch_supervision("2001", mode).await;
    }
    talk().await;
    call.hang_up().await;
    stage.lab.phone("2001").goes_idle().await;
}

async fn queue_timeout(stage: &mut Stage<'_>) {
    stage.lab.set_global("QUEUE_WAIT_SECONDS", "3").await;
    stage.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await.ended().await;
}

async fn closed(stage: &mut Stage<'_>) {
    stage.lab.switch_night(true).await;
    stage.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await.ended().await;
}

async fn blocked(stage: &mut Stage<'_>) {
    let waiting = stage.place(CallSpec::new(KNOWN_CALLER, ONE_WAITS)).await;
    stage.lab.phone("1003").rings().await;
    stage.place(CallSpec::new(OTHER_CALLER, ONE_WAITS)).await.ended().await;
    waiting.hang_up().await;
}

async fn ring_group(stage: &mut Stage<'_>) {
    stage.lab.phone("1002").answers_after(seconds(0.5)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, RING_GROUP)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn local_queue_members(stage: &mut Stage<'_>) {
    stage.lab.phone("1001").answers_after(seconds(0.5)).await;
    let call = stage.place(CallSpec::new(KNOWN_CALLER, LOCAL_MEMBERS)).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn blind_transfer_by_phone(stage: &mut Stage<'_>) {
    let call = stage.talking_with_1001().await;
    stage.lab.phone("1002").answers_after(seconds(0.5)).await;
    stage.lab.phone("1001").transfers_to("1002").await;
    stage.lab.phone("1002").talks().await;
    talk().await;
    call.hang_up().await;
}

async fn internal_call(stage: &mut Stage<'_>) {
    stage.lab.phone("1002").answers_after(seconds(0.5)).await;
    let call = stage.lab.phone("1001").dials("1002").await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn outbound_call(stage: &mut Stage<'_>) {
    stage.lab.phone(KNOWN_CALLER).answers_after(seconds(0.5)).await;
    let call = stage.lab.phone("1001").dials(KNOWN_CALLER).await;
    call.answered().await;
    talk().await;
    call.hang_up().await;
}

async fn login_during_calls(stage: &mut Stage<'_>) {
    let talking = stage.talking_with_1001().await;
    stage.lab.phone("1001").rings_for_ever().await;
    let ringing = stage.place(CallSpec::new(OTHER_CALLER, SAKURA)).await;
    stage.lab.phone("1002").rings().await;
    talk().await;
    // The recorded session starts after these events.
    stage.tap = Tap::open(stage.lab).await;
    for (list, end) in [
        ("CoreStatus", "CoreReloadDate"),
        ("CoreShowChannels", "CoreShowChannelsComplete"),
        ("BridgeList", "BridgeListComplete"),
        ("QueueStatus", "QueueStatusComplete"),
        ("DeviceStateList", "DeviceStateListComplete"),
    ] {
        stage.tap.send(&[("Action", list)]).await;
        stage.tap.heard(end).await;
    }
    ringing.hang_up().await;
    talking.hang_up().await;
}

impl<'a> Stage<'a> {
    async fn place(&self, spec: CallSpec) -> PlacedCall<'a> {
        self.lab.place_call(spec).await
    }

    async fn talking_with_1001(&self) -> PlacedCall<'a> {
        let operator = self.lab.phone("1001");
        operator.answers_after(seconds(0.3)).await;
        let call = self.place(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        call.answered().await;
        operator.talks().await;
        talk().await;
        call
    }

    /// 1001 consults the contact; returns when the two talk.
    async fn consult(&self) {
        let contact = self.lab.phone(CONTACT);
        contact.answers_after(seconds(0.5)).await;
        self.actions.consult("1001", CONTACT).await;
        contact.talks().await;
        talk().await;
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A moment of conversation, so that durations in the recording are not zero.
async fn talk() {
    tokio::time::sleep(seconds(1.0)).await;
}

async fn asterisk_version(lab: &Lab) -> String {
    let reply = lab.pbx.must(&[("Action", "CoreSettings")]).await;
    let version = reply.head.header("AsteriskVersion").unwrap_or("unknown");
    version.split(['+', '~']).next().unwrap_or(version).to_owned()
}
