//! Which calls come from outside, which go there, and what is reported about the rest.

use super::*;
use crate::contract::call::Direction;

/// The line of another driver: its channels are created in a state before Ring.
const LINE: Ch = Ch { name: "SIP/trunk-00000001", n: 1, linked: 1 };
const DOOR: Ch = Ch { name: "PJSIP/reception-00000001", n: 1, linked: 1 };
const OWN: Ch = Ch { name: "PJSIP/1001-00000002", n: 2, linked: 2 };
const OUT: Ch = Ch { name: "PJSIP/trunk-00000004", n: 4, linked: 2 };

fn in_context(ch: &Ch, state: ChannelState, context: &str, exten: Option<&str>) -> Channel {
    Channel { context: Some(context.into()), exten: exten.map(Into::into), ..ch.channel(state) }
}

fn inside(ch: &Ch, state: ChannelState) -> Channel {
    in_context(ch, state, "from-internal", Some("1001"))
}

impl Rig {
    fn is_created(&mut self, ch: &Ch, state: ChannelState) -> &mut Self {
        self.pbx(Event::ChannelCreated(ch.channel(state)))
    }

    fn is(&mut self, ch: &Ch, state: ChannelState) -> &mut Self {
        self.pbx(Event::ChannelState(ch.channel(state)))
    }

    /// Operator 1001 dials out; the trunk rings.
    fn sato_dials_out(&mut self) -> &mut Self {
        self.pbx(Event::ChannelCreated(inside(&OWN, ChannelState::Down)));
        self.pbx(Event::ChannelState(inside(&OWN, ChannelState::Ring)));
        self.dials(&OWN, &OUT).rings(&OUT)
    }

    fn is_silent(&mut self) {
        self.passes(10_000);
        assert_eq!(self.notices(), [""; 0]);
        assert!(self.asked.is_empty());
        assert!(self.unreported.is_empty(), "{:?}", self.unreported);
    }
}

/// chan_sip creates the channel Down, ISDN with overlap dialling Rsrvd, an analog line with early caller id Pre-ring.
#[test]
fn a_call_comes_in_at_the_first_ring_whatever_its_channel_was_before() {
    for before in [ChannelState::Down, ChannelState::Other] {
        let mut rig = Rig::new();
        rig.is_created(&LINE, before).passes(5_000);
        assert!(rig.notices().is_empty(), "it may still be an outgoing channel");
        rig.is(&LINE, ChannelState::Ring).is(&LINE, ChannelState::Ring);
        rig.dials(&LINE, &SATO).rings(&SATO).answers(&SATO).enters(&LINE, 1).enters(&SATO, 1);
        rig.hangs_up(&LINE, 16);
        assert_eq!(rig.notices(), ["offered", "presented 1001", "answered 1001", "ended Answered [1001]"]);
        assert!(rig.unreported.is_empty() && rig.outbound.is_empty());
    }
}

#[test]
fn a_trunk_that_dials_or_queues_is_a_caller_without_a_ring_too() {
    let mut rig = Rig::new();
    rig.is_created(&LINE, ChannelState::Other).is(&LINE, ChannelState::Up);
    rig.dials(&LINE, &SATO).rings(&SATO);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
    let mut rig = Rig::new();
    rig.is_created(&LINE, ChannelState::Down);
    let queue = QueueName::parse("受付 1").unwrap();
    rig.pbx(Event::QueueJoined { channel: LINE.channel(ChannelState::Up), queue, position: None });
    assert_eq!(rig.notices(), ["offered"]);
}

/// A CRM calls the customer first, then connects the operator.
#[test]
fn an_originated_call_to_a_trunk_is_outbound() {
    let originates = |rig: &mut Rig| {
        rig.pbx(Event::DialBegan {
            by: None,
            to: LINE.channel(ChannelState::Down),
            number: Some("09011112222".into()),
        });
    };
    for rings_at_once in [false, true] {
        let mut rig = Rig::new();
        rig.is_created(&LINE, ChannelState::Down);
        // Some drivers report Ring for the call that they send, before the dial is reported.
        if rings_at_once {
            rig.is(&LINE, ChannelState::Ring);
        }
        originates(&mut rig);
        rig.is(&LINE, ChannelState::Ringing).is(&LINE, ChannelState::Up);
        rig.dials(&LINE, &SATO).rings(&SATO).answers(&SATO).enters(&LINE, 1).enters(&SATO, 1);
        rig.is_silent();
        rig.hangs_up(&LINE, 16).hangs_up(&SATO, 16).is_silent();
        assert_eq!(rig.outbound.len(), 1);
        let call = &rig.outbound[0];
        assert_eq!(call.view.direction, Direction::Outbound);
        assert_eq!(call.number.as_deref(), Some("09011112222"));
        assert_eq!(call.operators, [crate::ids::Extension::parse("1001").unwrap()]);
        assert_eq!(rig.model.stats(), ModelStats { calls: 0, legs: 0, bridges: 0, timers: 0 });
    }
}

