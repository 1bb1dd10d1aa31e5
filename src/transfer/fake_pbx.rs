//! A fake PBX for the tests of the machine: the caller, the dialplan of `asterisk-conf/`, and people who answer, refuse,
//! hang up and vanish in any order. It carries out the machine's actions and sends the events of a real PBX.

mod dialplan;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::machine::{Command, Notice, Output, Reply, Step, Transfers};
use super::plan::{Plan, ShownNumber, Target};
use super::recover::TransferContext;
use crate::ami::action::{Action, ActionId};
use crate::ami::event::{ChannelState, DialStatus, Event};
use crate::call::{Input, Model};
use crate::contract::refusal::Refusal;
use crate::contract::transfer::{Mode, Outcome, TargetView, TransferId};
use crate::ids::{BridgeId, CallId, ChannelId, Extension, PbxId, QueueName, RecordId};
use crate::people::actor::Actor;
use crate::people::role::Role;
use crate::people::viewer::Viewer;

/// Where the caller is in the PBX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallerLocation {
    WithOperator,
    /// Hears music; the dialplan calls a target.
    Trying,
    /// Hears music; the dialplan calls the operator back.
    Returning,
    Queue,
    WithTarget,
    /// Hears music; the operator calls, or talks with, the target.
    Consulted,
    Gone,
}

/// The orders in which target and operator leave the caller at the same time, as observed on real PBXes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaveOrder {
    /// The target, then the operator; the PBX reports that it has joined the caller with the target.
    JoinedWithNobody,
    /// The same, without that event.
    WithoutEvent,
    /// The PBX joins the caller with a target who leaves at once.
    JoinedWithTheTarget,
    /// The target leaves, and the operator comes back while hanging up.
    BackBeforeLeaving,
}

impl LeaveOrder {
    pub(super) const ALL: [Self; 4] =
        [Self::JoinedWithNobody, Self::WithoutEvent, Self::JoinedWithTheTarget, Self::BackBeforeLeaving];

    /// The outcome of the attempt.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::JoinedWithTheTarget => Outcome::Answered,
            _ => Outcome::Declined,
        }
    }
}

pub(super) struct FakePbx {
    pub(super) now: Timestamp,
    pub(super) model: Model,
    pub(super) machine: Transfers,
    pub(super) notices: Vec<Notice>,
    pub(super) location: CallerLocation,
    pub(super) call: CallId,
    /// Events are lost until the next list.
    pub(super) events_lost: bool,
    /// The PBX refuses the next action.
    pub(super) refuses: bool,
    /// The operator's phone does not take a caller back.
    pub(super) operator_gone: bool,
    channels: BTreeMap<ChannelId, (SmolStr, ChannelState, Option<BridgeId>)>,
    variables: HashMap<String, String>,
    targets_left: VecDeque<String>,
    caller: ChannelId,
    operator: Option<ChannelId>,
    target: Option<ChannelId>,
    dialled_target: String,
    pending: VecDeque<(TransferId, Step, Vec<Action>)>,
    next_channel: u32,
    /// The dialplan context and application that the caller is in.
    position: (&'static str, &'static str),
}

pub(super) fn target(number: &str, accept: bool) -> Target {
    let view = TargetView::Number { number: number.to_owned() };
    Target { view, dial: Some(number.into()), ring_s: 25, accept }
}

pub(super) fn plan(numbers: &[&str]) -> Plan {
    let targets = numbers.iter().map(|number| target(number, false)).collect();
    Plan {
        targets,
        shown_number: ShownNumber::Caller(None),
        accept_sound: None,
        return_queue: QueueName::parse("operators").ok(),
    }
}

fn id(text: &str) -> ChannelId {
    ChannelId::parse(text).unwrap()
}

