//! Operators' states in the loop: commands, calls and the PBX's news go to the floor, its outputs to the bus, the
//! clerk and the PBX.
//!
//! Invariants: as in `orders.rs`: the loop does not wait, each command is answered exactly once. What the stream says of
//! somebody already is not told again, be it after a start, a take-over or a change of keepers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::core::{Brought, Core};
use super::orders::{self, accepted, answer};
use crate::ami::action::Action;
use crate::ami::frame::Frame;
use crate::ami::member::{News, Reach};
use crate::ami::session::ActionOutcome;
use crate::announce;
use crate::call::{Notice, NoticeKind};
use crate::command::{Actor, Answer, Refusal};
use crate::ids::{Extension, RecordId};
use crate::operator::{
    Asked as Want, Command, Options, Orders, Output, Phone, Role, Saved, Seat, StateView, Viewer, members,
};
use crate::store::operators::{StateChange, WrapUpRecord};

/// So long desktops may take to come back after a start, and the PBX to tell of the phones, before it is told that they
/// are not there.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(10);

type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Core {
    pub(super) fn operator(&mut self, actor: &Actor, command: Command, reply: Reply) {
        let done = self.operator_done(actor, command);
        self.drain_floor();
        answer(reply, done);
    }

    fn operator_done(&mut self, actor: &Actor, command: Command) -> Result<Answer, Refusal> {
        let user = command.user;
        if matches!(command.asked, Want::Options) {
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
            Want::Set(wanted) => self.floor.set(now, user, wanted, by)?,
            Want::Extend { call, seconds, reason } => {
                self.floor.extend(now, user, call, seconds, &reason, by)?
            }
            Want::Finish { call, disposition, notes } => {
                self.floor.finish(now, user, call, &disposition, notes.as_deref(), by)?
            }
            Want::Options => view,
        };
        Ok(Answer::Operator(Box::new(self.kept_here(view))))
    }

    fn kept_here(&self, view: StateView) -> StateView {
        StateView { pbx: Some(self.parts.plan.pbx.clone()), ..view }
    }

    /// This daemon leads from now on: people are as the one before it left them, whatever this one made of the calls
    /// that it saw meanwhile.
    pub(super) fn floor_taken_over(&self) {
        let (store, beside) = (self.parts.store.clone(), self.beside.clone());
        self.parts.tasks.spawn(async move {
            match store.states().await {
                // The core is gone only when the daemon ends.
                Ok(kept) => drop(beside.send(Brought::States(kept)).await),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "operators' states of the daemon that led before cannot be read; they stay as this one knows them"
                ),
            }
        });
    }

    /// Other PBXes' daemons keep other people than before, or one told of somebody who is kept here. Whom they keep is
    /// let go at once; whoever is kept here from now on comes as she was left.
    pub(super) fn floor_keepers(&mut self) {
        let mut elsewhere = self.floor.elsewhere().clone();
        elsewhere.extend(self.parts.bus.kept_elsewhere());
        self.floor.leave_to_others(elsewhere);
        self.floor_people();
        self.floor_compared();
        if self.parts.bus.leads() {
            self.floor_taken_over();
        }
    }

    pub(super) fn floor_as_left(&mut self, mut kept: Vec<Saved>) {
        self.floor_admits(&kept);
        let shown = self.parts.bus.snapshot(&Viewer::all_seeing(Role::System)).operators;
        for saved in &mut kept {
            // What was told and not recorded any more is never told again under another version.
            let told = shown.iter().find(|view| view.id == saved.user).map_or(0, |view| view.version);
            saved.version = saved.version.max(told);
        }
        let now = self.clock.now();
        self.settles = now.checked_add(SETTLE_MAX).ok();
        self.floor.take_over(now, kept);
        self.drain_floor();
        self.floor_compared();
        self.audit_members();
    }

    /// Whoever is kept here from now on, as she was left.
    fn floor_admits(&mut self, kept: &[Saved]) {
        self.floor.leave_to_others(self.parts.bus.kept_elsewhere());
        let (now, own) = (self.clock.now(), self.parts.people.at_home());
        let comes = |saved: &&Saved| {
            let is_kept = own.person(saved.user).is_some_and(|person| self.floor.keeps(&own, person));
            is_kept && self.floor.operator(saved.user).is_none()
        };
        let come = kept.iter().filter(comes).cloned().collect();
        self.floor.restore(now, come);
        self.floor_people();
    }

    /// Compares what was told of everybody with how they are: what differs is told.
    pub(super) fn floor_compared(&mut self) {
        if self.parts.bus.leads() {
            let now = self.clock.now();
            let own = Some(&self.parts.plan.pbx);
            let shown = self.parts.bus.snapshot(&Viewer::all_seeing(Role::System)).operators;
            let gone = |view: &&Arc<StateView>| {
                view.pbx.as_ref() == own
                    && self.floor.operator(view.id).is_none()
                    && !self.is_kept_elsewhere(view.id)
            };
            for view in shown.iter().filter(gone) {
                self.parts.bus.publish(announce::operator_removed(view.id, now));
            }
        }
        self.floor.tell_everybody();
        self.drain_floor();
    }

    /// Whether another PBX's daemon keeps her, whatever the floor has heard of that yet.
    fn is_kept_elsewhere(&self, user: RecordId) -> bool {
        let elsewhere = self.parts.bus.kept_elsewhere();
        if elsewhere.is_empty() {
            return false;
        }
        let roster = self.parts.people.at_home();
        roster.person(user).is_some_and(|person| !self.floor.keeps_beside(&elsewhere, &roster, person))
    }

    /// Tells how somebody is, if that is news.
    fn operator_changed(&mut self, view: StateView, record: bool) {
        if self.is_kept_elsewhere(view.id) {
            return;
        }
        let (at, view) = (self.clock.now(), self.kept_here(view));
        let told = self.parts.bus.operator(view.id);
        let settling = self.settles.is_some();
        if !record && told.is_some_and(|told| !view.says_more_than(&told, settling)) {
            return;
        }
        // What a daemon that stands by makes of it is nobody's state.
        if record && self.parts.bus.leads() {
            let saved = self.floor.operator(view.id).map(|operator| operator.saved().clone());
            self.parts.clerk.state(StateChange { at, view: view.clone(), saved });
        }
        self.parts.bus.publish(announce::operator(view, at));
    }

    fn operator_options(&self) -> Options {
        let settings = self.floor.settings();
        let seat = |(extension, phone, sits): (&Extension, _, Option<RecordId>)| Seat {
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
        if self.settles.is_some_and(|at| at <= now) {
            self.settles = None;
            self.floor_compared();
        }
        self.members.handle_timeout(now);
        self.drain_floor();
    }

    pub(super) fn drain_floor(&mut self) {
        while let Some(output) = self.floor.poll_output() {
            match output {
                Output::Changed { view, record } => self.operator_changed(*view, record),
                Output::Gone(user) => {
                    self.parts.bus.publish(announce::operator_removed(user, self.clock.now()));
                }
                Output::Seated { user, seat } => {
                    let bus = self.parts.bus.clone();
                    self.parts.people.sit(user, seat, || bus.head());
                }
                Output::Member { extension, member } => {
                    let now = self.clock.now();
                    self.members.want(now, extension, member);
                }
                Output::WrapUpOver { .. } if !self.parts.bus.leads() => {}
                Output::WrapUpOver { user, finished } => {
                    self.parts.clerk.wrap_up(WrapUpRecord { user, finished: *finished });
                }
            }
        }
        self.drain_members();
    }

    fn drain_members(&mut self) {
        while let Some(Orders { extension, actions, repair }) = self.members.poll_output() {
            if repair {
                self.parts.figures.members_repaired.inc();
                tracing::warn!(%extension, "the queues were not as this operator's state wants them; repairing");
            }
            self.orders(orders::Asked::Members(extension), actions);
        }
    }

    /// The PBX has answered the orders about an extension's membership.
    pub(super) fn members_ordered(&mut self, extension: &Extension, outcome: &ActionOutcome) {
        let now = self.clock.now();
        if let Err(refusal) = accepted(outcome) {
            tracing::warn!(%extension, %refusal, "the queues did not take an operator's state; trying again");
        }
        self.members.answered(now, extension, outcome.is_accepted());
        self.drain_members();
    }

    /// News of a queue's member or a device, live or out of a list.
    pub(super) fn member_news(&mut self, frame: &Frame) {
        let Some(news) = News::decode(frame) else { return };
        let now = self.clock.now();
        match news {
            News::Member(member) => {
                if let Some(extension) = self.phone_of(&member.interface) {
                    self.members.member(now, &extension, member);
                }
            }
            News::Removed { queue, interface } => {
                if let Some(extension) = self.phone_of(&interface) {
                    self.members.removed(now, &extension, queue, interface);
                }
            }
            News::Device { device, reach } => {
                // Local/1001@… says nothing of a phone.
                let extension = self.phone_of(&device).filter(|_| !device.starts_with("Local/"));
                if let Some(extension) = extension {
                    let phone = match reach {
                        Reach::Reachable => Phone::Registered,
                        Reach::Unreachable => Phone::Unreachable,
                        Reach::Unknown => Phone::Unknown,
                    };
                    self.floor.phone(&extension, phone);
                }
            }
        }
        self.drain_floor();
    }

    fn phone_of(&self, interface: &str) -> Option<Extension> {
        let name = members::extension_of(interface)?;
        let is_phone = self.parts.plan.phones.iter().any(|pattern| pattern.matches(name));
        Extension::parse(name).ok().filter(|_| is_phone)
    }

    /// A list of the queues' members begins.
    pub(super) fn members_list_began(&mut self) {
        self.members.list_began();
    }

    /// It has ended.
    pub(super) fn members_listed(&mut self, complete: bool) {
        let now = self.clock.now();
        self.members.list_ended(now, complete);
        self.drain_members();
    }

    /// Nothing is known of the PBX any more.
    pub(super) fn members_lost(&mut self) {
        self.members.link_lost();
    }

    /// Asks the PBX for all members, beside the loop, and when to ask again.
    pub(super) fn audit_members(&self) {
        let (pbx, beside) = (self.parts.pbx.clone(), self.beside.clone());
        self.parts.tasks.spawn(async move {
            match pbx.list(Action::queue_status()).await {
                // The core is gone only when the daemon ends.
                Ok(frames) => drop(beside.send(Brought::Members(frames)).await),
                Err(error) => tracing::debug!(%error, "the queues' members were not compared"),
            }
        });
    }

    /// All members, as the PBX has them.
    pub(super) fn members_audited(&mut self, frames: &[Frame]) {
        self.members_list_began();
        frames.iter().for_each(|frame| self.member_news(frame));
        self.members_listed(true);
    }
}
