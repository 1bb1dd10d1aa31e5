//! What a transfer is to do, with everything already looked up.

use smol_str::SmolStr;

use super::view::TargetView;
use crate::ids::QueueName;

/// Most targets of one transfer.
pub const TARGETS_MAX: usize = 10;

/// The number that the target is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// The caller's; its digits, for a consultation, which the caller's channel does not dial.
    Caller(Option<SmolStr>),
    /// This one: digits.
    Number(SmolStr),
    /// None.
    Withheld,
}

/// One target, ready to be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who it is.
    pub view: TargetView,
    /// The digits that the dialplan dials; none for a queue.
    pub dial: Option<SmolStr>,
    /// How long it rings, in seconds.
    pub ring_s: u32,
    /// Whether it must press 1 before it gets the caller.
    pub accept: bool,
}

/// A transfer that can be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whom to try, in order; at least one, at most [`TARGETS_MAX`]. A queue stands alone.
    pub targets: Vec<Target>,
    /// What they are shown.
    pub show: Show,
    /// What they hear before they press 1; the dialplan's own where absent.
    pub accept_sound: Option<SmolStr>,
    /// The queue that takes the caller when the operator cannot; the dialplan's where absent.
    pub return_queue: Option<QueueName>,
}

impl Plan {
    /// The queue that is the target, if it is one.
    pub(super) fn queue(&self) -> Option<&QueueName> {
        match self.targets.first().map(|target| &target.view) {
            Some(TargetView::Queue { queue }) => Some(queue),
            _ => None,
        }
    }
}
