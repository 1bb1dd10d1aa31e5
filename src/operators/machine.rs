//! The state machine of one operator.
//!
//! Pure: no clock, no socket. People set the *requested* state, the call model reports the *activity* (what calls do at
//! the operator's seat), and the state is derived from both, so that no order of inputs leaves a state that fits neither.
//!
//! | derived state | condition, the first that holds |
//! |---|---|
//! | `logged_out` | the operator has no seat |
//! | `talking`, `on_hold` | the operator has a caller |
//! | `reserved` | a call rings at the operator |
//! | `wrap_up` | after-call work is open |
//! | `reserved` | a transfer by the operator may still return its caller |
//! | `not_ready`, `ready` | the requested state |
//!
//! | input ↓ in → | logged_out | not_ready, ready | reserved | talking, on_hold | wrap_up |
//! |---|---|---|---|---|---|
//! | set ready, not_ready | takes a seat and the state | takes the state | pending | pending | pending |
//! | set logged_out | no change | leaves the seat | pending | pending | pending |
//! | a call rings | no change | reserved | reserved | no change | reserved; the work's time runs on |
//! | ringing ends | no change | no change | the state before it | no change | no change |
//! | answered | no change | talking | talking | no change | talking; the work is set aside |
//! | hold, resume | no change | - | - | on_hold, talking | - |
//! | the operator no longer has the caller, for any reason | no change | - | - | wrap_up (none where its length is 0 and no disposition is required) | - |
//! | transfer under way, over | no change | stored, cleared | stored, cleared | stored, cleared | stored, cleared |
//! | extend | refused | refused | the open work grows; refused without any | the work set aside grows | the work grows |
//! | finish with disposition | refused | refused | ends that work | ends that work | ends that work; next |
//! | the time of the work ends | - | - | work ends, disposition open | - | work ends, disposition open; stays where a disposition is required |
//!
//! *Next* is older work that was set aside, then the pending state, then the requested state. In every state the last
//! [`WRAP_UPS_EXPIRED_MAX`] pieces of work that ended by their time accept notes and their disposition later.
//!
//! Invariants: the version grows with every change of the state, the requested and the pending state, the seat, the call
//! and the after-call work; `desktops`, `phone`, `queue_faults` and the person's name and own extension have no version. After-call work
//! ends only by its time, its disposition, the removal of the operator or [`WRAP_UPS_OPEN_MAX`], so neither a transfer
//! nor a requested state skips it.
//!
//! Read next: `registry.rs` (all operators), `queue_members.rs` (what the queues of the PBX are set to).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::contract::operator::{
    ActorKind, ChangedBy, Phone, QueueFault, RequestedState, State, StateView, WrapUp, WrapUpExtension,
};
use crate::ids::{CallId, Extension, RecordId};

/// Most pieces of after-call work that are open for one operator; the oldest ends without a disposition.
pub const WRAP_UPS_OPEN_MAX: usize = 8;
/// Most pieces of after-call work that ended by their time and still accept a disposition; the oldest stays without one.
pub const WRAP_UPS_EXPIRED_MAX: usize = 8;
/// Most extensions of the after-call work of one call.
pub const WRAP_UP_EXTENSIONS_MAX: usize = 20;

/// What a call does at an operator's seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// No call.
    #[default]
    None,
    /// The call rings.
    #[serde(rename = "rings")]
    Ringing(CallId),
    /// The operator has the caller.
    #[serde(rename = "has")]
    Talking(CallId),
    /// The operator has the caller, on hold.
    #[serde(rename = "holds")]
    OnHold(CallId),
}

impl Activity {
    /// The call whose caller the operator has.
    #[must_use]
    pub fn caller_of(self) -> Option<CallId> {
        match self {
            Self::Talking(call) | Self::OnHold(call) => Some(call),
            Self::None | Self::Ringing(_) => None,
        }
    }
}

/// Account and length of after-call work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WrapUpTerms {
    /// The account of the call.
    pub account: Option<RecordId>,
    /// The account's name.
    pub account_name: String,
    /// Length in seconds.
    pub seconds: u32,
}

/// After-call work that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedWrapUp {
    /// The work.
    pub work: WrapUp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The disposition, if the operator gave one.
    pub disposition: Option<SmolStr>,
    /// Notes with the disposition.
    pub notes: Option<SmolStr>,
}

