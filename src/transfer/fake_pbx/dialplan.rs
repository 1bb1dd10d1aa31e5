//! What the fake PBX and its dialplan do with the caller, and the events that they send.

use smol_str::{SmolStr, format_smolstr};

use super::{CallerLocation, FakePbx, LeaveOrder, id};
use crate::ami::event::{BridgeKind, Channel, ChannelState, DialStatus, Event};
use crate::call::Input;
use crate::ids::{BridgeId, ChannelId, QueueName};

impl FakePbx {
    pub(super) fn redirect(&mut self) {
        assert_ne!(self.location, CallerLocation::Gone);
        self.pull_out();
        let targets = self.variables["TORITSUGI_TARGETS"].clone();
        self.targets_left = targets.split('-').filter(|t| !t.is_empty()).map(str::to_owned).collect();
        self.continue_dialplan();
    }

    /// Takes the caller out of the bridge and hangs up the other parties.
    pub(super) fn pull_out(&mut self) {
        let caller = self.caller.clone();
        self.leave(&caller);
        for other in [self.target.take(), self.operator.take()].into_iter().flatten() {
            self.end(&other, 16);
        }
        self.drop_locals();
    }

    pub(super) fn continue_dialplan(&mut self) {
        let caller = self.caller.clone();
        if let Some(target) = self.targets_left.pop_front() {
            self.dialled_target = target.split('/').next().unwrap().to_owned();
            self.location = CallerLocation::Trying;
            self.position = ("toritsugi-reach", "Dial");
            self.dialplan_step(&caller, "trying");
            self.target = Some(self.dial(&caller, "PJSIP/trunk-9"));
        } else if !self.variables["TORITSUGI_RETURN_TO"].is_empty() && !self.operator_gone {
            self.dialled_target = self.variables["TORITSUGI_RETURN_TO"].clone();
            self.location = CallerLocation::Returning;
            self.position = ("toritsugi-transfer", "Dial");
            self.dialplan_step(&caller, "returning");
            self.operator = Some(self.dial(&caller, "PJSIP/1001-9"));
        } else {
            self.requeue();
        }
    }

    pub(super) fn requeue(&mut self) {
        let caller = self.caller.clone();
        self.dialled_target = self.variables.get("TORITSUGI_QUEUE").cloned().unwrap_or_default();
        self.location = CallerLocation::Queue;
        self.position = ("toritsugi-transfer", "Queue");
        self.dialplan_step(&caller, "requeued");
        let channel = self.channel(&caller);
        self.emit(Event::QueueJoined {
            channel,
            queue: QueueName::parse("operators").unwrap(),
            position: None,
        });
    }

    pub(super) fn start_consultation(&mut self) {
        let operator = self.operator.clone().unwrap();
        self.location = CallerLocation::Consulted;
        self.dialled_target = self.variables["TORITSUGI_CONSULT"].split('/').next().unwrap().to_owned();
        let (one, two) = (id("local.1"), id("local.2"));
        self.create(&one, "Local/1@toritsugi-consult-1;1", ChannelState::Up);
        self.create(&two, "Local/1@toritsugi-consult-1;2", ChannelState::Up);
        self.emit(Event::LocalPaired { one: self.channel(&one), two: self.channel(&two) });
        self.enter(&one, "consult");
        self.leave(&operator);
        self.enter(&operator, "consult");
        self.dialplan_step(&two, "trying");
        self.target = Some(self.dial(&two, "PJSIP/trunk-9"));
    }

    pub(super) fn operator_comes_back(&mut self) {
        self.drop_locals();
        let Some(operator) = self.operator.clone() else {
            // Nobody answers the PBX's call-back either: it hangs up the caller.
            if self.location != CallerLocation::Gone {
                self.end_caller();
            }
            return;
        };
        self.leave(&operator);
        if self.location == CallerLocation::Gone {
            self.operator = None;
            return self.end(&operator, 16);
        }
        self.location = CallerLocation::WithOperator;
        self.enter(&operator, "first");
    }

    /// The operator hangs up during a consultation.
    pub(super) fn hang_up_consulting(&mut self, operator: &ChannelId) {
        let speaks = self.target.as_ref().is_some_and(|t| self.channels[t].1 == ChannelState::Up);
        self.operator = None;
        if speaks {
            let target = self.target.clone().unwrap();
            self.emit(Event::AttendedTransferred {
                transferer: operator.clone(),
                second: operator.clone(),
                success: true,
            });
            self.end(operator, 16);
            self.leave(&target);
            self.enter(&target, "first");
            self.location = CallerLocation::WithTarget;
            self.drop_locals();
        } else {
            self.start_hang_up(operator);
            self.end(operator, 16);
        }
    }

    /// What Asterisk reports at once when a phone hangs up; it may hold back the end of the channel.
    pub(in crate::transfer) fn start_hang_up(&mut self, operator: &ChannelId) {
        let channel = self.channel(operator);
        self.emit(Event::HangupRequested { channel, cause: 16 });
        self.leave(operator);
        self.drive();
    }

