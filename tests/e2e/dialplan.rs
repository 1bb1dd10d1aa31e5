//! The dialplan alone, without the daemon: where callers end, and who hears whom. All of this also holds when the
//! daemon dies.
use crate::support::pbx_lab::{CallSpec, Lab, PlacedCall, Tone};
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

const CONTACT: &str = "09011112222";
const SECOND_CONTACT: &str = "09033334444";
/// A number whose queue holds one caller.
const ONE_WAITS: &str = "0355501009";
const TALK: u64 = 1_500;

#[tokio::test]
async fn the_second_operator_takes_what_the_first_does_not_answer() {
    let lab = Lab::start().await;
    lab.phone("1002").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, MINATO)).await;
    call.answered().await;
    assert_eq!(lab.phone("1001").times_rung(), 1);
    assert!(lab.phone("1001").is_idle());
    assert_eq!(lab.phone("1003").times_rung(), 0);
}

#[tokio::test]
async fn each_way_to_be_sent_away_has_its_name() {
    let lab = Lab::start().await;
    lab.switch_night(true).await;
    lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await.ended().await;
    outcome(&lab, 0, "closed").await;

    lab.switch_night(false).await;
    lab.set_global("QUEUE_WAIT_SECONDS", "2").await;
    let mark = lab.pbx.events.mark();
    lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await.ended().await;
    outcome(&lab, mark, "overflowed").await;

    lab.set_global("QUEUE_WAIT_SECONDS", "60").await;
    let waiting = lab.place_call(CallSpec::new(KNOWN_CALLER, ONE_WAITS)).await;
    lab.phone("1003").rings().await;
    let mark = lab.pbx.events.mark();
    let one_too_many = lab.place_call(CallSpec::new(KNOWN_CALLER, ONE_WAITS)).await;
    assert_eq!(one_too_many.ended().await, 17);
    outcome(&lab, mark, "blocked").await;
    waiting.hang_up().await;
}

#[tokio::test]
async fn a_transferred_caller_talks_with_the_contact() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    lab.phone(CONTACT).answers_after(ms(500)).await;
    transfer(&lab, &call, &format!("{CONTACT}/20/0")).await;
    lab.phone(CONTACT).talks().await;
    talk().await;
    lab.phone(CONTACT).hangs_up().await;
    assert_eq!(call.ended().await, 16);
    let heard = call.heard().await;
    assert!(heard.ever_hears(Tone::OPERATOR), "{:?}", heard.per_second());
    assert!(heard.ever_hears(Tone::MUSIC), "{:?}", heard.per_second());
    assert!(heard.ever_hears(Tone::CONTACT), "{:?}", heard.per_second());
    assert!(lab.phone(CONTACT).heard().await.ever_hears(Tone::CALLER));
}

#[tokio::test]
async fn a_caller_whom_nobody_takes_comes_back_to_the_operator() {
    let lab = Lab::start().await;
    for (name, number) in
        [("busy", CONTACT), ("refusing", CONTACT), ("unreachable", CONTACT), ("silent", CONTACT)]
    {
        let call = talking_with_1001(&lab).await;
        let contact = lab.phone(number);
        match name {
            "busy" => contact.is_busy().await,
            "refusing" => contact.refuses().await,
            "unreachable" => contact.is_unreachable().await,
            _ => contact.rings_for_ever().await,
        }
        let rung = lab.phone("1001").times_rung();
        transfer(&lab, &call, &format!("{CONTACT}/2/0")).await;
        step(&lab, "returning").await;
        lab.phone("1001").talks_again(rung).await;
        assert_eq!(lab.phone("1001").times_rung(), rung + 1, "{name}");
        talk().await;
        call.hang_up().await;
        let heard = lab.phone("1001").heard().await;
        assert!(heard.ever_hears(Tone::CALLER), "{name}: {:?}", heard.per_second());
        lab.reset().await;
    }
}