/// The stored state of an operator, from which a restarted daemon or a new leader continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorSnapshot {
    /// The operator.
    pub user: RecordId,
    /// The seat; `None`: logged out.
    pub seat: Option<Extension>,
    /// The last seat before a log-out.
    pub last_seat: Option<Extension>,
    /// The requested state.
    #[serde(rename = "rest")]
    pub requested: RequestedState,
    /// The requested state that applies after calls and after-call work.
    pub pending: Option<RequestedState>,
    /// What a call did at the seat.
    pub activity: Activity,
    /// Open after-call work, the newest last.
    #[serde(rename = "work")]
    pub wrap_ups: Vec<WrapUp>,
    /// The last after-call work that ended by its time, as long as its disposition is open.
    #[serde(rename = "lapsed", default)]
    pub expired: Option<WrapUp>,
    /// After-call work that ended by its time before `expired` did, the oldest first. Apart from `expired`, because an
    /// earlier version reads and writes that field alone.
    #[serde(rename = "lapsed_before", default, skip_serializing_if = "Vec::is_empty")]
    pub expired_before: Vec<WrapUp>,
    /// The call whose caller a transfer may return to the operator.
    #[serde(rename = "awaits", default)]
    pub awaiting_return: Option<CallId>,
    /// The terms of the after-call work that follows the present caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<WrapUpTerms>,
    /// The version of the state.
    pub version: u64,
    /// When the present state began.
    pub since: Timestamp,
    /// The cause of the last change.
    pub by: ChangedBy,
}

impl OperatorSnapshot {
    /// The work that ended by its time and still accepts a disposition, the oldest first.
    fn expired_work(&self) -> impl Iterator<Item = &WrapUp> {
        self.expired_before.iter().chain(&self.expired)
    }

    fn push_expired(&mut self, work: WrapUp) {
        self.expired_before.extend(self.expired.replace(work));
        let excess = (self.expired_before.len() + 1).saturating_sub(WRAP_UPS_EXPIRED_MAX);
        self.expired_before.drain(..excess);
    }

    fn take_expired(&mut self, call: CallId) -> Option<WrapUp> {
        if self.expired.as_ref().is_some_and(|work| work.call == call) {
            let before = self.expired_before.pop();
            return std::mem::replace(&mut self.expired, before);
        }
        let index = self.expired_before.iter().position(|work| work.call == call)?;
        Some(self.expired_before.remove(index))
    }
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    snapshot: OperatorSnapshot,
    pub(super) name: SmolStr,
    /// The operator's own extension, where they answer without a seat.
    pub(super) home: Option<Extension>,
    pub(super) desktops: u32,
    pub(super) phone: Phone,
    pub(super) queue_faults: Vec<QueueFault>,
}

/// The parts of an operator whose change makes a new version.
type Fingerprint = (
    State,
    RequestedState,
    Option<RequestedState>,
    Option<Extension>,
    Option<CallId>,
    Vec<WrapUp>,
    Vec<WrapUp>,
);

impl Operator {
    /// An operator who has never logged in.
    pub(super) fn new(user: RecordId, name: SmolStr, home: Option<Extension>, now: Timestamp) -> Self {
        let snapshot = OperatorSnapshot {
            user,
            seat: None,
            last_seat: None,
            requested: RequestedState::LoggedOut,
            pending: None,
            activity: Activity::None,
            wrap_ups: Vec::new(),
            expired: None,
            expired_before: Vec::new(),
            awaiting_return: None,
            terms: None,
            version: 0,
            since: now,
            by: ChangedBy::default(),
        };
        Self { snapshot, name, home, desktops: 0, phone: Phone::Unknown, queue_faults: Vec::new() }
    }

    /// Continues from a stored state.
    pub(super) fn restore(&mut self, snapshot: OperatorSnapshot) {
        self.snapshot = snapshot;
    }

    /// The state to store.
    #[must_use]
    pub fn snapshot(&self) -> &OperatorSnapshot {
        &self.snapshot
    }

    /// The extension at which the operator is logged in.
    #[must_use]
    pub fn seat(&self) -> Option<&Extension> {
        self.snapshot.seat.as_ref()
    }

