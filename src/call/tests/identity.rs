//! Identity and card: what a pop waits for, and what it may show.

use super::*;
use crate::contract::call::CallState;
use crate::identity::Presentation;
use crate::ids::Extension;

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

#[test]
fn a_call_that_is_over_before_its_card_comes_shows_who_had_it() {
    let mut rig = Rig::new();
    rig.answer_with = None;
    rig.sato_talks().hangs_up(&CALLER, 16).hangs_up(&SATO, 16);
    let call = rig.asked[0];
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    let notices = ["offered", "presented 1001", "answered 1001", "ended Answered [1001]"];
    assert_eq!(rig.notices(), notices);
    let sato = Extension::parse("1001").unwrap();
    let shown: Vec<_> =
        rig.views.iter().map(|view| (view.presented_to.as_slice(), view.operator.as_ref())).collect();
    let rings = std::slice::from_ref(&sato);
    assert_eq!(shown, [(&[][..], None), (rings, None), (&[][..], Some(&sato)), (&[][..], None)]);
}

/// Supervisors of other teams see that a caller waits, however late the card comes.
#[test]
fn a_notice_names_no_phone_that_rings_later() {
    let mut rig = Rig::new();
    rig.answer_with = None;
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO);
    let call = rig.asked[0];
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    let shown = |views: &[CallView]| -> Vec<_> {
        views.iter().map(|view| (view.state, view.operators().count())).collect()
    };
    let (before, after) = ((CallState::Offered, 0), (CallState::Presented, 1));
    assert_eq!((shown(&rig.views), shown(&rig.waiting_views)), (vec![before, after], vec![before]));

    let mut rig = Rig::new();
    rig.answer_with = None;
    rig.sato_talks();
    let call = rig.asked[0];
    rig.input(Input::CardFound { call, question: 1, card: card("store"), complete: true });
    assert_eq!(shown(&rig.waiting_views), [before]);
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

/// FreePBX: the route saves the presentation, writes "allowed", and sets a name, for which Asterisk raises an event.
#[test]
fn a_number_that_was_hidden_when_the_call_came_in_stays_hidden() {
    let said = |presentation: &str| Event::CallerIdChanged {
        channel: Channel { caller_name: Some("Tanaka".into()), ..CALLER.channel(ChannelState::Ring) },
        presentation: presentation.into(),
    };
    let allowed = "0 (Presentation Allowed, Not Screened)";
    let privacy = vec![("Privacy".into(), b"id".to_vec())];
    for (answer, headers, events) in [
        (Some("prohib_not_screened"), vec![], vec![allowed]),
        (Some(allowed), vec![], vec!["32 (Presentation Prohibited, Not Screened)", allowed]),
        (Some(allowed), privacy.clone(), vec![allowed]),
        (None, vec![], vec![allowed]),
        (None, privacy, vec![]),
        // The PBX does not answer for the headers.
        (Some(allowed), vec![("unanswered".into(), vec![])], vec![allowed]),
    ] {
        let mut rig = Rig::new();
        let answered = headers.iter().all(|(name, _): &(SmolStr, Vec<u8>)| name != "unanswered");
        (rig.presentation, rig.headers) = (answer, answered.then_some(headers));
        rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        for event in events {
            rig.pbx(said(event));
        }
        rig.pbx(Event::QueueJoined {
            channel: CALLER.channel(ChannelState::Ring),
            queue: QueueName::parse("sakura").unwrap(),
            position: None,
        });
        rig.passes(150);
        // The dialplan's headers come last, and name a caller.
        rig.pbx(said(allowed));
        if answer.is_some_and(|answer| answer.starts_with("prohib")) {
            rig.pbx(Event::User {
                name: "ToritsugiIdentity".into(),
                channel: CALLER.channel(ChannelState::Ring),
                fields: vec![("PAI1".into(), b"<sip:09012345678@carrier.example>".to_vec())],
            });
        }
        assert!(!rig.callers.is_empty(), "{answer:?}");
        for caller in &rig.callers {
            assert_eq!((caller.number(), caller.display()), (None, None), "{answer:?}");
        }
    }
}

/// The dialplan's identity may arrive before the PBX's answer, on the other session.
#[test]
fn an_answer_that_comes_late_hides_the_number_again() {
    let mut rig = Rig::new();
    rig.presentation = None;
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    rig.pbx(Event::User {
        name: "ToritsugiIdentity".into(),
        channel: CALLER.channel(ChannelState::Ring),
        fields: vec![("From".into(), b"<sip:0312345678@carrier.example>".to_vec())],
    });
    let call = rig.asked[0];
    let read = |presentation: &str| Input::ChannelRead { call, presentation: Some(presentation.into()) };
    rig.input(read("allowed"));
    assert_eq!(rig.asked.len(), 1, "nothing new");
    rig.input(read("prohib"));
    assert_eq!(rig.callers.last().unwrap().presentation(), Presentation::Withheld);
    rig.input(read("allowed"));
    assert_eq!(rig.asked.len(), 2, "a word that came first and hides the number counts");
}

#[test]
fn the_extension_that_the_dialplan_chose_is_one_of_the_dialled_numbers() {
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    let at = |exten: &str| Channel { exten: Some(exten.into()), ..CALLER.channel(ChannelState::Ring) };
    rig.pbx(Event::CallerIdChanged { channel: at("0355501002"), presentation: "0 (x)".into() });
    // A queue's own number is a step of the route.
    rig.pbx(Event::QueueJoined {
        channel: at("600"),
        queue: QueueName::parse("600").unwrap(),
        position: None,
    });
    let numbers: Vec<&str> = rig.dialled[0].iter().map(|(_, number)| number.as_str()).collect();
    assert_eq!(numbers, ["0355501002", "0355501001"]);
}

/// A daemon that starts in the middle of a call reads what the dialplan left on the channel.
#[test]
fn headers_that_the_dialplan_stored_name_the_caller() {
    let mut rig = Rig::new();
    rig.headers = None;
    rig.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
    rig.passes(100);
    let call = crate::ids::CallId::derive(&rules().pbx, &id(CALLER.n));
    let headers = vec![("PAI1".into(), b"<sip:0312345678@carrier.example>".to_vec())];
    rig.input(Input::HeadersRead { call, by_dialplan: true, headers });
    assert_eq!(rig.callers.last().unwrap().number(), Some("0312345678"));
}
