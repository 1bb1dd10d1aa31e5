//! Scenes of the day, played as events by hand; the recorded sessions are in `tests/replay.rs`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::view::{CallState, Outcome};
use super::*;
use crate::ami::event::{BridgeKind, Channel, ChannelState, DialStatus, Event};
use crate::directory::card::{AccountView, CallerView, Card, HistoryView, MatchedBy};
use crate::identity::{Caller, Presentation};
use crate::ids::{BridgeId, ChannelId, PbxId, QueueName};

fn plan() -> Plan {
    Plan {
        pbx: PbxId::parse("lab").unwrap(),
        trunks: vec!["trunk".into()],
        phones: vec!["1XXX".parse().unwrap()],
        identity_wait: Duration::from_millis(100),
        ask_wait: Duration::from_millis(150),
        card_wait: Duration::from_millis(200),
    }
}

fn card(name: &str) -> Arc<Card> {
    Arc::new(Card {
        link: None,
        dialled: Some("0355501001".into()),
        diverted_by: None,
        caller: CallerView::default(),
        account: AccountView { name: name.into(), matched_by: MatchedBy::Dialled, ..AccountView::default() },
        customers: Vec::new(),
        history: HistoryView::default(),
    })
}

/// A channel: its name tells who it is, `1.n` its id.
#[derive(Clone, Debug)]
struct Ch {
    name: &'static str,
    n: u32,
    linked: u32,
}

const CALLER: Ch = Ch { name: "PJSIP/trunk-00000001", n: 1, linked: 1 };
const SATO: Ch = Ch { name: "PJSIP/1001-00000002", n: 2, linked: 1 };
const SUZUKI: Ch = Ch { name: "PJSIP/1002-00000003", n: 3, linked: 1 };
const CONTACT: Ch = Ch { name: "PJSIP/trunk-00000004", n: 4, linked: 1 };

fn id(n: u32) -> ChannelId {
    ChannelId::parse(&format!("1.{n}")).unwrap()
}

fn bridge(n: u32) -> BridgeId {
    BridgeId::parse(&format!("b{n}")).unwrap()
}

impl Ch {
    fn is(&self, state: ChannelState) -> Channel {
        Channel {
            id: id(self.n),
            name: self.name.into(),
            state,
            linked: id(self.linked),
            context: Some("from-trunk".into()),
            exten: Some("0355501001".into()),
            caller_number: Some("09012345678".into()),
            caller_name: None,
        }
    }
}

/// The model, a clock that is moved by hand, and everything told so far as short words.
struct Rig {
    model: Model,
    now: Timestamp,
    told: Vec<String>,
    asked: Vec<crate::ids::CallId>,
    answer_with: Option<Arc<Card>>,
    /// What the PBX answers when asked whether the number may be shown.
    pbx_says: Option<&'static str>,
    callers: Vec<Caller>,
    views: Vec<view::CallView>,
}

