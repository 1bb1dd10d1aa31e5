//! One operator: what she is doing, and what follows.
//!
//! Pure: no clock, no socket. What she *rests* in is set by people; what a call does to her is told by the call
//! model; the state is derived from both, so no order of inputs can leave one that fits neither.
//!
//! | derived state | when, the first that holds |
//! |---|---|
//! | `logged_out` | she has no seat |
//! | `talking`, `on_hold` | she has a caller |
//! | `reserved` | a call rings at her |
//! | `wrap_up` | after-call work is open |
//! | `reserved` | a transfer of hers may still bring its caller back |
//! | `not_ready`, `ready` | as she rests |
//!
//! | input ↓ in → | logged_out | not_ready, ready | reserved | talking, on_hold | wrap_up |
//! |---|---|---|---|---|---|
//! | set ready, not_ready | takes a seat, rests so | rests so | pending | pending | pending |
//! | set logged_out | nothing | leaves the seat | pending | pending | pending |
//! | a call rings | nothing | reserved | reserved | stays | reserved, the work goes on beside it |
//! | rings no more | nothing | stays | as before | stays | stays |
//! | answered | nothing | talking | talking | stays | talking, the work is set aside |
//! | hold, resume | nothing | - | - | on_hold, talking | - |
//! | freed of a caller, however | nothing | - | - | wrap_up (none where its length is 0) | - |
//! | transfer under way, over | nothing | kept, let go | kept, let go | kept, let go | kept, let go |
//! | extend | refused | refused | refused | the work set aside grows | the work grows |
//! | finish with disposition | refused | closes what lapsed | as before it rang | that work is done | next |
//! | its time is over | - | - | done, disposition open | - | done, disposition open; or stays, where one is required |
//!
//! *Next* is older work that was set aside, then the pending state, then rest. Invariant: the version grows with
//! every change of what a view tells but `desktops` and `phone`; after-call work leaves only by its time or its
//! disposition, so no transfer and no state that is set skips it.
//!
//! Read next: `floor.rs` (everybody), `members.rs` (what the PBX is told).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::state::{ActorKind, By, Extended, Phone, Rest, State, StateView, WrapUp};
use crate::ids::{CallId, Extension, RecordId};

/// Most pieces of after-call work that one operator has open; older ones are closed without a disposition.
pub const WRAP_UPS_OPEN_MAX: usize = 8;
/// How often the work after one call may be extended.
pub const WRAP_UP_EXTENSIONS_MAX: usize = 20;

/// What a call does to an operator now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Nothing.
    #[default]
    None,
    /// It rings at her.
    Rings(CallId),
    /// She has the caller.
    Has(CallId),
    /// She has the caller, on hold.
    Holds(CallId),
}

impl Activity {
    /// The call she has the caller of.
    #[must_use]
    pub fn caller_of(self) -> Option<CallId> {
        match self {
            Self::Has(call) | Self::Holds(call) => Some(call),
            Self::None | Self::Rings(_) => None,
        }
    }
}

/// What after-call work is for and how long it takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// The account.
    pub account: Option<RecordId>,
    /// Its name.
    pub account_name: String,
    /// How long, in seconds.
    pub seconds: u32,
}

/// After-call work that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The work.
    pub work: WrapUp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What came of the call, if she said.
    pub disposition: Option<SmolStr>,
    /// What she added.
    pub notes: Option<SmolStr>,
}

/// What is kept of an operator over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Who.
    pub user: RecordId,
    /// Where she sits.
    pub seat: Option<Extension>,
    /// Where she sat last.
    pub last_seat: Option<Extension>,
    /// What she rests in.
    pub rest: Rest,
    /// What follows.
    pub pending: Option<Rest>,
    /// What a call did to her.
    pub activity: Activity,
    /// Her after-call work, the newest last.
    pub work: Vec<WrapUp>,
    /// What lapsed without a disposition.
    #[serde(default)]
    pub lapsed: Option<WrapUp>,
    /// The caller whom she passed on and who may come back.
    #[serde(default)]
    pub awaits: Option<CallId>,
    /// Her state's number.
    pub version: u64,
    /// Since when she is so.
    pub since: Timestamp,
    /// Who made her so.
    pub by: By,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    saved: Saved,
    pub(super) name: SmolStr,
    /// Her own extension, where she answers when she sits nowhere else.
    pub(super) home: Option<Extension>,
    pub(super) desktops: u32,
    pub(super) phone: Phone,
}

