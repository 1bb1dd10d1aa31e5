//! The offline log (控え): what the PBX wrote down of a call that ended while no daemon's heartbeat was fresh.
//!
//! The hang-up handler `toritsugi-offline` of the dialplan writes one key for each such call, `offline/ID`, in fields that are
//! separated by `|`:
//!
//! | field | example |
//! |---|---|
//! | the version of this list | `1` |
//! | when the call came, when it ended, in milliseconds since 1970 | `1795924944120` |
//! | the channel's id, percent-encoded | `PBX-1795924944.12` |
//! | the plan, the letter of the treatment | `01a2…`, `o` |
//! | the number that was dialled, the number that forwarded | `0355501001`, `0335550101` |
//! | who took the call | `PJSIP/1001` |
//! | the queue in which the caller was last, since when | `operators`, `1795924945003` |
//! | earlier queues: name, from, until, joined by `/` | `first:1795924945003:1795924975010` |
//! | the seconds that the two talked | `3` |
//! | `TRUE` if the caller gave up waiting | `TRUE` |
//! | the outcome that the dialplan reported | `closed` |
//! | the file of a voice message | `PBX-1795924944.12_01a2….wav` |
//!
//! It names no caller.
//!
//! A caller who asked to be called back is a key `callback/ID`, whether or not a daemon runs: the version, when it was asked for, the
//! channel's id, the account, the number, and `caller` (who showed the number that called) or `entered`.
//!
//! Invariant: pure. The values are other people's data: a field that cannot be read counts as empty, and an entry without its
//! channel or times is none. An entry says at most what the PBX wrote: where it does not say who ended a wait, nobody guesses.

use jiff::Timestamp;

use super::{Key, Letter, Value};
use crate::contract::call::Outcome;
use crate::ids::{ChannelId, QueueName, RecordId};

/// The tree of the entries.
pub const OFFLINE_TREE: &str = "offline";
/// The tree of the callers who want to be called back.
pub const CALLBACK_TREE: &str = "callback";
/// The key that counts them, so that the dialplan stops at its limit.
const COUNT_KEY: &str = "offline/count";
/// The version of the fields.
const VERSION: &str = "1";
/// Most queues of a call that are read.
const QUEUES_MAX: usize = 20;

/// A wait in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineWait {
    /// The queue.
    pub queue: QueueName,
    /// When the caller joined.
    pub from: Timestamp,
    /// When the caller left; absent for the last one.
    pub until: Option<Timestamp>,
}

/// What the PBX wrote down of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineCall {
    /// The caller's channel.
    pub channel: ChannelId,
    /// When it came.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The account of the plan that treated it.
    pub plan: Option<RecordId>,
    /// The letter of the treatment.
    pub letter: Option<char>,
    /// The number that was dialled.
    pub dialled: String,
    /// The number that forwarded it.
    pub forwarded_by: String,
    /// The device that took it, for instance `PJSIP/1001`.
    pub member: String,
    /// The waits in queues, in order.
    pub waits: Vec<OfflineWait>,
    /// When the two were connected.
    pub answered: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
    /// The file of the voice message that was left.
    pub voice: String,
}

/// A caller who wants to be called back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRequest {
    /// The caller's channel.
    pub channel: ChannelId,
    /// When the caller asked for it.
    pub at: Timestamp,
    /// The account.
    pub account: RecordId,
    /// The number to call, as it is dialled.
    pub number: String,
    /// The caller entered it; else it is the number that called, which the caller shows.
    pub is_entered: bool,
}

/// Reads a request; `None` for what is none.
#[must_use]
pub fn callback_request(key: &Key, value: &Value) -> Option<CallbackRequest> {
    let fields: Vec<&str> = value.as_str().split('|').collect();
    let &[VERSION, at, channel, account, number, given] = fields.as_slice() else { return None };
    let is_number = (10..=11).contains(&number.len())
        && number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit());
    (key.tree() == CALLBACK_TREE && is_number).then_some(())?;
    Some(CallbackRequest {
        channel: ChannelId::parse(&decoded(channel)?).ok()?,
        at: time(at)?,
        account: RecordId(uuid::Uuid::try_parse(account).ok()?),
        number: number.to_owned(),
        is_entered: given == "entered",
    })
}