impl Rig {
    fn new() -> Self {
        Self {
            model: Model::new(plan()),
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            told: Vec::new(),
            asked: Vec::new(),
            answer_with: Some(card("さくら商事")),
            pbx_says: Some("0 (Presentation Allowed, Not Screened)"),
            callers: Vec::new(),
            views: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        self.model.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.model.poll_output() {
            match output {
                Output::Notice(notice) => {
                    self.told.push(word(&notice.kind));
                    self.views.push(notice.view);
                }
                Output::AskChannel { call, .. } => {
                    if let Some(presentation) = self.pbx_says {
                        let presentation = Some(presentation.to_owned());
                        let told = Input::ChannelTold { call, presentation, headers: Vec::new() };
                        self.model.handle(self.now, told);
                    }
                }
                Output::Identify { call, question, identity, .. } => {
                    self.asked.push(call);
                    self.callers.push(identity.caller);
                    if let Some(card) = self.answer_with.clone() {
                        self.model
                            .handle(self.now, Input::CardFound { call, question, card, complete: true });
                    }
                }
            }
            self.model.check().unwrap();
        }
        self.model.check().unwrap();
    }

    fn pbx(&mut self, event: Event) -> &mut Self {
        self.input(Input::Pbx(event));
        self
    }

    fn passes(&mut self, ms: u64) {
        self.now = self.now.checked_add(Duration::from_millis(ms)).unwrap();
        self.model.handle_timeout(self.now);
        self.drain();
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn call_comes_in(&mut self) -> &mut Self {
        self.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring)));
        self.pbx(Event::QueueJoined {
            channel: CALLER.is(ChannelState::Ring),
            queue: QueueName::parse("sakura").unwrap(),
        })
    }

    fn dials(&mut self, by: &Ch, to: &Ch) -> &mut Self {
        self.pbx(Event::ChannelCreated(to.is(ChannelState::Down)));
        self.pbx(Event::DialBegan { by: Some(by.is(ChannelState::Up)), to: to.is(ChannelState::Down) })
    }

    fn rings(&mut self, ch: &Ch) -> &mut Self {
        self.pbx(Event::ChannelState(ch.is(ChannelState::Ringing)))
    }

    fn answers(&mut self, ch: &Ch) -> &mut Self {
        self.pbx(Event::ChannelState(ch.is(ChannelState::Up)));
        self.dial_ends(ch, DialStatus::Answer)
    }

    fn dial_ends(&mut self, ch: &Ch, status: DialStatus) -> &mut Self {
        let state = if status == DialStatus::Answer { ChannelState::Up } else { ChannelState::Ringing };
        self.pbx(Event::DialEnded { to: ch.is(state), status })
    }

    fn enters(&mut self, ch: &Ch, n: u32) -> &mut Self {
        self.pbx(Event::BridgeEntered {
            bridge: bridge(n),
            kind: BridgeKind::Mixing,
            channel: ch.is(ChannelState::Up),
            swapped: None,
        })
    }

    fn leaves(&mut self, ch: &Ch, n: u32) -> &mut Self {
        self.pbx(Event::BridgeLeft { bridge: bridge(n), channel: ch.is(ChannelState::Up) })
    }

    fn hangs_up(&mut self, ch: &Ch, cause: u16) -> &mut Self {
        self.pbx(Event::ChannelGone { channel: ch.is(ChannelState::Up), cause })
    }

    /// The daemon is another one, which knows what was told and nothing else.
    fn restarts(&mut self) {
        let told: std::collections::BTreeSet<_> = self.views.iter().map(|view| view.id).collect();
        let mut model = Model::new(plan());
        for memory in told.into_iter().filter_map(|call| self.model.memory(call)) {
            let kept = serde_json::to_string(&memory).unwrap();
            model.remember(serde_json::from_str(&kept).unwrap());
        }
        // Of a channel that was gone before, a PBX tells nothing to whoever logs in after.
        (1..=9).map(id).filter(|leg| self.model.is_gone(leg)).for_each(|leg| model.entomb(self.now, leg));
        self.model = model;
        self.model.check().unwrap();
    }

    fn sato_talks(&mut self) -> &mut Self {
        self.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).answers(&SATO);
        self.enters(&CALLER, 1).enters(&SATO, 1)
    }
}

fn word(kind: &NoticeKind) -> String {
    match kind {
        NoticeKind::Offered => "offered".into(),
        NoticeKind::Presented { operator } => format!("presented {operator}"),
        NoticeKind::Rescinded { operator, reason } => format!("rescinded {operator} {reason:?}"),
        NoticeKind::Answered { operator } => format!("answered {operator}"),
        NoticeKind::Held { operator } => format!("held {operator}"),
        NoticeKind::Resumed { operator } => format!("resumed {operator}"),
        NoticeKind::Updated => "updated".into(),
        NoticeKind::Ended { outcome, operators, .. } => format!("ended {outcome:?} {operators:?}"),
    }
}

#[test]
fn the_pop_comes_before_the_answer() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO);
    assert_eq!(rig.told(), ["offered"]);
    rig.rings(&SATO);
    assert_eq!(rig.told(), ["presented 1001"]);
    assert_eq!(rig.views.last().unwrap().card.as_ref().unwrap().account.name, "さくら商事");
    rig.answers(&SATO);
    assert_eq!(rig.told(), ["answered 1001"]);
    rig.enters(&CALLER, 1).enters(&SATO, 1);
    assert!(rig.told().is_empty());
    rig.hangs_up(&SATO, 16).hangs_up(&CALLER, 16);
    assert_eq!(rig.told(), ["updated", "ended Answered [1001]"]);
    rig.passes(20_000);
    assert_eq!(rig.model.census(), Census { calls: 0, legs: 0, bridges: 0, timers: 0 });
}

