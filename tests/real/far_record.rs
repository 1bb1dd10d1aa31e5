//! The far end's own record of calls: what an Asterisk that knows nothing of the product wrote down of callers and of
//! phones, line by line. Tests compare with it what was told and what is kept.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::{Instant, sleep};

use crate::lab::{Lab, PATIENCE, PlacedCall};
use crate::ms;

/// Columns of the record.
const PHONE: usize = 0;
const CALLER: usize = 1;
const DISPOSITION: usize = 14;
const UNIQUE_ID: usize = 16;

/// A call as the carrier placed it.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The caller's number; no two calls of a test have the same.
    pub(crate) from: String,
    id: String,
}

impl From<&PlacedCall<'_>> for Placed {
    fn from(call: &PlacedCall<'_>) -> Self {
        Self { from: call.from().to_owned(), id: call.id().to_owned() }
    }
}

/// What became of a call at the far end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FarCall {
    /// Whether somebody took it.
    pub(crate) answered: bool,
    /// At which operators' phones it rang.
    pub(crate) rang: BTreeSet<String>,
    /// Which of them took it.
    pub(crate) took: BTreeSet<String>,
}

/// The record of these calls, by caller, once it is whole: a line is written when its channel is gone.
pub(crate) async fn far_record(lab: &Lab, placed: &[Placed]) -> BTreeMap<String, FarCall> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let record = read(lab, placed);
        let is_whole = |call: &FarCall| !call.rang.is_empty() && call.answered != call.took.is_empty();
        let whole = record.values().filter(|call| is_whole(call)).count();
        if whole == placed.len() {
            return record;
        }
        assert!(
            Instant::now() < deadline,
            "the far end recorded {whole} of {} calls: {record:#?}",
            placed.len()
        );
        sleep(ms(50)).await;
    }
}

fn read(lab: &Lab, placed: &[Placed]) -> BTreeMap<String, FarCall> {
    let file = lab.fact("LAB_CALL_RECORD");
    let ids: HashMap<&str, &str> = placed.iter().map(|call| (call.id.as_str(), call.from.as_str())).collect();
    let mut calls: BTreeMap<String, FarCall> = BTreeMap::new();
    let mut phones: Vec<(String, String, bool)> = Vec::new();
    let lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(&file);
    for line in lines.into_iter().flat_map(csv::Reader::into_records).filter_map(Result::ok) {
        let column = |n: usize| line.get(n).unwrap_or_default();
        let answered = column(DISPOSITION) == "ANSWERED";
        if let Some(from) = ids.get(column(UNIQUE_ID)) {
            calls.entry((*from).to_owned()).or_default().answered |= answered;
        } else if column(PHONE).starts_with('1') && column(PHONE).len() == 4 {
            phones.push((column(CALLER).to_owned(), column(PHONE).to_owned(), answered));
        }
    }
    for (caller, phone, answered) in phones {
        if let Some(call) = calls.get_mut(&caller) {
            if answered {
                call.took.insert(phone.clone());
            }
            call.rang.insert(phone);
        }
    }
    calls
}