#[tokio::test]
async fn a_mailbox_does_not_swallow_a_caller_and_the_second_contact_takes_the_call() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    lab.phone(CONTACT).is_a_mailbox_after(ms(200)).await;
    lab.phone(SECOND_CONTACT).presses_after(ms(200), "1").await;
    transfer(&lab, &call, &format!("{CONTACT}/20/1-{SECOND_CONTACT}/20/1")).await;
    step(&lab, "not-accepted").await;
    step(&lab, "accepted").await;
    talk().await;
    lab.phone(SECOND_CONTACT).hangs_up().await;
    call.ended().await;
    let mailbox = lab.phone(CONTACT).heard().await;
    assert!(mailbox.ever_hears(Tone::PROMPT), "{:?}", mailbox.per_second());
    assert!(!mailbox.ever_hears(Tone::CALLER), "{:?}", mailbox.per_second());
    let contact = lab.phone(SECOND_CONTACT).heard().await;
    assert!(contact.ever_hears(Tone::CALLER), "{:?}", contact.per_second());
}

#[tokio::test]
async fn a_contact_who_hangs_up_before_accepting_does_not_end_the_call() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    lab.phone(CONTACT).talks_briefly(ms(200), ms(800)).await;
    let rung = lab.phone("1001").times_rung();
    transfer(&lab, &call, &format!("{CONTACT}/20/1")).await;
    step(&lab, "returning").await;
    lab.phone("1001").talks_again(rung).await;
    assert!(call.is_answered());
}

#[tokio::test]
async fn an_operator_who_is_gone_hands_the_caller_to_the_queue() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    lab.phone(CONTACT).is_busy().await;
    lab.phone("1001").is_busy().await;
    lab.phone("1003").answers_after(ms(300)).await;
    transfer(&lab, &call, &format!("{CONTACT}/20/0")).await;
    step(&lab, "requeued").await;
    lab.phone("1003").talks().await;
    talk().await;
    call.hang_up().await;
    assert!(lab.phone("1003").heard().await.ever_hears(Tone::CALLER));
}

#[tokio::test]
async fn a_caller_whom_no_queue_can_take_waits_for_the_operator_and_is_not_hung_up_on() {
    let lab = Lab::start().await;
    for names in [vec!["no-such-queue"], vec!["no-such-queue", "neither-this"]] {
        let call = talking_with_1001(&lab).await;
        lab.phone(CONTACT).is_busy().await;
        lab.phone("1001").is_busy().await;
        let channel = call.at_pbx().await.header("Channel").unwrap().to_owned();
        for (variable, name) in ["TORITSUGI_QUEUE", "TORITSUGI_RETURN_QUEUE"].into_iter().zip(&names) {
            set_variable(&lab, &channel, variable, name).await;
        }
        let rung = lab.phone("1001").times_rung();
        transfer(&lab, &call, &format!("{CONTACT}/20/0")).await;
        // The operator's phone refuses twice, and the caller is still there.
        lab.pbx
            .events
            .wait("the operator's phone is tried again", |_| lab.phone("1001").times_rung() >= rung + 2)
            .await;
        lab.phone("1001").answers_after(ms(200)).await;
        lab.phone("1001").talks().await;
        talk().await;
        call.hang_up().await;
        assert!(lab.phone("1001").heard().await.ever_hears(Tone::CALLER));
        lab.reset().await;
    }
    // One of the two exists: it is that one.
    let call = talking_with_1001(&lab).await;
    lab.phone(CONTACT).is_busy().await;
    lab.phone("1001").is_busy().await;
    lab.phone("1003").answers_after(ms(300)).await;
    let channel = call.at_pbx().await.header("Channel").unwrap().to_owned();
    set_variable(&lab, &channel, "TORITSUGI_QUEUE", "no-such-queue").await;
    set_variable(&lab, &channel, "TORITSUGI_RETURN_QUEUE", "operators-linear").await;
    transfer(&lab, &call, &format!("{CONTACT}/20/0")).await;
    step(&lab, "requeued").await;
    lab.phone("1003").talks().await;
    call.hang_up().await;
}

async fn set_variable(lab: &Lab, channel: &str, variable: &str, value: &str) {
    lab.pbx
        .must(&[("Action", "Setvar"), ("Channel", channel), ("Variable", variable), ("Value", value)])
        .await;
}