#[test]
fn two_ring_and_one_wins() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).dials(&CALLER, &SUZUKI).rings(&SATO).rings(&SUZUKI);
    rig.told();
    rig.answers(&SUZUKI);
    assert_eq!(rig.told(), ["answered 1002", "rescinded 1001 AnsweredElsewhere"]);
    rig.dial_ends(&SATO, DialStatus::Cancel).hangs_up(&SATO, 26);
    assert!(rig.told().is_empty());
}

#[test]
fn the_second_rings_after_the_first_did_not_answer() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).dial_ends(&SATO, DialStatus::NoAnswer);
    rig.hangs_up(&SATO, 19).dials(&CALLER, &SUZUKI).rings(&SUZUKI);
    assert_eq!(rig.told(), ["offered", "presented 1001", "rescinded 1001 NoAnswer", "presented 1002"]);
}

#[test]
fn the_caller_gives_up_while_it_rings() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO);
    rig.pbx(Event::HangupRequested { channel: CALLER.is(ChannelState::Ring), cause: 16 });
    rig.pbx(Event::QueueAbandoned(CALLER.is(ChannelState::Ring)));
    rig.pbx(Event::QueueLeft(CALLER.is(ChannelState::Ring)));
    rig.dial_ends(&SATO, DialStatus::Cancel).hangs_up(&SATO, 0).hangs_up(&CALLER, 16);
    let told = rig.told();
    assert_eq!(told[2..], ["rescinded 1001 CallerGone", "ended Abandoned []"][..], "{told:?}");
}

#[test]
fn a_queue_that_gives_up_overflows() {
    let mut rig = Rig::new();
    rig.call_comes_in().pbx(Event::QueueLeft(CALLER.is(ChannelState::Up))).hangs_up(&CALLER, 16);
    assert_eq!(rig.told().last().unwrap(), "ended Overflowed []");
}

#[test]
fn the_dialplan_tells_the_outcome() {
    for (text, outcome) in [("closed", Outcome::Closed), ("blocked", Outcome::Blocked)] {
        let mut rig = Rig::new();
        rig.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring)));
        rig.pbx(Event::User {
            name: "ToritsugiOutcome".into(),
            channel: CALLER.is(ChannelState::Up),
            fields: vec![("Outcome".into(), text.as_bytes().to_vec())],
        });
        rig.hangs_up(&CALLER, 16);
        assert_eq!(rig.told().last().unwrap(), &format!("ended {outcome:?} []"));
    }
}

#[test]
fn hold_and_resume() {
    let mut rig = Rig::new();
    rig.sato_talks().told();
    rig.pbx(Event::Held(SATO.is(ChannelState::Up))).pbx(Event::Unheld(SATO.is(ChannelState::Up)));
    assert_eq!(rig.told(), ["held 1001", "resumed 1001"]);
}

#[test]
fn a_consultation_keeps_its_operator_until_it_is_completed() {
    let mut rig = Rig::new();
    rig.sato_talks().told();
    // Sato leaves for the contact; the caller hears music, alone in the bridge.
    rig.leaves(&SATO, 1).dials(&SATO, &CONTACT).rings(&CONTACT).answers(&CONTACT);
    rig.enters(&SATO, 2).enters(&CONTACT, 2);
    assert!(rig.told().is_empty());
    rig.leaves(&SATO, 2).leaves(&CONTACT, 2).enters(&CONTACT, 1).hangs_up(&SATO, 16);
    assert_eq!(rig.told(), ["updated"]);
    assert_eq!(rig.views.last().unwrap().state, CallState::Transferred);
    rig.hangs_up(&CONTACT, 16).hangs_up(&CALLER, 16);
    assert_eq!(rig.told().last().unwrap(), "ended Answered [1001]");
}

#[test]
fn a_colleague_who_is_consulted_gets_the_pop_and_then_the_caller() {
    let mut rig = Rig::new();
    rig.sato_talks().told();
    rig.leaves(&SATO, 1).dials(&SATO, &SUZUKI).rings(&SUZUKI).answers(&SUZUKI);
    rig.enters(&SATO, 2).enters(&SUZUKI, 2);
    assert_eq!(rig.told(), ["presented 1002"]);
    rig.leaves(&SATO, 2).leaves(&SUZUKI, 2).enters(&SUZUKI, 1).hangs_up(&SATO, 16);
    assert_eq!(rig.told(), ["answered 1002"]);
    rig.hangs_up(&CALLER, 16).hangs_up(&SUZUKI, 16);
    assert_eq!(rig.told().last().unwrap(), "ended Answered [1001, 1002]");
}

