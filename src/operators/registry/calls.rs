//! What calls do at each seat, and the after-call work that follows a caller.
//!
//! | input | the calls here | activities |
//! |---|---|---|
//! | a call that an earlier run or another daemon published is restored | as restored | not derived before the first list |
//! | a call changed or ended | this call | derived at the seats concerned |
//! | the list of calls is complete | replaced by the calls of the call model | derived at every seat |
//! | snapshots of the previous leader | the same | derived at every seat |
//!
//! Invariants: a call whose notices are not published yet counts only for an operator whose restored state already names
//! it, so that no state precedes the pop that explains it. An operator who had a caller gets after-call work exactly once,
//! also when the caller left while no daemon led; the account and the length are those of the call.
//!
//! Why the calls are replaced and not trusted: a call that a daemon restores, and that the list finds unchanged, makes no
//! notice. A registry that lives by notices alone would conclude that its operator was freed.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{OperatorRegistry, Output};
use crate::contract::call::{CallState, CallView};
use crate::ids::{CallId, Extension, RecordId};
use crate::operators::machine::{Activity, CompletedWrapUp, Operator, WrapUpTerms};

/// How long the registry remembers that an operator had a caller: longer than a takeover lasts.
const RELEASE_TTL: SignedDuration = SignedDuration::from_secs(60);
/// Most callers remembered so; the oldest is forgotten.
const RELEASES_MAX: usize = 1_024;

/// The operators involved in a call.
#[derive(Debug, Clone)]
pub(super) struct CallInvolvement {
    ringing_at: Vec<Extension>,
    at: Option<Extension>,
    /// Since when the call is at that seat.
    since: Timestamp,
    held: bool,
    terms: WrapUpTerms,
}

/// The operator at a seat no longer has a caller.
#[derive(Debug, Clone)]
pub(super) struct Release {
    since: Timestamp,
    at: Timestamp,
    seat: Extension,
    call: CallId,
    terms: WrapUpTerms,
}

impl OperatorRegistry {
    /// A call changed; `wrap_up_s` is the length of after-call work that its account sets.
    pub fn on_call_changed(&mut self, now: Timestamp, view: &CallView, wrap_up_s: Option<u32>) {
        let concerned = view.operators().cloned().collect();
        let before = self.record_call(now, view, wrap_up_s);
        let terms = self.calls.get(&view.id).map(|call| call.terms.clone()).unwrap_or_default();
        self.derive_activities(now, Some(with_involved(concerned, before.as_ref())), Some((view.id, terms)));
    }

    /// A call ended.
    pub fn on_call_ended(&mut self, now: Timestamp, call: CallId) {
        let Some(before) = self.forget_call(now, call) else { return };
        self.derive_activities(
            now,
            Some(with_involved(Vec::new(), Some(&before))),
            Some((call, before.terms)),
        );
        self.clear_awaiting_return(now, |awaited| awaited == call);
    }

    /// The list of calls is complete: `calls` are those of the call model, with the length of after-call work that the
    /// account sets. An operator whose call is not among them was freed during the gap. An operator no longer waits for a
    /// caller whose call is not among them or whose transfer is not `under_way`.
    pub fn on_calls_listed(
        &mut self,
        now: Timestamp,
        calls: Vec<(CallView, Option<u32>)>,
        under_way: impl Fn(CallId) -> bool,
    ) {
        let is_first = !std::mem::replace(&mut self.calls_listed, true);
        self.replace_calls(now, calls);
        if is_first {
            self.conclude_releases();
        }
        self.derive_activities(now, None, None);
        self.check_awaited_returns(now, under_way);
    }

    /// An operator no longer waits for a caller who is gone or whose transfer is not `under_way`.
    pub fn check_awaited_returns(&mut self, now: Timestamp, under_way: impl Fn(CallId) -> bool) {
        let calls: BTreeSet<CallId> = self.calls.keys().copied().collect();
        self.clear_awaiting_return(now, |awaited| !calls.contains(&awaited) || !under_way(awaited));
    }

    /// Whether a list of calls was complete since the start.
    #[must_use]
    pub fn has_listed_calls(&self) -> bool {
        self.calls_listed
    }

