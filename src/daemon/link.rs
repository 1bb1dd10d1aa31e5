//! The link to the PBX as everybody hears of it: up, down, restarted, and the gap between.
//!
//! What is known of the link is kept, so that the gap over a restart of the daemon is told like any other.
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
use crate::bus::event::wire_time;
use crate::bus::{Audience, Change, Draft, EventKind};
use crate::call::Input;
use crate::store::log::Keep;
use crate::store::{Gap, LinkMemory};
use crate::supervision;

/// Why the link was down when the daemon that followed it is no more.
const NOT_RUNNING: &str = "the daemon was not running";

/// What is known of the link to the PBX.
#[derive(Default)]
pub(super) struct Link {
    /// Since when it is down, after having been up.
    down_since: Option<(Timestamp, String)>,
    /// When the PBX started, in its own words.
    started: Option<String>,
    /// Whether it is up.
    up: bool,
    /// What `pbx.up` will say once every channel was listed.
    coming: Option<Value>,
    /// What was told last: up or down.
    told: Option<bool>,
    /// The gap that is over, until it is known whether the PBX was restarted in it.
    over: Option<(Timestamp, String)>,
}

impl Link {
    /// The link as the daemon before this one left it.
    pub(super) fn recalled(link: Option<LinkMemory>) -> Self {
        let Some(link) = link else { return Self::default() };
        let (from, cause) = if link.up {
            (link.alive, NOT_RUNNING.to_owned())
        } else {
            (link.since, link.cause.unwrap_or_else(|| NOT_RUNNING.to_owned()))
        };
        Self { down_since: Some((from, cause)), started: link.started, ..Self::default() }
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
        let to = self.clock.now();
        let link = self.link_now(to, None);
        let Some((from, cause)) = self.link.over.take() else {
            self.parts.bus.publish_all(Vec::new(), vec![link]);
            return;
        };
        let gap = json!({
            "from": wire_time(from), "to": wire_time(to), "cause": cause, "restarted": restarted,
        });
        let pbx = self.parts.plan.pbx.clone();
        let kept = Keep::Gap(Box::new(Gap { pbx, from, to, cause, restarted }));
        self.tell(EventKind::PbxGap, gap, None, vec![kept, link]);
    }

    fn link_now(&self, since: Timestamp, cause: Option<String>) -> Keep {
        let (up, started) = (self.link.up, self.link.started.clone());
        Keep::Link(Box::new(LinkMemory { up, since, alive: since, cause, started }))
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
        self.tell_gap(restarted);
        self.input(Input::LinkUp { restarted });
        if restarted {
            self.supervise(supervision::Input::Restarted);
        }
        if restarted {
            tracing::warn!("the PBX was restarted");
            self.tell(EventKind::PbxRestarted, json!({ "started": self.link.started }), None, Vec::new());
        }
    }

    pub(super) fn link_down(&mut self, reason: &str) {
        let now = self.clock.now();
        tracing::warn!(reason, "the link to the PBX is down");
        self.link.up = false;
        // A link that breaks before its gap is told makes that gap longer.
        let gap = self.link.over.take().unwrap_or_else(|| (now, reason.to_owned()));
        let kept = self.link_now(gap.0, Some(gap.1.clone()));
        self.link.down_since = Some(gap);
        self.link.coming = None;
        self.audit.stop();
        self.members_lost();
        self.input(Input::LinkDown);
        if self.link.told == Some(false) {
            self.parts.bus.publish_all(Vec::new(), vec![kept]);
        } else {
            self.tell(EventKind::PbxDown, json!({ "reason": reason }), Some((false, now)), vec![kept]);
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
