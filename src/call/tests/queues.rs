//! The waits in queues that a call's record has.

use super::*;
use crate::call::queue_visit::{QueueResult, QueueVisit};
use crate::callflow::Letter;
use crate::contract::call::{CallQueue, CallTreatment};

impl Rig {
    fn waits(&mut self, ms: u64) -> &mut Self {
        self.passes(ms);
        self
    }

    fn joins(&mut self, queue: &str) -> &mut Self {
        let queue = QueueName::parse(queue).unwrap();
        self.pbx(Event::QueueJoined { channel: CALLER.channel(ChannelState::Up), queue, position: Some(3) })
    }

    fn leaves_queue(&mut self) -> &mut Self {
        self.pbx(Event::QueueLeft(CALLER.channel(ChannelState::Up)))
    }
}

/// Queue, seconds, and result of each wait.
fn waits_of(rig: &Rig) -> Vec<(String, i64, QueueResult)> {
    let line = |visit: &QueueVisit| {
        let seconds = visit.until.unwrap().duration_since(visit.from).as_secs();
        (visit.queue.as_str().to_owned(), seconds, visit.result.unwrap())
    };
    rig.queues.iter().map(line).collect()
}

#[test]
fn each_queue_is_a_wait_with_its_result() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)))
        .joins("first")
        .waits(8_000)
        .leaves_queue();
    rig.waits(1_000).joins("second").waits(3_000);
    rig.dials(&CALLER, &SATO).rings(&SATO).waits(2_000).answers(&SATO).leaves_queue();
    rig.enters(&CALLER, 1).enters(&SATO, 1).hangs_up(&SATO, 16).hangs_up(&CALLER, 16);
    let expected =
        [("first".to_owned(), 8, QueueResult::Left), ("second".to_owned(), 5, QueueResult::Connected)];
    assert_eq!(waits_of(&rig), expected);
}

#[test]
fn a_caller_who_hangs_up_in_a_queue_abandons_it() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring))).joins("first").waits(4_000);
    rig.far_end_hangs_up(&CALLER).leaves_queue().hangs_up(&CALLER, 16);
    assert_eq!(waits_of(&rig), [("first".to_owned(), 4, QueueResult::Abandoned)]);
}

/// The phone is picked up, the caller leaves the queue, and hangs up before the PBX connects the two.
#[test]
fn a_caller_who_was_never_connected_abandons_the_queue() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring))).joins("first");
    rig.dials(&CALLER, &SATO).rings(&SATO).waits(2_000).answers(&SATO).leaves_queue();
    rig.far_end_hangs_up(&CALLER).hangs_up(&SATO, 16).hangs_up(&CALLER, 16);
    assert_eq!(waits_of(&rig), [("first".to_owned(), 2, QueueResult::Abandoned)]);
}

/// A ring group after the queue takes the call: the queue did not.
#[test]
fn a_phone_that_was_dialled_after_the_queue_is_not_the_queues() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)))
        .joins("first")
        .waits(8_000)
        .leaves_queue();
    rig.dials(&CALLER, &SATO).rings(&SATO).answers(&SATO).enters(&CALLER, 1).enters(&SATO, 1);
    rig.hangs_up(&SATO, 16).hangs_up(&CALLER, 16);
    assert_eq!(waits_of(&rig), [("first".to_owned(), 8, QueueResult::Left)]);
}

#[test]
fn a_restart_keeps_the_wait() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring))).waits(1_000).joins("first");
    rig.dials(&CALLER, &SATO).rings(&SATO);
    rig.restarts();
    rig.waits(3_000).far_end_hangs_up(&CALLER).leaves_queue().hangs_up(&CALLER, 16);
    assert_eq!(waits_of(&rig), [("first".to_owned(), 3, QueueResult::Abandoned)]);
}

/// The letters of a plan become words; what no plan has, and what is no letter, is no treatment.
#[test]
fn a_plan_reports_how_it_treats_the_call() {
    for (text, expected) in [
        ("o", Some((Letter::Open, false))),
        ("c", Some((Letter::Closed, false))),
        ("c12", Some((Letter::Closed, false))),
        ("h", Some((Letter::Holiday, false))),
        ("x", Some((Letter::Override, false))),
        ("z", Some((Letter::Open, true))),
        ("q", None),
        ("", None),
        ("open", None),
        ("本", None),
    ] {
        let mut rig = Rig::new();
        rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        let at = rig.now;
        rig.pbx(Event::User {
            name: "ToritsugiCallflow".into(),
            channel: CALLER.channel(ChannelState::Ring),
            fields: vec![("Plan".into(), b"ab".to_vec()), ("Treatment".into(), text.as_bytes().to_vec())],
        });
        rig.waits(2_000).hangs_up(&CALLER, 21);
        let treated = rig.treated.first().and_then(|treated| Some((treated.treatment()?, treated.at)));
        assert_eq!(treated, expected.map(|expected| (expected, at)), "{text}");
    }
}

fn dialplan_says(rig: &mut Rig, name: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec()));
    let (channel, fields) = (CALLER.channel(ChannelState::Ring), fields.collect());
    rig.pbx(Event::User { name: name.into(), channel, fields });
}

/// A plan plays guidance, the caller waits, and an operator hears an announcement: each is said once, and the call shows where its
/// caller is, also after a restart.
#[test]
fn a_waiting_caller_shows_the_queue_and_what_is_played() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    dialplan_says(&mut rig, "ToritsugiCallflow", &[("Treatment", "o")]);
    let say = [("Verb", "say"), ("Name", "toritsugi/busy")];
    dialplan_says(&mut rig, "ToritsugiStep", &say);
    dialplan_says(&mut rig, "ToritsugiStep", &[("Verb", "queue"), ("Name", "first")]);
    rig.waits(200);
    let view = rig.model.calls().next().unwrap();
    assert_eq!(
        (view.treatment, view.guidance.as_deref()),
        (Some(CallTreatment::Open), Some("toritsugi/busy"))
    );
    rig.joins("first");
    let since = rig.now;
    let name = QueueName::parse("first").unwrap();
    rig.restarts();
    let view = rig.model.calls().next().unwrap();
    assert_eq!((view.queue, view.guidance), (Some(CallQueue { name, since, position: Some(3) }), None));
    rig.dials(&CALLER, &SATO).rings(&SATO).answers(&SATO).leaves_queue();
    assert!(!rig.waiting.iter().any(|text| text.starts_with("announced")), "{:?}", rig.waiting);
    rig.waits(250).waits(2_000);
    rig.enters(&CALLER, 1).enters(&SATO, 1);
    assert_eq!(rig.waiting, ["guidance toritsugi/busy", "queued first Some(3)", "announced 1001"]);
    let view = rig.model.calls().next().unwrap();
    assert_eq!((view.queue, view.treatment), (None, Some(CallTreatment::Open)));
}

/// Where the PBX has nothing to say, the two are connected at once, and nothing is announced.
#[test]
fn a_phone_that_is_connected_at_once_hears_no_announcement() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).answers(&SATO);
    rig.waits(200).enters(&CALLER, 1).enters(&SATO, 1);
    rig.waits(5_000);
    assert_eq!(rig.waiting, ["queued sakura Some(1)"]);
}