    /// A transfer by the operator at this seat started or is over: while it is `under_way`, its caller may return.
    pub fn on_transfer_changed(
        &mut self,
        now: Timestamp,
        call: CallId,
        operator: &Extension,
        under_way: bool,
    ) {
        if let Some(user) = self.user_at(operator) {
            self.update(user, true, |operator| {
                (operator.set_awaiting_return(now, call, under_way), Vec::new())
            });
        }
    }

    /// Replaces the calls; see the invariants in the header.
    pub(super) fn replace_calls(&mut self, now: Timestamp, calls: Vec<(CallView, Option<u32>)>) {
        let present: BTreeSet<CallId> = calls.iter().map(|(view, _)| view.id).collect();
        let gone: Vec<CallId> = self.calls.keys().filter(|call| !present.contains(call)).copied().collect();
        for call in gone {
            self.forget_call(now, call);
        }
        let named: BTreeSet<CallId> = self
            .people
            .values()
            .filter_map(|operator| match operator.snapshot().activity {
                Activity::Ringing(call) | Activity::Talking(call) | Activity::OnHold(call) => Some(call),
                Activity::None => None,
            })
            .collect();
        for (view, wrap_up_s) in calls {
            if self.calls.contains_key(&view.id) || named.contains(&view.id) {
                self.record_call(now, &view, wrap_up_s);
            }
        }
    }

    /// Takes a call as it is now; returns what was known of it.
    fn record_call(
        &mut self,
        now: Timestamp,
        view: &CallView,
        wrap_up_s: Option<u32>,
    ) -> Option<CallInvolvement> {
        let account = view.card.as_ref().map(|card| &card.account);
        let terms = WrapUpTerms {
            account: account.and_then(|account| account.id),
            account_name: account.map(|account| account.name.clone()).unwrap_or_default(),
            seconds: wrap_up_s.unwrap_or(self.settings.wrap_up_s),
        };
        let held = view.state == CallState::Held;
        let (ringing_at, at) = (view.presented_to.clone(), view.operator.clone());
        let unmoved = self.calls.get(&view.id).filter(|before| before.at == at);
        let since = unmoved.map_or(now, |before| before.since);
        let before = self.calls.insert(view.id, CallInvolvement { ringing_at, at, since, held, terms });
        if let Some(before) = before.as_ref().filter(|before| before.at != view.operator) {
            self.remember_release(now, view.id, before);
        }
        before
    }

    fn forget_call(&mut self, now: Timestamp, call: CallId) -> Option<CallInvolvement> {
        let before = self.calls.remove(&call)?;
        self.remember_release(now, call, &before);
        Some(before)
    }

    fn remember_release(&mut self, now: Timestamp, call: CallId, before: &CallInvolvement) {
        let Some(seat) = before.at.clone() else { return };
        let is_old = |release: &Release| now.duration_since(release.at) > RELEASE_TTL;
        while self.releases.len() >= RELEASES_MAX || self.releases.front().is_some_and(is_old) {
            self.releases.pop_front();
        }
        let CallInvolvement { since, terms, .. } = before.clone();
        self.releases.push_back(Release { since, at: now, seat, call, terms });
    }

    /// Records the talks with callers whom a restored state does not know yet, and opens the work after them: the operator
    /// took these callers and lost them again after that state was saved.
    pub(super) fn conclude_releases(&mut self) {
        for release in self.releases.clone() {
            let Some(user) = self.user_at(&release.seat) else { continue };
            let is_missing = |operator: &Operator| {
                release.at > operator.snapshot().since && !operator.knows_work_of(release.call)
            };
            let has_caller_again =
                self.calls.get(&release.call).is_some_and(|call| call.at.as_ref() == Some(&release.seat));
            if has_caller_again || !self.people.get(&user).is_some_and(is_missing) {
                continue;
            }
            let cause = (release.call, release.terms);
            self.record_missed_talk(user, release.since, &cause);
            self.set_activity(release.at, user, Activity::None, Some(&cause));
        }
    }

