//! What the PBX and its dialplan do with the caller, and what they tell of it.

use smol_str::{SmolStr, format_smolstr};

use super::{Leave, Place, World, id};
use crate::ami::event::{BridgeKind, Channel, ChannelState, DialStatus, Event};
use crate::call::Input;
use crate::ids::{BridgeId, ChannelId, QueueName};

impl World {
    pub(super) fn redirected(&mut self) {
        assert_ne!(self.place, Place::Gone);
        self.left_alone();
        let targets = self.variables["TORITSUGI_TARGETS"].clone();
        self.left = targets.split('-').filter(|t| !t.is_empty()).map(str::to_owned).collect();
        self.go_on();
    }

    /// The caller is pulled out of what she was in; whoever was with her is let go.
    pub(super) fn left_alone(&mut self) {
        let caller = self.caller.clone();
        self.leave(&caller);
        for other in [self.target.take(), self.operator.take()].into_iter().flatten() {
            self.end(&other, 16);
        }
        self.drop_locals();
    }

    pub(super) fn go_on(&mut self) {
        let caller = self.caller.clone();
        if let Some(target) = self.left.pop_front() {
            self.trying = target.split('/').next().unwrap().to_owned();
            self.place = Place::Trying;
            self.doing = ("toritsugi-reach", "Dial");
            self.step(&caller, "trying");
            self.target = Some(self.dial(&caller, "PJSIP/trunk-9"));
        } else if !self.variables["TORITSUGI_RETURN_TO"].is_empty() && !self.operator_gone {
            self.trying = self.variables["TORITSUGI_RETURN_TO"].clone();
            self.place = Place::Returning;
            self.doing = ("toritsugi-transfer", "Dial");
            self.step(&caller, "returning");
            self.operator = Some(self.dial(&caller, "PJSIP/1001-9"));
        } else {
            self.requeue();
        }
    }

    pub(super) fn requeue(&mut self) {
        let caller = self.caller.clone();
        self.trying = self.variables.get("TORITSUGI_QUEUE").cloned().unwrap_or_default();
        self.place = Place::Queue;
        self.doing = ("toritsugi-transfer", "Queue");
        self.step(&caller, "requeued");
        let channel = self.channel(&caller);
        self.emit(Event::QueueJoined { channel, queue: QueueName::parse("operators").unwrap() });
    }

    pub(super) fn consults(&mut self) {
        let operator = self.operator.clone().unwrap();
        self.place = Place::Consulted;
        self.trying = self.variables["TORITSUGI_CONSULT"].split('/').next().unwrap().to_owned();
        let (one, two) = (id("local.1"), id("local.2"));
        self.create(&one, "Local/1@toritsugi-consult-1;1", ChannelState::Up);
        self.create(&two, "Local/1@toritsugi-consult-1;2", ChannelState::Up);
        self.emit(Event::LocalPaired { one: self.channel(&one), two: self.channel(&two) });
        self.enter(&one, "consult");
        self.leave(&operator);
        self.enter(&operator, "consult");
        self.step(&two, "trying");
        self.target = Some(self.dial(&two, "PJSIP/trunk-9"));
    }

    pub(super) fn operator_comes_back(&mut self) {
        self.drop_locals();
        let Some(operator) = self.operator.clone() else {
            // Nobody answers her call-back either: the PBX lets the caller go.
            if self.place != Place::Gone {
                self.caller_ends();
            }
            return;
        };
        self.leave(&operator);
        if self.place == Place::Gone {
            self.operator = None;
            return self.end(&operator, 16);
        }
        self.place = Place::WithOperator;
        self.enter(&operator, "first");
    }

    /// The operator ends her side of a consultation: what the PBX then makes of it.
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
            self.place = Place::WithTarget;
            self.drop_locals();
        } else {
            self.end(operator, 16);
        }
    }

    /// Target and operator hang up in the same instant, and the PBX leaves the caller by herself.
    pub(in crate::transfer) fn both_leave_at_once(&mut self, order: Leave) {
        let (target, operator) = (self.target.take().unwrap(), self.operator.take().unwrap());
        let joined = Event::AttendedTransferred {
            transferer: operator.clone(),
            second: operator.clone(),
            success: true,
        };
        match order {
            Leave::JoinedWithNobody | Leave::Untold => {
                self.end(&target, 16);
                if order == Leave::JoinedWithNobody {
                    self.emit(joined);
                }
                self.end(&operator, 16);
            }
            Leave::JoinedWithTheTarget => {
                self.emit(joined);
                self.end(&operator, 16);
                self.leave(&target);
                self.enter(&target, "first");
                self.end(&target, 16);
            }
            Leave::BackBeforeSheLeaves => {
                let channel = self.channel(&operator);
                self.emit(Event::HangupRequested { channel, cause: 16 });
                self.end(&target, 16);
                self.leave(&operator);
                self.enter(&operator, "first");
                self.end(&operator, 16);
            }
        }
        self.drop_locals();
        self.settle();
    }

    pub(super) fn caller_ends(&mut self) {
        self.place = Place::Gone;
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

    pub(super) fn step(&mut self, channel: &ChannelId, step: &str) {
        let (step, reason) = step.split_once(':').unwrap_or((step, ""));
        let transfer = self.variables.get("TORITSUGI_TRANSFER").cloned().unwrap_or_default();
        let fields =
            [("Transfer", transfer.as_str()), ("Step", step), ("Target", &self.trying), ("Reason", reason)];
        let fields = fields.iter().map(|(key, value)| ((*key).into(), value.as_bytes().to_vec())).collect();
        let channel = self.channel(channel);
        self.emit(Event::User { name: "ToritsugiTransfer".into(), channel, fields });
    }

    // ---- What the PBX tells ---------------------------------------------------------------

    pub(super) fn emit(&mut self, event: Event) {
        if self.deaf {
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
        let channel = id(&format_smolstr!("2.{}", self.next));
        self.next += 1;
        self.create(&channel, name, ChannelState::Down);
        let (by, to) = (Some(self.channel(by)), self.channel(&channel));
        self.emit(Event::DialBegan { by, to });
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
