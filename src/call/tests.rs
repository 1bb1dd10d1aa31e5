//! Everyday scenes as hand-written events; the recorded sessions are in `tests/replay.rs`.

mod connected;
mod consultation;
mod direction;
mod elsewhere;
mod identity;
mod legs;
mod properties;
mod queues;
mod resync;
mod ringing;

use crate::contract::call::CallView;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::*;
use crate::ami::event::{BridgeKind, Channel, ChannelState, DialStatus, Event};
use crate::contract::card::{AccountView, CallerView, Card, HistoryView, MatchedBy};
use crate::identity::{Caller, DialledSource};
use crate::ids::{BridgeId, ChannelId, PbxId, QueueName};

fn rules() -> EndpointRules {
    EndpointRules {
        pbx: PbxId::parse("lab").unwrap(),
        trunks: vec!["trunk".into()],
        endpoints: crate::contract::endpoint::EndpointNames::default(),
        phones: vec!["1XXX".parse().unwrap()],
        identity_timeout: Duration::from_millis(100),
        presentation_timeout: Duration::from_millis(150),
        card_timeout: Duration::from_millis(200),
    }
}

fn card(name: &str) -> Arc<Card> {
    Arc::new(Card {
        link: None,
        script: None,
        dialled: Some("0355501001".into()),
        diverted_by: None,
        caller: CallerView::default(),
        account: AccountView { name: name.into(), matched_by: MatchedBy::Dialled, ..AccountView::default() },
        customers: Vec::new(),
        history: HistoryView::default(),
    })
}

/// A channel with the id `1.n`; its name determines the endpoint.
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
const LOCAL_TWO: Ch = Ch { name: "Local/1@toritsugi-consult-00000000;2", n: 12, linked: 1 };

fn id(n: u32) -> ChannelId {
    ChannelId::parse(&format!("1.{n}")).unwrap()
}

fn bridge(n: u32) -> BridgeId {
    BridgeId::parse(&format!("b{n}")).unwrap()
}

