//! A small PBX for the tests of the machine: the caller, the dialplan as `asterisk-conf/` has it, and people who answer,
//! refuse, hang up and vanish in any order. It carries out the machine's orders and tells what a real PBX would.

mod pbx;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;

use super::machine::{Command, Notice, Output, Reply, Step, Transfers};
use super::plan::{Plan, Show, Target};
use super::recover::About;
use super::view::{Mode, Outcome, TargetView, TransferId};
use crate::ami::action::{Action, ActionId};
use crate::ami::event::{ChannelState, DialStatus, Event};
use crate::call::{Input, Model};
use crate::command::{Actor, Refusal};
use crate::ids::{BridgeId, CallId, ChannelId, Extension, PbxId, QueueName, RecordId};
use crate::operator::{Role, Viewer};

/// Where the caller is, as the PBX knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    WithOperator,
    /// Hears music; the dialplan calls a target.
    Trying,
    /// Hears music; the dialplan calls the operator back.
    Returning,
    Queue,
    WithTarget,
    /// Hears music; the operator calls, or speaks with, the target.
    Consulted,
    Gone,
}

/// In what order target and operator leave the caller in the same instant, as real PBXes were seen to tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// The target, then the operator; the PBX says that it has joined the caller with the target.
    JoinedWithNobody,
    /// The same, and the PBX says nothing.
    Untold,
    /// The caller is joined with a target who leaves at once.
    JoinedWithTheTarget,
    /// The target leaves, and the operator comes back while she is hanging up.
    BackBeforeSheLeaves,
}

impl Leave {
    pub(super) const ALL: [Self; 4] =
        [Self::JoinedWithNobody, Self::Untold, Self::JoinedWithTheTarget, Self::BackBeforeSheLeaves];

    /// What became of the target.
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::JoinedWithTheTarget => Outcome::Answered,
            _ => Outcome::Declined,
        }
    }
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) model: Model,
    pub(super) machine: Transfers,
    pub(super) told: Vec<Notice>,
    pub(super) place: Place,
    pub(super) call: CallId,
    /// Events are lost until the next list.
    pub(super) deaf: bool,
    /// The PBX refuses the next order.
    pub(super) refuses: bool,
    /// The operator's phone does not take a caller back.
    pub(super) operator_gone: bool,
    channels: BTreeMap<ChannelId, (SmolStr, ChannelState, Option<BridgeId>)>,
    variables: HashMap<String, String>,
    left: VecDeque<String>,
    caller: ChannelId,
    operator: Option<ChannelId>,
    target: Option<ChannelId>,
    trying: String,
    waiting: VecDeque<(TransferId, Step, Vec<Action>)>,
    next: u32,
    /// The dialplan context and application that the caller is in.
    doing: (&'static str, &'static str),
}

pub(super) fn target(number: &str, accept: bool) -> Target {
    let view = TargetView::Number { number: number.to_owned() };
    Target { view, dial: Some(number.into()), ring_s: 25, accept }
}

pub(super) fn plan(numbers: &[&str]) -> Plan {
    let targets = numbers.iter().map(|number| target(number, false)).collect();
    Plan {
        targets,
        show: Show::Caller(None),
        accept_sound: None,
        return_queue: QueueName::parse("operators").ok(),
    }
}

fn id(text: &str) -> ChannelId {
    ChannelId::parse(text).unwrap()
}

impl World {
    /// A caller who talks with operator 1001.
    pub(super) fn talking() -> Self {
        let config = crate::config::Config::from_layers(None, []).unwrap();
        let caller = id("1.1");
        let mut world = Self {
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            model: Model::new(config.plan()),
            machine: Transfers::default(),
            told: Vec::new(),
            place: Place::WithOperator,
            call: CallId::derive(&PbxId::parse("pbx").unwrap(), &caller),
            deaf: false,
            refuses: false,
            operator_gone: false,
            channels: BTreeMap::new(),
            variables: HashMap::new(),
            left: VecDeque::new(),
            caller: caller.clone(),
            operator: None,
            target: None,
            trying: String::new(),
            waiting: VecDeque::new(),
            next: 2,
            doing: ("inbound", "Queue"),
        };
        world.create(&caller, "PJSIP/trunk-1", ChannelState::Ring);
        let operator = world.dial(&caller, "PJSIP/1001-1");
        world.answer(&operator, &caller);
        world.operator = Some(operator);
        world.pass(1);
        world
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
        self.settle();
        reply
    }

