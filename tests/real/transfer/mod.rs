//! Transfer after answer on a real PBX: each by its events, by who heard whom, and by what the history keeps.
mod caller_leaves;
mod command;
mod daemon_dies;
mod prompt;
mod supervised;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::ids::CallId;
use toritsugi::store::Store;

use crate::desk::Sse;
use crate::lab::{CallSpec, Lab, PlacedCall, Tone};
use crate::service::Service;
use crate::{KNOWN_CALLER, MINATO, SAKURA, ms};

const CONTACT: &str = "09011112222";
/// First and second of the on-call list of account 1; both press 1.
const FIRST_ON_CALL: &str = "09055500011";
const SECOND_ON_CALL: &str = "09055500012";

/// A caller who talks with operator 1001, and what the operator's desktop is told.
struct Scene<'a> {
    service: Service,
    events: Sse,
    call: PlacedCall<'a>,
    id: String,
    kinds: Vec<String>,
}

impl<'a> Scene<'a> {
    async fn talking(lab: &'a Lab) -> Self {
        Self::talking_with(lab, CallSpec::new(KNOWN_CALLER, SAKURA)).await
    }

    /// The account's contacts have no key to press.
    async fn talking_with(lab: &'a Lab, spec: CallSpec) -> Self {
        let service = Service::start(lab).await;
        service.nobody_presses_a_key().await;
        Self::begin(lab, service, spec).await
    }

    /// Whoever is called outside presses 1 first, as is usual.
    async fn with_keys(lab: &'a Lab) -> Self {
        let service = Service::start(lab).await;
        Self::begin(lab, service, CallSpec::new(KNOWN_CALLER, SAKURA)).await
    }

    async fn begin(lab: &'a Lab, service: Service, spec: CallSpec) -> Self {
        let mut events = service.follow("1001", None).await;
        lab.phone("1001").answers_after(ms(200)).await;
        let call = lab.place_call(spec).await;
        let id = loop {
            let event = events.next().await.expect("an event");
            if event["kind"] == "call.answered" {
                break event["call"].as_str().unwrap().to_owned();
            }
        };
        lab.phone("1001").talks().await;
        talk().await;
        Self { service, events, call, id, kinds: Vec::new() }
    }

    async fn transfer(&self, mode: &str, to: &str) -> Value {
        let (status, transfer) = self.ask_transfer("1001", mode, to).await;
        assert_eq!(status, StatusCode::CREATED, "{transfer}");
        transfer
    }

    async fn ask_transfer(&self, who: &str, mode: &str, to: &str) -> (StatusCode, Value) {
        let path = format!("/v1/calls/{}/transfers", self.id);
        self.service.ask(who, Method::POST, &path, Some(json!({ "mode": mode, "to": to }))).await
    }

    async fn order(&self, transfer: &Value, verb: &str) -> (StatusCode, Value) {
        let path = format!("/v1/transfers/{}/{verb}", transfer["id"].as_str().unwrap());
        self.service.ask("1001", Method::POST, &path, None).await
    }

