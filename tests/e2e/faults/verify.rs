//! The final check of every fault-injection test: what the desktops received, what the daemon recorded and what states
//! the operators were in must equal the far end's call detail records.
use std::collections::{BTreeMap, BTreeSet};

use super::desktop::{Desktop, DesktopModel};
use super::states;
use crate::far_end_cdr::{FarCall, Placed, far_end_cdr};
use crate::support::pbx_lab::Lab;
use crate::support::service::Service;
use crate::support::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

/// The verified numbers, for printing.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    /// Pops that each desktop had to receive.
    pub(crate) pops: usize,
    /// Talks that the histories of the operators' states had to have.
    pub(crate) talks: usize,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, answered, pops, talks } = self;
        write!(
            f,
            "{calls} calls by the far end's record, {answered} of them answered, {pops} pops at each desktop, {talks} \
             talks in the operators' states"
        )
    }
}

/// A call as the daemon recorded it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: String,
    dialled: String,
    answered: bool,
    operators: BTreeSet<String>,
    /// The operators at whom the call rang.
    rang: BTreeSet<String>,
}

/// Checks that no call is open, that each desktop received exactly the pops that the far end's records imply, once each,
/// and that the history equals the records. Phones of a transferred call may have rung while no daemon ran.
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

/// Like [`nothing_is_lost`], for the calls that the daemon of this PBX name has. `ask` sends a request as the
/// administrator, `newest` returns the opening frame of a new stream.
pub(crate) async fn nothing_of_a_pbx_is_lost(
    lab: &Lab,
    pbx: &str,
    (ask, newest): (impl AsyncFn(&str) -> Value, impl AsyncFn() -> Value),
    desktops: &[Desktop],
    placed: &[Placed],
) -> Figures {
    assert!(!desktops.is_empty(), "there is no desktop");
    let record = far_end_cdr(lab, placed).await;
    each_sees(desktops, "sees every call end", |model| model.open.is_empty()).await;
    let history = history(&ask, pbx, &record).await;
    // An event of another daemon may arrive after its record.
    let is_told = |model: &DesktopModel| history.values().all(|kept| !model.popped_at(&kept.id).is_empty());
    each_sees(desktops, "receives a pop of each call, and its end", |model| {
        model.open.is_empty() && is_told(model)
    })
    .await;
    // A duplicate would have arrived before this frame.
    let newest = newest().await;
    let newest = newest["id"].as_str().unwrap();
    each_sees(desktops, "has received every published event", |model| model.has_received_up_to(newest)).await;
    for (n, desktop) in desktops.iter().enumerate() {
        desktop.look(|model| assert_eq!(model.duplicates, [""; 0], "desktop {n} received this twice"));
    }
    assert_eq!(ask("/v1/calls").await["items"], json!([]), "a call was left open");
    let mut figures = Figures { calls: record.len(), ..Figures::default() };
    for (caller, far) in &record {
        let kept = &history[caller];
        let is_passed_on = desktops.iter().any(|desktop| desktop.look(|model| model.was_passed_on(&kept.id)));
        assert_eq!((kept.answered, &kept.dialled), (far.answered, &far.dialled), "{caller}: {kept:?}");
        let is_true = |shown: &BTreeSet<String>, truth: &BTreeSet<String>| {
            let some = is_passed_on && shown.is_subset(truth) && shown.is_empty() == truth.is_empty();
            some || shown == truth
        };
        assert!(is_true(&kept.operators, &far.took), "{caller}: recorded {kept:?}, the far end {far:?}");
        assert!(is_true(&kept.rang, &far.rang), "{caller}: recorded {kept:?}, the far end {far:?}");
        for (n, desktop) in desktops.iter().enumerate() {
            let popped = desktop.look(|model| model.popped_at(&kept.id));
            assert!(
                is_true(&popped, &far.rang),
                "desktop {n}, {caller}: pops at {popped:?}, the far end {far:?}"
            );
        }
        figures.answered += usize::from(far.answered);
        figures.pops += far.rang.len();
    }
    assert!(figures.answered > 0, "nobody answered: too little to prove anything");
    let is_passed_on =
        |id: &str| desktops.iter().any(|desktop| desktop.look(|model| model.was_passed_on(id)));
    figures.talks = states::are_true(&ask, &record, &history, &is_passed_on).await;
    figures
}

async fn each_sees(desktops: &[Desktop], what: &str, is_so: impl Fn(&DesktopModel) -> bool) {
    for (n, desktop) in desktops.iter().enumerate() {
        desktop.wait(&format!("desktop {n} {what}"), &is_so).await;
    }
}

/// The history of one PBX by caller, once it has each call of the records; a duplicate call, or one that no test placed,
/// fails the test.
async fn history(
    ask: &impl AsyncFn(&str) -> Value,
    pbx: &str,
    record: &BTreeMap<String, FarCall>,
) -> BTreeMap<String, Kept> {
    // Records are written after the events; the last ones may not be written yet.
    let mut history = eventually("the history has each call of the record", async || {
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