impl FakePbx {
    /// A caller who talks with operator 1001.
    pub(super) fn talking() -> Self {
        let config = crate::config::Config::from_layers(None, []).unwrap();
        let caller = id("1.1");
        let mut pbx = Self {
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            model: Model::new(config.endpoint_rules()),
            machine: Transfers::default(),
            notices: Vec::new(),
            location: CallerLocation::WithOperator,
            call: CallId::derive(&PbxId::parse("pbx").unwrap(), &caller),
            events_lost: false,
            refuses: false,
            operator_gone: false,
            channels: BTreeMap::new(),
            variables: HashMap::new(),
            targets_left: VecDeque::new(),
            caller: caller.clone(),
            operator: None,
            target: None,
            dialled_target: String::new(),
            pending: VecDeque::new(),
            next_channel: 2,
            position: ("inbound", "Queue"),
        };
        pbx.create(&caller, "PJSIP/trunk-1", ChannelState::Ring);
        let operator = pbx.dial(&caller, "PJSIP/1001-1");
        pbx.answer(&operator, &caller);
        pbx.operator = Some(operator);
        pbx.pass(1);
        pbx
    }

    pub(super) fn actor(role: Role, extension: Option<&str>) -> Actor {
        let extension = extension.map(|digits| Extension::parse(digits).unwrap());
        Actor {
            user: RecordId(uuid::Uuid::nil()),
            name: "佐藤".into(),
            viewer: Viewer::new(role, extension, []),
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        let actor = Self::actor(Role::Operator, Some("1001"));
        let reply = self.machine.command(self.now, &self.model, &actor, command);
        self.drive();
        reply
    }

    pub(super) fn begin(&mut self, mode: Mode, plan: Plan) -> Result<TransferId, Refusal> {
        let call = self.call;
        match self.command(Command::Begin { call, mode, plan })? {
            Reply::Pending(id, Step::Begin) => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn latest(&self) -> crate::contract::transfer::TransferView {
        self.machine.latest_of(self.call).expect("a transfer").clone()
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
        self.model.handle_timeout(self.now);
        self.machine.handle_timeout(self.now, &self.model);
        self.drive();
    }

    // ---- What people do ---------------------------------------------------------------

    pub(super) fn target_rings(&mut self) {
        if let Some(target) = self.target.clone().filter(|t| self.channels[t].1 == ChannelState::Down) {
            self.change(&target, ChannelState::Ringing);
            let to = self.channel(&target);
            self.emit(Event::DialRinging { to });
        }
    }

    pub(super) fn target_answers(&mut self) {
        let Some(target) = self.target.clone().filter(|t| self.channels[t].1 != ChannelState::Up) else {
            return;
        };
        match self.location {
            CallerLocation::Trying => {
                let caller = self.caller.clone();
                self.answer(&target, &caller);
                self.location = CallerLocation::WithTarget;
            }
            // The operator has hung up in the meantime: the PBX joins the two itself.
            CallerLocation::Consulted if self.operator.is_none() => {
                let caller = self.caller.clone();
                self.answer(&target, &caller);
                self.location = CallerLocation::WithTarget;
                self.drop_locals();
            }
            CallerLocation::Consulted => self.answer(&target, &id("local.2")),
            _ => {}
        }
    }

    /// Busy, refused, silent: not reached, with this cause.
    pub(super) fn target_fails(&mut self, status: DialStatus, reason: &str, cause: u16) {
        let Some(target) = self.target.clone().filter(|t| self.channels[t].1 != ChannelState::Up) else {
            return;
        };
        let to = self.channel(&target);
        if cause != 0 {
            self.emit(Event::HangupRequested { channel: to.clone(), cause });
        }
        self.emit(Event::DialEnded { to, status });
        let (step, by) = (format!("failed:{reason}"), self.dialler());
        self.dialplan_step(&by, &step);
        self.end(&target, if cause == 0 { 16 } else { cause });
        self.target = None;
        match self.location {
            CallerLocation::Trying => self.continue_dialplan(),
            CallerLocation::Consulted => self.operator_comes_back(),
            CallerLocation::Gone if self.is_consulting() => self.operator_comes_back(),
            _ => {}
        }
    }

    pub(super) fn target_does_not_accept(&mut self) {
        if self.location == CallerLocation::Trying && self.target.is_some() {
            let target = self.target.clone().unwrap();
            self.dialplan_step(&target, "not-accepted");
            self.target_fails(DialStatus::Other, "ANSWER", 0);
        }
    }

    pub(super) fn target_hangs_up(&mut self) {
        let Some(target) = self.target.clone() else { return };
        if self.channels[&target].1 != ChannelState::Up {
            return self.target_fails(DialStatus::NoAnswer, "NOANSWER", 21);
        }
        self.target = None;
        self.end(&target, 16);
        match self.location {
            CallerLocation::WithTarget => self.end_caller(),
            CallerLocation::Consulted => self.operator_comes_back(),
            CallerLocation::Gone if self.is_consulting() => self.operator_comes_back(),
            _ => {}
        }
    }

    pub(super) fn operator_hangs_up(&mut self) {
        let Some(operator) = self.operator.clone() else { return };
        match self.location {
            CallerLocation::WithOperator => {
                self.operator = None;
                self.end(&operator, 16);
                self.end_caller();
            }
            CallerLocation::Consulted => self.hang_up_consulting(&operator),
            _ => {}
        }
    }

    pub(super) fn operator_answers(&mut self) {
        if let (CallerLocation::Returning, Some(operator)) = (self.location, self.operator.clone()) {
            let caller = self.caller.clone();
            self.answer(&operator, &caller);
            self.location = CallerLocation::WithOperator;
        }
    }

    pub(super) fn operator_does_not_answer(&mut self) {
        if self.location == CallerLocation::Returning
            && let Some(operator) = self.operator.take()
        {
            let to = self.channel(&operator);
            self.emit(Event::DialEnded { to, status: DialStatus::NoAnswer });
            self.end(&operator, 16);
            self.requeue();
        }
    }

    pub(super) fn somebody_in_the_queue_answers(&mut self) {
        if self.location == CallerLocation::Queue {
            let caller = self.caller.clone();
            let operator = self.dial(&caller, "PJSIP/1003-1");
            self.answer(&operator, &caller);
            let left = self.channel(&caller);
            self.emit(Event::QueueLeft(left));
            self.operator = Some(operator);
            self.location = CallerLocation::WithOperator;
        }
    }

    pub(super) fn caller_hangs_up(&mut self) {
        if self.location != CallerLocation::Gone {
            let consulted = self.location == CallerLocation::Consulted;
            self.end_caller();
            // The PBX hangs up a dialled target with the caller's dial; a consulted one stays.
            if !consulted && let Some(target) = self.target.take() {
                self.end(&target, 16);
            }
        }
        self.drive();
    }

    /// A supervisor starts, or stops, spying on the operator.
    pub(super) fn set_spied(&mut self, begins: bool) {
        let (spyer, spyee) = (id("spy.1"), self.operator.clone().unwrap());
        let (spyer, spyee) = (self.channel(&spyer), self.channel(&spyee));
        self.emit(match begins {
            true => Event::SpyStarted { spyer, spyee },
            false => Event::SpyStopped { spyer, spyee: None },
        });
        self.drive();
    }

    /// The link is lost, and the daemon has noticed.
    pub(super) fn lose_link(&mut self) {
        self.events_lost = true;
        self.machine.link_lost();
    }

    /// Replaces model and machine by new ones, which then read the list of channels.
    pub(super) fn restart_daemon(&mut self) {
        let config = crate::config::Config::from_layers(None, []).unwrap();
        self.model = Model::new(config.endpoint_rules());
        self.machine = Transfers::default();
        self.pending.clear();
        self.restore_link();
    }

    /// The link is back: the channels are listed.
    pub(super) fn restore_link(&mut self) {
        self.events_lost = false;
        self.model.handle(self.now, Input::LinkUp { restarted: false });
        self.model.handle(self.now, Input::ListBegan);
        self.machine.list_began();
        for id in self.channels.keys().cloned().collect::<Vec<_>>() {
            let bridge = self.channels[&id].2.clone();
            let (context, application) = self.position_of(&id);
            let mut channel = self.channel(&id);
            channel.context = Some(context.into());
            let (application, arguments) = (application.into(), SmolStr::default());
            let listed = Event::ChannelListed { channel, bridge, application, arguments };
            self.model.handle(self.now, Input::Pbx(listed.clone()));
            if self.machine.wants(&listed) {
                self.machine.handle_event(self.now, &listed, &self.model);
            }
        }
        self.model.handle(self.now, Input::ListEnded);
        self.machine.reconcile(self.now, &self.model);
        self.drive();
    }

    fn position_of(&self, channel: &ChannelId) -> (&'static str, &'static str) {
        if *channel == self.caller {
            return self.position;
        }
        match self.channels[channel].0.as_str() {
            name if name.starts_with("Local/") => ("toritsugi-reach", "Dial"),
            _ => ("from-phones", "AppDial"),
        }
    }

    /// Answers [`Output::ReadContext`] from the dialplan's variables.
    fn read_context(&mut self, channel: &ChannelId) {
        let Some(about) = self.variables.get("TORITSUGI_ABOUT").and_then(|line| TransferContext::parse(line))
        else {
            return;
        };
        let given = self.variables.get("TORITSUGI_TARGETS").map_or("", String::as_str);
        let given = given.split('-').filter(|target| !target.is_empty()).count();
        let tried = given.saturating_sub(self.targets_left.len());
        self.machine.adopt(self.now, &self.model, channel, about, tried);
    }

    /// Carries out the machine's outputs until there are none.
    pub(super) fn drive(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Notice(notice) => self.notices.push(*notice),
                    Output::ReadContext { channel } => self.read_context(&channel),
                    Output::Actions { transfer, step, actions } => {
                        self.pending.push_back((transfer, step, actions));
                    }
                }
            }
            while self.model.poll_output().is_some() {}
            let Some((transfer, step, actions)) = self.pending.pop_front() else { return };
            let refuses = std::mem::take(&mut self.refuses);
            let done = !refuses && actions.iter().all(|action| self.carry_out(action));
            let accepted = if done { Ok(()) } else { Err(Refusal::PbxRefused("no such channel".into())) };
            let _ = self.machine.on_actions_answered(self.now, transfer, step, accepted);
        }
    }