    async fn show(&self, transfer: &Value) -> Value {
        let path = format!("/v1/transfers/{}", transfer["id"].as_str().unwrap());
        let (status, view) = self.service.ask("1001", Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{view}");
        view
    }

    /// The next event of this kind of this call.
    async fn told(&mut self, kind: &str) -> Value {
        loop {
            let event = self.events.next().await.expect("an event");
            if event["call"] != self.id.as_str() {
                continue;
            }
            let this = event["kind"].as_str().unwrap().to_owned();
            self.kinds.push(this.clone());
            if this == kind {
                return event["data"].clone();
            }
            assert!(this != "call.ended", "the call ended before {kind}: {:?}", self.kinds);
        }
    }

    /// Waits until the transfer is over and the call, too, or an operator has the caller; says whether one has.
    async fn is_over_or_with_an_operator(&self, transfer: &Value) -> bool {
        let deadline = tokio::time::Instant::now() + crate::lab::PATIENCE;
        loop {
            let (over, (status, call)) = (self.show(transfer).await, self.shown().await);
            if over["state"] == "over" && status == StatusCode::NOT_FOUND {
                return false;
            }
            if over["state"] == "over" && call["state"] == "answered" && call["operator"].is_string() {
                return true;
            }
            assert!(tokio::time::Instant::now() < deadline, "the caller is left alone: {over} {call}");
            tokio::time::sleep(ms(50)).await;
        }
    }

    /// The call, as the daemon shows it now.
    async fn shown(&self) -> (StatusCode, Value) {
        self.service.ask("admin", Method::GET, &format!("/v1/calls/{}", self.id), None).await
    }

    /// Whether the daemon has the call as live.
    async fn is_open(&self) -> bool {
        self.shown().await.0 != StatusCode::NOT_FOUND
    }

    /// Waits until the daemon has seen the end of the call.
    async fn ended(&mut self) {
        if !self.kinds.iter().any(|kind| kind == "call.ended") {
            self.told("call.ended").await;
        }
    }

    /// Waits until the call is recorded, and gives its segments as `kind result`.
    async fn history(&mut self) -> Vec<String> {
        self.ended().await;
        self.service.stop().await;
        let store = Store::open(&self.service.config.store.path).await.unwrap();
        let record = store.finished_call(CallId::parse(&self.id).unwrap()).await.unwrap();
        store.close().await;
        let record = record.expect("the call is recorded");
        let told = |s: &toritsugi::store::Segment| {
            assert!(s.until.is_some(), "{s:?} was left open");
            format!("{} {}", s.kind, s.result.as_deref().unwrap_or("-"))
        };
        record.segments.iter().map(told).collect()
    }
}

#[tokio::test]
async fn a_blind_transfer_reaches_the_contact() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).talks_briefly(ms(1_200), ms(3_000)).await;
    let transfer = scene.transfer("blind", CONTACT).await;
    assert_eq!(transfer["mode"], "blind");
    assert_eq!(scene.told("call.transfer.requested").await["operator"], "1001");
    scene.told("call.transfer.ringing").await;
    let done = scene.told("call.transfer.completed").await;
    assert_eq!(done["outcome"], "answered");
    assert_eq!(done["targets"], json!([{ "kind": "number", "number": "090-1111-2222" }]));
    assert_eq!(scene.call.ended().await, 16);
    scene.ended().await;
    let over = scene.show(&transfer).await;
    assert_eq!((&over["state"], &over["outcome"]), (&json!("over"), &json!("answered")));
    assert!((2..=4).contains(&over["talked_s"].as_u64().unwrap()), "{over}");
    let (caller, contact) = (scene.call.heard().await, lab.phone(CONTACT).heard().await);
    assert!(caller.ever_hears(Tone::OPERATOR) && caller.ever_hears(Tone::MUSIC), "{:?}", caller.per_second());
    assert!(caller.ever_hears(Tone::CONTACT), "{:?}", caller.per_second());
    assert!(contact.hears_throughout(Tone::CALLER, 1..2), "{:?}", contact.per_second());
    assert!(!contact.ever_hears(Tone::OPERATOR), "{:?}", contact.per_second());
    let history = scene.history().await;
    assert!(history.contains(&"transfer answered".to_owned()), "{history:?}");
    assert!(history.contains(&"transferred -".to_owned()), "{history:?}");
}

#[tokio::test]
async fn a_caller_whom_nobody_takes_comes_back_with_the_reason() {
    let lab = Lab::start().await;
    for (behaviour, outcome) in
        [("busy", "busy"), ("refusing", "refused"), ("unreachable", "unreachable"), ("silent", "no_answer")]
    {
        let mut scene = Scene::talking(&lab).await;
        let contact = lab.phone(CONTACT);
        match behaviour {
            "busy" => contact.is_busy().await,
            "refusing" => contact.refuses().await,
            "unreachable" => contact.is_unreachable().await,
            _ => contact.rings_for_ever().await,
        }
        scene.transfer("blind", CONTACT).await;
        assert_eq!(scene.told("call.transfer.failed").await["outcome"], outcome, "{behaviour}");
        let back = scene.told("call.transfer.returned").await;
        assert_eq!(back["returned_to"], json!({ "operator": "1001" }), "{behaviour}");
        let pop = scene.told("call.presented").await;
        assert_eq!(pop["transfer"]["outcome"], outcome, "{behaviour}: {pop}");
        assert_eq!(pop["account"]["name"], "株式会社さくら商事", "{behaviour}");
        scene.told("call.answered").await;
        lab.phone("1001").talks().await;
        talk().await;
        scene.call.hang_up().await;
        let operator = lab.phone("1001").heard().await;
        assert!(operator.ever_hears(Tone::CALLER), "{behaviour}: {:?}", operator.per_second());
        scene.told("call.ended").await;
        let history = scene.history().await;
        assert!(history.contains(&format!("transfer {outcome}")), "{history:?}");
        assert!(history.contains(&format!("returned {outcome}")), "{history:?}");
        lab.reset().await;
    }
}

