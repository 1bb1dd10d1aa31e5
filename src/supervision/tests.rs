//! The machine with a simulated environment: one clock, no PBX.

mod authorise;
mod property;
mod recovery;
mod sessions;
mod transfers;

use crate::contract::supervision::{
    AfterTransfer, EndReason, Mode, Notify, State, SupervisionId, SupervisionView, Target,
};
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use smol_str::SmolStr;
use uuid::Uuid;

use super::*;
use crate::ami::event::{Channel, ChannelState, DialStatus, Event};
use crate::ids::{CallId, ChannelId, Extension, PbxId, RecordId};

fn ext(digits: &str) -> Extension {
    Extension::parse(digits).unwrap()
}

fn chan(id: &str) -> ChannelId {
    ChannelId::parse(id).unwrap()
}

fn call(number: u8) -> CallId {
    CallId::derive(&PbxId::parse("t").unwrap(), &chan(&format!("c.{number}")))
}

fn channel(id: &ChannelId, name: &str, state: ChannelState) -> Channel {
    Channel {
        id: id.clone(),
        name: name.into(),
        state,
        linked: id.clone(),
        context: None,
        exten: None,
        caller_number: None,
        caller_name: None,
    }
}

/// The operator of each call (`None`: the caller talks with an external party), and the operator whom the supervisor may
/// not supervise. The operator's channel is named after operator and call.
#[derive(Default)]
struct Calls(BTreeMap<CallId, Option<Extension>>, Option<Extension>);

impl Calls {
    fn set(&mut self, number: u8, operator: Option<&str>) {
        self.0.insert(call(number), operator.map(ext));
    }
}

fn monitor_target(call: CallId, operator: &Extension) -> MonitorTarget {
    let channel = chan(&format!("op-{operator}-{}", call.uuid().simple()));
    let caller = Some(chan(&format!("caller-{}", call.uuid().simple())));
    MonitorTarget { call, operator: operator.clone(), channel, caller, notify: Notify::Tone, external: false }
}

impl Environment for Calls {
    fn monitorable_operator(&self, operator: &Extension) -> Option<MonitorTarget> {
        let (call, _) = self.0.iter().find(|(_, has)| has.as_ref() == Some(operator))?;
        Some(monitor_target(*call, operator))
    }

    fn monitorable_call(&self, call: CallId) -> Option<MonitorTarget> {
        Some(monitor_target(call, self.0.get(&call)?.as_ref()?))
    }

    fn external_party(&self, call: CallId) -> Option<ChannelId> {
        self.0.get(&call)?.is_none().then(|| external_channel(call))
    }

    fn is_live(&self, call: CallId) -> bool {
        self.0.contains_key(&call)
    }

    fn may_supervise(&self, _: RecordId, _: Mode, operator: &Extension, _: Option<&Extension>) -> bool {
        self.1.as_ref() != Some(operator)
    }

    fn name_of(&self, _: RecordId) -> SmolStr {
        "伊藤".into()
    }
}

fn external_channel(call: CallId) -> ChannelId {
    chan(&format!("contact-{}", call.uuid().simple()))
}

fn settings(after_transfer: AfterTransfer) -> Settings {
    let ring = std::time::Duration::from_secs(30);
    Settings { ring, auto_answer: false, notify: Notify::Silent, after_transfer }
}