    /// The derived state, see the first table.
    #[must_use]
    pub fn state(&self) -> State {
        let snapshot = &self.snapshot;
        if snapshot.seat.is_none() {
            return State::LoggedOut;
        }
        match snapshot.activity {
            Activity::Talking(_) => State::Talking,
            Activity::OnHold(_) => State::OnHold,
            Activity::Ringing(_) => State::Reserved,
            Activity::None if !snapshot.wrap_ups.is_empty() => State::WrapUp,
            Activity::None if snapshot.awaiting_return.is_some() => State::Reserved,
            Activity::None => snapshot.requested.state(),
        }
    }

    /// Why the queues must not offer the next call, as the pause reason for the PBX; `None`: they may.
    pub(super) fn pause_reason(&self) -> Option<&str> {
        let snapshot = &self.snapshot;
        let next = snapshot.pending.as_ref().unwrap_or(&snapshot.requested);
        match self.state() {
            State::Talking | State::OnHold => Some("talking"),
            _ if !snapshot.wrap_ups.is_empty() => Some("wrap_up"),
            _ if snapshot.awaiting_return.is_some() => Some("reserved"),
            _ => match next {
                RequestedState::Ready => None,
                RequestedState::NotReady(reason) => Some(reason),
                RequestedState::LoggedOut => Some("logged_out"),
            },
        }
    }

