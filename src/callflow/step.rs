//! Steps: what the PBX does with a call, and how it is written for the dialplan.
//!
//! | step | written | does | goes on |
//! |---|---|---|---|
//! | say | `say SOUND early\|answer INSTEAD` | plays guidance; where the sound is missing, the shipped one or nothing | always |
//! | lines | `lines ID MAX SKIP` | counts the call among the account's | when over `MAX`; else it leaves out `SKIP` steps |
//! | crowded | `crowded QUEUE WAITING SKIP` | compares the queue's waiting callers | when so many wait; else it leaves out `SKIP` steps |
//! | queue | `queue QUEUE SECONDS PRIORITY r\|m\|mp [ANNOUNCEMENT]` | waits for an operator, who hears the announcement first; with `mp`, the daemon tells the place | when nobody answered in time, or the queue takes nobody |
//! | report | `report OUTCOME` | the call has this outcome, also if the caller hangs up in what follows | always |
//! | callback | `callback ID SOUND SKIP INSTEAD` | answers, and offers to be called back | when the caller does not want it; who does leaves out `SKIP` steps |
//! | voice | `voice ID SOUND SECONDS SILENCE INSTEAD` | answers, plays guidance, and records what the caller says | when the caller is silent, presses `#`, or has spoken for so long; else with the hang-up |
//! | reach | `reach N/S/A-N/S/A` | calls numbers one after the other, each for `S` seconds; with `A` 1 they must press 1 | when nobody takes the call |
//! | caller | `caller withheld SKIP` | looks whether the caller withholds the number | for one who does; else it leaves out `SKIP` steps |
//! | end | `end OUTCOME` | reports the outcome and hangs up | never |
//! | pbx | `pbx` | leaves the call to the PBX's own dialplan | never |
//!
//! The dialplan leaves out a step that it does not know, so a newer daemon beside an older dialplan does less and not
//! nothing. After the last step, and where a queue does not exist, the PBX's own dialplan goes on.
//!
//! Invariant: the text of a treatment fits [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX), for every valid record.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::{Letter, ON_CALL_MAX, OnCallPerson};
use crate::contract::callflow::{CallflowFields, GuidanceMode, OfferedWhen, WhileWaiting};
use crate::ids::RecordId;

/// What callers hear out of hours.
const SOUND_CLOSED: &str = "toritsugi/closed";
/// What callers hear whom nobody answers.
const SOUND_BUSY: &str = "toritsugi/busy";
/// What callers hear who must show their number.
const SOUND_WITHHELD: &str = "toritsugi/withheld";
/// How callers are offered to be called back.
const SOUND_CALLBACK: &str = "toritsugi/callback";
/// What callers hear before they leave a voice message.
const SOUND_VOICE: &str = "toritsugi/voice";
/// What callflows play of the shipped sounds.
pub const SHIPPED_SOUNDS: [&str; 5] = [SOUND_CLOSED, SOUND_BUSY, SOUND_WITHHELD, SOUND_CALLBACK, SOUND_VOICE];
/// Seconds of silence that end a voice message.
const VOICE_SILENCE_S: u32 = 10;
/// The priority of callers who have waited in another queue.
const SECOND_QUEUE_PRIORITY: u32 = 7;

/// How the PBX ends a call without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallflowEnding)]
pub enum Ending {
    /// Out of hours, a holiday or an override.
    Closed,
    /// Nobody took the call in time, or too many wait.
    Overflowed,
    /// The account has no line left.
    Blocked,
    /// The account refuses this caller.
    Refused,
}

impl Ending {
    /// The word by which the dialplan reports it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Overflowed => "overflowed",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
        }
    }
}