/// Reads an entry; `None` for what is none.
#[must_use]
pub fn offline_call(key: &Key, value: &Value) -> Option<OfflineCall> {
    if key.tree() != OFFLINE_TREE || key.as_str() == COUNT_KEY {
        return None;
    }
    let fields: Vec<&str> = value.as_str().split('|').collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    if field(0) != VERSION {
        return None;
    }
    let (began, ended) = (time(field(1))?, time(field(2))?);
    let channel = ChannelId::parse(&decoded(field(3))?).ok()?;
    if ended < began {
        return None;
    }
    let within = |at: Timestamp| at.clamp(began, ended);
    let mut waits: Vec<OfflineWait> = field(11).split('/').filter_map(wait).take(QUEUES_MAX).collect();
    let last = QueueName::parse(field(9)).ok().zip(time(field(10)));
    // The last queue is one of the earlier ones when the caller left it unserved.
    let is_open = |from: &Timestamp| waits.iter().all(|wait| wait.from != *from);
    if let Some((queue, from)) = last.filter(|(_, from)| is_open(from)) {
        waits.push(OfflineWait { queue, from: within(from), until: None });
    }
    let member = field(8);
    let talked = field(12).parse::<i64>().ok().filter(|_| !member.is_empty());
    let answered = talked.map(|seconds| {
        let at = ended.checked_sub(jiff::SignedDuration::from_secs(seconds.max(0))).unwrap_or(began);
        let joined = waits.iter().rev().find(|wait| wait.until.is_none()).map_or(began, |wait| wait.from);
        within(at).max(joined)
    });
    let outcome = match field(14) {
        _ if answered.is_some() => Outcome::Answered,
        "closed" => Outcome::Closed,
        "overflowed" => Outcome::Overflowed,
        "blocked" => Outcome::Blocked,
        "refused" => Outcome::Refused,
        // The dialplan reports each end of its own: the caller hung up.
        _ => Outcome::Abandoned,
    };
    let letter = field(5).chars().next().filter(|letter| {
        Letter::ALL.iter().any(|one| one.as_char() == *letter) || *letter == super::HORIZON_LETTER
    });
    Some(OfflineCall {
        channel,
        began,
        ended,
        plan: uuid::Uuid::try_parse(field(4)).ok().map(RecordId),
        letter,
        dialled: field(6).to_owned(),
        forwarded_by: field(7).to_owned(),
        member: member.to_owned(),
        waits,
        answered,
        outcome,
        voice: field(15).to_owned(),
    })
}

fn time(text: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(text.parse().ok()?).ok()
}

fn wait(text: &str) -> Option<OfflineWait> {
    let mut parts = text.split(':');
    let queue = QueueName::parse(parts.next()?).ok()?;
    let (from, until) = (time(parts.next()?)?, time(parts.next()?)?);
    Some(OfflineWait { queue, from, until: Some(until) })
}