#[test]
fn a_colleague_who_was_consulted_in_vain_loses_the_pop() {
    let mut rig = Rig::new();
    rig.sato_talks().told();
    rig.leaves(&SATO, 1).dials(&SATO, &SUZUKI).rings(&SUZUKI).answers(&SUZUKI);
    rig.enters(&SATO, 2).enters(&SUZUKI, 2).hangs_up(&SUZUKI, 16).leaves(&SATO, 2).enters(&SATO, 1);
    assert_eq!(rig.told(), ["presented 1002", "rescinded 1002 AnsweredElsewhere"]);
}

#[test]
fn a_pop_waits_for_its_card_but_not_for_ever() {
    let mut rig = Rig::new();
    rig.answer_with = None;
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO);
    assert!(rig.told().is_empty());
    let call = rig.asked[0];
    rig.input(Input::CardFound { call, question: 1, card: card("memory"), complete: false });
    assert!(rig.told().is_empty());
    rig.passes(200);
    assert_eq!(rig.told(), ["offered", "presented 1001"]);
    assert_eq!(rig.views.last().unwrap().card.as_ref().unwrap().account.name, "memory");
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    assert_eq!(rig.told(), ["updated"]);
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    assert!(rig.told().is_empty());
}

/// While the store is away its answers take as long as a call.
#[test]
fn what_the_dialplan_told_late_is_shown_before_the_store_answers() {
    let mut rig = Rig::new();
    (rig.answer_with, rig.pbx_says) = (None, None);
    rig.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring)));
    rig.passes(100);
    rig.passes(200);
    let call = rig.asked[0];
    let found = |question, card, complete| Input::CardFound { call, question, card, complete };
    rig.input(found(1, card("nobody"), false));
    rig.passes(200);
    rig.dials(&CALLER, &SATO).rings(&SATO);
    assert_eq!(rig.told(), ["offered", "presented 1001"]);
    // Now the dialplan's word is read.
    rig.pbx(Event::User {
        name: "ToritsugiIdentity".into(),
        channel: CALLER.is(ChannelState::Ring),
        fields: vec![("PAI1".into(), b"<sip:0312345678@carrier.example>".to_vec())],
    });
    assert_eq!(rig.asked.len(), 2);
    rig.input(found(2, card("memory"), false));
    assert_eq!(rig.told(), ["updated"]);
    rig.input(found(1, card("nobody"), true));
    assert_eq!(rig.told(), [""; 0], "the store's answer to what was asked before");
    rig.hangs_up(&CALLER, 16);
    assert_eq!(rig.views.last().unwrap().card.as_ref().unwrap().account.name, "memory");
}

#[test]
fn a_call_that_nothing_is_told_about_is_identified_by_its_channel() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring)));
    assert!(rig.asked.is_empty());
    rig.passes(100);
    assert_eq!(rig.told(), ["offered"]);
}

#[test]
fn a_number_of_which_nobody_says_that_it_may_be_shown_is_not_shown() {
    for (says, number, presentation) in [
        (Some("0 (Presentation Allowed, Not Screened)"), Some("09012345678"), Presentation::Allowed),
        (Some("prohib_passed_screen"), None, Presentation::Withheld),
        (None, None, Presentation::Unavailable),
    ] {
        let mut rig = Rig::new();
        rig.pbx_says = says;
        rig.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring)));
        rig.passes(100);
        rig.passes(150);
        assert_eq!(rig.told(), ["offered"]);
        assert_eq!(rig.callers[0].number(), number);
        assert_eq!(rig.callers[0].presentation(), presentation);
    }
}

#[test]
fn the_dialplan_s_word_counts_and_nothing_else_is_asked() {
    let mut rig = Rig::new();
    rig.pbx_says = None;
    rig.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring)));
    rig.pbx(Event::User {
        name: "ToritsugiIdentity".into(),
        channel: CALLER.is(ChannelState::Ring),
        fields: vec![("PAI1".into(), b"<sip:0312345678@carrier.example>".to_vec())],
    });
    assert_eq!(rig.callers[0].number(), Some("0312345678"));
    assert_eq!(rig.told(), ["offered"]);
}