    fn record_missed_talk(&mut self, user: RecordId, since: Timestamp, cause: &(CallId, WrapUpTerms)) {
        let talking = Activity::Talking(cause.0);
        let Some(operator) = self.people.get(&user) else { return };
        let since = since.max(operator.snapshot().since);
        let change = self.activity_change(user, talking, Some(cause));
        let Some(operator) = self.people.get_mut(&user) else { return };
        let (_, completed) = change(operator, since);
        let view = Box::new(operator.view());
        self.push_completed(user, completed);
        self.outputs.push_back(Output::TalkMissed { view });
    }

    fn clear_awaiting_return(&mut self, now: Timestamp, over: impl Fn(CallId) -> bool) {
        let awaited = |(user, o): (&RecordId, &Operator)| {
            Some((*user, o.snapshot().awaiting_return.filter(|c| over(*c))?))
        };
        let waiting: Vec<_> = self.people.iter().filter_map(awaited).collect();
        for (user, call) in waiting {
            self.update(user, true, |operator| (operator.set_awaiting_return(now, call, false), Vec::new()));
        }
    }

    /// Derives the activity at these seats (`None`: all seats) from the calls; `cause` is the call that caused it.
    pub(super) fn derive_activities(
        &mut self,
        now: Timestamp,
        at: Option<Vec<Extension>>,
        cause: Option<(CallId, WrapUpTerms)>,
    ) {
        if !self.calls_listed {
            return;
        }
        let concerned: BTreeSet<RecordId> = match at {
            None => self.seats.values().copied().collect(),
            Some(extensions) => extensions.iter().filter_map(|extension| self.user_at(extension)).collect(),
        };
        for user in concerned {
            let Some(seat) = self.people.get(&user).and_then(Operator::seat) else { continue };
            let activity = self.activity_at(seat);
            self.set_activity(now, user, activity, cause.as_ref());
        }
    }

    fn set_activity(
        &mut self,
        at: Timestamp,
        user: RecordId,
        activity: Activity,
        cause: Option<&(CallId, WrapUpTerms)>,
    ) {
        let change = self.activity_change(user, activity, cause);
        self.update(user, true, |operator| change(operator, at));
    }

    /// The change of an operator to this activity, with the terms of the after-call work before and after it.
    fn activity_change(
        &self,
        user: RecordId,
        activity: Activity,
        cause: Option<&(CallId, WrapUpTerms)>,
    ) -> impl FnOnce(&mut Operator, Timestamp) -> (bool, Vec<CompletedWrapUp>) + use<> {
        let had = self.people.get(&user).and_then(|operator| operator.snapshot().activity.caller_of());
        let terms = |call: Option<CallId>| call.and_then(|call| self.terms_of(call, cause));
        let (terms_before, terms_now) = (terms(had), terms(activity.caller_of()));
        let (seconds, required) = (self.settings.wrap_up_s, self.settings.disposition_required);
        let default = WrapUpTerms { seconds, ..WrapUpTerms::default() };
        move |operator, at| operator.set_activity(at, activity, terms_before, terms_now, default, required)
    }

    /// The terms of a call's after-call work, as far as the registry knows the call.
    fn terms_of(&self, call: CallId, cause: Option<&(CallId, WrapUpTerms)>) -> Option<WrapUpTerms> {
        let caused = cause.filter(|(id, _)| *id == call).map(|(_, terms)| terms);
        let released = || self.releases.iter().rev().find(|release| release.call == call);
        caused
            .or_else(|| self.calls.get(&call).map(|call| &call.terms))
            .or_else(|| released().map(|release| &release.terms))
            .cloned()
    }

    /// The activity at a seat; talking goes before ringing.
    fn activity_at(&self, seat: &Extension) -> Activity {
        let talking = self.calls.iter().find(|(_, call)| call.at.as_ref() == Some(seat));
        if let Some((call, involvement)) = talking {
            return if involvement.held { Activity::OnHold(*call) } else { Activity::Talking(*call) };
        }
        let ringing = self.calls.iter().find(|(_, call)| call.ringing_at.contains(seat));
        ringing.map_or(Activity::None, |(call, _)| Activity::Ringing(*call))
    }
}

fn with_involved(mut extensions: Vec<Extension>, involvement: Option<&CallInvolvement>) -> Vec<Extension> {
    extensions
        .extend(involvement.into_iter().flat_map(|call| call.ringing_at.iter().chain(&call.at)).cloned());
    extensions
}