    /// Target and operator hang up at the same time, and the PBX leaves the caller alone.
    pub(in crate::transfer) fn both_leave_at_once(&mut self, order: LeaveOrder) {
        let (target, operator) = (self.target.take().unwrap(), self.operator.take().unwrap());
        let joined = Event::AttendedTransferred {
            transferer: operator.clone(),
            second: operator.clone(),
            success: true,
        };
        match order {
            LeaveOrder::JoinedWithNobody | LeaveOrder::WithoutEvent => {
                self.end(&target, 16);
                if order == LeaveOrder::JoinedWithNobody {
                    self.emit(joined);
                }
                self.end(&operator, 16);
            }
            LeaveOrder::JoinedWithTheTarget => {
                self.emit(joined);
                self.end(&operator, 16);
                self.leave(&target);
                self.enter(&target, "first");
                self.end(&target, 16);
            }
            LeaveOrder::BackBeforeLeaving => {
                let channel = self.channel(&operator);
                self.emit(Event::HangupRequested { channel, cause: 16 });
                self.end(&target, 16);
                self.leave(&operator);
                self.enter(&operator, "first");
                self.end(&operator, 16);
            }
        }
        self.drop_locals();
        self.drive();
    }

    pub(super) fn end_caller(&mut self) {
        self.location = CallerLocation::Gone;
        let caller = self.caller.clone();
        self.end(&caller, 16);
        if let Some(operator) = self.operator.clone().filter(|_| self.target.is_none()) {
            self.operator = None;
            self.end(&operator, 16);
        }
    }

    pub(super) fn drop_locals(&mut self) {
        for half in [id("local.1"), id("local.2")] {
            self.end(&half, 16);
        }
    }

    pub(super) fn is_consulting(&self) -> bool {
        self.channels.contains_key(&id("local.1"))
    }

    pub(super) fn dialler(&self) -> ChannelId {
        if self.is_consulting() { id("local.2") } else { self.caller.clone() }
    }

    pub(super) fn dialplan_step(&mut self, channel: &ChannelId, step: &str) {
        let (step, reason) = step.split_once(':').unwrap_or((step, ""));
        let transfer = self.variables.get("TORITSUGI_TRANSFER").cloned().unwrap_or_default();
        let fields = [
            ("Transfer", transfer.as_str()),
            ("Step", step),
            ("Target", &self.dialled_target),
            ("Reason", reason),
        ];
        let fields = fields.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec())).collect();
        let channel = self.channel(channel);
        self.emit(Event::User { name: "ToritsugiTransfer".into(), channel, fields });
    }

    // ---- Events of the PBX ---------------------------------------------------------------

    pub(super) fn emit(&mut self, event: Event) {
        if self.events_lost {
            return;
        }
        self.model.handle(self.now, Input::Pbx(event.clone()));
        self.machine.handle_event(self.now, &event, &self.model);
        self.model.check().unwrap_or_else(|broken| panic!("{broken}"));
    }

    pub(super) fn channel(&self, channel: &ChannelId) -> Channel {
        let gone = (SmolStr::new("PJSIP/gone-1"), ChannelState::Up, None);
        let (name, state, _) = self.channels.get(channel).unwrap_or(&gone);
        Channel {
            id: channel.clone(),
            name: name.clone(),
            state: *state,
            linked: self.caller.clone(),
            context: None,
            exten: Some("0355501001".into()),
            caller_number: None,
            caller_name: None,
        }
    }

    pub(super) fn create(&mut self, channel: &ChannelId, name: &str, state: ChannelState) {
        self.channels.insert(channel.clone(), (name.into(), state, None));
        let created = self.channel(channel);
        self.emit(Event::ChannelCreated(created));
    }

    pub(super) fn change(&mut self, channel: &ChannelId, state: ChannelState) {
        self.channels.get_mut(channel).unwrap().1 = state;
        let changed = self.channel(channel);
        self.emit(Event::ChannelState(changed));
    }

    pub(super) fn dial(&mut self, by: &ChannelId, name: &str) -> ChannelId {
        let channel = id(&format_smolstr!("2.{}", self.next_channel));
        self.next_channel += 1;
        self.create(&channel, name, ChannelState::Down);
        let (by, to) = (Some(self.channel(by)), self.channel(&channel));
        self.emit(Event::DialBegan { by, to, number: None });
        channel
    }

    pub(super) fn answer(&mut self, channel: &ChannelId, by: &ChannelId) {
        self.change(channel, ChannelState::Up);
        let to = self.channel(channel);
        self.emit(Event::DialEnded { to, status: DialStatus::Answer });
        let bridge = if *by == self.caller { "first" } else { "second" };
        self.enter(channel, bridge);
        self.enter(by, bridge);
    }

    pub(super) fn enter(&mut self, channel: &ChannelId, bridge: &str) {
        if !self.channels.contains_key(channel) {
            return;
        }
        let bridge = BridgeId::parse(bridge).unwrap();
        self.channels.get_mut(channel).unwrap().2 = Some(bridge.clone());
        let channel = self.channel(channel);
        self.emit(Event::BridgeEntered { bridge, kind: BridgeKind::Mixing, channel, swapped: None });
    }

    pub(super) fn leave(&mut self, channel: &ChannelId) {
        let Some(bridge) = self.channels.get_mut(channel).and_then(|c| c.2.take()) else { return };
        let channel = self.channel(channel);
        self.emit(Event::BridgeLeft { bridge, channel });
    }

    pub(super) fn end(&mut self, channel: &ChannelId, cause: u16) {
        if !self.channels.contains_key(channel) {
            return;
        }
        self.leave(channel);
        let gone = self.channel(channel);
        self.channels.remove(channel);
        self.emit(Event::ChannelGone { channel: gone, cause });
    }
}
