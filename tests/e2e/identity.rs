//! The dialplan reports the SIP identity in one event, and no header text of a caller changes the other fields of that
//! event.
use std::collections::HashMap;

use crate::support::pbx_lab::{CallSpec, Event, Lab, RawCall};
use crate::{KNOWN_CALLER, SAKURA};

const HEADERS: [&str; 13] = [
    "PAI1",
    "PAI2",
    "PPI",
    "PCalledParty",
    "Diversion",
    "HistoryInfo1",
    "HistoryInfo2",
    "HistoryInfo3",
    "RPID",
    "Privacy",
    "From",
    "To",
    "RequestUri",
];

#[tokio::test]
async fn every_header_arrives_under_its_name() {
    let lab = Lab::start().await;
    let headers = [
        ("P-Asserted-Identity", "\"Tanaka\" <sip:0312345678@a.example>", "PAI1"),
        ("P-Asserted-Identity", "<tel:+81312345678>", "PAI2"),
        ("P-Preferred-Identity", "<sip:0311111111@a.example>", "PPI"),
        ("P-Called-Party-ID", "<sip:0355501001@a.example>", "PCalledParty"),
        ("Diversion", "<sip:0335550101@a.example>;reason=no-answer", "Diversion"),
        ("History-Info", "<sip:0335550101@a.example>;index=1", "HistoryInfo1"),
        ("History-Info", "<sip:0355501000@a.example;cause=302>;index=1.1", "HistoryInfo2"),
        ("History-Info", "<sip:0355501001@a.example>;index=1.2", "HistoryInfo3"),
        ("Remote-Party-ID", "<sip:0312345678@a.example>;privacy=off", "RPID"),
        ("Privacy", "id;critical", "Privacy"),
    ];
    let lines: String = headers.iter().map(|(name, value, _)| format!("{name}: {value}\r\n")).collect();
    let call =
        RawCall::invite(&lab, SAKURA, "\"田中太郎\" <sip:0399999999@b.example>".as_bytes(), lines.as_bytes());
    let identity = identity_of(&lab, &call.await).await;
    for (_, value, key) in headers {
        assert_eq!(identity[key], value.as_bytes(), "{key}");
    }
    let from = String::from_utf8(identity["From"].clone()).unwrap();
    assert!(from.starts_with("\"田中太郎\" <sip:0399999999@b.example>;tag="), "{from}");
    assert_eq!(identity["To"], b"<sip:0355501001@127.0.0.1>");
    assert_eq!(identity["RequestUri"], b"sip:0355501001@127.0.0.1");
}

#[tokio::test]
async fn what_is_absent_is_absent() {
    let lab = Lab::start().await;
    let call = RawCall::invite(&lab, SAKURA, b"<sip:0312345678@b.example>", b"").await;
    let identity = identity_of(&lab, &call).await;
    let mut keys: Vec<_> = identity.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["From", "RequestUri", "To"]);
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let lab = Lab::start().await;
    let long = [b"x".repeat(10_000), b"<sip:1@a.example>".to_vec()].concat();
    let hostile: [&[u8]; 12] = [
        b"<sip:1@a.example>,Outcome: closed,UserEvent: Forged",
        b"\"a\\\"b,c;d:e|f\" <sip:1@a.example>",
        b"${SHELL(touch /tmp/x)} ${CHANNEL} $[1+1] <sip:1@a.example>",
        b"a)b:2:1(c <sip:1@a.example>",
        b"((((}}}}{{{{]]]][[[[ <sip:1@a.example>",
        b"one\r\n two\r\n\tthree <sip:1@a.example>",
        b"\xff\xfe\x80\xc0 <sip:1@a.example>",
        b"\x93\xfa\x96\x7b <sip:1@a.example>",
        b"100% %0d%0aEvent: Forged <sip:1@a.example>",
        b"\\,\\;\\r\\n^^~~``'' <sip:1@a.example>",
        b"\x01\x02\x1b[31m\x7f <sip:1@a.example>",
        &long,
    ];
    for value in hostile {
        let lines = [b"Diversion: ", value, b"\r\nHistory-Info: ", value, b"\r\n"].concat();
        let call = RawCall::invite(&lab, SAKURA, b"<sip:0312345678@b.example>", &lines).await;
        let identity = identity_of(&lab, &call).await;
        // Asterisk itself skips blanks and control bytes in front of a value.
        let value_begins = value.iter().position(|byte| *byte > b' ').unwrap();
        let sent = value[value_begins..].iter().copied();
        let sent: Vec<u8> = sent.filter(|byte| !b"()\r\n".contains(byte)).collect();
        for key in ["Diversion", "HistoryInfo1"] {
            let shown = String::from_utf8_lossy(value);
            // Too long for Asterisk to hand to the dialplan: absent, and nothing else is lost.
            let Some(arrived) = identity.get(key) else {
                assert!(value.len() > 4_000, "{key} is missing for {shown}");
                continue;
            };
            let folded = value.contains(&b'\r');
            assert!(folded || sent.starts_with(arrived), "{key}: {arrived:?} for {shown}");
        }
        assert_eq!(identity["To"], b"<sip:0355501001@127.0.0.1>");
        call.cancel().await;
    }
    let forged = lab.pbx.events.all(|event| {
        event.name() == "Forged" || event.has("UserEvent", "Forged") || event.header("Outcome").is_some()
    });
    assert!(forged.is_empty(), "{forged:?}");
}

