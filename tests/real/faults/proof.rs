//! The end of every test of the battery: what desktops were told and what the daemon kept, against the far end's own
//! record of the calls.
use std::collections::{BTreeMap, BTreeSet};

use super::desktop::{Desktop, Knows};
use crate::far_record::{FarCall, Placed, far_record};
use crate::lab::{Lab, ask_until};
use crate::service::Service;
use reqwest::Method;
use serde_json::{Value, json};

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
    dialled: String,
    answered: bool,
    operators: BTreeSet<String>,
    /// At whom it was presented.
    rang: BTreeSet<String>,
}

/// No call is open; each desktop was told each pop that the far end's record says must exist, and no other, once; the
/// history is the record, with nothing besides. Of a call that was passed on, phones may have rung while no daemon
/// lived.
pub(crate) async fn nothing_is_lost(
    lab: &Lab,
    service: &Service,
    desktops: &[Desktop],
    placed: &[Placed],
) -> Figures {
    let ask = async |path: &str| {
        let (status, answer) = service.ask("admin", Method::GET, path, None).await;
        assert_eq!(status.as_u16(), 200, "{path}: {answer}");
        answer
    };
    let newest = async || service.follow("admin", None).await.next().await.expect("a first frame");
    nothing_of_a_pbx_is_lost(lab, "lab", (ask, newest), desktops, placed).await
}

/// As [`nothing_is_lost`], of the calls that the daemon of this name has of the lab's PBX; `ask` gets an answer to an
/// administrator, and `newest` the first frame of a stream that begins now.
pub(crate) async fn nothing_of_a_pbx_is_lost(
    lab: &Lab,
    pbx: &str,
    (ask, newest): (impl AsyncFn(&str) -> Value, impl AsyncFn() -> Value),
    desktops: &[Desktop],
    placed: &[Placed],
) -> Figures {
    assert!(!desktops.is_empty(), "nobody was told anything");
    let record = far_record(lab, placed).await;
    each_sees(desktops, "sees every call end", |knows| knows.open.is_empty()).await;
    let history = history(&ask, pbx, &record).await;
    // What another daemon tells may come later than it is recorded.
    let is_told = |knows: &Knows| history.values().all(|kept| !knows.popped_at(&kept.id).is_empty());
    each_sees(desktops, "is told a pop of each call, and its end", |knows| {
        knows.open.is_empty() && is_told(knows)
    })
    .await;
    // Whatever was told twice came before this.
    let newest = newest().await;
    let newest = newest["id"].as_str().unwrap();
    each_sees(desktops, "has all that was told", |knows| knows.is_level_with(newest)).await;
    for (n, desktop) in desktops.iter().enumerate() {
        desktop.look(|knows| assert_eq!(knows.twice, [""; 0], "desktop {n} was told this twice"));
    }
    assert_eq!(ask("/v1/calls").await["items"], json!([]), "a call was left open");
    let mut figures = Figures { calls: record.len(), ..Figures::default() };
    for (caller, far) in &record {
        let kept = &history[caller];
        let is_passed_on = desktops.iter().any(|desktop| desktop.look(|knows| knows.was_passed_on(&kept.id)));
        assert_eq!((kept.answered, &kept.dialled), (far.answered, &far.dialled), "{caller}: {kept:?}");
        let is_true = |told: &BTreeSet<String>, truth: &BTreeSet<String>| {
            let some = is_passed_on && told.is_subset(truth) && told.is_empty() == truth.is_empty();
            some || told == truth
        };
        assert!(is_true(&kept.operators, &far.took), "{caller}: recorded {kept:?}, the far end {far:?}");
        assert!(is_true(&kept.rang, &far.rang), "{caller}: recorded {kept:?}, the far end {far:?}");
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
    assert!(figures.answered > 0, "nobody answered: too little to prove anything");
    figures
}

async fn each_sees(desktops: &[Desktop], what: &str, is_so: impl Fn(&Knows) -> bool) {
    for (n, desktop) in desktops.iter().enumerate() {
        desktop.wait(&format!("desktop {n} {what}"), &is_so).await;
    }
}

/// Of one PBX, by caller, once it has each call of the record; a call that is there twice, or that nobody placed, fails
/// the test.
async fn history(
    ask: &impl AsyncFn(&str) -> Value,
    pbx: &str,
    record: &BTreeMap<String, FarCall>,
) -> BTreeMap<String, Kept> {
    // Records are written behind the events; the last ones may be on their way.
    let mut history = ask_until("the history has each call of the record", async || {
        let (mut found, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let page = ask(&format!("/v1/history?limit=500{cursor}")).await;
            for call in page["items"].as_array().unwrap().iter().filter(|call| call["pbx"] == pbx) {
                let caller = call["caller"].as_str().unwrap_or_default().replacen("+81", "0", 1);
                assert!(record.contains_key(&caller), "recorded, and nobody placed it: {call}");
                assert!(found.insert(caller, kept(call)).is_none(), "recorded twice: {call}");
            }
            let Value::String(next) = &page["next"] else { break };
            cursor = format!("&cursor={next}");
        }
        let lacking: Vec<_> = record.keys().filter(|caller| !found.contains_key(*caller)).collect();
        if lacking.is_empty() { Ok(found) } else { Err(format!("it lacks {lacking:?}")) }
    })
    .await;
    for kept in history.values_mut() {
        let whole = ask(&format!("/v1/history/{}", kept.id)).await;
        let segments = whole["segments"].as_array().into_iter().flatten();
        let presented = segments.filter(|segment| segment["kind"] == "presented");
        kept.rang = presented.map(|segment| text(&segment["operator"])).collect();
    }
    history
}

fn kept(call: &Value) -> Kept {
    Kept {
        id: text(&call["id"]),
        dialled: text(&call["dialled"]),
        answered: call["answered_at"].is_string(),
        operators: call["operators"].as_array().into_iter().flatten().map(text).collect(),
        rang: BTreeSet::new(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