#[tokio::test]
async fn the_second_on_call_takes_the_caller_after_a_mailbox() {
    let lab = Lab::start().await;
    let mut scene = Scene::with_keys(&lab).await;
    lab.phone(FIRST_ON_CALL).is_a_mailbox_after(ms(200)).await;
    lab.phone(SECOND_ON_CALL).presses_after(ms(200), "1").await;
    let transfer = scene.transfer("blind", "on-call").await;
    assert_eq!(transfer["targets"].as_array().unwrap().len(), 2);
    let first = scene.told("call.transfer.failed").await;
    assert_eq!(first["attempts"][0]["outcome"], "not_accepted", "{first}");
    assert_eq!(first["attempts"][0]["target"]["name"], "佐々木健");
    assert_eq!(first["state"], "trying");
    let done = scene.told("call.transfer.completed").await;
    assert_eq!(done["attempts"][1]["target"]["name"], "井上美咲", "{done}");
    talk().await;
    lab.phone(SECOND_ON_CALL).hangs_up().await;
    scene.call.ended().await;
    let (mailbox, second) = (lab.phone(FIRST_ON_CALL).heard().await, lab.phone(SECOND_ON_CALL).heard().await);
    assert!(
        mailbox.ever_hears(Tone::PROMPT) && !mailbox.ever_hears(Tone::CALLER),
        "{:?}",
        mailbox.per_second()
    );
    assert!(second.ever_hears(Tone::CALLER), "{:?}", second.per_second());
    let caller = scene.call.heard().await;
    assert!(!caller.ever_hears(Tone::PROMPT), "{:?}", caller.per_second());
}

#[tokio::test]
async fn an_operator_who_is_gone_leaves_the_caller_to_the_queue() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    let mut supervisor = scene.service.follow("admin", None).await;
    lab.phone(CONTACT).is_busy().await;
    lab.phone("1001").is_busy().await;
    lab.phone("1003").answers_after(ms(300)).await;
    scene.transfer("blind", CONTACT).await;
    assert_eq!(scene.told("call.transfer.returned").await["returned_to"], json!({ "operator": "1001" }));
    let queued = scene.told("call.transfer.returned").await;
    assert_eq!(queued["returned_to"], json!({ "queue": "operators" }));
    let pop = loop {
        let event = supervisor.next().await.expect("an event");
        if event["kind"] == "call.presented" && event["data"]["operator"] == "1003" {
            if event["data"]["transfer"].is_null() {
                continue;
            }
            break event["data"].clone();
        }
    };
    assert_eq!(pop["transfer"]["returned_to"], json!({ "queue": "operators" }), "{pop}");
    assert_eq!(pop["transfer"]["outcome"], "busy");
    lab.phone("1003").talks().await;
    talk().await;
    scene.call.hang_up().await;
    assert!(lab.phone("1003").heard().await.ever_hears(Tone::CALLER));
}

#[tokio::test]
async fn a_consultation_is_completed() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(800)).await;
    let transfer = scene.transfer("consult", CONTACT).await;
    let (status, early) = scene.order(&transfer, "complete").await;
    assert_eq!((status, &early["type"]), (StatusCode::CONFLICT, &json!("call-conflict")), "{early}");
    scene.told("call.transfer.ringing").await;
    scene.told("call.transfer.consulting").await;
    talk().await;
    let (status, _) = scene.order(&transfer, "complete").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    scene.told("call.transfer.completed").await;
    lab.phone("1001").goes_idle().await;
    talk().await;
    scene.call.hang_up().await;
    lab.phone(CONTACT).goes_idle().await;
    let (caller, contact) = (scene.call.heard().await, lab.phone(CONTACT).heard().await);
    assert!(caller.ever_hears(Tone::MUSIC) && caller.ever_hears(Tone::CONTACT), "{:?}", caller.per_second());
    assert!(
        contact.ever_hears(Tone::OPERATOR) && contact.ever_hears(Tone::CALLER),
        "{:?}",
        contact.per_second()
    );
    for second in contact.per_second() {
        assert!(!(second.contains(&Tone::MUSIC)), "the contact hears no music");
    }
    let history = scene.history().await;
    assert!(history.contains(&"transfer answered".to_owned()), "{history:?}");
}

