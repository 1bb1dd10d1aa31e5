//! The identity of a call from its channel alone, for calls without SIP headers from the dialplan.
//!
//! Asterisk leaves a withheld number in the caller id; only the presentation marks it as withheld.
//!
//! Invariant: a number whose presentation is not clearly `allowed` is never part of the result.

use super::reason_in;
use crate::identity::{Caller, DialledSource, Identity, Presentation};

/// What Asterisk writes for an unknown value.
const UNKNOWN: [&str; 3] = ["", "<unknown>", "unknown"];
/// The bits of a presentation value that hold whether the number may be shown (Q.951).
const RESTRICTION_BITS: u16 = 0x60;

/// The presentation that counts of those that a PBX knows of one channel; `None` if the present one is not known and
/// nothing hides the number.
///
/// A route may overwrite the presentation before anybody asks (FreePBX saves it in `CALLINGNUMPRES_SV` and writes
/// `allowed`). `now` is the channel's present value, `saved` what such a route saved, `ani` the presentation of the ANI,
/// which a route leaves alone; without a value of their own the drivers report an ANI as allowed or unavailable, so of it
/// only a withheld number counts.
#[must_use]
pub fn strictest<'a>(now: Option<&'a str>, saved: Option<&'a str>, ani: Option<&'a str>) -> Option<&'a str> {
    let saved = saved.filter(|text| !text.trim().is_empty());
    let saved = saved.filter(|text| now.is_some() || presentation_of(text) != Presentation::Allowed);
    let ani = ani.filter(|text| presentation_of(text).hides_number());
    [now, saved, ani].into_iter().flatten().reduce(|one, other| {
        let (first, second) = (presentation_of(one), presentation_of(other));
        if first.stricter(second) == first { one } else { other }
    })
}

/// The identity from a channel's extension, caller id and presentation (`CID-CallingPres`: `0 (Presentation Allowed, Not
/// Screened)`; or a name such as `prohib_passed_screen`). Without a presentation the number counts as allowed.
#[must_use]
pub fn from_channel(extension: &str, number: &str, name: &str, presentation: Option<&str>) -> Identity {
    let presentation = presentation.map_or(Presentation::Allowed, presentation_of);
    let dialled = dialable(extension).map(|number| (DialledSource::Extension, number.into()));
    Identity {
        dialled: dialled.into_iter().collect(),
        diverted_by: Vec::new(),
        caller: caller_of_channel(number, name, presentation),
    }
}

/// The caller from a channel's caller id, if its presentation permits.
#[must_use]
pub fn caller_of_channel(number: &str, name: &str, presentation: Presentation) -> Caller {
    let name = Some(name.trim()).filter(|name| !UNKNOWN.contains(name));
    let number = number.trim();
    let known = dialable(number);
    match (presentation, &known) {
        (Presentation::Allowed, Some(known)) => {
            Caller::new(Some(known), name.filter(|name| *name != known), Presentation::Allowed)
        }
        (Presentation::Allowed, None) => {
            let why = name.and_then(reason_in).or_else(|| reason_in(number));
            Caller::new(None, None, why.unwrap_or(Presentation::Unavailable))
        }
        (why, _) => Caller::new(None, None, name.and_then(reason_in).unwrap_or(why)),
    }
}

/// A presentation as Asterisk writes it: `0 (Presentation Allowed, Not Screened)`, `prohib_passed_screen`.
#[must_use]
pub fn presentation_of(text: &str) -> Presentation {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
    if let Ok(value) = digits.parse::<u16>() {
        return match value & RESTRICTION_BITS {
            0 => Presentation::Allowed,
            0x40 => Presentation::Unavailable,
            _ => Presentation::Withheld,
        };
    }
    if text.is_empty() || text.starts_with("allowed") || text.starts_with("presentation allowed") {
        Presentation::Allowed
    } else if text.contains("unavailable") {
        Presentation::Unavailable
    } else {
        Presentation::Withheld
    }
}

/// `text`, if it is a number that could be dialled.
fn dialable(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presentation_decides() {
        use Presentation::{Allowed, Payphone, Unavailable, Withheld};
        for (number, name, presentation, seen, why) in [
            ("0901", "", None, Some("0901"), Allowed),
            ("0901", "", Some("0 (Presentation Allowed, Not Screened)"), Some("0901"), Allowed),
            ("0901", "", Some("3 (Presentation Allowed, Network Number)"), Some("0901"), Allowed),
            ("0901", "", Some("allowed_passed_screen"), Some("0901"), Allowed),
            ("0901", "Anonymous", Some("32 (Presentation Prohibited, Not Screened)"), None, Withheld),
            (
                "0901",
                "Coin line/payphone",
                Some("33 (Presentation Prohibited, Passed Screen)"),
                None,
                Payphone,
            ),
            ("0901", "", Some("67 (Number Unavailable)"), None, Unavailable),
            ("0901", "", Some("prohib_failed_screen"), None, Withheld),
            ("0901", "", Some("unavailable"), None, Unavailable),
            ("0901", "", Some("something new"), None, Withheld),
            ("anonymous", "", None, None, Withheld),
            ("anonymous", "Coin line/payphone", Some("0 (x)"), None, Payphone),
            ("<unknown>", "<unknown>", Some("0 (x)"), None, Unavailable),
            ("Unavailable", "", None, None, Unavailable),
            ("alice", "Alice", None, None, Unavailable),
        ] {
            let caller = from_channel("0355501001", number, name, presentation).caller;
            assert_eq!(
                (caller.number(), caller.presentation()),
                (seen, why),
                "{number} {name} {presentation:?}"
            );
        }
    }

    #[test]
    fn no_route_lifts_the_caller_s_presentation() {
        let (allowed, hidden, missing) = ("allowed_not_screened", "prohib_not_screened", "unavailable");
        for (now, saved, ani, counts) in [
            (Some(allowed), None, None, Some(allowed)),
            // Asked in time.
            (Some(hidden), None, None, Some(hidden)),
            // Asked late: the route has saved and overwritten it.
            (Some(allowed), Some(hidden), Some(allowed), Some(hidden)),
            (Some(allowed), Some(missing), None, Some(missing)),
            // Overwritten without being saved.
            (Some(allowed), None, Some(hidden), Some(hidden)),
            (Some(allowed), Some(allowed), Some(hidden), Some(hidden)),
            // A driver that sets no ANI.
            (Some(allowed), Some(allowed), Some(missing), Some(allowed)),
            (Some(allowed), Some(""), Some(""), Some(allowed)),
            // The present value could not be read: what was saved shows nothing by itself.
            (None, Some(allowed), None, None),
            (None, Some(hidden), None, Some(hidden)),
            (None, None, Some(hidden), Some(hidden)),
            (None, None, None, None),
        ] {
            assert_eq!(strictest(now, saved, ani), counts, "{now:?} {saved:?} {ani:?}");
        }
    }

    #[test]
    fn only_a_number_is_a_dialled_number() {
        for (extension, dialled) in
            [("0355501001", true), ("+81355501001", true), ("s", false), ("", false), ("*8", false)]
        {
            assert_eq!(!from_channel(extension, "", "", None).dialled.is_empty(), dialled, "{extension}");
        }
    }
}
