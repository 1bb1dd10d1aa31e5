//! What a daemon that stands by shows its own desktops while Redis is away: the calls of its PBX as it sees them itself,
//! and the link.
//!
//! | state | what happens | then |
//! |---|---|---|
//! | common order | Redis does not answer | own sight: what the leader did not come to tell is shown, then each event as it comes |
//! | own sight, nothing shown yet | Redis answers | common order, as if nothing had been |
//! | own sight | Redis answers | catching up |
//! | catching up | the leader has told all that this daemon has seen, or [`CATCH_UP_MAX`] is over | the state is read anew |
//! | catching up | the state was read | common order; whoever was shown anything is answered with a snapshot |
//!
//! Why not under the ids that the leader gives: the leader may give them to other events, or to none. So these have ids
//! of a stream of their own that no other gateway knows, nor this one later: whoever goes on after one gets a snapshot,
//! and nothing is told twice under one id, or left out.
//!
//! Invariants: nothing that arrives is delivered from the first event of our own on until the state was read anew, and
//! this daemon does not take the lead before that. Operators' states stay as they were: only their keeper knows them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::hub::Hub;
use super::outbox::{Outbox, Role};
use super::shadow::{Inherited, Takeover, is_of_a_call};
use super::wire::Entry;
use crate::announce;
use crate::bus::event::{Body, Change, Draft};
use crate::bus::id::{EventId, StreamToken};
use crate::bus::memory::{Arrival, OfPbx};
use crate::call::view::CallView;

/// How long the leader may take to tell what it kept, once Redis answers.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// Own sight, while it lasts.
#[derive(Debug)]
pub(super) struct OwnSight {
    stream: StreamToken,
    /// Calls that the leader told of.
    inherited: Inherited,
    /// Events shown.
    pub(super) shown: u64,
    /// Until when the leader's events are waited for, once Redis answers.
    until: Option<Instant>,
}

impl Hub {
    /// Redis does not answer, and another daemon leads: desktops here see what this one sees.
    pub(super) fn show_own_sight(&self) {
        if self.wants_reload() || self.read_up_to().borrow().is_none() {
            return;
        }
        let OfPbx { calls, link, .. } = self.log().of_pbx(&self.pbx);
        let mut outbox = self.outbox();
        let Role::Standby(shadow) = &outbox.role else { return };
        if outbox.own_sight.is_some() {
            return;
        }
        let Takeover { missing, unknown, mut inherited } = shadow.clone().take_over(calls);
        // The list that follows says what became of them.
        inherited.calls.extend(unknown.into_iter().map(|view| (view.id, view)));
        outbox.own_sights += 1;
        let stream = StreamToken::from_words(&format!("s{:x}x", self.daemon), outbox.own_sights);
        outbox.own_sight = Some(OwnSight { stream, inherited, shown: 0, until: None });
        self.sees_alone.store(true, Ordering::Relaxed);
        for draft in missing {
            self.show(&mut outbox, draft);
        }
        if let Some(draft) = self.link_unlike(link.as_ref()) {
            self.show(&mut outbox, draft);
        }
        drop(outbox);
        tracing::warn!(pbx = %self.pbx, "Redis does not answer; desktops here see the PBX as this daemon sees it");
        self.look_again();
    }

    /// This daemon, which stands by, would tell `draft`.
    pub(super) fn show_if_alone(&self, outbox: &mut Outbox, draft: Draft) {
        let Some(own) = &mut outbox.own_sight else { return };
        let is_link = matches!(draft.change, Change::Pbx { .. });
        if is_link || (is_of_a_call(&draft) && own.inherited.wants(&draft)) {
            self.show(outbox, draft);
        }
    }

    fn show(&self, outbox: &mut Outbox, draft: Draft) {
        let Some(own) = &mut outbox.own_sight else { return };
        own.shown += 1;
        let id = EventId { stream: own.stream.clone(), position: own.shown };
        self.read_nothing();
        let body = Arc::new(Body::of(&draft, &self.pbx));
        let (pbx, after) = (self.pbx.clone(), self.log().last_common());
        let Draft { audience, change, .. } = draft;
        self.log().append(Arrival { id, pbx, audience, change, body, after }, false);
    }

    /// The PBX has listed its channels; `live` are its calls.
    pub(super) fn settle_own_sight(&self, outbox: &mut Outbox, live: &[CallView], at: Timestamp) {
        let Some(own) = &mut outbox.own_sight else { return };
        let (over, silent) = own.inherited.settle(live);
        for (view, operator) in silent {
            self.show(outbox, announce::rescinded_unseen(&view, operator, at));
        }
        for view in &over {
            self.show(outbox, announce::ended_unseen(view, at));
        }
    }

    /// What Redis brings while own sight lasts: heard of, and delivered by reading the state anew. Gives what is to be
    /// delivered as ever.
    pub(super) fn overhear(&self, entry: Entry) -> Option<Entry> {
        if !self.sees_alone.load(Ordering::Relaxed) {
            return Some(entry);
        }
        let mut outbox = self.outbox();
        if outbox.own_sight.as_ref().is_none_or(|own| own.shown == 0) {
            self.end_own_sight(&mut outbox);
            return Some(entry);
        }
        if let Role::Standby(shadow) = &mut outbox.role
            && entry.is_of(&self.pbx)
            && let Some(arrival) = entry.read()
        {
            shadow.told(arrival.body.kind, &arrival.change);
        }
        None
    }

    /// Redis answers: own sight ends as soon as nothing of it would be taken back.
    pub(super) fn catch_up(&self) {
        if !self.sees_alone.load(Ordering::Relaxed) {
            return;
        }
        let mut outbox = self.outbox();
        let is_level = matches!(&outbox.role, Role::Standby(shadow) if shadow.is_level());
        let Some(own) = &mut outbox.own_sight else { return };
        let until = *own.until.get_or_insert_with(|| Instant::now() + CATCH_UP_MAX);
        if own.shown == 0 {
            self.end_own_sight(&mut outbox);
        } else if is_level || Instant::now() >= until {
            self.read_anew();
        }
    }

    pub(super) fn end_own_sight(&self, outbox: &mut Outbox) {
        outbox.own_sight = None;
        self.sees_alone.store(false, Ordering::Relaxed);
    }
}