#[tokio::test]
async fn a_consultation_is_cancelled() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(300)).await;
    let transfer = scene.transfer("consult", CONTACT).await;
    scene.told("call.transfer.consulting").await;
    talk().await;
    assert_eq!(scene.order(&transfer, "cancel").await.0, StatusCode::ACCEPTED);
    let back = scene.told("call.transfer.returned").await;
    assert_eq!(
        (&back["outcome"], &back["returned_to"]),
        (&json!("cancelled"), &json!({ "operator": "1001" }))
    );
    lab.phone(CONTACT).goes_idle().await;
    talk().await;
    scene.call.hang_up().await;
    let (caller, contact) = (scene.call.heard().await, lab.phone(CONTACT).heard().await);
    assert!(!caller.ever_hears(Tone::CONTACT) && !contact.ever_hears(Tone::CALLER));
    let last = caller.per_second().into_iter().rev().nth(1).unwrap();
    assert!(last.contains(&Tone::OPERATOR), "{:?}", caller.per_second());
}

#[tokio::test]
async fn a_consultation_that_fails_gives_the_caller_back() {
    let lab = Lab::start().await;
    for (behaviour, outcome) in [("busy", "busy"), ("refusing", "refused"), ("leaving", "declined")] {
        let mut scene = Scene::talking(&lab).await;
        match behaviour {
            "busy" => lab.phone(CONTACT).is_busy().await,
            "refusing" => lab.phone(CONTACT).refuses().await,
            _ => lab.phone(CONTACT).talks_briefly(ms(200), ms(1_000)).await,
        }
        scene.transfer("consult", CONTACT).await;
        assert_eq!(scene.told("call.transfer.failed").await["outcome"], outcome, "{behaviour}");
        let back = scene.told("call.transfer.returned").await;
        assert_eq!(back["returned_to"], json!({ "operator": "1001" }), "{behaviour}");
        talk().await;
        scene.call.hang_up().await;
        let caller = scene.call.heard().await;
        let last = caller.per_second().into_iter().rev().nth(1).unwrap();
        assert!(last.contains(&Tone::OPERATOR), "{behaviour}: {:?}", caller.per_second());
        scene.service.stop().await;
        lab.reset().await;
    }
}

#[tokio::test]
async fn an_operator_who_hangs_up_before_the_contact_answers_has_transferred() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    lab.phone(CONTACT).answers_after(ms(2_500)).await;
    scene.transfer("consult", CONTACT).await;
    scene.told("call.transfer.ringing").await;
    lab.phone("1001").hangs_up().await;
    scene.told("call.transfer.completed").await;
    lab.phone(CONTACT).talks().await;
    talk().await;
    scene.call.hang_up().await;
    assert!(lab.phone(CONTACT).heard().await.ever_hears(Tone::CALLER));
}

#[tokio::test]
async fn only_one_transfer_at_a_time_by_those_who_may_to_numbers_that_are_allowed() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking(&lab).await;
    for (who, status) in [("1002", StatusCode::NOT_FOUND), ("2002", StatusCode::NOT_FOUND)] {
        assert_eq!(scene.ask_transfer(who, "blind", CONTACT).await.0, status, "{who}");
    }
    for to in [
        "0990123456",
        "0570123456",
        "+12125550100",
        "110",
        "1999999",
        "queue:none",
        "operator:3001",
        "contact:00000000-0000-7000-8000-000000000000",
        "sip:x",
        "",
    ] {
        let (status, problem) = scene.ask_transfer("1001", "blind", to).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{to}: {problem}");
    }
    assert_eq!(scene.ask_transfer("1001", "consult", "on-call").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (one, two) = tokio::join!(
        scene.ask_transfer("1001", "blind", CONTACT),
        scene.ask_transfer("2001", "blind", CONTACT)
    );
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT]);
    scene.told("call.transfer.ringing").await;
    assert_eq!(lab.phone(CONTACT).times_rung(), 1);
    let transfer = if one.0 == StatusCode::CREATED { one.1 } else { two.1 };
    assert_eq!(scene.order(&transfer, "cancel").await.0, StatusCode::ACCEPTED);
    let back = scene.told("call.transfer.returned").await;
    assert_eq!(back["outcome"], "cancelled", "{back}");
    scene.told("call.answered").await;
    lab.phone(CONTACT).goes_idle().await;
    scene.call.hang_up().await;
}