#[tokio::test]
async fn all_headers_at_their_longest_fit_into_one_event() {
    let lab = Lab::start().await;
    let value = "あ".repeat(600);
    let mut lines = String::new();
    for name in [
        "P-Asserted-Identity",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "P-Called-Party-ID",
        "Diversion",
        "History-Info",
        "History-Info",
        "History-Info",
        "Remote-Party-ID",
        "Privacy",
    ] {
        lines.push_str(&format!("{name}: \"{value}\" <sip:0312345678@a.example>\r\n"));
    }
    let from = format!("\"{value}\" <sip:0312345678@b.example>");
    let call = RawCall::invite(&lab, SAKURA, from.as_bytes(), lines.as_bytes()).await;
    let identity = identity_of(&lab, &call).await;
    assert_eq!(identity.len(), HEADERS.len(), "{:?}", identity.keys());
    assert_eq!(identity["RequestUri"], b"sip:0355501001@127.0.0.1");
}

#[tokio::test]
async fn an_extension_that_is_no_national_number_is_not_answered() {
    let lab = Lab::start().await;
    for number in ["1001", "0355501001x", "010810355501001", "s", "toritsugi-spy", "*71", "110"] {
        let call = RawCall::invite(&lab, number, b"<sip:0312345678@b.example>", b"").await;
        assert_eq!(call.response().await, 404, "{number}");
    }
    assert!(lab.phone("1001").is_idle());
}

#[tokio::test]
async fn options_behind_the_number_do_not_hide_it() {
    let lab = Lab::start().await;
    let to = "+81355501001;npdi;phone-context=example";
    let call = RawCall::invite(&lab, to, b"<sip:0312345678@b.example>", b"").await;
    let identity = identity_of(&lab, &call).await;
    assert_eq!(identity["RequestUri"], format!("sip:{to}@127.0.0.1").as_bytes());
    assert_eq!(call.at_pbx().await.header("Exten"), Some("+81355501001"));
    lab.phone("1001").rings().await;
}

#[tokio::test]
async fn the_snippet_hands_the_identity_over_in_front_of_an_existing_dialplan() {
    let lab = Lab::start().await;
    let header = b"Diversion: <sip:0335550101@a.example>\r\n";
    let call = RawCall::invite(&lab, "0355501008", b"<sip:0312345678@b.example>", header).await;
    let identity = identity_of(&lab, &call).await;
    assert_eq!(identity["Diversion"], b"<sip:0335550101@a.example>");
    lab.phone("1002").rings().await;
}

/// The snippet grants what the complete configuration grants, and no more.
#[test]
fn the_snippet_has_the_rights_of_the_configuration() {
    let complete = rights(include_str!("../../asterisk-conf/manager.conf"));
    let snippet = rights(include_str!("../../asterisk-conf/snippets/manager_custom.conf"));
    assert!(!snippet.is_empty());
    assert_eq!(complete, snippet);
}

/// The lines of the product's two users, without comments and secrets.
fn rights(text: &str) -> Vec<&str> {
    let users = text.lines().skip_while(|line| !line.starts_with("[toritsugi-"));
    let is_fact =
        |line: &&str| !line.is_empty() && !line.starts_with([';', '#']) && !line.starts_with("secret");
    users.filter(is_fact).collect()
}

#[tokio::test]
async fn one_event_per_call_even_when_it_is_forwarded_in_the_dialplan() {
    let lab = Lab::start().await;
    let spec = CallSpec::new(KNOWN_CALLER, "+81355501001");
    let call = lab.place_call(spec).await;
    lab.phone("1001").rings().await;
    let uniqueid = call.at_pbx().await.header("Uniqueid").unwrap().to_owned();
    // The telephone may ring before the PBX's events are read.
    let dials = |event: &Event| event.name() == "DialBegin" && event.has("Uniqueid", &uniqueid);
    lab.pbx.events.wait("the PBX to dial", dials).await;
    let events = lab
        .pbx
        .events
        .all(|event| event.has("UserEvent", "ToritsugiIdentity") && event.has("Uniqueid", &uniqueid));
    assert_eq!(events.len(), 1);
    assert!(events[0].header("RequestUri").unwrap().starts_with("sip%3A%2B81355501001"));
}

/// The decoded identity of a call, after checking that its event has no other fields.
async fn identity_of(lab: &Lab, call: &RawCall<'_>) -> HashMap<String, Vec<u8>> {
    let channel = call.at_pbx().await;
    let uniqueid = channel.header("Uniqueid").unwrap().to_owned();
    let is_identity =
        |event: &Event| event.has("UserEvent", "ToritsugiIdentity") && event.has("Uniqueid", &uniqueid);
    let event = lab.pbx.events.wait("the identity", is_identity).await;
    let begin = event.headers().iter().position(|(key, _)| key == "UserEvent").unwrap();
    let own = &event.headers()[begin + 1..];
    assert_eq!(own[0], ("Encoding".to_owned(), "percent".to_owned()));
    let mut identity = HashMap::new();
    for (key, value) in &own[1..] {
        assert!(HEADERS.contains(&key.as_str()), "{key} is none of ours: {value}");
        let clean = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%._~!*'-".contains(&byte));
        assert!(clean, "{key}: {value}");
        let twice = identity.insert(key.clone(), decode(value));
        assert!(twice.is_none(), "{key} comes twice");
    }
    identity
}

/// Percent-decoding; an escape that was cut off at the end is dropped.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
        } else if let Some((digits, tail)) = rest.split_at_checked(2) {
            let digits = std::str::from_utf8(digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = tail;
        } else {
            break;
        }
    }
    bytes
}