#[test]
fn a_call_that_ends_at_once_is_still_told_whole() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.is(ChannelState::Ring))).hangs_up(&CALLER, 17);
    assert_eq!(rig.told(), ["offered", "ended Blocked []"]);
}

#[test]
fn queue_members_behind_local_channels_are_seen_through() {
    let one = Ch { name: "Local/1001@from-queue-00000001;1", n: 11, linked: 1 };
    let two = Ch { name: "Local/1001@from-queue-00000001;2", n: 12, linked: 1 };
    let mut rig = Rig::new();
    rig.call_comes_in();
    rig.pbx(Event::ChannelCreated(one.is(ChannelState::Down)));
    rig.pbx(Event::ChannelCreated(two.is(ChannelState::Ring)));
    rig.pbx(Event::LocalPaired { one: one.is(ChannelState::Down), two: two.is(ChannelState::Ring) });
    rig.pbx(Event::DialBegan { by: Some(CALLER.is(ChannelState::Up)), to: one.is(ChannelState::Down) });
    rig.dials(&two, &SATO).rings(&SATO).rings(&one).answers(&SATO);
    assert_eq!(rig.told(), ["offered", "presented 1001", "answered 1001"]);
    rig.enters(&two, 1).enters(&SATO, 1).enters(&one, 2).enters(&CALLER, 2);
    rig.pbx(Event::Held(SATO.is(ChannelState::Up)));
    assert_eq!(rig.told(), ["held 1001"]);
}

/// Nobody saw who dialled her, so her answer alone does not say that she has the caller.
#[test]
fn a_phone_that_was_found_ringing_pops_once_however_it_ends() {
    let listed = |ch: &Ch, state| Event::ChannelListed {
        channel: ch.is(state),
        bridge: None,
        application: "Dial".into(),
        arguments: "PJSIP/1001".into(),
    };
    let found_ringing = || {
        let mut rig = Rig::new();
        rig.input(Input::ListBegan);
        rig.pbx(listed(&SATO, ChannelState::Ringing)).pbx(listed(&CALLER, ChannelState::Ring));
        rig.input(Input::ListEnded);
        rig.passes(100);
        assert_eq!(rig.told(), ["offered", "presented 1001"]);
        rig
    };
    for first in [[&SATO, &CALLER], [&CALLER, &SATO]] {
        let mut rig = found_ringing();
        rig.answers(&SATO);
        assert!(rig.told().is_empty());
        rig.enters(first[0], 1).enters(first[1], 1);
        assert_eq!(rig.told(), ["answered 1001"]);
    }
    let mut rig = found_ringing();
    rig.answers(&SATO).hangs_up(&SATO, 16);
    assert_eq!(rig.told(), ["rescinded 1001 Withdrawn"]);
}

#[test]
fn a_gap_is_closed_by_a_list_in_whatever_order() {
    for order in [[&CALLER, &SATO], [&SATO, &CALLER]] {
        a_gap_is_closed_by_a_list(order);
    }
}

fn a_gap_is_closed_by_a_list(order: [&Ch; 2]) {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).told();
    rig.input(Input::LinkDown);
    rig.input(Input::LinkUp { restarted: false });
    rig.input(Input::ListBegan);
    let listed = |ch: &Ch, n| Event::ChannelListed {
        channel: ch.is(ChannelState::Up),
        bridge: Some(bridge(n)),
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    rig.pbx(listed(order[0], 7)).pbx(listed(order[1], 7));
    rig.input(Input::ListEnded);
    assert_eq!(rig.told(), ["answered 1001"]);
    assert!(rig.views.last().unwrap().inferred);
    // The next list knows neither: both ended while nobody looked.
    rig.input(Input::ListBegan);
    rig.input(Input::ListEnded);
    assert_eq!(rig.told().last().unwrap(), "ended Answered [1001]");
    assert_eq!(rig.model.census().legs, 0);
}

#[test]
fn a_restarted_pbx_has_no_calls() {
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).told();
    rig.input(Input::LinkUp { restarted: true });
    assert_eq!(rig.told(), ["rescinded 1001 CallerGone", "ended Unknown []"]);
}

