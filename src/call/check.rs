//! The model's invariant as code. Tests call it after every input; it changes nothing.

use super::model::Model;
use crate::contract::call::Direction;

impl Model {
    /// Checks the invariant; the error describes the first violation.
    pub fn check(&self) -> Result<(), String> {
        self.check_legs()?;
        self.check_bridges()?;
        self.check_calls()
    }

    fn check_legs(&self) -> Result<(), String> {
        for (id, leg) in &self.legs {
            let call = self.calls.get(&leg.call).ok_or_else(|| format!("leg {id} belongs to no call"))?;
            if call.legs.iter().filter(|other| *other == id).count() != 1 {
                return Err(format!("call {} does not list leg {id} once", call.id));
            }
            if self.is_gone(id) {
                return Err(format!("leg {id} lives and has a tombstone"));
            }
            if let Some(bridge) = &leg.bridge
                && !self.bridges.get(bridge).is_some_and(|b| b.legs.contains(id))
            {
                return Err(format!("leg {id} is in bridge {bridge}, which does not list it"));
            }
            if let Some(peer) = leg.peer.as_ref().filter(|peer| !self.legs.contains_key(peer)) {
                return Err(format!("leg {id} is paired with {peer}, which is gone"));
            }
        }
        Ok(())
    }

    fn check_bridges(&self) -> Result<(), String> {
        for (id, bridge) in &self.bridges {
            if bridge.legs.is_empty() {
                return Err(format!("bridge {id} is empty"));
            }
            for leg in &bridge.legs {
                if self.legs.get(leg).is_none_or(|l| l.bridge.as_ref() != Some(id)) {
                    return Err(format!("bridge {id} lists {leg}, which is not in it"));
                }
            }
        }
        Ok(())
    }

    fn check_calls(&self) -> Result<(), String> {
        for (id, call) in &self.calls {
            if call.is_done() {
                return Err(format!("call {id} is done and not removed"));
            }
            if call.legs.iter().any(|leg| self.legs.get(leg).is_none_or(|l| l.call != *id)) {
                return Err(format!("call {id} lists a leg of another call"));
            }
            if call.ended_at.is_some() != call.outcome.is_some() {
                return Err(format!("call {id} has an end without an outcome or an outcome without an end"));
            }
            if call.direction != Direction::Inbound && !call.presented.is_empty() {
                return Err(format!("call {id} is not inbound and is presented"));
            }
            for presented in &call.presented {
                if !self.legs.contains_key(&presented.leg) {
                    return Err(format!("call {id} is presented on {}, which is gone", presented.leg));
                }
            }
            let waits = call.stage.deadline().is_some();
            let timed = self.has_timer(call);
            if call.direction == Direction::Inbound && waits && !timed {
                return Err(format!("call {id} waits without a timer"));
            }
        }
        for (linked, call) in &self.linked {
            if !self.calls.get(call).is_some_and(|c| c.linked.contains(linked)) {
                return Err(format!("linked id {linked} leads to a call that does not list it"));
            }
        }
        Ok(())
    }
}
