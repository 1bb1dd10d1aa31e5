//! The link to the PBX as everybody hears of it: up, down, restarted, and the gap between.
//!
//! What is known of the link is kept, so that the gap over a restart of the daemon is told like any other. Of several
//! daemons that may follow one PBX the one that leads tells and keeps it; what lies before that is `unseen.rs`.
//!
//! | step of a link | told |
//! |---|---|
//! | logged in | nothing yet: what is shown of calls is old |
//! | the start of the PBX is known | `pbx.gap`, kept in the store, and `pbx.restarted` if it was |
//! | every channel was listed | whatever changed in the gap, then `pbx.up`: calls are as the PBX has them |
//! | lost | `pbx.down`, once, however often it is lost again before `pbx.up` |
//!
//! Invariant: each `pbx.down` is followed by one `pbx.up`; the `pbx.gap` before it names both ends; the model hears of
//! a restart before the first list after it.
//!
//! The PBX tells its start to the second (CoreStatus): one that is killed and started again within that second is
//! not seen as restarted. Its calls end all the same, since the lists do not know them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::Core;
use super::unseen::{Looks, NOT_RUNNING};
use crate::bus::event::wire_time;
use crate::bus::{Audience, Change, Draft, EventKind};
use crate::call::Input;
use crate::store::log::Keep;
use crate::store::{Gap, LinkMemory};
use crate::supervision;

/// What is known of the link to the PBX.
#[derive(Default)]
pub(super) struct Link {
    /// Since when it is down, after having been up.
    down_since: Option<(Timestamp, String)>,
    /// When the PBX started, in its own words.
    pub(super) started: Option<String>,
    /// Whether it is up.
    up: bool,
    /// What `pbx.up` will say once every channel was listed.
    coming: Option<Value>,
    /// What was told last: up or down.
    told: Option<bool>,
    /// The gap that is over, until it is known whether the PBX was restarted in it.
    over: Option<(Timestamp, String)>,
    /// When this daemon followed the PBX last, by its own clock.
    pub(super) looks: Option<Looks>,
    /// Since when it follows it, in common time, for the store.
    followed_since: Option<Timestamp>,
    /// Whether who looked last was asked, since this daemon leads; where nobody else can have looked, always.
    pub(super) compared: bool,
    /// How often this daemon has taken the lead.
    pub(super) leads: u64,
    /// When the store is to be told again that somebody looks.
    pub(super) pulse: Option<Timestamp>,
}

impl Link {
    /// The link as the daemon before this one left it; `shared`: others may have followed it since.
    pub(super) fn recalled(link: Option<LinkMemory>, shared: bool) -> Self {
        let fresh = Self { compared: !shared, ..Self::default() };
        let Some(link) = link else { return fresh };
        let (from, cause) = if link.up {
            (link.alive, NOT_RUNNING.to_owned())
        } else {
            (link.since, link.cause.unwrap_or_else(|| NOT_RUNNING.to_owned()))
        };
        Self { down_since: Some((from, cause)), started: link.started, ..fresh }
    }

    /// Nobody looks since then, or did until the link that has just come up.
    pub(super) fn goes_unseen(&mut self, since: (Timestamp, String)) {
        if self.up {
            self.over = Some(since);
        } else {
            self.down_since = Some(since);
        }
    }
}

impl Core {
    pub(super) fn link_up(&mut self, epoch: u64, version: &str) {
        tracing::info!(epoch, version, "the link to the PBX is up");
        self.link.coming = Some(json!({ "epoch": epoch, "version": version }));
        self.link.up = true;
        self.link.over = self.link.down_since.take();
    }

    /// The calls are as the PBX has them.
    pub(super) fn calls_listed(&mut self) {
        let Some(data) = self.link.coming.take() else { return };
        let now = self.clock.now();
        self.tell(EventKind::PbxUp, data, Some((true, now)), Vec::new());
    }

    /// Before anything else is told: until the link is up again, nobody knows what the PBX does.
    pub(super) fn nobody_looked(&mut self) {
        if let Some((from, reason)) = self.link.down_since.clone() {
            self.tell(EventKind::PbxDown, json!({ "reason": reason }), Some((false, from)), Vec::new());
        }
    }

