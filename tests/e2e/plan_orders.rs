//! Orders that write plans: whatever is ordered, nothing but plans is written.
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::support::pbx_lab::{Ami, CallSpec, Event, Lab};
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
async fn the_writing_context_writes_plans_and_nothing_else() {
    let lab = Lab::start().await;
    let access = lab.manager_access();
    let (user, secret) = &access.actions;
    let session = Ami::connect(&access.host, access.port, user, secret).await;
    lab.write_plan_key("night", "0").await;
    lab.write_plan_key("do/1/2/o", "pbx").await;
    let pairs = [
        ("night", "1"),
        ("../night", "1"),
        ("", "x"),
        ("voice/1", "x"),
        ("offline/1", "x"),
        ("PLAN/1", "x"),
        ("plan", "x"),
        ("plan/a;b", "1|2|3"),
        ("plan/$SHELL", "${SHELL(id)}"),
        ("times/1", "o/540:c"),
        ("do/1/2/o", ""),
        ("do/1/2/c", "say a_b/c-d early x.y"),
        ("dialled/0300000000", "ab"),
    ];
    let mut action = vec![
        ("Action".to_owned(), "Originate".to_owned()),
        ("Channel".to_owned(), "Local/put@toritsugi-plan/n".to_owned()),
        ("Context".to_owned(), "toritsugi-plan".to_owned()),
        ("Exten".to_owned(), "done".to_owned()),
        ("Priority".to_owned(), "1".to_owned()),
        ("Async".to_owned(), "true".to_owned()),
    ];
    for (n, (key, value)) in (1..).zip(pairs.iter().filter(|(key, _)| !key.is_empty())) {
        action.push(("Variable".to_owned(), format!("__TORITSUGI_K{n}={key}")));
        action.push(("Variable".to_owned(), format!("__TORITSUGI_V{n}={value}")));
    }
    let action: Vec<(&str, &str)> =
        action.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    session.must(&action).await;
    let keys = eventually("the last key is written", async || {
        let keys = lab.plan_keys().await;
        if keys.contains_key("dialled/0300000000") { Ok(keys) } else { Err(format!("{keys:?}")) }
    })
    .await;
    let expected = [
        ("dialled/0300000000", "ab"),
        ("do/1/2/c", "say a_b/c-d early x.y"),
        ("night", "0"),
        ("plan", "x"),
        ("plan/", ""),
        ("plan/ab", "1|2|3"),
        ("times/1", "o/540:c"),
    ];
    // What other tests' calls left while their daemons were dead is no matter of this one.
    let written = keys.iter().filter(|(key, _)| !key.starts_with("offline/") || *key == "offline/1");
    for (key, value) in written {
        let known = expected.iter().find(|(expected, _)| expected == key);
        assert!(
            known.is_some_and(|(_, expected)| expected == value || key == "plan/"),
            "{key} = {value}: {keys:?}"
        );
    }
    // The class that the daemon's users have writes no key in any other way.
    let put = session
        .action(&[("Action", "DBPut"), ("Family", "toritsugi"), ("Key", "plan/x"), ("Val", "y")])
        .await;
    assert!(!put.is_success(), "DBPut needs the class system");
}