/// Which callers a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallflowCaller)]
pub enum CallerKind {
    /// Those who withhold their number. One whose number the network cannot tell (a payphone, from abroad) is none of them.
    Withheld,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
#[schema(as = CallflowStep)]
pub enum Step {
    /// Plays guidance.
    Say {
        /// The sound.
        sound: String,
        /// Before or after an answer.
        mode: GuidanceMode,
        /// The shipped sound, for when that one is missing.
        instead: String,
    },
    /// Goes on when the account has more calls than this, this one included.
    Lines {
        /// The account.
        #[schema(value_type = uuid::Uuid)]
        account: RecordId,
        /// Most calls at a time.
        most: u32,
        /// How many steps are left out otherwise.
        skip: u32,
    },
    /// Goes on when so many callers wait already.
    Crowded {
        /// The queue.
        queue: String,
        /// How many.
        waiting: u32,
        /// How many steps are left out otherwise.
        skip: u32,
    },
    /// Waits for an operator.
    Queue {
        /// The queue.
        queue: String,
        /// How long, in seconds.
        wait_s: u32,
        /// The caller's priority.
        priority: u32,
        /// What the caller hears.
        hears: WhileWaiting,
        /// Whether the caller also hears at which place they are, and how long it may take.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        places: bool,
        /// What the operator hears before the caller is connected.
        #[serde(skip_serializing_if = "Option::is_none")]
        announcement: Option<String>,
    },
    /// Reports the outcome, before the caller is offered something besides.
    Report {
        /// The outcome in the history.
        outcome: Ending,
    },
    /// Offers to be called back.
    Callback {
        /// The account.
        #[schema(value_type = uuid::Uuid)]
        account: RecordId,
        /// How it is offered.
        sound: String,
        /// How many steps are left out for who wants it.
        skip: u32,
        /// The shipped sound, for when that one is missing.
        instead: String,
    },
    /// Records a voice message.
    Voice {
        /// The account.
        #[schema(value_type = uuid::Uuid)]
        account: RecordId,
        /// What the caller hears before.
        sound: String,
        /// The longest message, in seconds.
        most_s: u32,
        /// Seconds of silence that end it.
        silence_s: u32,
        /// The shipped sound, for when that one is missing.
        instead: String,
    },
    /// Calls people of the account, one after the other.
    Reach {
        /// The contacts who are on call, in their order. Their numbers are not shown.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        contacts: Vec<OnCallPerson>,
        /// Then these numbers, as they are dialled.
        numbers: Vec<String>,
        /// How long each of them rings, in seconds; a contact may have a time of its own.
        each_s: u32,
        /// Whether they must press 1; a contact may be excepted.
        accept: bool,
    },
    /// Goes on for a caller of this kind.
    Caller {
        /// Which callers.
        caller: CallerKind,
        /// How many steps are left out for others.
        skip: u32,
    },
    /// Ends the call.
    End {
        /// The outcome in the history.
        outcome: Ending,
    },
    /// Leaves the call to the PBX's own dialplan.
    Pbx,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say { sound, mode, instead } => {
                let mode = if *mode == GuidanceMode::Early { "early" } else { "answer" };
                write!(f, "say {sound} {mode} {instead}")
            }
            Self::Lines { account, most, skip } => write!(f, "lines {} {most} {skip}", account.0.simple()),
            Self::Crowded { queue, waiting, skip } => write!(f, "crowded {queue} {waiting} {skip}"),
            Self::Queue { queue, wait_s, priority, hears, places, announcement } => {
                let hears = match hears {
                    WhileWaiting::Ring => "r",
                    WhileWaiting::Music if *places => "mp",
                    WhileWaiting::Music => "m",
                };
                write!(f, "queue {queue} {wait_s} {priority} {hears}")?;
                announcement.iter().try_for_each(|sound| write!(f, " {sound}"))
            }
            Self::Report { outcome } => write!(f, "report {}", outcome.as_str()),
            Self::Callback { account, sound, skip, instead } => {
                write!(f, "callback {} {sound} {skip} {instead}", account.0.simple())
            }
            Self::Voice { account, sound, most_s, silence_s, instead } => {
                write!(f, "voice {} {sound} {most_s} {silence_s} {instead}", account.0.simple())
            }
            Self::Reach { contacts, numbers, each_s, accept } => {
                let contact = |one: &OnCallPerson| {
                    let (seconds, accept) = (one.ring_s.unwrap_or(*each_s), *accept && one.accept);
                    format!("{}/{seconds}/{}", one.number, u8::from(accept))
                };
                let target = |number: &String| format!("{number}/{each_s}/{}", u8::from(*accept));
                let all = contacts.iter().map(contact).chain(numbers.iter().map(target));
                write!(f, "reach {}", all.collect::<Vec<_>>().join("-"))
            }
            Self::Caller { caller: CallerKind::Withheld, skip } => write!(f, "caller withheld {skip}"),
            Self::End { outcome } => write!(f, "end {}", outcome.as_str()),
            Self::Pbx => f.write_str("pbx"),
        }
    }
}