    /// The public view.
    #[must_use]
    pub fn view(&self) -> StateView {
        let snapshot = &self.snapshot;
        let state = self.state();
        let call = match snapshot.activity {
            Activity::Ringing(call) | Activity::Talking(call) | Activity::OnHold(call) => Some(call),
            Activity::None => snapshot.wrap_ups.last().map(|work| work.call).or(snapshot.awaiting_return),
        };
        StateView {
            id: snapshot.user,
            name: self.name.clone(),
            extension: snapshot.seat.clone().or_else(|| self.home.clone()),
            state,
            reason: snapshot.requested.reason().filter(|_| state == State::NotReady).cloned(),
            since: snapshot.since,
            version: snapshot.version,
            pending: snapshot.pending.as_ref().map(Into::into),
            by: snapshot.by.clone(),
            call: call.filter(|_| state != State::LoggedOut),
            wrap_up: snapshot.wrap_ups.last().cloned(),
            undisposed: snapshot.expired.as_ref().map(|work| work.call),
            undisposed_work: snapshot.expired_work().cloned().collect(),
            pbx: None,
            desktops: self.desktops,
            phone: self.phone,
            queue_faults: self.queue_faults.clone(),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        let s = &self.snapshot;
        let call = self.view().call;
        let (requested, pending, seat) = (s.requested.clone(), s.pending.clone(), s.seat.clone());
        (
            self.state(),
            requested,
            pending,
            seat,
            call,
            s.wrap_ups.clone(),
            s.expired_work().cloned().collect(),
        )
    }

    /// Applies a change. Where the fingerprint differs, the version grows, `by` is stored and the result is true.
    fn change(&mut self, now: Timestamp, by: ChangedBy, make: impl FnOnce(&mut Self)) -> bool {
        let before = self.fingerprint();
        make(self);
        self.apply_pending();
        let after = self.fingerprint();
        if before == after {
            return false;
        }
        self.snapshot.version += 1;
        self.snapshot.by = by;
        // A different reason or call starts a new period.
        if before.0 != after.0 || before.4 != after.4 || before.1.reason() != after.1.reason() {
            self.snapshot.since = now;
        }
        true
    }

    /// Applies the pending state once no call and no after-call work is left.
    fn apply_pending(&mut self) {
        if self.snapshot.seat.is_none() || self.state().is_busy() {
            return;
        }
        if let Some(pending) = self.snapshot.pending.take() {
            self.snapshot.requested = pending;
        }
        if self.snapshot.requested == RequestedState::LoggedOut {
            self.snapshot.last_seat = self.snapshot.seat.take();
        }
    }

    /// Requests a state, which applies at once or after the present call and after-call work. `seat` is the new seat of an
    /// operator who has none or moves.
    pub(super) fn set(
        &mut self,
        now: Timestamp,
        by: ChangedBy,
        requested: RequestedState,
        seat: Option<Extension>,
    ) -> bool {
        self.change(now, by, |operator| {
            let snapshot = &mut operator.snapshot;
            match (&snapshot.seat, seat) {
                (None, None) => return,
                (None, Some(seat)) => {
                    snapshot.seat = Some(seat);
                    snapshot.requested = requested;
                    snapshot.pending = None;
                    return;
                }
                (Some(_), Some(seat)) => snapshot.seat = Some(seat),
                (Some(_), None) => {}
            }
            if operator.state().is_busy() {
                operator.snapshot.pending = (requested != operator.snapshot.requested).then_some(requested);
            } else {
                operator.snapshot.requested = requested;
                operator.snapshot.pending = None;
            }
        })
    }

    /// Takes a new activity. `terms_before` and `terms_now` are the terms of the after-call work of the caller whom the
    /// operator had and of the one whom the operator has, where they are known; `default` holds for a call of which
    /// nothing is known. No work follows terms of no length, unless a disposition is `required`.
    pub(super) fn set_activity(
        &mut self,
        now: Timestamp,
        activity: Activity,
        terms_before: Option<WrapUpTerms>,
        terms_now: Option<WrapUpTerms>,
        default: WrapUpTerms,
        required: bool,
    ) -> (bool, Vec<CompletedWrapUp>) {
        let mut dropped = Vec::new();
        let changed = self.change(now, ChangedBy::of_kind(ActorKind::Call), |operator| {
            let snapshot = &mut operator.snapshot;
            let had = snapshot.activity.caller_of();
            snapshot.activity = activity;
            if snapshot.seat.is_none() {
                return;
            }
            let has = activity.caller_of();
            let saved = if had == has { snapshot.terms.clone() } else { snapshot.terms.take() };
            if let Some(freed) = had.filter(|had| Some(*had) != has) {
                snapshot.wrap_ups.retain(|work| work.call != freed);
                let terms = terms_before.or(saved).unwrap_or(default);
                if terms.seconds > 0 || required {
                    snapshot.wrap_ups.push(begin(now, freed, terms));
                }
            }
            if has.is_some() {
                snapshot.terms = terms_now.or_else(|| snapshot.terms.take());
                snapshot.wrap_ups.iter_mut().for_each(|work| set_aside(work, now));
            } else if let Some(top) = snapshot.wrap_ups.last_mut() {
                resume_work(top, now);
            }
            dropped.extend(drop_oldest(snapshot, now));
        });
        (changed, dropped)
    }

    /// Whether this state knows that the operator had the caller of `call`.
    pub(super) fn knows_work_of(&self, call: CallId) -> bool {
        let snapshot = &self.snapshot;
        snapshot.activity.caller_of() == Some(call)
            || snapshot.wrap_ups.iter().any(|work| work.call == call)
            || snapshot.expired_work().any(|work| work.call == call)
    }

    /// A transfer may return the caller of `call`, or (`may_return` false) no longer can.
    pub(super) fn set_awaiting_return(&mut self, now: Timestamp, call: CallId, may_return: bool) -> bool {
        self.change(now, ChangedBy::of_kind(ActorKind::Call), |operator| {
            let awaiting = &mut operator.snapshot.awaiting_return;
            if may_return {
                *awaiting = Some(call);
            } else if *awaiting == Some(call) {
                *awaiting = None;
            }
        })
    }

    /// Extends the after-call work of `call`. `None`: there is none; `Some(false)`: it was extended too often.
    pub(super) fn extend(
        &mut self,
        now: Timestamp,
        by: ChangedBy,
        call: CallId,
        extension: WrapUpExtension,
    ) -> Option<bool> {
        let index = self.snapshot.wrap_ups.iter().position(|work| work.call == call)?;
        let below_limit = self.snapshot.wrap_ups[index].extensions.len() < WRAP_UP_EXTENSIONS_MAX;
        Some(
            below_limit
                && self.change(now, by, |operator| {
                    let work = &mut operator.snapshot.wrap_ups[index];
                    let more_ms = i64::from(extension.seconds) * 1_000;
                    match &mut work.set_aside_ms {
                        Some(left) => *left += more_ms,
                        // Work that only waits for its required disposition is extended from now on.
                        None => work.until = add_ms(work.until.max(now), more_ms),
                    }
                    work.extensions.push(extension);
                }),
        )
    }

    /// Ends the after-call work of `call` with a disposition; `None`: there is neither open nor expired work.
    pub(super) fn finish(
        &mut self,
        now: Timestamp,
        by: ChangedBy,
        call: CallId,
        disposition: SmolStr,
        notes: Option<SmolStr>,
    ) -> Option<CompletedWrapUp> {
        let mut done = None;
        self.change(now, by, |operator| {
            let snapshot = &mut operator.snapshot;
            if let Some(index) = snapshot.wrap_ups.iter().position(|work| work.call == call) {
                done = Some((snapshot.wrap_ups.remove(index), now));
                let busy = snapshot.activity.caller_of().is_some();
                if let Some(top) = snapshot.wrap_ups.last_mut().filter(|_| !busy) {
                    resume_work(top, now);
                }
            } else {
                done = snapshot.take_expired(call).map(|work| (work.clone(), work.until));
            }
        });
        let (work, ended_at) = done?;
        Some(CompletedWrapUp { work, ended_at, disposition: Some(disposition), notes })
    }

    /// The after-call work of `call`, which ended by its time, with these notes; its disposition stays open. `None`: there
    /// is none.
    pub(super) fn with_notes(&self, call: CallId, notes: SmolStr) -> Option<CompletedWrapUp> {
        let work = self.snapshot.expired_work().find(|work| work.call == call)?.clone();
        Some(CompletedWrapUp { ended_at: work.until, work, disposition: None, notes: Some(notes) })
    }

    /// When the present after-call work ends by its time.
    #[must_use]
    pub fn due(&self, disposition_required: bool) -> Option<Timestamp> {
        let runs = self.snapshot.activity.caller_of().is_none() && !disposition_required;
        self.snapshot.wrap_ups.last().filter(|_| runs).map(|work| work.until)
    }

    /// Ends after-call work whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp, disposition_required: bool) -> Vec<CompletedWrapUp> {
        let mut over = Vec::new();
        while self.due(disposition_required).is_some_and(|due| due <= now) {
            self.change(now, ChangedBy::of_kind(ActorKind::Clock), |operator| {
                let snapshot = &mut operator.snapshot;
                let Some(work) = snapshot.wrap_ups.pop() else { return };
                if let Some(top) = snapshot.wrap_ups.last_mut() {
                    resume_work(top, now);
                }
                snapshot.push_expired(work.clone());
                over.push(CompletedWrapUp { work, ended_at: now, disposition: None, notes: None });
            });
        }
        over
    }