#[test]
fn a_model_that_starts_amid_calls_learns_them_from_the_list() {
    let mut rig = Rig::new();
    rig.input(Input::ListBegan);
    let listed = |ch: &Ch, state| Event::ChannelListed {
        channel: ch.is(state),
        bridge: None,
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    rig.pbx(listed(&SATO, ChannelState::Ringing)).pbx(listed(&CALLER, ChannelState::Up));
    rig.input(Input::ListEnded);
    rig.passes(100);
    assert_eq!(rig.told(), ["offered", "presented 1001"]);
}

#[test]
fn a_restart_tells_nothing_twice_and_what_happened_meanwhile_once() {
    let listed = |ch: &Ch, state, b: Option<u32>| Event::ChannelListed {
        channel: ch.is(state),
        bridge: b.map(bridge),
        application: "Queue".into(),
        arguments: "sakura".into(),
    };
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).dials(&CALLER, &SUZUKI).rings(&SUZUKI);
    let before = rig.views.last().cloned().unwrap();
    rig.told();
    rig.restarts();
    assert_eq!(rig.model.calls().collect::<Vec<_>>(), [before]);
    rig.input(Input::ListBegan);
    for (ch, state) in
        [(&CALLER, ChannelState::Up), (&SATO, ChannelState::Ringing), (&SUZUKI, ChannelState::Ringing)]
    {
        rig.pbx(listed(ch, state, None));
    }
    rig.input(Input::ListEnded);
    rig.passes(30_000);
    assert!(rig.told().is_empty(), "everything is as it was");

    // While nobody looked, she answered and the others stopped ringing.
    rig.restarts();
    rig.input(Input::ListBegan);
    rig.pbx(listed(&CALLER, ChannelState::Up, Some(1))).pbx(listed(&SATO, ChannelState::Up, Some(1)));
    rig.input(Input::ListEnded);
    assert_eq!(rig.told(), ["answered 1001", "rescinded 1002 AnsweredElsewhere"]);

    // And then the caller hung up.
    rig.restarts();
    rig.input(Input::ListBegan);
    rig.input(Input::ListEnded);
    assert_eq!(rig.told(), ["ended Answered [1001]"]);
    assert!(rig.views.last().unwrap().inferred);
}

#[test]
fn two_callers_in_one_bridge_stay_two_calls() {
    let other = Ch { name: "PJSIP/trunk-00000009", n: 9, linked: 9 };
    let mut rig = Rig::new();
    rig.sato_talks();
    rig.pbx(Event::ChannelCreated(other.is(ChannelState::Ring)));
    rig.enters(&other, 1).hangs_up(&CALLER, 16);
    assert_eq!(rig.model.calls().count(), 1);
}

#[test]
fn a_channel_that_is_gone_is_not_revived() {
    let mut rig = Rig::new();
    rig.call_comes_in().hangs_up(&CALLER, 16).told();
    rig.rings(&CALLER).leaves(&CALLER, 1).enters(&CALLER, 1);
    assert!(rig.told().is_empty());
    assert_eq!(rig.model.census().legs, 0);
}

fn any_channel() -> impl Strategy<Value = Channel> {
    let names = [
        "PJSIP/trunk-00000001",
        "PJSIP/1001-00000002",
        "PJSIP/1002-00000003",
        "PJSIP/trunk-00000004",
        "Local/1001@q-00000001;1",
        "Local/1001@q-00000001;2",
        "PJSIP/1003-00000007",
    ];
    let states = [ChannelState::Down, ChannelState::Ring, ChannelState::Ringing, ChannelState::Up];
    (0..names.len(), 0..states.len(), 0u32..7).prop_map(move |(name, state, linked)| {
        Ch { name: names[name], n: u32::try_from(name).unwrap() + 1, linked: linked + 1 }.is(states[state])
    })
}

