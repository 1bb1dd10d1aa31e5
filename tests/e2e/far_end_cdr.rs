//! The far end's own call detail records: what an Asterisk that knows nothing of the product recorded about callers and
//! phones. Tests compare the published events and the history with them.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::support::pbx_lab::{Lab, PlacedCall};
use crate::support::wait::eventually;

/// Columns of a CDR line.
const PHONE: usize = 0;
const CALLER: usize = 1;
const DISPOSITION: usize = 14;
const UNIQUE_ID: usize = 16;

/// A call as the carrier placed it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The caller's number; no two calls of a test have the same.
    pub(crate) from: String,
    /// The number it was dialled for.
    pub(crate) to: String,
    id: String,
}

impl From<&PlacedCall<'_>> for Placed {
    fn from(call: &PlacedCall<'_>) -> Self {
        Self { from: call.from().to_owned(), to: call.to().to_owned(), id: call.id().to_owned() }
    }
}

/// The result of a call at the far end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FarCall {
    /// The number it was dialled for.
    pub(crate) dialled: String,
    /// Whether the call was answered.
    pub(crate) answered: bool,
    /// The operators' phones at which it rang.
    pub(crate) rang: BTreeSet<String>,
    /// The phone that answered.
    pub(crate) took: BTreeSet<String>,
    /// The line of the phone that answered last. A line is written when the phone hangs up.
    pub(crate) line: usize,
}

/// The records of these calls by caller, once they are complete: a line is written when its channel has ended.
pub(crate) async fn far_end_cdr(lab: &Lab, placed: &[Placed]) -> BTreeMap<String, FarCall> {
    assert!(!placed.is_empty(), "no call was placed, so there is nothing to prove");
    eventually("the far end's record is whole", async || {
        let record = read(lab, placed);
        let is_whole = |from: &String| {
            let call = record.get(from);
            call.is_some_and(|call| !call.rang.is_empty() && call.answered != call.took.is_empty())
        };
        let lacking: Vec<_> = placed.iter().map(|call| &call.from).filter(|from| !is_whole(from)).collect();
        assert!(record.len() <= placed.len(), "two calls of one number: {placed:?}");
        if lacking.is_empty() && record.len() == placed.len() {
            return Ok(record);
        }
        let seen: Vec<_> = lacking.iter().map(|from| (from, record.get(*from))).collect();
        Err(format!("of {} calls it lacks {seen:#?}", placed.len()))
    })
    .await
}

fn read(lab: &Lab, placed: &[Placed]) -> BTreeMap<String, FarCall> {
    let file = lab.fact("LAB_CALL_RECORD");
    let ids: HashMap<&str, &Placed> = placed.iter().map(|call| (call.id.as_str(), call)).collect();
    let mut calls: BTreeMap<String, FarCall> = BTreeMap::new();
    let mut phones: Vec<(String, String, Option<usize>)> = Vec::new();
    let lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(&file);
    let lines = lines.into_iter().flat_map(csv::Reader::into_records).filter_map(Result::ok);
    for (n, line) in lines.enumerate() {
        let column = |at: usize| line.get(at).unwrap_or_default();
        let answered = column(DISPOSITION) == "ANSWERED";
        if let Some(placed) = ids.get(column(UNIQUE_ID)) {
            let call = calls.entry(placed.from.clone()).or_default();
            call.dialled.clone_from(&placed.to);
            call.answered |= answered;
        } else if column(PHONE).starts_with('1') && column(PHONE).len() == 4 {
            phones.push((column(CALLER).to_owned(), column(PHONE).to_owned(), answered.then_some(n)));
        }
    }
    for (caller, phone, answered) in phones {
        if let Some(call) = calls.get_mut(&caller) {
            if let Some(line) = answered {
                call.took.insert(phone.clone());
                call.line = line;
            }
            call.rang.insert(phone);
        }
    }
    calls
}