#[tokio::test]
async fn a_colleague_takes_the_caller_and_a_withheld_number_stays_withheld() {
    let lab = Lab::start().await;
    let mut scene = Scene::talking_with(&lab, CallSpec::new(KNOWN_CALLER, SAKURA).withheld()).await;
    lab.phone("1002").answers_after(ms(300)).await;
    scene.transfer("blind", "operator:1002").await;
    scene.told("call.transfer.completed").await;
    lab.phone("1002").talks().await;
    // She has the caller now, and passes her on.
    let path = format!("/v1/calls/{}/transfers", scene.id);
    let wanted = json!({ "to": CONTACT });
    let (status, transfer) = scene.service.ask("1002", Method::POST, &path, Some(wanted)).await;
    assert_eq!(status, StatusCode::CREATED, "{transfer}");
    let leg = lab.phone(CONTACT).rings().await;
    assert_ne!(leg.header("CallerIDNum"), Some(KNOWN_CALLER), "{leg:?}");
    scene.call.hang_up().await;
}

#[tokio::test]
async fn the_contact_is_shown_the_number_that_the_account_wants() {
    let lab = Lab::start().await;
    for (dialled, shown) in [(SAKURA, KNOWN_CALLER), (MINATO, MINATO)] {
        for mode in ["blind", "consult"] {
            let mut scene = Scene::talking_with(&lab, CallSpec::new(KNOWN_CALLER, dialled)).await;
            scene.transfer(mode, CONTACT).await;
            let leg = lab.phone(CONTACT).rings().await;
            let seen = leg.header("CallerIDNum").map(|number| number.replace("+81", "0"));
            assert_eq!(seen.as_deref(), Some(shown), "{dialled} {mode}");
            scene.call.hang_up().await;
            scene.service.stop().await;
            lab.reset().await;
        }
    }
}

const AT_ONCE: usize = 30;

#[tokio::test]
async fn thirty_transfers_at_once_all_reach_their_contacts() {
    let lab = Lab::start().await;
    let mut service = Service::start_with(&lab, &[("TRANSFER__RING_SECONDS", "120")]).await;
    service.nobody_presses_a_key().await;
    let mut events = service.follow("admin", None).await;
    for phone in ["1001", "1002", "1003"] {
        lab.phone(phone).answers_after(ms(50)).await;
    }
    let contact = |n: usize| format!("0902222{n:04}");
    let mut calls = Vec::new();
    for n in 0..AT_ONCE {
        calls.push(lab.place_call(CallSpec::new(&format!("0901000{n:04}"), SAKURA)).await);
    }
    let (mut passed_on, mut ringing) = (0, 0);
    while ringing < AT_ONCE {
        let event = events.next().await.expect("an event");
        match event["kind"].as_str() {
            Some("call.answered") => {
                let path = format!("/v1/calls/{}/transfers", event["call"].as_str().unwrap());
                let wanted = json!({ "to": contact(passed_on) });
                let (status, answer) = service.ask("admin", Method::POST, &path, Some(wanted)).await;
                assert_eq!(status, StatusCode::CREATED, "{answer}");
                passed_on += 1;
            }
            Some("call.transfer.ringing") => ringing += 1,
            Some("call.transfer.failed") => panic!("{event}"),
            _ => {}
        }
    }
    for n in 0..AT_ONCE {
        lab.phone(&contact(n)).answers().await;
    }
    let mut completed = 0;
    while completed < AT_ONCE {
        let event = events.next().await.expect("an event");
        completed += usize::from(event["kind"] == "call.transfer.completed");
    }
    talk().await;
    for call in &calls {
        call.hang_up().await;
    }
    for n in 0..AT_ONCE {
        let contact = lab.phone(&contact(n));
        assert_eq!(contact.times_rung(), 1);
        assert!(contact.heard().await.ever_hears(Tone::CALLER), "contact {n} heard nobody");
    }
    service.stop().await;
}

/// Recordings need time to be spoken: this is no wait for an event.
async fn talk() {
    tokio::time::sleep(ms(2_200)).await;
}
