//! Orders that write plans: whatever is ordered, nothing but plans is written; and whenever the daemon dies, whatever somebody deletes
//! meanwhile, a call is treated by a whole plan or by the PBX's own dialplan.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use toritsugi::contract::callflow::CallflowFields;
use toritsugi::contract::records::AccountFields;
use toritsugi::numbers::NumberPlan;
use toritsugi::store::Store;
use toritsugi::store::callflows::StoredCallflow;

use crate::callflow::{closed_now, is_level, set_callflow};
use crate::support::pbx_lab::{Ami, CallSpec, Event, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually;
use crate::{KNOWN_CALLER, SAKURA};

/// Keys and values in one order, as many as the daemon sends.
const PAIRS: usize = 40;
const ORDERS: usize = 12;
/// What somebody who could place orders might try. A comma ends a variable in AMI, and an empty key ends an order.
const WORDS: [&str; 25] = [
    "plan",
    "times",
    "do",
    "dialled",
    "forwarding",
    "offline",
    "callback",
    "night",
    "voice",
    "/",
    "/",
    "..",
    "|",
    ":",
    "&",
    "${SHELL(id)}",
    "${DB(toritsugi/night)}",
    "$[1+1]",
    "=1)",
    "\"",
    "'",
    "\\",
    ";",
    " ",
    "受",
];

/// Any text of these words, the same in each run.
fn hostile(seed: &mut u64) -> String {
    let mut next = |below: usize| {
        // Xorshift.
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        usize::try_from(*seed % below as u64).unwrap()
    };
    let words = 1 + next(6);
    let text: String = (0..words).map(|_| WORDS[next(WORDS.len())]).collect();
    if text.trim().is_empty() { "x".to_owned() } else { text }
}

#[tokio::test]
async fn whatever_is_ordered_nothing_but_plans_is_written() {
    let lab = Lab::start().await;
    let access = lab.manager_access();
    let (user, secret) = &access.actions;
    let session = Ami::connect(&access.host, access.port, user, secret).await;
    for (key, value) in [("night", "0"), ("offline/1.1", "x"), ("voice/1", "x")] {
        lab.write_plan_key(key, value).await;
    }
    let others = async || -> BTreeMap<String, String> {
        let mut keys = lab.plan_keys().await;
        keys.retain(|key, _| {
            let tree = key.split('/').next().unwrap_or_default();
            !["plan", "times", "do", "dialled", "forwarding"].contains(&tree)
        });
        keys
    };
    let before = others().await;
    let mut seed = 0x2026_1130;
    for order in 0..ORDERS {
        let mut action = vec![
            ("Action".to_owned(), "Originate".to_owned()),
            ("Channel".to_owned(), "Local/put@toritsugi-plan/n".to_owned()),
            ("Context".to_owned(), "toritsugi-plan".to_owned()),
            ("Exten".to_owned(), "done".to_owned()),
            ("Priority".to_owned(), "1".to_owned()),
            ("Async".to_owned(), "true".to_owned()),
        ];
        for n in 1..=PAIRS {
            let (mut key, mut value) = (hostile(&mut seed), hostile(&mut seed));
            if n == PAIRS {
                (key, value) = (format!("dialled/{order}"), "ab".to_owned());
            } else if key.starts_with("offline") || key.starts_with("callback") {
                // Deleting these is what the daemon does with them.
                value = format!("x{value}");
            }
            action.push(("Variable".to_owned(), format!("__TORITSUGI_K{n}={key}")));
            action.push(("Variable".to_owned(), format!("__TORITSUGI_V{n}={value}")));
        }
        let action: Vec<(&str, &str)> =
            action.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let mark = lab.pbx.events.mark();
        session.must(&action).await;
        let is_over = |event: &Event| {
            let is_put = |name: &str| name.starts_with("Local/put@") && name.ends_with(";2");
            event.name() == "Hangup" && event.header("Channel").is_some_and(is_put)
        };
        lab.pbx.events.wait_after(mark, "the order to be carried out", is_over).await;
    }
    let mut after = others().await;
    // `offline` is only ever deleted.
    after.insert("offline/1.1".to_owned(), "x".to_owned());
    assert_eq!(after, before);
    for (key, value) in lab.plan_keys().await {
        let plain =
            |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        assert!(plain(&key, "/.-") && plain(&value, "|:/._ -"), "{key} = {value}");
    }
    // Nothing that such a plan says is carried out but the steps that there are.
    let minute = Timestamp::now().as_second() / 60;
    lab.write_plan_key(&format!("dialled/{SAKURA}"), "ab12").await;
    lab.write_plan_key("plan/ab12", &format!("5|77|{}", minute - 1_000)).await;
    lab.write_plan_key("times/77", "c/50400:z").await;
    lab.write_plan_key("do/ab12/5/c", "put x y|done|s 1|h|System rm|shell id|end refused").await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    assert_eq!(call.ended().await, 21);
}

#[tokio::test]
async fn a_daemon_that_dies_again_and_again_leaves_whole_plans_and_the_last_one_finishes() {
    const ACCOUNTS: usize = 120;
    let lab = Lab::start().await;
    let mut service = Service::start(&lab).await;
    service.change_account("A001", json!({ "hours": closed_now() })).await;
    set_callflow(&service, "A001", json!({ "closed_guidance": "none" })).await;
    is_level(&service).await;
    service.kill().await;
    let (store, plan) =
        (Store::open_at(&service.config.store.location().unwrap()).await.unwrap(), NumberPlan::default());
    for n in 0..ACCOUNTS {
        let fields = AccountFields {
            code: format!("F{n:04}"),
            name: format!("会社{n}"),
            dialled: vec![format!("03{:08}", 10_000_000 + n)],
            ..AccountFields::default()
        };
        let account =
            store.create_account(&fields.checked(&plan).unwrap(), Timestamp::now()).await.unwrap().id;
        let fields = CallflowFields { wait_s: 30, ..CallflowFields::default() };
        let own = fields.as_object();
        let (by_name, changed_at) = ("x".to_owned(), Timestamp::now());
        let callflow = StoredCallflow { account, fields, template: None, own, by_name, changed_at };
        assert!(store.set_callflow(&callflow, None).await.unwrap());
    }
    store.close().await;
    lab.phone("1001").rings_for_ever().await;
    let writes = |event: &Event| {
        let is_put = |name: &str| name.starts_with("Local/put@") && name.ends_with(";2");
        event.name() == "Newchannel" && event.header("Channel").is_some_and(is_put)
    };
    for (orders, deleted) in
        [(1, None), (2, Some("do")), (1, Some("plan")), (3, Some("times")), (2, Some("dialled"))]
    {
        if let Some(tree) = deleted {
            lab.pbx.action(&[("Action", "DBDelTree"), ("Family", &format!("toritsugi/{tree}"))]).await;
        }
        let begun = lab.pbx.events.all(writes).len();
        service.again().await;
        eventually("some orders are sent", async || {
            let sent = lab.pbx.events.all(writes).len() - begun;
            if sent >= orders { Ok(()) } else { Err(format!("{sent} orders")) }
        })
        .await;
        service.kill().await;
        // By its plan, or as the house does.
        let mark = lab.pbx.events.mark();
        let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
        let decided =
            |event: &Event| event.name() == "QueueCallerJoin" || event.has("UserEvent", "ToritsugiOutcome");
        let decided = lab.pbx.events.wait_after(mark, "the call to be treated", decided).await;
        if decided.name() == "QueueCallerJoin" {
            call.hang_up().await;
        } else {
            assert_eq!((decided.header("Outcome"), call.ended().await), (Some("closed"), 21));
        }
    }
    service.again().await;
    is_level(&service).await;
    let keys = lab.plan_keys().await;
    assert_eq!(keys.keys().filter(|key| key.starts_with("plan/")).count(), ACCOUNTS + 1);
    let (_, _, _) = lab.call_until_ended(KNOWN_CALLER, SAKURA).await;
    service.stop().await;
}
