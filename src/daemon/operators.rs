//! Operators' states in the loop: commands, calls and the PBX's news go to the floor, its outputs to the bus, the
//! clerk and the PBX.
//!
//! Invariant: as in `orders.rs`: the loop does not wait, each command is answered exactly once.

use tokio::sync::oneshot;

use super::core::Core;
use super::orders::answer;
use crate::announce;
use crate::call::{Notice, NoticeKind};
use crate::command::{Actor, Answer, Refusal};
use crate::ids::RecordId;
use crate::operator::{Asked, Command, Options, Output, Seat};

type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Core {
    pub(super) fn operator(&mut self, actor: &Actor, command: Command, reply: Reply) {
        let done = self.operator_done(actor, command);
        self.drain_floor();
        answer(reply, done);
    }

    fn operator_done(&mut self, actor: &Actor, command: Command) -> Result<Answer, Refusal> {
        let user = command.user;
        if matches!(command.asked, Asked::Options) {
            return Ok(Answer::OperatorOptions(Box::new(self.operator_options())));
        }
        let view =
            self.floor.operator(user).map(|operator| operator.view()).ok_or(Refusal::UnknownOperator)?;
        if actor.user != user && !actor.viewer.sees_state(&view) {
            return Err(Refusal::UnknownOperator);
        }
        if !command.is_allowed(actor, &view) {
            return Err(Refusal::NotPermitted("only the operator, her supervisor or an administrator may"));
        }
        let (now, by) = (self.clock.now(), command.by(actor));
        let view = match command.asked {
            Asked::Set(wanted) => self.floor.set(now, user, wanted, by)?,
            Asked::Extend { call, seconds, reason } => {
                self.floor.extend(now, user, call, seconds, &reason, by)?
            }
            Asked::Finish { call, disposition, notes } => {
                self.floor.finish(now, user, call, &disposition, notes.as_deref(), by)?
            }
            Asked::Options => view,
        };
        Ok(Answer::Operator(Box::new(view)))
    }

    fn operator_options(&self) -> Options {
        let settings = self.floor.settings();
        let seat = |(extension, phone, sits): (&crate::ids::Extension, _, Option<RecordId>)| Seat {
            extension: extension.clone(),
            phone,
            taken: sits.is_some(),
        };
        let mut seats: Vec<Seat> = self.floor.seats().map(seat).collect();
        seats.sort_unstable_by(|a, b| a.extension.cmp(&b.extension));
        Options {
            not_ready_reasons: settings.not_ready_reasons.clone(),
            dispositions: settings.dispositions.clone(),
            wrap_up_s: settings.wrap_up_s,
            wrap_up_extend_s_max: settings.wrap_up_extend_s_max,
            disposition_required: settings.disposition_required,
            seats,
        }
    }

    /// After the model's notice was told.
    pub(super) fn floor_notice(&mut self, notice: &Notice) {
        let (now, view) = (self.clock.now(), &notice.view);
        if let NoticeKind::Ended { .. } = notice.kind {
            self.floor.call_over(now, view.id);
            return;
        }
        let account = view.card.as_ref().and_then(|card| card.account.id);
        let account = account.and_then(|id| self.parts.directory.account(id));
        self.floor.call_moved(now, view, account.and_then(|account| account.fields.wrap_up_s));
    }

    /// The people of the service, now and after each of their changes.
    pub(super) fn floor_people(&mut self) {
        let now = self.clock.now();
        let own = self.parts.people.at_home();
        let home = |user: RecordId| own.person(user).and_then(|person| person.extension.clone());
        self.floor.people(now, &own, home);
        self.drain_floor();
    }

    /// Somebody's desktops came or went.
    pub(super) fn floor_desktops(&mut self, counts: Vec<(RecordId, u32)>) {
        for (user, desktops) in counts {
            self.floor.desktops(user, desktops);
        }
        self.drain_floor();
    }

    pub(super) fn floor_timeout(&mut self) {
        let now = self.clock.now();
        self.floor.handle_timeout(now);
        self.drain_floor();
    }

    pub(super) fn drain_floor(&mut self) {
        while let Some(output) = self.floor.poll_output() {
            match output {
                Output::Changed { view, record: _ } => {
                    let at = self.clock.now();
                    self.parts.bus.publish(announce::operator(*view, at));
                }
                Output::Seated { user, seat } => {
                    let bus = self.parts.bus.clone();
                    self.parts.people.sit(user, seat, || bus.head());
                }
                Output::Member { .. } | Output::WrapUpOver { .. } => {}
            }
        }
    }
}