    /// Logs out an operator who is removed, and ends the after-call work.
    pub(super) fn dismiss(&mut self, now: Timestamp) -> Vec<CompletedWrapUp> {
        let work = std::mem::take(&mut self.snapshot.wrap_ups);
        self.change(now, ChangedBy::of_kind(ActorKind::Daemon), |operator| {
            let snapshot = &mut operator.snapshot;
            snapshot.last_seat = snapshot.seat.take().or_else(|| snapshot.last_seat.take());
            (snapshot.requested, snapshot.pending) = (RequestedState::LoggedOut, None);
            (snapshot.activity, snapshot.awaiting_return) = (Activity::None, None);
        });
        let over = |work| CompletedWrapUp { work, ended_at: now, disposition: None, notes: None };
        work.into_iter().map(over).collect()
    }
}

fn begin(now: Timestamp, call: CallId, terms: WrapUpTerms) -> WrapUp {
    let WrapUpTerms { account, account_name, seconds } = terms;
    let until = add_ms(now, i64::from(seconds) * 1_000);
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

/// Ends the oldest work beyond [`WRAP_UPS_OPEN_MAX`], without a disposition.
fn drop_oldest(snapshot: &mut OperatorSnapshot, now: Timestamp) -> Vec<CompletedWrapUp> {
    let too_many = snapshot.wrap_ups.len().saturating_sub(WRAP_UPS_OPEN_MAX);
    let over = |work| CompletedWrapUp { work, ended_at: now, disposition: None, notes: None };
    snapshot.wrap_ups.drain(..too_many).map(over).collect()
}

fn set_aside(work: &mut WrapUp, now: Timestamp) {
    let left = work.until.duration_since(now).as_millis().max(0);
    work.set_aside_ms.get_or_insert(i64::try_from(left).unwrap_or(i64::MAX));
}

fn resume_work(work: &mut WrapUp, now: Timestamp) {
    if let Some(left) = work.set_aside_ms.take() {
        work.until = add_ms(now, left);
    }
}

/// Adds milliseconds; a time that would overflow stays unchanged.
fn add_ms(at: Timestamp, ms: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(ms)).unwrap_or(at)
}