#[tokio::test]
async fn a_consultation_is_completed_by_hanging_up() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    lab.phone(CONTACT).answers_after(ms(300)).await;
    lab.product_actions().await.consult("1001", CONTACT).await;
    lab.phone(CONTACT).talks().await;
    talk().await;
    lab.phone("1001").hangs_up().await;
    talk().await;
    talk().await;
    call.hang_up().await;
    lab.phone(CONTACT).goes_idle().await;
    let caller = call.heard().await;
    let contact = lab.phone(CONTACT).heard().await;
    assert!(caller.ever_hears(Tone::MUSIC), "{:?}", caller.per_second());
    assert!(caller.ever_hears(Tone::CONTACT), "{:?}", caller.per_second());
    assert!(contact.ever_hears(Tone::OPERATOR), "{:?}", contact.per_second());
    assert!(contact.ever_hears(Tone::CALLER), "{:?}", contact.per_second());
}

#[tokio::test]
async fn supervisors_hear_one_call_and_are_heard_as_the_mode_says() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    let orders = lab.product_actions().await;
    lab.phone("2001").answers_after(ms(200)).await;
    orders.supervise("2001", "1001", "listen").await;
    talk().await;
    orders.switch_supervision("2001", "whisper").await;
    talk().await;
    lab.phone("2001").hangs_up().await;
    talk().await;
    call.hang_up().await;
    let caller = call.heard().await;
    let operator = lab.phone("1001").heard().await;
    let supervisor = lab.phone("2001").heard().await;
    assert!(!caller.ever_hears(Tone::SUPERVISOR), "{:?}", caller.per_second());
    assert!(operator.ever_hears(Tone::SUPERVISOR), "{:?}", operator.per_second());
    assert!(supervisor.ever_hears(Tone::CALLER), "{:?}", supervisor.per_second());
    assert!(supervisor.ever_hears(Tone::OPERATOR), "{:?}", supervisor.per_second());
}

#[tokio::test]
async fn without_an_exact_target_a_supervisor_hears_nobody() {
    let lab = Lab::start().await;
    let call = talking_with_1001(&lab).await;
    lab.phone("2001").answers_after(ms(200)).await;
    for spyee in ["", "PJSIP/1001", "1", ","] {
        let mark = lab.pbx.events.mark();
        lab.pbx
            .must(&[
                ("Action", "Originate"),
                ("Channel", "PJSIP/2001"),
                ("Context", "toritsugi-spy"),
                ("Exten", "listen"),
                ("Priority", "1"),
                ("Async", "true"),
                ("Variable", &format!("TORITSUGI_SPYEE={spyee}")),
            ])
            .await;
        let log = &lab.pbx.events;
        log.wait_after(mark, "the supervisor's call to end", |event| {
            let channel = event.header("Channel").unwrap_or("");
            event.name() == "Hangup" && channel.starts_with("PJSIP/2001-")
        })
        .await;
    }
    let spied = lab.pbx.events.all(|event| event.name() == "ChanSpyStart");
    assert!(spied.is_empty(), "{spied:?}");
    call.hang_up().await;
}

async fn talking_with_1001(lab: &Lab) -> PlacedCall<'_> {
    lab.phone("1001").answers_after(ms(200)).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    call.answered().await;
    lab.phone("1001").talks().await;
    talk().await;
    call
}

/// Sends the actions of the daemon; the dialplan does the rest.
async fn transfer(lab: &Lab, call: &PlacedCall<'_>, targets: &str) {
    lab.product_actions().await.transfer(call, targets, "1001").await;
}

async fn step(lab: &Lab, step: &str) {
    let log = &lab.pbx.events;
    log.wait(&format!("the transfer's step {step}"), |event| {
        event.has("UserEvent", "ToritsugiTransfer") && event.has("Step", step)
    })
    .await;
}

async fn outcome(lab: &Lab, mark: usize, outcome: &str) {
    let log = &lab.pbx.events;
    let event = log.wait_after(mark, "the outcome", |event| event.has("UserEvent", "ToritsugiOutcome"));
    assert_eq!(event.await.header("Outcome"), Some(outcome));
}

/// Lets the parties talk, for the recordings: not a wait for an event.
async fn talk() {
    tokio::time::sleep(ms(TALK)).await;
}
