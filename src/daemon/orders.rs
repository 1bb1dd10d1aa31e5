//! Commands from people, and the orders to the PBX that carry them out.
//!
//! | step | proof |
//! |---|---|
//! | requested | the command's part says yes and makes an action |
//! | sent, accepted | the PBX's reply; it is the command's answer |
//! | confirmed, failed | an event of the PBX, told through the stream |
//!
//! Invariant: the loop does not wait for the PBX; each command is answered exactly once.

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::core::{Brought, Core};
use crate::ami::action::Action;
use crate::ami::session::ActionOutcome;
use crate::command::{Answer, Command, Given, Refusal};
use crate::control::{self, PROOF_WAIT, Proof, Verb};
use crate::ids::Extension;
use crate::supervision::{SupervisionId, SupervisionView};
use crate::transfer::{Step, TransferId};

/// What Asterisk says to a user who may not give an order.
const PERMISSION_DENIED: &str = "Permission denied";
/// Most people who wait for what a phone does.
const PROVING_MAX: usize = 1_024;

/// Somebody who waits until a phone has done what it was asked.
pub(super) struct Proving {
    proof: Proof,
    until: Timestamp,
    reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Who waits for what becomes of an order.
pub(super) enum Asked {
    /// A person, for what the phone makes of it.
    Person(oneshot::Sender<Result<Answer, Refusal>>, Proof),
    /// A supervision, and the person who waits for this order, if one does.
    Supervision {
        /// Which.
        session: SupervisionId,
        /// Who waits.
        reply: Option<oneshot::Sender<Result<Answer, Refusal>>>,
        /// How it was when the order was given.
        view: Option<Box<SupervisionView>>,
    },
    /// A step of a transfer.
    Transfer(TransferId, Step),
    /// The queues' membership of whoever sits at an extension.
    Members(Extension),
}

impl Core {
    pub(super) fn command(&mut self, given: Given) {
        let Given { actor, command, reply } = given;
        match command {
            Command::Control { call, verb } => match control::order(&self.model, &actor, call, verb) {
                Ok((action, proof)) => self.order(Asked::Person(reply, proof), action),
                Err(refusal) => answer(reply, Err(refusal)),
            },
            Command::Supervise(wanted) => self.begin_supervision(&actor, wanted, reply),
            Command::SwitchSupervision { id, mode } => self.switch_supervision(&actor, id, mode, reply),
            Command::StopSupervision { id } => self.stop_supervision(&actor, id, reply),
            Command::ListSupervisions => {
                answer(reply, Ok(Answer::Supervisions(self.list_supervisions(&actor))));
            }
            Command::AskHelp { call } => {
                let done = self.ask_help(&actor, call);
                answer(reply, done);
            }
            Command::Operator(command) => self.operator(&actor, command, reply),
            Command::Acknowledge { call } => {
                self.acknowledge(&actor, call);
                answer(reply, Ok(Answer::Accepted));
            }
            Command::Transfer(command) => self.transfer(&actor, command, reply),
        }
    }

    /// Sends an order; what becomes of it comes back as [`Brought::Order`].
    pub(super) fn order(&self, asked: Asked, action: Action) {
        self.orders(asked, vec![action]);
    }

    /// A daemon that stands by follows the PBX and tells it nothing: the one that leads does.
    pub(super) fn if_leading(&self, actions: Vec<Action>) -> Vec<Action> {
        if self.parts.bus.leads() { actions } else { Vec::new() }
    }

    /// Sends orders one after the other, until one is not accepted; what becomes of the last comes back.
    pub(super) fn orders(&self, asked: Asked, actions: Vec<Action>) {
        let actions = self.if_leading(actions);
        let (pbx, beside) = (self.parts.pbx.clone(), self.beside.clone());
        self.parts.tasks.spawn(async move {
            let mut outcome = ActionOutcome::NeverSent;
            for action in actions {
                outcome = pbx.send(action).await;
                if !outcome.is_accepted() {
                    break;
                }
            }
            // The core is gone only when the daemon ends.
            let _ = beside.send(Brought::Order(asked, outcome)).await;
        });
    }

    pub(super) fn order_answered(&mut self, asked: Asked, outcome: ActionOutcome) {
        match asked {
            Asked::Person(reply, proof) => match accepted(&outcome) {
                Ok(_) if proof.verb != Verb::Hangup && self.proving.len() < PROVING_MAX => {
                    let until = self.clock.now().checked_add(PROOF_WAIT).unwrap_or(Timestamp::MAX);
                    self.proving.push(Proving { proof, until, reply });
                    self.prove();
                }
                done => answer(reply, done),
            },
            Asked::Supervision { session, reply, view } => {
                self.supervision_answered(session, reply, view, &outcome);
            }
            Asked::Members(extension) => self.members_ordered(&extension, &outcome),
            Asked::Transfer(id, step) => {
                self.transfer_ordered(id, step, accepted(&outcome).map(drop));
            }
        }
    }
}

impl Core {
    /// Answers those whose phones have done it, or had time enough.
    pub(super) fn prove(&mut self) {
        let now = self.clock.now();
        for waiting in std::mem::take(&mut self.proving) {
            match waiting.proof.weigh(&self.model) {
                Some(done) => answer(waiting.reply, done.map(|()| Answer::Accepted)),
                None if waiting.until <= now => {
                    answer(waiting.reply, Err(Refusal::PhoneIgnores(waiting.proof.verb.as_str())));
                }
                None => self.proving.push(waiting),
            }
        }
    }

    pub(super) fn proof_due(&self) -> Option<Timestamp> {
        self.proving.iter().map(|waiting| waiting.until).min()
    }
}

/// What the PBX's reply means for whoever asked.
pub(super) fn accepted(outcome: &ActionOutcome) -> Result<Answer, Refusal> {
    match outcome {
        ActionOutcome::NeverSent => Err(Refusal::PbxUnreachable),
        ActionOutcome::SentFateUnknown => Err(Refusal::FateUnknown),
        ActionOutcome::Response(_) if outcome.is_accepted() => Ok(Answer::Accepted),
        ActionOutcome::Response(_) => {
            let mut said = outcome.message().unwrap_or_default();
            if said == PERMISSION_DENIED {
                said = format!("{said}: manager.conf gives the user for actions too few classes to write");
            }
            Err(Refusal::PbxRefused(said))
        }
    }
}

/// The one who asked may have gone away; the order stands all the same.
pub(super) fn answer(reply: oneshot::Sender<Result<Answer, Refusal>>, answer: Result<Answer, Refusal>) {
    let _ = reply.send(answer);
}