#[test]
fn an_originated_call_that_a_list_finds_is_outbound_as_well() {
    for exten in [Some("1001"), None] {
        let mut rig = Rig::new();
        let listed = |channel| Event::ChannelListed {
            channel,
            bridge: Some(bridge(1)),
            application: "Dial".into(),
            arguments: "PJSIP/1001".into(),
        };
        rig.input(Input::ListBegan);
        rig.pbx(listed(in_context(&CALLER, ChannelState::Up, "from-internal", exten)));
        rig.pbx(listed(SATO.channel(ChannelState::Up)));
        rig.input(Input::ListEnded);
        rig.is_silent();
        // A second operator is called for it.
        rig.dials(&CALLER, &SUZUKI).rings(&SUZUKI).is_silent();
        rig.hangs_up(&CALLER, 16).is_silent();
        let call = rig.outbound.first().unwrap();
        assert!(call.view.inferred);
        assert_eq!(call.view.outcome, Some(crate::contract::call::Outcome::Answered));
    }
    // Called, but not answered yet: it is not a caller either.
    for state in [ChannelState::Down, ChannelState::Ringing, ChannelState::Other] {
        let mut rig = Rig::new();
        rig.input(Input::ListBegan);
        rig.pbx(Event::ChannelListed {
            channel: CALLER.channel(state),
            bridge: None,
            application: "AppDial2".into(),
            arguments: "".into(),
        });
        rig.input(Input::ListEnded);
        rig.is_silent();
    }
}

#[test]
fn a_call_that_a_list_finds_in_the_dialplan_comes_in() {
    for (context, exten) in [("from-trunk", "1001"), ("ext-queues", "600"), ("macro-dial-one", "s")] {
        let mut rig = Rig::new();
        rig.input(Input::ListBegan);
        rig.pbx(Event::ChannelListed {
            channel: in_context(&CALLER, ChannelState::Up, context, Some(exten)),
            bridge: None,
            application: "Queue".into(),
            arguments: "600".into(),
        });
        rig.input(Input::ListEnded);
        rig.passes(1_000);
        assert_eq!(rig.notices(), ["offered"], "{context}");
    }
}

#[test]
fn a_door_phone_with_a_name_is_no_companys_caller() {
    let mut rig = Rig::new();
    for n in [1, 5] {
        let door = Ch { n, linked: n, ..DOOR };
        let sato = Ch { n: n + 1, linked: n, ..SATO };
        rig.pbx(Event::ChannelCreated(inside(&door, ChannelState::Ring)));
        rig.dials(&door, &sato).rings(&sato).answers(&sato).enters(&door, n).enters(&sato, n);
        rig.hangs_up(&door, 16).hangs_up(&sato, 16);
    }
    assert_eq!(rig.notices(), [""; 0]);
    assert!(rig.asked.is_empty() && rig.outbound.is_empty());
    // It is said once who it is, and at each call that nobody reported it.
    assert_eq!(rig.unknown, ["PJSIP/reception"]);
    assert_eq!(rig.unreported, ["1001", "1001"]);
}

#[test]
fn a_trunk_that_nobody_named_is_known_by_its_context_or_its_identity() {
    let carrier = Ch { name: "PJSIP/carrier-a-00000001", n: 1, linked: 1 };
    let mut rig = Rig::new();
    rig.is_created(&carrier, ChannelState::Ring).dials(&carrier, &SATO).rings(&SATO);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
    // It is a trunk from now on, wherever a list finds it.
    rig.input(Input::LinkUp { restarted: true });
    rig.notices();
    rig.input(Input::ListBegan);
    rig.pbx(Event::ChannelListed {
        channel: in_context(&Ch { n: 7, linked: 7, ..carrier.clone() }, ChannelState::Up, "ivr-1", Some("s")),
        bridge: None,
        application: "Background".into(),
        arguments: "".into(),
    });
    rig.input(Input::ListEnded);
    rig.passes(1_000);
    assert_eq!(rig.notices(), ["offered"]);

    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(in_context(&carrier, ChannelState::Ring, "my-own", Some("0355501001"))));
    assert_eq!(rig.unknown, ["PJSIP/carrier-a"]);
    rig.pbx(Event::User {
        name: "ToritsugiIdentity".into(),
        channel: in_context(&carrier, ChannelState::Ring, "toritsugi-identity", Some("s")),
        fields: vec![("From".into(), b"<sip:0312345678@carrier>".to_vec())],
    });
    assert_eq!(rig.notices(), ["offered"]);
    assert_eq!(rig.callers[0].number(), Some("0312345678"));
}

#[test]
fn a_phone_that_rings_for_a_call_nobody_saw_is_reported_once() {
    // The caller's channel was never seen: its events were lost, or could not be read.
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(SATO.channel(ChannelState::Down)));
    rig.rings(&SATO).rings(&SATO);
    assert_eq!(rig.unreported, ["1001"]);
    // The list that the owner then reads has it.
    rig.input(Input::ListBegan);
    for (ch, state) in [(&CALLER, ChannelState::Ring), (&SATO, ChannelState::Ringing)] {
        rig.pbx(Event::ChannelListed {
            channel: ch.channel(state),
            bridge: None,
            application: "Dial".into(),
            arguments: "PJSIP/1001".into(),
        });
    }
    rig.input(Input::ListEnded);
    rig.passes(1_000);
    assert_eq!(rig.notices(), ["offered", "presented 1001"]);
}