/// What is compared to see whether anything changed.
type Shape = (State, Rest, Option<Rest>, Option<Extension>, Option<CallId>, Vec<WrapUp>, Option<WrapUp>);

impl Operator {
    /// One who has not logged in yet.
    pub(super) fn new(user: RecordId, name: SmolStr, home: Option<Extension>, now: Timestamp) -> Self {
        let saved = Saved {
            user,
            seat: None,
            last_seat: None,
            rest: Rest::LoggedOut,
            pending: None,
            activity: Activity::None,
            work: Vec::new(),
            lapsed: None,
            awaits: None,
            version: 0,
            since: now,
            by: By::default(),
        };
        Self { saved, name, home, desktops: 0, phone: Phone::Unknown }
    }

    /// As she was when the daemon ended.
    pub(super) fn restore(&mut self, saved: Saved) {
        self.saved = saved;
    }

    /// What is kept over a restart.
    #[must_use]
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Where she has logged in.
    #[must_use]
    pub fn seat(&self) -> Option<&Extension> {
        self.saved.seat.as_ref()
    }

    /// What she is doing.
    #[must_use]
    pub fn state(&self) -> State {
        let saved = &self.saved;
        if saved.seat.is_none() {
            return State::LoggedOut;
        }
        match saved.activity {
            Activity::Has(_) => State::Talking,
            Activity::Holds(_) => State::OnHold,
            Activity::Rings(_) => State::Reserved,
            Activity::None if !saved.work.is_empty() => State::WrapUp,
            Activity::None if saved.awaits.is_some() => State::Reserved,
            Activity::None => saved.rest.state(),
        }
    }

    /// Whether the next call may be offered to her; why not, otherwise, in one word for the PBX.
    pub(super) fn paused_for(&self) -> Option<&str> {
        let saved = &self.saved;
        let next = saved.pending.as_ref().unwrap_or(&saved.rest);
        match self.state() {
            State::Talking | State::OnHold => Some("talking"),
            _ if !saved.work.is_empty() => Some("wrap_up"),
            _ if saved.awaits.is_some() => Some("reserved"),
            _ => match next {
                Rest::Ready => None,
                Rest::NotReady(reason) => Some(reason),
                Rest::LoggedOut => Some("logged_out"),
            },
        }
    }

    /// How others see her.
    #[must_use]
    pub fn view(&self) -> StateView {
        let saved = &self.saved;
        let state = self.state();
        let call = match saved.activity {
            Activity::Rings(call) | Activity::Has(call) | Activity::Holds(call) => Some(call),
            Activity::None => saved.work.last().map(|work| work.call).or(saved.awaits),
        };
        StateView {
            id: saved.user,
            name: self.name.clone(),
            extension: saved.seat.clone().or_else(|| self.home.clone()),
            state,
            reason: saved.rest.reason().filter(|_| state == State::NotReady).cloned(),
            since: saved.since,
            version: saved.version,
            pending: saved.pending.as_ref().map(Into::into),
            by: saved.by.clone(),
            call: call.filter(|_| state != State::LoggedOut),
            wrap_up: saved.work.last().cloned(),
            undisposed: saved.lapsed.as_ref().map(|work| work.call),
            pbx: None,
            desktops: self.desktops,
            phone: self.phone,
        }
    }

    fn shape(&self) -> Shape {
        let s = &self.saved;
        let call = self.view().call;
        let (rest, pending, seat) = (s.rest.clone(), s.pending.clone(), s.seat.clone());
        (self.state(), rest, pending, seat, call, s.work.clone(), s.lapsed.clone())
    }