/// The steps of each treatment. `fields` is `None` for an account without a callflow, which only an override treats.
/// `takes_voice`: recordings of callers reach their accounts; else none is offered. `on_call`: who is on call, where that is asked
/// for.
#[must_use]
pub fn steps_of(
    account: RecordId,
    fields: Option<&CallflowFields>,
    takes_voice: bool,
    on_call: &[OnCallPerson],
) -> BTreeMap<Letter, Vec<Step>> {
    let usual = CallflowFields::default();
    let settings = fields.unwrap_or(&usual);
    let closed = settings.closed_guidance.as_deref().unwrap_or(SOUND_CLOSED);
    let left = |is_offered: fn(OfferedWhen) -> bool, outcome: Ending| -> Vec<Step> {
        let has_voice = takes_voice && is_offered(settings.voice_message);
        let callback = is_offered(settings.callback).then(|| callback_step(account, settings, has_voice));
        let mut steps: Vec<Step> =
            callback.into_iter().chain(has_voice.then(|| voice_step(account, settings))).collect();
        if !steps.is_empty() {
            steps.insert(0, Step::Report { outcome });
        }
        steps
    };
    let in_closed = left(OfferedWhen::in_closed, Ending::Closed);
    let ends_with = |sound: Option<&str>| {
        let (sound, instead) = (sound.unwrap_or(closed).to_owned(), SOUND_CLOSED.to_owned());
        let mut steps = Vec::from_iter(reach_step(settings, OfferedWhen::in_closed, on_call));
        steps.push(Step::Say { sound, mode: settings.guidance, instead });
        steps.extend(in_closed.clone());
        steps.push(Step::End { outcome: Ending::Closed });
        steps
    };
    let in_overflow = left(OfferedWhen::in_overflow, Ending::Overflowed);
    let open =
        fields.map_or_else(|| vec![Step::Pbx], |fields| open_steps(account, fields, in_overflow, on_call));
    BTreeMap::from([
        (Letter::Open, open),
        (Letter::Closed, ends_with(None)),
        (Letter::Holiday, ends_with(settings.holiday_guidance.as_deref())),
        (Letter::Override, ends_with(settings.override_guidance.as_deref())),
    ])
}

fn reach_step(
    fields: &CallflowFields,
    is_offered: fn(OfferedWhen) -> bool,
    on_call: &[OnCallPerson],
) -> Option<Step> {
    let contacts = if fields.reach_on_call { on_call.to_vec() } else { Vec::new() };
    let is_reached = is_offered(fields.reach) && !(fields.reach_numbers.is_empty() && contacts.is_empty());
    is_reached.then(|| Step::Reach {
        numbers: fields
            .reach_numbers
            .iter()
            .take(ON_CALL_MAX.saturating_sub(contacts.len()))
            .cloned()
            .collect(),
        contacts,
        each_s: fields.reach_s,
        accept: fields.reach_accept,
    })
}

fn voice_step(account: RecordId, fields: &CallflowFields) -> Step {
    Step::Voice {
        account,
        sound: fields.voice_guidance.clone().unwrap_or_else(|| SOUND_VOICE.to_owned()),
        most_s: fields.voice_max_s,
        silence_s: VOICE_SILENCE_S,
        instead: SOUND_VOICE.to_owned(),
    }
}

/// `is_before_voice`: a voice message is offered next, to who does not want to be called back.
fn callback_step(account: RecordId, fields: &CallflowFields, is_before_voice: bool) -> Step {
    Step::Callback {
        account,
        sound: fields.callback_guidance.clone().unwrap_or_else(|| SOUND_CALLBACK.to_owned()),
        skip: u32::from(is_before_voice),
        instead: SOUND_CALLBACK.to_owned(),
    }
}

/// `left`: what is offered to callers whom nobody answered.
fn open_steps(
    account: RecordId,
    fields: &CallflowFields,
    left: Vec<Step>,
    on_call: &[OnCallPerson],
) -> Vec<Step> {
    let busy = fields.overflow_guidance.as_deref().unwrap_or(SOUND_BUSY).to_owned();
    let mut overflow = Vec::from_iter(reach_step(fields, OfferedWhen::in_overflow, on_call));
    overflow.push(Step::Say { sound: busy, mode: fields.guidance, instead: SOUND_BUSY.to_owned() });
    overflow.extend(left);
    overflow.push(Step::End { outcome: Ending::Overflowed });
    let hears = fields.while_waiting;
    let places = fields.announce_place && hears == WhileWaiting::Music;
    let mut steps = Vec::new();
    if fields.refuse_withheld {
        let sound = fields.withheld_guidance.clone().unwrap_or_else(|| SOUND_WITHHELD.to_owned());
        steps.push(Step::Caller { caller: CallerKind::Withheld, skip: 2 });
        steps.push(Step::Say { sound, mode: fields.guidance, instead: SOUND_WITHHELD.to_owned() });
        steps.push(Step::End { outcome: Ending::Refused });
    }
    if fields.lines > 0 {
        steps.push(Step::Lines { account, most: fields.lines, skip: 1 });
        steps.push(Step::End { outcome: Ending::Blocked });
    }
    if fields.full_at > 0 {
        steps.push(Step::Crowded {
            queue: fields.queue.clone(),
            waiting: fields.full_at,
            skip: count(&overflow),
        });
        steps.extend(overflow.clone());
    }
    steps.push(Step::Queue {
        queue: fields.queue.clone(),
        wait_s: fields.wait_s,
        priority: fields.priority,
        hears,
        places,
        announcement: fields.announcement.clone(),
    });
    if let Some(second) = &fields.second_queue {
        steps.push(Step::Queue {
            queue: second.clone(),
            wait_s: fields.second_wait_s,
            priority: fields.priority.max(SECOND_QUEUE_PRIORITY),
            hears,
            places,
            announcement: fields.announcement.clone(),
        });
    }
    steps.extend(overflow);
    steps
}

fn count(steps: &[Step]) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}
