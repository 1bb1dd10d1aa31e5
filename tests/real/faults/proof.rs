//! The end of every test of the battery: what desktops were told and what the daemon kept, against the far end's own
//! record of the calls.
use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::desktop::Desktop;
use crate::far_record::{FarCall, Placed, far_record};
use crate::lab::{Lab, PATIENCE};
use crate::ms;
use crate::service::Service;

/// What was proven, to be printed.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    /// Pops that had to be, at each desktop.
    pub(crate) pops: usize,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, answered, pops } = self;
        write!(
            f,
            "{calls} calls by the far end's record, {answered} of them answered, {pops} pops at each desktop"
        )
    }
}

/// A call as the daemon recorded it.
#[derive(Debug)]
struct Kept {
    id: String,
    answered: bool,
    operators: BTreeSet<String>,
}

/// No call is open; each desktop was told each pop that the far end's record says must exist, and no other, once; the
/// history is the record. Of a call that was passed on, further phones may have rung.
pub(crate) async fn nothing_is_lost(
    lab: &Lab,
    service: &Service,
    desktops: &[Desktop],
    placed: &[Placed],
) -> Figures {
    let record = far_record(lab, placed).await;
    for (n, desktop) in desktops.iter().enumerate() {
        desktop.wait(&format!("desktop {n} sees every call end"), |knows| knows.open.is_empty()).await;
        desktop.look(|knows| assert_eq!(knows.twice, [""; 0], "desktop {n} was told this twice"));
    }
    let (_, open) = service.ask("admin", Method::GET, "/v1/calls", None).await;
    assert_eq!(open["items"], json!([]), "a call was left open");
    let history = history(service, &record).await;
    assert!(history.keys().eq(record.keys()), "recorded {:?}, placed {:?}", history.keys(), record.keys());
    let mut figures = Figures { calls: record.len(), ..Figures::default() };
    for (caller, far) in &record {
        let kept = &history[caller];
        let passed_on = desktops.iter().any(|desktop| desktop.look(|knows| knows.was_passed_on(&kept.id)));
        assert_eq!(kept.answered, far.answered, "{caller}: recorded {kept:?}, the far end {far:?}");
        let is_true = |told: &BTreeSet<String>, truth: &BTreeSet<String>| {
            if passed_on { !told.is_disjoint(truth) || truth.is_empty() } else { told == truth }
        };
        assert!(is_true(&kept.operators, &far.took), "{caller}: recorded {kept:?}, the far end {far:?}");
        for (n, desktop) in desktops.iter().enumerate() {
            let popped = desktop.look(|knows| knows.popped_at(&kept.id));
            assert!(
                is_true(&popped, &far.rang),
                "desktop {n}, {caller}: pops at {popped:?}, the far end {far:?}"
            );
        }
        figures.answered += usize::from(far.answered);
        figures.pops += far.rang.len();
    }
    figures
}

/// By caller; each call once. Waits until there are as many as the far end recorded.
async fn history(service: &Service, record: &BTreeMap<String, FarCall>) -> BTreeMap<String, Kept> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (mut found, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/v1/history?limit=500{cursor}");
            let (status, page) = service.ask("admin", Method::GET, &path, None).await;
            assert_eq!(status.as_u16(), 200, "{page}");
            for call in page["items"].as_array().unwrap() {
                let caller = call["caller"].as_str().unwrap_or_default().replacen("+81", "0", 1);
                let operators = call["operators"].as_array().into_iter().flatten();
                let kept = Kept {
                    id: call["id"].as_str().unwrap().to_owned(),
                    answered: call["answered_at"].is_string(),
                    operators: operators.filter_map(|o| o.as_str().map(str::to_owned)).collect(),
                };
                if record.contains_key(&caller) {
                    assert!(found.insert(caller, kept).is_none(), "recorded twice: {call}");
                }
            }
            let Value::String(next) = &page["next"] else { break };
            cursor = format!("&cursor={next}");
        }
        // Records are written behind the events; the last ones may be on their way.
        if found.len() >= record.len() || Instant::now() > deadline {
            return found;
        }
        sleep(ms(50)).await;
    }
}
