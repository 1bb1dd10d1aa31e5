//! Fuzzes the identity headers with any bytes: nothing panics, a withheld caller yields no number, and each number found
//! has a stable key.
//!
//! The input is split at zero bytes; each piece is a header whose first byte chooses the name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use toritsugi::identity::Presentation;
use toritsugi::numbers::{Number, NumberPlan};
use toritsugi::sip::{from_channel, from_headers};

const NAMES: [&str; 16] = [
    "PAI1", "PAI2", "PPI", "PCalledParty", "Diversion", "HistoryInfo1", "HistoryInfo2", "HistoryInfo3", "RPID",
    "Privacy", "From", "To", "RequestUri", "Redirecting", "Encoding", "f",
];
/// Sources of called numbers: P-Called-Party-ID, Request-URI, To, the extension.
const DIALLED_MAX: usize = 4;

fuzz_target!(|data: &[u8]| {
    let headers: Vec<(&str, &[u8])> = data
        .split(|byte| *byte == 0)
        .filter_map(|piece| piece.split_first())
        .map(|(first, value)| (NAMES[usize::from(*first) % NAMES.len()], value))
        .collect();
    let text = String::from_utf8_lossy(data);
    let channel = from_channel("0355501001", &text, &text, None);
    check(&from_headers(headers.iter().copied(), &channel));

    // A Privacy header hides the caller, whatever the other headers hold.
    let private = std::iter::once(("Privacy", b"id".as_slice())).chain(headers.iter().copied());
    let identity = from_headers(private.filter(|(name, _)| *name != "Encoding"), &channel);
    assert_ne!(identity.caller.presentation(), Presentation::Allowed);
    check(&identity);
});

fn check(identity: &toritsugi::identity::Identity) {
    assert!(identity.dialled.len() <= DIALLED_MAX);
    let caller = &identity.caller;
    if caller.presentation() != Presentation::Allowed {
        assert_eq!((caller.number(), caller.display()), (None, None));
    }
    let plan = NumberPlan::default();
    let dialled = identity.dialled.iter().map(|(_, number)| number.as_str());
    let diverted = identity.diverted_by.iter().map(|(_, number)| number.as_str());
    for text in dialled.chain(diverted).chain(caller.number()) {
        let Some(once) = Number::read(text, &plan) else { continue };
        let twice = Number::read(once.key(), &plan);
        assert_eq!(twice.as_ref().map(Number::key), Some(once.key()), "{text}");
        let shown = Number::read(&once.display(), &plan);
        assert_eq!(shown.as_ref().map(Number::key), Some(once.key()), "{text}");
    }
}
