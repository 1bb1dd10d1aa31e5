//! The link to the PBX as everybody hears of it: up, down, restarted, and the gap between.
//!
//! Invariant: each `pbx.down` is followed by one `pbx.up` and, with it, the `pbx.gap` that names both ends; the
//! model hears of a restart before the first list after it.
//!
//! The PBX tells its start to the second (CoreStatus): one that is killed and started again within that second is
//! not seen as restarted. Its calls end all the same, since the lists do not know them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::Core;
use crate::bus::event::wire_time;
use crate::bus::{Audience, Change, Draft, EventKind};
use crate::call::Input;
use crate::supervision;

/// What is known of the link to the PBX.
#[derive(Default)]
pub(super) struct Link {
    /// Since when it is down, after having been up.
    down_since: Option<(Timestamp, String)>,
    /// When the PBX started, in its own words.
    started: Option<String>,
}

impl Core {
    pub(super) fn link_up(&mut self, epoch: u64, version: &str) {
        let now = self.clock.now();
        tracing::info!(epoch, version, "the link to the PBX is up");
        self.tell(EventKind::PbxUp, json!({ "epoch": epoch, "version": version }), Some((true, now)));
        if let Some((from, cause)) = self.link.down_since.take() {
            let gap = json!({ "from": wire_time(from), "to": wire_time(now), "cause": cause });
            self.tell(EventKind::PbxGap, gap, None);
        }
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
        self.input(Input::LinkUp { restarted });
        if restarted {
            self.supervise(supervision::Input::Restarted);
        }
        if restarted {
            tracing::warn!("the PBX was restarted");
            self.tell(EventKind::PbxRestarted, json!({ "started": self.link.started }), None);
        }
    }

    pub(super) fn link_down(&mut self, reason: &str) {
        let now = self.clock.now();
        tracing::warn!(reason, "the link to the PBX is down");
        self.link.down_since = Some((now, reason.to_owned()));
        self.members_lost();
        self.input(Input::LinkDown);
        self.tell(EventKind::PbxDown, json!({ "reason": reason }), Some((false, now)));
    }

    fn tell(&mut self, kind: EventKind, data: Value, link: Option<(bool, Timestamp)>) {
        let change = link.map_or(Change::None, |(up, since)| Change::Pbx { up, since });
        let at = self.clock.now();
        self.parts.bus.publish(Draft { kind, at, call: None, audience: Audience::All, data, change });
    }
}
