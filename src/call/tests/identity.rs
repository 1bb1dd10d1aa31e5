//! Identity and card: what a pop waits for, and what it may show.

use super::*;
use crate::identity::Presentation;

#[test]
fn a_pop_waits_for_its_card_but_not_for_ever() {
    let mut rig = Rig::new();
    rig.answer_with = None;
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO);
    assert!(rig.notices().is_empty());
    let call = rig.asked[0];
    rig.input(Input::CardFound { call, question: 1, card: card("memory"), complete: false });
    assert!(rig.notices().is_empty());
    rig.passes(200);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
    assert_eq!(rig.views.last().unwrap().card.as_ref().unwrap().account.name, "memory");
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    assert_eq!(rig.notices(), ["updated"]);
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    assert!(rig.notices().is_empty());
}

/// While the store is unreachable, its answer may take as long as a call.
#[test]
fn what_the_dialplan_sent_late_is_shown_before_the_store_answers() {
    let mut rig = Rig::new();
    (rig.answer_with, rig.presentation) = (None, None);
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    rig.passes(100);
    rig.passes(200);
    let call = rig.asked[0];
    let found = |question, card, complete| Input::CardFound { call, question, card, complete };
    rig.input(found(1, card("nobody"), false));
    rig.passes(200);
    rig.dials(&CALLER, &SATO).rings(&SATO);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
    // Now the dialplan's identity event arrives.
    rig.pbx(Event::User {
        name: "ToritsugiIdentity".into(),
        channel: CALLER.channel(ChannelState::Ring),
        fields: vec![("PAI1".into(), b"<sip:0312345678@carrier.example>".to_vec())],
    });
    assert_eq!(rig.asked.len(), 2);
    rig.input(found(2, card("memory"), false));
    assert_eq!(rig.notices(), ["updated"]);
    rig.input(found(1, card("nobody"), true));
    assert_eq!(rig.notices(), [""; 0], "the store's answer to the earlier lookup");
    rig.hangs_up(&CALLER, 16);
    assert_eq!(rig.views.last().unwrap().card.as_ref().unwrap().account.name, "memory");
}

#[test]
fn a_call_without_an_identity_event_is_identified_by_its_channel() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    assert!(rig.asked.is_empty());
    rig.passes(100);
    assert_eq!(rig.notices(), ["offered"]);
}

#[test]
fn a_number_with_unknown_presentation_is_not_shown() {
    for (answer, number, presentation) in [
        (Some("0 (Presentation Allowed, Not Screened)"), Some("09012345678"), Presentation::Allowed),
        (Some("prohib_passed_screen"), None, Presentation::Withheld),
        (None, None, Presentation::Unavailable),
    ] {
        let mut rig = Rig::new();
        rig.presentation = answer;
        rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        rig.passes(100);
        rig.passes(150);
        assert_eq!(rig.notices(), ["offered"]);
        assert_eq!(rig.callers[0].number(), number);
        assert_eq!(rig.callers[0].presentation(), presentation);
    }
}

#[test]
fn the_dialplan_s_identity_counts_and_nothing_else_is_asked() {
    let mut rig = Rig::new();
    rig.presentation = None;
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    rig.pbx(Event::User {
        name: "ToritsugiIdentity".into(),
        channel: CALLER.channel(ChannelState::Ring),
        fields: vec![("PAI1".into(), b"<sip:0312345678@carrier.example>".to_vec())],
    });
    assert_eq!(rig.callers[0].number(), Some("0312345678"));
    assert_eq!(rig.notices(), ["offered"]);
}