struct Rig {
    machine: Supervisions,
    calls: Calls,
    now: Timestamp,
    /// The actions: the name and, for a redirect, the dialplan extension.
    actions: Vec<String>,
    notices: Vec<(Notice, SupervisionView)>,
    loads: Vec<(SupervisionId, Timestamp)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(AfterTransfer::Operator)
    }

    fn with(after_transfer: AfterTransfer) -> Self {
        let now = "2026-01-05T00:00:00Z".parse().unwrap();
        let machine = Supervisions::new(settings(after_transfer));
        let (calls, loads) = (Calls::default(), Vec::new());
        Self { machine, calls, now, actions: Vec::new(), notices: Vec::new(), loads }
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input, &self.calls);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Actions { actions, .. } => self.actions.extend(actions.iter().map(summary)),
                Output::Notice { notice, view, .. } => self.notices.push((notice, *view)),
                Output::LoadSession(id, since) => self.loads.push((id, since)),
                Output::InvalidAction { error, .. } => panic!("{error}"),
            }
        }
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        self.machine.handle_timeout(self.now, &self.calls);
        self.drain();
    }

    fn set_operator(&mut self, number: u8, operator: Option<&str>) {
        self.calls.set(number, operator);
        self.input(Input::CallsChanged);
    }

    fn start(&mut self, number: u128, target: Target, mode: Mode) -> ChannelId {
        let id = SupervisionId(Uuid::from_u128(number));
        let monitor_target = match &target {
            Target::Operator { operator, .. } => self.calls.monitorable_operator(operator),
            Target::Call(call) => self.calls.monitorable_call(*call),
        };
        let start = NewSession {
            id,
            user: RecordId(Uuid::from_u128(7)),
            name: "伊藤".into(),
            phone: ext("2001"),
            target,
            mode,
            reason: None,
            monitor_target,
        };
        self.input(Input::Start(Box::new(start)));
        self.machine.get(id).unwrap().leg()
    }

    fn answer_phone(&mut self, leg: &ChannelId) {
        self.input(Input::Pbx(&Event::ChannelState(channel(leg, "PJSIP/2001-1", ChannelState::Up))));
    }

    fn start_spy(&mut self, leg: &ChannelId, spyee: &MonitorTarget) {
        let spyer = channel(leg, "PJSIP/2001-1", ChannelState::Up);
        let spyee = channel(&spyee.channel, "PJSIP/1001-1", ChannelState::Up);
        self.input(Input::Pbx(&Event::SpyStarted { spyer, spyee }));
    }

    fn stop_spy(&mut self, leg: &ChannelId) {
        let spyer = channel(leg, "PJSIP/2001-1", ChannelState::Up);
        self.input(Input::Pbx(&Event::SpyStopped { spyer, spyee: None }));
    }

    fn end_channel(&mut self, leg: &ChannelId, cause: u16) {
        let channel = channel(leg, "PJSIP/2001-1", ChannelState::Up);
        self.input(Input::Pbx(&Event::ChannelGone { channel, cause }));
    }

    fn take_actions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.actions)
    }

    fn end_reason(&self) -> Option<EndReason> {
        self.notices.iter().rev().find_map(|(notice, _)| match notice {
            Notice::Stopped(reason) => Some(*reason),
            _ => None,
        })
    }

    fn state(&self) -> State {
        self.machine.iter().next().unwrap().state
    }

    /// One session that hears 1001 in call 1.
    fn live(follow: bool) -> (Self, ChannelId) {
        Self::live_with(AfterTransfer::Operator, follow)
    }

    fn live_with(after_transfer: AfterTransfer, follow: bool) -> (Self, ChannelId) {
        let mut rig = Self::with(after_transfer);
        rig.calls.set(1, Some("1001"));
        let leg = rig.start(1, Target::Operator { operator: ext("1001"), follow }, Mode::Listen);
        rig.answer_phone(&leg);
        rig.start_spy(&leg, &monitor_target(call(1), &ext("1001")));
        assert_eq!(rig.take_actions(), ["Originate listen"]);
        assert_eq!(rig.state(), State::Live);
        (rig, leg)
    }
}

fn summary(action: &crate::ami::action::Action) -> String {
    let bytes = action.encode(&crate::ami::action::ActionId::new(1, 1));
    let text = String::from_utf8(bytes).unwrap();
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    match header("Variable: ") {
        "TORITSUGI_TONE" => format!("Setvar tone {}", header("Value: ")),
        _ => format!("{} {}", action.name(), header("Exten: ")).trim_end().to_owned(),
    }
}