    /// Makes a change and says whether there was one; `by` is noted and the version grows then.
    fn change(&mut self, now: Timestamp, by: By, make: impl FnOnce(&mut Self)) -> bool {
        let before = self.shape();
        make(self);
        self.settle();
        let after = self.shape();
        if before == after {
            return false;
        }
        self.saved.version += 1;
        self.saved.by = by;
        // Another reason or another call is another stretch of time.
        if before.0 != after.0 || before.4 != after.4 || before.1.reason() != after.1.reason() {
            self.saved.since = now;
        }
        true
    }

    /// What was pending comes when no call has to do with her any more.
    fn settle(&mut self) {
        if self.saved.seat.is_none() || self.state().is_busy() {
            return;
        }
        if let Some(pending) = self.saved.pending.take() {
            self.saved.rest = pending;
        }
        if self.saved.rest == Rest::LoggedOut {
            self.saved.last_seat = self.saved.seat.take();
        }
    }

    /// She is to rest so, at once or as soon as calls let her. `seat` says where, when she has none or moves.
    pub(super) fn set(&mut self, now: Timestamp, by: By, wanted: Rest, seat: Option<Extension>) -> bool {
        self.change(now, by, |operator| {
            let saved = &mut operator.saved;
            match (&saved.seat, seat) {
                (None, None) => return,
                (None, Some(seat)) => {
                    saved.seat = Some(seat);
                    saved.rest = wanted;
                    saved.pending = None;
                    return;
                }
                (Some(_), Some(seat)) => saved.seat = Some(seat),
                (Some(_), None) => {}
            }
            if operator.state().is_busy() {
                operator.saved.pending = (wanted != operator.saved.rest).then_some(wanted);
            } else {
                operator.saved.rest = wanted;
                operator.saved.pending = None;
            }
        })
    }

    /// What calls do to her now; `terms` are those of the caller she is freed of.
    pub(super) fn moves(
        &mut self,
        now: Timestamp,
        activity: Activity,
        terms: impl FnOnce(CallId) -> Option<Terms>,
    ) -> (bool, Vec<Finished>) {
        let mut dropped = Vec::new();
        let changed = self.change(now, By::machine(ActorKind::Call), |operator| {
            let saved = &mut operator.saved;
            let had = saved.activity.caller_of();
            saved.activity = activity;
            if saved.seat.is_none() {
                return;
            }
            let has = activity.caller_of();
            if let Some(freed) = had.filter(|had| Some(*had) != has) {
                saved.work.retain(|work| work.call != freed);
                saved.work.extend(terms(freed).map(|terms| begin(now, freed, terms)));
            }
            if has.is_some() {
                saved.work.iter_mut().for_each(|work| set_aside(work, now));
            } else if let Some(top) = saved.work.last_mut() {
                take_up(top, now);
            }
            while saved.work.len() > WRAP_UPS_OPEN_MAX {
                let work = saved.work.remove(0);
                dropped.push(Finished { work, ended_at: now, disposition: None, notes: None });
            }
        });
        (changed, dropped)
    }

    /// A caller whom she passed on may come back, or may no longer.
    pub(super) fn awaits(&mut self, now: Timestamp, call: CallId, still: bool) -> bool {
        self.change(now, By::machine(ActorKind::Call), |operator| {
            let awaits = &mut operator.saved.awaits;
            if still {
                *awaits = Some(call);
            } else if *awaits == Some(call) {
                *awaits = None;
            }
        })
    }

    /// Gives the work after `call` more time; `None` when there is none.
    pub(super) fn extend(&mut self, now: Timestamp, by: By, call: CallId, more: Extended) -> Option<bool> {
        let index = self.saved.work.iter().position(|work| work.call == call)?;
        let limit = self.saved.work[index].extensions.len() < WRAP_UP_EXTENSIONS_MAX;
        Some(
            limit
                && self.change(now, by, |operator| {
                    let work = &mut operator.saved.work[index];
                    let more_ms = i64::from(more.seconds) * 1_000;
                    match &mut work.set_aside_ms {
                        Some(left) => *left += more_ms,
                        // Work whose time is over, and that waits for its disposition, gets it from now on.
                        None => work.until = later(work.until.max(now), more_ms),
                    }
                    work.extensions.push(more);
                }),
        )
    }