/// Percent-decoded UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            rest = after;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
        } else {
            *first
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACCOUNT: &str = "0198c1f2aaaa7bbb8ccc0123456789ab";

    fn read(value: &str) -> Option<OfflineCall> {
        offline_call(&Key::new("offline/1795.12").unwrap(), &Value::found(value))
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn an_answered_call_has_its_operator_its_waits_and_when_it_was_answered() {
        let value = format!(
            "1|10000|60500|%E6%9C%AC%E7%A4%BE%20PBX-1.2|{ACCOUNT}|o|0355501001|0335550101|PJSIP/1001|second|40000|first:11000:39900|8|||"
        );
        let call = read(&value).unwrap();
        assert_eq!(call.channel.as_str(), "本社 PBX-1.2");
        assert_eq!((call.began, call.ended, call.answered), (at(10_000), at(60_500), Some(at(52_500))));
        assert_eq!((call.outcome, call.letter), (Outcome::Answered, Some('o')));
        assert_eq!((call.dialled.as_str(), call.forwarded_by.as_str()), ("0355501001", "0335550101"));
        let waits: Vec<_> = call.waits.iter().map(|one| (one.queue.as_str(), one.from, one.until)).collect();
        assert_eq!(waits, [("first", at(11_000), Some(at(39_900))), ("second", at(40_000), None)]);
        // Rounded seconds do not put the answer before the wait.
        let early = read(&value.replace("|8|", "|30|")).unwrap();
        assert_eq!(early.answered, Some(at(40_000)));
    }

    #[test]
    fn the_outcome_is_what_the_dialplan_reported_or_the_caller_hung_up() {
        for (rest, outcome) in [
            ("||||||closed|", Outcome::Closed),
            ("|operators|1500|operators:1500:1900|||overflowed|", Outcome::Overflowed),
            ("||||||blocked|", Outcome::Blocked),
            ("|operators|1500|||TRUE||", Outcome::Abandoned),
            ("|||||||", Outcome::Abandoned),
            // Taken, but nobody talked: an operator heard the announcement when the caller hung up.
            ("PJSIP/1001|operators|1500|||TRUE||", Outcome::Abandoned),
        ] {
            let value = format!("1|1000|2000|1.2|{ACCOUNT}|o|0355501001||{rest}");
            let call = read(&value).unwrap();
            assert_eq!((call.outcome, call.answered), (outcome, None), "{value}");
        }
        let left = read("1|1000|2000|1.2||o|1||||5|q:5:7|||overflowed|").unwrap();
        assert_eq!(left.waits.len(), 1, "{left:?}");
    }

    #[test]
    fn a_request_to_be_called_back_names_a_number_and_an_account() {
        let read = |value: &str| callback_request(&Key::new("callback/1.2").unwrap(), &Value::found(value));
        let request = read(&format!("1|60000|PBX-1.2|{ACCOUNT}|09012345678|entered")).unwrap();
        assert_eq!(
            (request.number.as_str(), request.is_entered, request.at),
            ("09012345678", true, at(60_000))
        );
        assert!(!read(&format!("1|60000|1.2|{ACCOUNT}|0312345678|caller")).unwrap().is_entered);
        for value in [
            "".to_owned(),
            format!("2|60000|1.2|{ACCOUNT}|0312345678|caller"),
            format!("1|60000|1.2|{ACCOUNT}|0312345678"),
            "1|60000|1.2|x|0312345678|caller".to_owned(),
            format!("1|60000|1.2|{ACCOUNT}|110|caller"),
            format!("1|60000|1.2|{ACCOUNT}|031234567x|caller"),
            format!("1|60000|1.2|{ACCOUNT}|1234567890|caller"),
            format!("1|x|1.2|{ACCOUNT}|0312345678|caller"),
        ] {
            assert_eq!(read(&value), None, "{value}");
        }
        let other = Key::new("offline/1.2").unwrap();
        let value = Value::found(&format!("1|60000|1.2|{ACCOUNT}|0312345678|caller"));
        assert_eq!(callback_request(&other, &value), None);
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for value in [
            "",
            "1",
            "2|1000|2000|1.2",
            "1|x|2000|1.2",
            "1|1000|x|1.2",
            "1|1000|2000|",
            "1|2000|1000|1.2",
            "1|1000|2000|%",
            "1|1000|2000|%F",
            "1|1000|2000|%FF",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        let value = Value::found("1|1000|2000|1.2");
        assert!(offline_call(&Key::new("offline/1").unwrap(), &value).is_some());
        assert_eq!(offline_call(&Key::new("plan/1").unwrap(), &value), None);
        assert_eq!(offline_call(&Key::new(COUNT_KEY).unwrap(), &value), None);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[0-9A-Za-z|:/%._ -]{0,200}") {
            if let Some(call) = read(&value) {
                prop_assert!(call.began <= call.ended);
                prop_assert!(call.answered.is_none_or(|at| at >= call.began && at <= call.ended));
            }
        }
    }
}