#[test]
fn colleagues_and_the_pbx_itself_may_ring_a_phone() {
    // A colleague.
    let suzuki = Ch { linked: 2, ..SUZUKI };
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(inside(&OWN, ChannelState::Ring)));
    rig.dials(&OWN, &suzuki).rings(&suzuki).answers(&suzuki).enters(&OWN, 1).enters(&suzuki, 1);
    rig.hangs_up(&OWN, 16).hangs_up(&suzuki, 16).is_silent();
    assert!(rig.outbound.is_empty(), "it is internal");
    // A supervisor's phone that the daemon calls.
    let mut rig = Rig::new();
    rig.pbx(Event::ChannelCreated(inside(&OWN, ChannelState::Down)));
    rig.pbx(Event::DialBegan { by: None, to: inside(&OWN, ChannelState::Down), number: None });
    rig.pbx(Event::ChannelState(inside(&OWN, ChannelState::Ringing)));
    rig.is_silent();
}

#[test]
fn the_devices_of_one_person_make_one_pop() {
    let web = Ch { name: "PJSIP/1001-web-00000005", n: 5, linked: 1 };
    let agent = Ch { name: "PJSIP/agent1002-00000006", n: 6, linked: 1 };
    let mut rig = Rig::new();
    rig.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).dials(&CALLER, &web).rings(&web);
    rig.dials(&CALLER, &agent).rings(&agent);
    assert_eq!(rig.notices(), ["offered", "presented 1001", "presented 1002"]);
    // The desk phone gives up; the browser goes on ringing and takes the call.
    rig.dial_ends(&SATO, DialStatus::Unavailable).hangs_up(&SATO, 20);
    assert!(rig.notices().is_empty());
    rig.answers(&web).enters(&CALLER, 1).enters(&web, 1);
    assert_eq!(rig.notices()[0], "answered 1001");
}

#[test]
fn a_call_to_the_outside_is_recorded_and_told_to_nobody() {
    use crate::contract::call::Outcome::{Abandoned, Answered, Blocked, Unknown};
    let ended = |ends: &dyn Fn(&mut Rig)| {
        let mut rig = Rig::new();
        rig.sato_dials_out();
        rig.now = rig.now.checked_add(Duration::from_secs(7)).unwrap();
        ends(&mut rig);
        rig.is_silent();
        assert_eq!(rig.model.stats().legs, 0);
        assert_eq!(rig.outbound.len(), 1, "one record");
        rig.outbound.remove(0)
    };
    let answered = ended(&|rig| {
        rig.answers(&OUT).enters(&OUT, 1).enters(&OWN, 1);
        rig.now = rig.now.checked_add(Duration::from_secs(60)).unwrap();
        rig.hangs_up(&OUT, 16).hangs_up(&OWN, 16);
    });
    let view = &answered.view;
    assert_eq!((view.direction, view.outcome), (Direction::Outbound, Some(Answered)));
    let seconds = |from: Timestamp, to: Option<Timestamp>| to.unwrap().duration_since(from).as_secs();
    assert_eq!(
        (seconds(view.offered_at, view.answered_at), seconds(view.offered_at, view.ended_at)),
        (7, 67)
    );
    assert_eq!(answered.channels, [id(2), id(4)]);
    let segments: Vec<_> = answered
        .segments
        .iter()
        .map(|s| format!("{} {:?} {:?} {:?}", s.kind, s.operator, s.target, s.result))
        .collect();
    assert_eq!(
        segments,
        [
            "dialling Some(1001) Some(\"09011112222\") Some(\"answered\")",
            "talking Some(1001) Some(\"09011112222\") None",
        ]
    );
    let outcome = |ends: &dyn Fn(&mut Rig)| {
        let call = ended(ends);
        assert_eq!(call.view.answered_at, None);
        (call.view.outcome.unwrap(), call.segments[0].result.clone().unwrap())
    };
    assert_eq!(
        outcome(&|rig| {
            rig.dial_ends(&OUT, DialStatus::Busy).hangs_up(&OUT, 17).hangs_up(&OWN, 17);
        }),
        (Blocked, "busy".into())
    );
    assert_eq!(
        outcome(&|rig| {
            rig.dial_ends(&OUT, DialStatus::NoAnswer).hangs_up(&OUT, 0).hangs_up(&OWN, 16);
        }),
        (Abandoned, "no_answer".into())
    );
    assert_eq!(
        outcome(&|rig| {
            rig.hangs_up(&OWN, 16).hangs_up(&OUT, 26);
        })
        .0,
        Abandoned
    );
    assert_eq!(outcome(&|rig| rig.input(Input::LinkUp { restarted: true })).0, Unknown);
}