    /// Ends the work after `call`; `None` when there is none, not even one that lapsed.
    pub(super) fn finish(
        &mut self,
        now: Timestamp,
        by: By,
        call: CallId,
        disposition: SmolStr,
        notes: Option<SmolStr>,
    ) -> Option<Finished> {
        let mut done = None;
        self.change(now, by, |operator| {
            let saved = &mut operator.saved;
            if let Some(index) = saved.work.iter().position(|work| work.call == call) {
                done = Some((saved.work.remove(index), now));
                let busy = saved.activity.caller_of().is_some();
                if let Some(top) = saved.work.last_mut().filter(|_| !busy) {
                    take_up(top, now);
                }
            } else if saved.lapsed.as_ref().is_some_and(|work| work.call == call) {
                done = saved.lapsed.take().map(|work| (work.clone(), work.until));
            }
        });
        let (work, ended_at) = done?;
        Some(Finished { work, ended_at, disposition: Some(disposition), notes })
    }

    /// When the work she does now is over by its time.
    #[must_use]
    pub fn due(&self, disposition_required: bool) -> Option<Timestamp> {
        let runs = self.saved.activity.caller_of().is_none() && !disposition_required;
        self.saved.work.last().filter(|_| runs).map(|work| work.until)
    }

    /// Ends work whose time is over.
    pub(super) fn lapse(&mut self, now: Timestamp, disposition_required: bool) -> Vec<Finished> {
        let mut over = Vec::new();
        while self.due(disposition_required).is_some_and(|due| due <= now) {
            self.change(now, By::machine(ActorKind::Clock), |operator| {
                let saved = &mut operator.saved;
                let Some(work) = saved.work.pop() else { return };
                if let Some(top) = saved.work.last_mut() {
                    take_up(top, now);
                }
                saved.lapsed = Some(work.clone());
                over.push(Finished { work, ended_at: now, disposition: None, notes: None });
            });
        }
        over
    }

    /// She no longer works here: whatever she does ends.
    pub(super) fn dismiss(&mut self, now: Timestamp) -> Vec<Finished> {
        let work = std::mem::take(&mut self.saved.work);
        self.change(now, By::machine(ActorKind::Daemon), |operator| {
            let saved = &mut operator.saved;
            saved.last_seat = saved.seat.take().or_else(|| saved.last_seat.take());
            (saved.rest, saved.pending) = (Rest::LoggedOut, None);
            (saved.activity, saved.awaits) = (Activity::None, None);
        });
        let over = |work| Finished { work, ended_at: now, disposition: None, notes: None };
        work.into_iter().map(over).collect()
    }
}

fn begin(now: Timestamp, call: CallId, terms: Terms) -> WrapUp {
    let Terms { account, account_name, seconds } = terms;
    let until = later(now, i64::from(seconds) * 1_000);
    let extensions = Vec::new();
    WrapUp {
        call,
        account,
        account_name,
        since: now,
        until,
        planned_s: seconds,
        extensions,
        set_aside_ms: None,
    }
}

fn set_aside(work: &mut WrapUp, now: Timestamp) {
    let left = work.until.duration_since(now).as_millis().max(0);
    work.set_aside_ms.get_or_insert(i64::try_from(left).unwrap_or(i64::MAX));
}

fn take_up(work: &mut WrapUp, now: Timestamp) {
    if let Some(left) = work.set_aside_ms.take() {
        work.until = later(now, left);
    }
}

/// Times near the end of the calendar stay where they are.
fn later(at: Timestamp, ms: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(ms)).unwrap_or(at)
}