    pub(super) fn begin(&mut self, mode: Mode, plan: Plan) -> Result<TransferId, Refusal> {
        let call = self.call;
        match self.command(Command::Begin { call, mode, plan })? {
            Reply::Pending(id, Step::Begin) => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn latest(&self) -> super::TransferView {
        self.machine.latest_of(self.call).expect("a transfer").clone()
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
        self.model.handle_timeout(self.now);
        self.machine.handle_timeout(self.now, &self.model);
        self.settle();
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
        match self.place {
            Place::Trying => {
                let caller = self.caller.clone();
                self.answer(&target, &caller);
                self.place = Place::WithTarget;
            }
            // The operator has hung up meanwhile: the PBX joins the two itself.
            Place::Consulted if self.operator.is_none() => {
                let caller = self.caller.clone();
                self.answer(&target, &caller);
                self.place = Place::WithTarget;
                self.drop_locals();
            }
            Place::Consulted => self.answer(&target, &id("local.2")),
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
        self.step(&by, &step);
        self.end(&target, if cause == 0 { 16 } else { cause });
        self.target = None;
        match self.place {
            Place::Trying => self.go_on(),
            Place::Consulted => self.operator_comes_back(),
            Place::Gone if self.is_consulting() => self.operator_comes_back(),
            _ => {}
        }
    }

    pub(super) fn target_does_not_accept(&mut self) {
        if self.place == Place::Trying && self.target.is_some() {
            let target = self.target.clone().unwrap();
            self.step(&target, "not-accepted");
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
        match self.place {
            Place::WithTarget => self.caller_ends(),
            Place::Consulted => self.operator_comes_back(),
            Place::Gone if self.is_consulting() => self.operator_comes_back(),
            _ => {}
        }
    }

    pub(super) fn operator_hangs_up(&mut self) {
        let Some(operator) = self.operator.clone() else { return };
        match self.place {
            Place::WithOperator => {
                self.operator = None;
                self.end(&operator, 16);
                self.caller_ends();
            }
            Place::Consulted => self.hang_up_consulting(&operator),
            _ => {}
        }
    }

    pub(super) fn operator_answers(&mut self) {
        if let (Place::Returning, Some(operator)) = (self.place, self.operator.clone()) {
            let caller = self.caller.clone();
            self.answer(&operator, &caller);
            self.place = Place::WithOperator;
        }
    }

    pub(super) fn operator_does_not_answer(&mut self) {
        if self.place == Place::Returning
            && let Some(operator) = self.operator.take()
        {
            let to = self.channel(&operator);
            self.emit(Event::DialEnded { to, status: DialStatus::NoAnswer });
            self.end(&operator, 16);
            self.requeue();
        }
    }

    pub(super) fn somebody_in_the_queue_answers(&mut self) {
        if self.place == Place::Queue {
            let caller = self.caller.clone();
            let operator = self.dial(&caller, "PJSIP/1003-1");
            self.answer(&operator, &caller);
            let left = self.channel(&caller);
            self.emit(Event::QueueLeft(left));
            self.operator = Some(operator);
            self.place = Place::WithOperator;
        }
    }

    pub(super) fn caller_hangs_up(&mut self) {
        if self.place != Place::Gone {
            let consulted = self.place == Place::Consulted;
            self.caller_ends();
            // The PBX lets a dialled target go with the caller's own dial; one who is consulted stays.
            if !consulted && let Some(target) = self.target.take() {
                self.end(&target, 16);
            }
        }
        self.settle();
    }

    /// A supervisor begins, or ceases, to hear the operator.
    pub(super) fn spied(&mut self, begins: bool) {
        let (spyer, spyee) = (id("spy.1"), self.operator.clone().unwrap());
        let (spyer, spyee) = (self.channel(&spyer), self.channel(&spyee));
        self.emit(match begins {
            true => Event::SpyStarted { spyer, spyee },
            false => Event::SpyStopped { spyer, spyee: None },
        });
        self.settle();
    }

    /// The link is lost, and the daemon has noticed.
    pub(super) fn goes_deaf(&mut self) {
        self.deaf = true;
        self.machine.link_lost();
    }

    /// The daemon is gone with all it knew, and another one starts.
    pub(super) fn daemon_restarts(&mut self) {
        let config = crate::config::Config::from_layers(None, []).unwrap();
        self.model = Model::new(config.plan());
        self.machine = Transfers::default();
        self.waiting.clear();
        self.hears_again();
    }

    /// The link is back: the channels are listed.
    pub(super) fn hears_again(&mut self) {
        self.deaf = false;
        self.model.handle(self.now, Input::LinkUp { restarted: false });
        self.model.handle(self.now, Input::ListBegan);
        self.machine.list_began();
        for id in self.channels.keys().cloned().collect::<Vec<_>>() {
            let bridge = self.channels[&id].2.clone();
            let (context, application) = self.doing_of(&id);
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
        self.settle();
    }

    fn doing_of(&self, channel: &ChannelId) -> (&'static str, &'static str) {
        if *channel == self.caller {
            return self.doing;
        }
        match self.channels[channel].0.as_str() {
            name if name.starts_with("Local/") => ("toritsugi-reach", "Dial"),
            _ => ("from-phones", "AppDial"),
        }
    }

    /// What the dialplan keeps on the channel, told to a daemon that asks.
    fn tells_about(&mut self, channel: &ChannelId) {
        let Some(about) = self.variables.get("TORITSUGI_ABOUT").and_then(|line| About::parse(line)) else {
            return;
        };
        let given = self.variables.get("TORITSUGI_TARGETS").map_or("", String::as_str);
        let given = given.split('-').filter(|target| !target.is_empty()).count();
        let tried = given.saturating_sub(self.left.len());
        self.machine.take_up(self.now, &self.model, channel, about, tried);
    }

    /// The machine's orders are carried out until it has no more.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Notice(notice) => self.told.push(*notice),
                    Output::Ask { channel } => self.tells_about(&channel),
                    Output::Orders { transfer, step, actions } => {
                        self.waiting.push_back((transfer, step, actions));
                    }
                }
            }
            while self.model.poll_output().is_some() {}
            let Some((transfer, step, actions)) = self.waiting.pop_front() else { return };
            let refuses = std::mem::take(&mut self.refuses);
            let done = !refuses && actions.iter().all(|action| self.carry_out(action));
            let accepted = if done { Ok(()) } else { Err(Refusal::PbxRefused("no such channel".into())) };
            let _ = self.machine.order_answered(self.now, transfer, step, accepted);
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
            "Redirect" => self.redirected(),
            "Atxfer" => self.consults(),
            "CancelAtxfer" if self.place == Place::Consulted => {
                if let Some(target) = self.target.take() {
                    self.end(&target, 16);
                }
                self.operator_comes_back();
            }
            "Hangup" if Some(&channel) == self.target.as_ref() => self.target_hangs_up(),
            "Hangup" if Some(&channel) == self.operator.as_ref() && self.place == Place::Consulted => {
                self.hang_up_consulting(&channel);
            }
            "Hangup" => {
                panic!("the machine hangs up a channel that it must not: {channel} at {:?}", self.place)
            }
            "CancelAtxfer" => return false,
            other => panic!("{other} is no order of a transfer"),
        }
        true
    }
}