    fn carry_out(&mut self, action: &Action) -> bool {
        let text = String::from_utf8(action.encode(&ActionId::new(1, 1))).unwrap();
        let headers: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(": ")).collect();
        let channel = id(headers["Channel"]);
        if !self.channels.contains_key(&channel) {
            return false;
        }
        match action.name() {
            "Setvar" => {
                let value = headers.get("Value").copied().unwrap_or_default();
                self.variables
                    .insert(headers["Variable"].trim_start_matches('_').to_owned(), value.to_owned());
            }
            "Redirect" => self.redirect(),
            "Atxfer" => self.start_consultation(),
            "CancelAtxfer" if self.location == CallerLocation::Consulted => {
                if let Some(target) = self.target.take() {
                    self.end(&target, 16);
                }
                self.operator_comes_back();
            }
            "Hangup" if Some(&channel) == self.target.as_ref() => self.target_hangs_up(),
            "Hangup"
                if Some(&channel) == self.operator.as_ref() && self.location == CallerLocation::Consulted =>
            {
                self.hang_up_consulting(&channel);
            }
            "Hangup" => {
                panic!("the machine hangs up a channel that it must not: {channel} at {:?}", self.location)
            }
            "CancelAtxfer" => return false,
            other => panic!("{other} is not an action of a transfer"),
        }
        true
    }
}