fn any_input() -> impl Strategy<Value = Input> {
    let status = prop_oneof![
        Just(DialStatus::Answer),
        Just(DialStatus::Busy),
        Just(DialStatus::NoAnswer),
        Just(DialStatus::Cancel),
    ];
    let c = any_channel;
    let event = prop_oneof![
        3 => c().prop_map(Event::ChannelCreated),
        3 => c().prop_map(Event::ChannelState),
        2 => (c(), 0u16..45).prop_map(|(channel, cause)| Event::ChannelGone { channel, cause }),
        1 => (c(), 0u16..45).prop_map(|(channel, cause)| Event::HangupRequested { channel, cause }),
        3 => (proptest::option::of(c()), c()).prop_map(|(by, to)| Event::DialBegan { by, to }),
        1 => c().prop_map(|to| Event::DialRinging { to }),
        2 => (c(), status).prop_map(|(to, status)| Event::DialEnded { to, status }),
        1 => (c(), c()).prop_map(|(one, two)| Event::LocalPaired { one, two }),
        3 => (0u32..3, c(), any::<bool>()).prop_map(|(n, channel, mixing)| Event::BridgeEntered {
            bridge: bridge(n),
            kind: if mixing { BridgeKind::Mixing } else { BridgeKind::Holding },
            channel,
            swapped: None,
        }),
        2 => (0u32..3, c()).prop_map(|(n, channel)| Event::BridgeLeft { bridge: bridge(n), channel }),
        1 => (0u32..3, 0u32..3).prop_map(|(a, b)| Event::BridgeMerged { from: bridge(a), to: bridge(b) }),
        1 => (0u32..3).prop_map(|n| Event::BridgeGone(bridge(n))),
        1 => c().prop_map(Event::Held),
        1 => c().prop_map(|channel| Event::QueueJoined { channel, queue: QueueName::parse("q").unwrap() }),
        1 => c().prop_map(Event::QueueLeft),
        1 => c().prop_map(|channel| Event::ChannelListed {
            channel, bridge: None, application: "Queue".into(), arguments: "".into()
        }),
    ];
    prop_oneof![
        20 => event.prop_map(Input::Pbx),
        1 => any::<bool>().prop_map(|restarted| Input::LinkUp { restarted }),
        1 => Just(Input::LinkDown),
        1 => Just(Input::ListBegan),
        1 => Just(Input::ListEnded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever order events come in, the invariant holds, and each call's notices make sense.
    #[test]
    fn any_order_of_events_keeps_the_invariant(
        inputs in proptest::collection::vec((any_input(), 0u64..400), 1..60),
        prompt in any::<bool>(),
        restart in 0usize..120,
    ) {
        let mut rig = Rig::new();
        if !prompt {
            rig.answer_with = None;
        }
        for (n, (input, wait)) in inputs.into_iter().enumerate() {
            if n == restart {
                rig.restarts();
            }
            rig.input(input);
            if wait < 120 {
                rig.passes(wait);
            }
        }
        rig.input(Input::LinkUp { restarted: true });
        rig.passes(30_000);
        prop_assert_eq!(rig.model.census(), Census { calls: 0, legs: 0, bridges: 0, timers: 0 });
        let calls: std::collections::BTreeSet<_> = rig.views.iter().map(|v| v.id).collect();
        for call in calls {
            let words: Vec<&String> =
                rig.views.iter().zip(&rig.told).filter(|(v, _)| v.id == call).map(|(_, w)| w).collect();
            prop_assert_eq!(words[0].as_str(), "offered");
            prop_assert_eq!(words.iter().filter(|w| w.starts_with("ended")).count(), 1, "{:?}", words);
            prop_assert!(words[words.len() - 1].starts_with("ended"), "{:?}", words);
            for operator in ["1001", "1002", "1003"] {
                let mut open = false;
                for word in &words {
                    if **word == format!("presented {operator}") {
                        prop_assert!(!open, "presented twice: {:?}", words);
                        open = true;
                    } else if **word == format!("answered {operator}")
                        || word.starts_with(&format!("rescinded {operator} "))
                    {
                        prop_assert!(open, "never presented: {:?}", words);
                        open = false;
                    }
                }
                prop_assert!(!open, "left open: {:?}", words);
            }
        }
    }

    /// The same inputs give the same outputs.
    #[test]
    fn the_model_is_deterministic(inputs in proptest::collection::vec(any_input(), 1..40)) {
        let run = |inputs: &[Input]| {
            let mut rig = Rig::new();
            for input in inputs {
                rig.input(input.clone());
            }
            rig.told
        };
        prop_assert_eq!(run(&inputs), run(&inputs));
    }
}
