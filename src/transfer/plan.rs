//! What a transfer is to do, with every target already looked up.

use smol_str::SmolStr;

use crate::contract::transfer::TargetView;
use crate::ids::QueueName;

/// Most targets of one transfer.
pub const TARGETS_MAX: usize = 10;

/// The caller id that the target sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownNumber {
    /// The caller's number. The digits are for a consultation, which the caller's channel does not dial.
    Caller(Option<SmolStr>),
    /// This number, in digits.
    Number(SmolStr),
    /// No number.
    Withheld,
}

/// One target, ready to be dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who it is.
    pub view: TargetView,
    /// The digits that the dialplan dials; none for a queue.
    pub dial: Option<SmolStr>,
    /// How long the target rings, in seconds.
    pub ring_s: u32,
    /// Whether the target must press 1 before it gets the caller.
    pub accept: bool,
}

/// A transfer that can be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The targets in the order in which they are tried: 1 to [`TARGETS_MAX`]. A queue is always the only target.
    pub targets: Vec<Target>,
    /// The number that the targets see.
    pub shown_number: ShownNumber,
    /// The prompt before they press 1; absent: the dialplan's own.
    pub accept_sound: Option<SmolStr>,
    /// The queue for a caller who cannot return to the operator; absent: the dialplan's own.
    pub return_queue: Option<QueueName>,
}

impl Plan {
    /// The queue that is the target, if it is one.
    #[must_use]
    pub fn target_queue(&self) -> Option<&QueueName> {
        match self.targets.first().map(|target| &target.view) {
            Some(TargetView::Queue { queue }) => Some(queue),
            _ => None,
        }
    }
}