    /// The gap, and that the link is up, are kept with the event that tells it: whenever the daemon is killed, either
    /// the gap is kept or its beginning still is.
    fn tell_gap(&mut self, restarted: bool) {
        let to = self.common_now();
        match self.link.over.take() {
            Some((from, cause)) if self.link.compared => self.tell_gap_of(from, to, cause, restarted),
            _ => self.keep_link(),
        }
    }

    pub(super) fn tell_gap_of(&mut self, from: Timestamp, to: Timestamp, cause: String, restarted: bool) {
        let gap = json!({
            "from": wire_time(from), "to": wire_time(to), "cause": cause, "restarted": restarted,
        });
        let pbx = self.parts.plan.pbx.clone();
        let kept = Keep::Gap(Box::new(Gap { pbx, from, to, cause, restarted }));
        let link = self.link_now();
        self.tell(EventKind::PbxGap, gap, None, vec![kept, link]);
    }

    pub(super) fn tell_restarted(&mut self) {
        self.tell(EventKind::PbxRestarted, json!({ "started": self.link.started }), None, Vec::new());
    }

    /// Keeps what is known of the link, once nobody else's knowledge is lost by it.
    pub(super) fn keep_link(&mut self) {
        if self.link.compared {
            let link = self.link_now();
            self.parts.bus.publish_all(Vec::new(), vec![link]);
        }
    }

    fn link_now(&mut self) -> Keep {
        let (now, started) = (self.common_now(), self.link.started.clone());
        let unseen = self.link.down_since.clone().or_else(|| self.link.over.clone());
        let up = unseen.is_none() && self.link.up;
        let (since, cause) = match unseen {
            Some((since, cause)) => (since, Some(cause)),
            None => (self.link.followed_since.unwrap_or(now), None),
        };
        self.beat(up);
        let alive = if up { now } else { since };
        Keep::Link(Box::new(LinkMemory { up, since, alive, cause, started }))
    }

    /// Another start than before means that every call of before is over.
    pub(super) fn pbx_started(&mut self, at: Option<String>) {
        let restarted = match (&self.link.started, &at) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        if at.is_some() {
            self.link.started = at;
        }
        // The same is said again whenever everything is listed anew.
        if self.link.looks.as_ref().is_none_or(|looks| looks.until.is_some()) {
            self.link.looks = Some(Looks { since: self.clock.now(), until: None });
            self.link.followed_since = Some(self.common_now());
        }
        self.tell_gap(restarted);
        self.input(Input::LinkUp { restarted });
        if restarted {
            self.supervise(supervision::Input::Restarted);
        }
        if restarted {
            tracing::warn!("the PBX was restarted");
            self.tell_restarted();
        }
    }

    pub(super) fn link_down(&mut self, reason: &str) {
        let (now, common) = (self.clock.now(), self.common_now());
        tracing::warn!(reason, "the link to the PBX is down");
        self.link.up = false;
        // A link that breaks before its gap is told makes that gap longer.
        let gap = self.link.over.take().unwrap_or_else(|| (common, reason.to_owned()));
        if let Some(looks) = self.link.looks.as_mut().filter(|looks| looks.until.is_none()) {
            looks.until = Some((now, reason.to_owned()));
        }
        self.link.down_since = Some(gap);
        self.link.coming = None;
        self.audit.stop();
        self.members_lost();
        self.input(Input::LinkDown);
        let kept = if self.link.compared { vec![self.link_now()] } else { Vec::new() };
        if self.link.told == Some(false) {
            self.parts.bus.publish_all(Vec::new(), kept);
        } else {
            self.tell(EventKind::PbxDown, json!({ "reason": reason }), Some((false, now)), kept);
        }
    }

    fn tell(&mut self, kind: EventKind, data: Value, link: Option<(bool, Timestamp)>, keeps: Vec<Keep>) {
        self.link.told = link.map(|(up, _)| up).or(self.link.told);
        let change = link.map_or(Change::None, |(up, since)| Change::Pbx { up, since });
        let at = self.clock.now();
        let draft = Draft { kind, at, call: None, audience: Audience::All, data, change };
        self.parts.bus.publish_all(vec![draft], keeps);
    }
}