impl Ch {
    fn channel(&self, state: ChannelState) -> Channel {
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

/// The model, a clock that the test moves, and all notices so far as short texts.
struct Rig {
    model: Model,
    now: Timestamp,
    notices: Vec<String>,
    /// What was said of a caller who waits, and of an operator who hears an announcement: apart, because most tests are about
    /// neither.
    waiting: Vec<String>,
    asked: Vec<crate::ids::CallId>,
    answer_with: Option<Arc<Card>>,
    /// The presentation that the PBX answers; `None`: it does not answer.
    presentation: Option<&'static str>,
    /// The SIP headers that the PBX answers; `None`: it does not answer.
    headers: Option<Vec<(SmolStr, Vec<u8>)>>,
    callers: Vec<Caller>,
    dialled: Vec<Vec<(DialledSource, SmolStr)>>,
    views: Vec<CallView>,
    /// The calls of the notices in `waiting`.
    waiting_views: Vec<CallView>,
    outbound: Vec<OutboundCall>,
    unknown: Vec<String>,
    unreported: Vec<String>,
    /// The waits in queues of the calls that ended.
    queues: Vec<queue_visit::QueueVisit>,
    /// The treatments of the calls that ended.
    treated: Vec<queue_visit::Treated>,
}

impl Rig {
    fn new() -> Self {
        Self {
            model: Model::new(rules()),
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            notices: Vec::new(),
            waiting: Vec::new(),
            asked: Vec::new(),
            answer_with: Some(card("さくら商事")),
            presentation: Some("0 (Presentation Allowed, Not Screened)"),
            headers: Some(Vec::new()),
            callers: Vec::new(),
            dialled: Vec::new(),
            views: Vec::new(),
            outbound: Vec::new(),
            unknown: Vec::new(),
            unreported: Vec::new(),
            queues: Vec::new(),
            treated: Vec::new(),
            waiting_views: Vec::new(),
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
                    let is_waiting = matches!(
                        notice.kind,
                        NoticeKind::Queued { .. }
                            | NoticeKind::Guidance { .. }
                            | NoticeKind::Announced { .. }
                    );
                    let texts = if is_waiting { &mut self.waiting } else { &mut self.notices };
                    texts.push(notice_text(&notice.kind));
                    if is_waiting {
                        let is_known = self.views.iter().any(|view| view.id == notice.view.id);
                        assert!(is_known, "{:?} before the call was offered", notice.kind);
                        self.waiting_views.push(notice.view);
                        continue;
                    }
                    if let NoticeKind::Ended { queues, treated, .. } = &notice.kind {
                        self.queues.extend(queues.iter().cloned());
                        self.treated.extend(treated.clone());
                    }
                    self.views.push(notice.view);
                }
                Output::ReadChannel { call, .. } => {
                    if let Some(presentation) = self.presentation {
                        let presentation = Some(presentation.to_owned());
                        let answer = Input::ChannelRead { call, presentation };
                        self.model.handle(self.now, answer);
                    }
                }
                Output::OutboundEnded(call) => self.outbound.push(*call),
                Output::UnknownEndpoint { endpoint, .. } => self.unknown.push(endpoint.to_string()),
                Output::UnreportedRing { operator, .. } => self.unreported.push(operator.to_string()),
                Output::ReadHeaders { call, .. } => {
                    if let Some(headers) = self.headers.clone() {
                        self.model.handle(self.now, Input::HeadersRead { call, by_dialplan: false, headers });
                    }
                }
                Output::Identify { call, question, identity, .. } => {
                    self.asked.push(call);
                    self.dialled.push(identity.dialled);
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

    fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    fn call_comes_in(&mut self) -> &mut Self {
        self.pbx(Event::ChannelCreated(CALLER.channel(ChannelState::Ring)));
        self.pbx(Event::QueueJoined {
            channel: CALLER.channel(ChannelState::Ring),
            queue: QueueName::parse("sakura").unwrap(),
            position: Some(1),
        })
    }

    fn dials(&mut self, by: &Ch, to: &Ch) -> &mut Self {
        let state = self.model.leg_view(&id(by.n)).map_or(ChannelState::Up, |leg| leg.state);
        self.pbx(Event::ChannelCreated(to.channel(ChannelState::Down)));
        self.pbx(Event::DialBegan {
            by: Some(by.channel(state)),
            to: to.channel(ChannelState::Down),
            number: to.name.contains("trunk").then(|| "09011112222".into()),
        })
    }

    fn rings(&mut self, ch: &Ch) -> &mut Self {
        self.pbx(Event::ChannelState(ch.channel(ChannelState::Ringing)))
    }

    fn answers(&mut self, ch: &Ch) -> &mut Self {
        self.pbx(Event::ChannelState(ch.channel(ChannelState::Up)));
        self.dial_ends(ch, DialStatus::Answer)
    }

    fn dial_ends(&mut self, ch: &Ch, status: DialStatus) -> &mut Self {
        let state = if status == DialStatus::Answer { ChannelState::Up } else { ChannelState::Ringing };
        self.pbx(Event::DialEnded { to: ch.channel(state), status })
    }

    fn enters(&mut self, ch: &Ch, n: u32) -> &mut Self {
        self.pbx(Event::BridgeEntered {
            bridge: bridge(n),
            kind: BridgeKind::Mixing,
            channel: ch.channel(ChannelState::Up),
            swapped: None,
        })
    }

    fn leaves(&mut self, ch: &Ch, n: u32) -> &mut Self {
        self.pbx(Event::BridgeLeft { bridge: bridge(n), channel: ch.channel(ChannelState::Up) })
    }

    /// HangupRequest: the far end of this channel hung up.
    fn far_end_hangs_up(&mut self, ch: &Ch) -> &mut Self {
        let state = self.model.leg_view(&id(ch.n)).map_or(ChannelState::Up, |leg| leg.state);
        self.pbx(Event::HangupRequested { channel: ch.channel(state), cause: 16 })
    }

    /// SoftHangupRequest: the PBX ends this channel.
    fn pbx_ends(&mut self, ch: &Ch) -> &mut Self {
        let state = self.model.leg_view(&id(ch.n)).map_or(ChannelState::Up, |leg| leg.state);
        self.pbx(Event::SoftHangupRequested(ch.channel(state)))
    }

    fn state(&self) -> crate::contract::call::CallState {
        self.model.calls().next().unwrap().state
    }

    fn hangs_up(&mut self, ch: &Ch, cause: u16) -> &mut Self {
        self.pbx(Event::ChannelGone { channel: ch.channel(ChannelState::Up), cause })
    }

    /// Replaces the model by one that has the snapshots and nothing else.
    fn restarts(&mut self) {
        let reported: std::collections::BTreeSet<_> = self.views.iter().map(|view| view.id).collect();
        let mut model = Model::new(rules());
        for snapshot in reported.into_iter().filter_map(|call| self.model.snapshot(call)) {
            let stored = serde_json::to_string(&snapshot).unwrap();
            model.restore(serde_json::from_str(&stored).unwrap());
        }
        // A PBX sends no events of channels that were gone before the login.
        (1..=9)
            .map(id)
            .filter(|leg| self.model.is_gone(leg))
            .for_each(|leg| model.add_tombstone(self.now, leg));
        self.model = model;
        self.model.check().unwrap();
    }

    fn sato_talks(&mut self) -> &mut Self {
        self.call_comes_in().dials(&CALLER, &SATO).rings(&SATO).answers(&SATO);
        self.enters(&CALLER, 1).enters(&SATO, 1)
    }
}

fn notice_text(kind: &NoticeKind) -> String {
    match kind {
        NoticeKind::Offered => "offered".into(),
        NoticeKind::Queued { queue, position } => format!("queued {queue} {position:?}"),
        NoticeKind::Guidance { sound } => format!("guidance {sound}"),
        NoticeKind::Announced { operator, .. } => format!("announced {operator}"),
        NoticeKind::Presented { operator } => format!("presented {operator}"),
        NoticeKind::Rescinded { operator, reason, .. } => format!("rescinded {operator} {reason:?}"),
        NoticeKind::Answered { operator, .. } => format!("answered {operator}"),
        NoticeKind::Held { operator } => format!("held {operator}"),
        NoticeKind::Resumed { operator } => format!("resumed {operator}"),
        NoticeKind::Updated => "updated".into(),
        NoticeKind::Ended { outcome, operators, .. } => format!("ended {outcome:?} {operators:?}"),
    }
}
