use proptest::prelude::*;

use super::*;

fn read(headers: &[(&str, &str)]) -> Identity {
    from_headers(headers.iter().map(|(name, value)| (*name, value.as_bytes())), &Identity::default())
}

fn number(headers: &[(&str, &str)]) -> Option<String> {
    read(headers).caller.number().map(str::to_owned)
}

#[test]
fn a_forwarded_call_of_a_known_carrier_is_read_whole() {
    let identity = read(&[
        ("PAI1", "\"田中太郎\" <sip:+819012345678@carrier.example;user=phone>"),
        ("PAI2", "<tel:+819012345678>"),
        ("PCalledParty", "<sip:0355501001@pbx.example>"),
        ("Diversion", "<sip:0335550101@carrier.example>;reason=unconditional;counter=1"),
        ("HistoryInfo1", "<sip:0335550101@c>;index=1, <sip:0355501001@c;cause=302>;index=1.1;mp=1"),
        ("Privacy", "none"),
        ("From", "\"Tanaka\" <sip:09012345678@carrier.example>;tag=a1"),
        ("To", "<sip:0355501000@pbx.example>"),
        ("RequestUri", "sip:trunk@10.0.0.1:5060;line=x"),
    ]);
    assert_eq!(
        identity.dialled,
        [(DialledSource::CalledParty, "0355501001".into()), (DialledSource::To, "0355501000".into())]
    );
    assert_eq!(
        identity.diverted_by,
        [
            (DiversionSource::Diversion, "0335550101".into()),
            (DiversionSource::HistoryInfo, "0335550101".into()),
            (DiversionSource::HistoryInfo, "0355501001".into()),
        ]
    );
    assert_eq!(identity.caller, Caller::new(Some("+819012345678"), Some("田中太郎"), Presentation::Allowed));
}

#[test]
fn the_caller_is_read_in_every_odd_form() {
    for (name, value, seen) in [
        ("From", "<sip:09012345678@carrier.example>;tag=1", Some("09012345678")),
        ("f", "sip:09012345678@carrier.example;tag=1", Some("09012345678")),
        ("FROM", "\"x\"\r\n <sip:09012345678@c>", Some("09012345678")),
        ("From", "<sip:09012345678@[2001:db8::1]:5060;transport=tcp>", Some("09012345678")),
        ("From", "<SIP:+81-90-1234-5678@c>", Some("+819012345678")),
        ("From", "<sips:09012345678@c>", Some("09012345678")),
        ("From", "<tel:+81-90-1234-5678>", Some("+819012345678")),
        ("From", "tel:90-1234-5678;phone-context=+81", Some("+819012345678")),
        ("From", "<tel:090-1234-5678;phone-context=+81>", Some("+819012345678")),
        ("From", "<tel:1001;phone-context=pbx.example>", Some("1001")),
        ("From", "<sip:9012345678;phone-context=+81@c;user=phone>", Some("+819012345678")),
        ("From", "<sip:09012345678;npdi;rn=+81300000000@c>", Some("09012345678")),
        ("From", "<sip:%30%39012345678@c>", Some("09012345678")),
        ("From", "<sip:09012345678:secret@c>", Some("09012345678")),
        ("From", "\"a, b\" <sip:09012345678@c>", Some("09012345678")),
        ("From", "\"a \\\" <sip:1@x>\" <sip:09012345678@c>", Some("09012345678")),
        ("From", "\"cut <sip:09012345678@c>", Some("09012345678")),
        ("From", "<sip:09012345678@c", Some("09012345678")),
        ("From", "09012345678@c", Some("09012345678")),
        ("P-Asserted-Identity", "<sip:alice@c>, <tel:+819012345678>", Some("+819012345678")),
        ("PPI", "<sip:09012345678@c>", Some("09012345678")),
        ("RPID", "\"x\" <sip:09012345678@c>;party=calling;screen=yes;privacy=off", Some("09012345678")),
        ("RPID", "<sip:09012345678@c>;party=called", None),
        ("From", "<sip:alice@c>", None),
        ("From", "<sip:c>", None),
        ("From", "<mailto:a@b>", None),
        ("From", "", None),
        ("From", "<>", None),
        ("From", "<sip:123456789012345678901234567890123456789012345@c>", None),
    ] {
        assert_eq!(number(&[(name, value)]).as_deref(), seen, "{name}: {value}");
    }
    let bytes: &[(&str, &[u8])] = &[("From", b"\"\x93c\x92\x86\" <sip:09012345678@c>")];
    let identity = from_headers(bytes.iter().copied(), &Identity::default());
    assert_eq!(identity.caller.number(), Some("09012345678"));
}

#[test]
fn asserted_goes_before_preferred_before_remote_party_before_from() {
    let all = [("From", "<sip:04@c>"), ("RPID", "<sip:03@c>"), ("PPI", "<sip:02@c>"), ("PAI1", "<sip:01@c>")];
    for (left, seen) in [(4, "01"), (3, "02"), (2, "03"), (1, "04")] {
        assert_eq!(number(&all[..left]).as_deref(), Some(seen));
    }
}

#[test]
fn a_withheld_number_is_recognised_and_never_read() {
    use Presentation::{Payphone, Unavailable, Withheld};
    let pai = ("PAI1", "\"09012345678\" <sip:09012345678@c>");
    let from = ("From", "<sip:09012345678@c>");
    for (headers, why) in [
        (vec![pai, ("Privacy", "id")], Withheld),
        (vec![pai, ("Privacy", "ID;critical")], Withheld),
        (vec![pai, ("Privacy", "user, id")], Withheld),
        (vec![pai, ("From", "\"Anonymous\" <sip:anonymous@anonymous.invalid>")], Withheld),
        (vec![pai, ("From", "<sip:ANONYMOUS@c>")], Withheld),
        (vec![pai, ("From", "<sip:restricted@c>")], Withheld),
        (vec![pai, ("From", "<sip:09012345678@anonymous.invalid>")], Withheld),
        (vec![pai, ("From", "<sip:unavailable@c>")], Unavailable),
        (vec![pai, ("From", "<sip:Unknown@c>")], Unavailable),
        (vec![pai, ("From", "\"Coin line/payphone\" <sip:anonymous@anonymous.invalid>")], Payphone),
        (vec![pai, ("From", "\"C\" <sip:anonymous@anonymous.invalid>")], Payphone),
        (vec![pai, ("From", "\"公衆電話\" <sip:anonymous@c>"), ("Privacy", "id")], Payphone),
        (vec![pai, ("From", "\"Unavailable\" <sip:anonymous@anonymous.invalid>")], Unavailable),
        (vec![pai, ("From", "\"O\" <sip:anonymous@anonymous.invalid>")], Unavailable),
        (
            vec![pai, ("From", "\"Interaction with other service\" <sip:anonymous@anonymous.invalid>")],
            Unavailable,
        ),
        (vec![pai, ("From", "\"P\" <sip:anonymous@anonymous.invalid>")], Withheld),
        (vec![from, ("RPID", "<sip:09012345678@c>;party=calling;privacy=full")], Withheld),
        (vec![from, ("PAI1", "\"Anonymous\" <sip:anonymous@anonymous.invalid>")], Withheld),
        (vec![], Unavailable),
        (vec![("From", "\"表示圏外\" <sip:gateway@c>")], Unavailable),
        (vec![("From", "\"Coin line/payphone\" <sip:gateway@c>")], Payphone),
    ] {
        let identity = read(&headers);
        assert_eq!(identity.caller.presentation(), why, "{headers:?}");
        assert!(!format!("{identity:?}").contains("0901"), "{headers:?}");
    }
}

#[test]
fn what_is_not_withheld_stays() {
    let from = ("From", "\"田中\" <sip:09012345678@c>");
    for extra in
        [("Privacy", "none"), ("Privacy", ""), ("Privacy", "history"), ("RPID", "<sip:1@c>;privacy=off")]
    {
        assert_eq!(number(&[extra, from]).map(|n| n.len()), Some(if extra.0 == "RPID" { 1 } else { 11 }));
    }
    let named = read(&[from, ("RPID", "<sip:09012345678@c>;privacy=name")]);
    assert_eq!((named.caller.number(), named.caller.display()), (Some("09012345678"), None));
}

#[test]
fn the_forwarding_number_is_found_in_history() {
    let cases = [
        // The cause marks the new target; the entry it was mapped from forwarded.
        (vec!["<sip:0335550101@c>;index=1", "<sip:0355501001@c;cause=302>;index=1.1;mp=1"], "0335550101"),
        (vec!["<sip:0335550101@c>;index=1", "<sip:0355501001@c;cause=302>;index=1.1"], "0335550101"),
        // Twice forwarded: the last forwarding reached us.
        (
            vec![
                "<sip:0311112222@c>;index=1",
                "<sip:0335550101@c;cause=302>;index=1.1;mp=1",
                "<sip:0355501001@c;cause=486>;index=1.1.1;mp=1.1",
            ],
            "0335550101",
        ),
        (
            vec![
                "<sip:0335550101@c?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1",
                "<sip:0355501001@c>;index=1.1",
            ],
            "0335550101",
        ),
        (vec!["<sip:0335550101@c;cause=302>;index=1"], "0335550101"),
        // `mp` without a cause (RFC 7044).
        (vec!["<sip:+81355550199@c>;index=1", "<sip:+81355550109@c>;index=1.1;mp=1"], "+81355550199"),
        (vec!["<sip:0335550101@c>;index=1, <sip:0355501001@c>;index=1.1;mp=9"], "0335550101"),
        (vec!["<tel:+81335550101>;index=1, <sip:0355501001@c;cause=408>;index=1.1"], "+81335550101"),
    ];
    for (entries, forwarder) in cases {
        let names = ["HistoryInfo1", "HistoryInfo2", "HistoryInfo3"];
        let headers: Vec<_> = names.into_iter().zip(entries.iter().copied()).collect();
        let found = read(&headers).diverted_by;
        assert_eq!(found.first(), Some(&(DiversionSource::HistoryInfo, forwarder.into())), "{entries:?}");
    }
    let plain = read(&[("HistoryInfo1", "<sip:0355501001@c>;index=1")]);
    assert!(plain.diverted_by.is_empty(), "no cause, no forwarding");
    let same_user =
        read(&[("HistoryInfo1", "<sip:0335550101@c>;index=1, <sip:0335550101@10.0.0.5>;index=1.1;rc=1")]);
    assert!(same_user.diverted_by.is_empty(), "another address of the same user");
}

#[test]
fn only_the_topmost_diversion_counts() {
    let identity = read(&[
        ("Redirecting", "0299998888"),
        ("Diversion", "<sip:0335550101@c>;reason=no-answer, <sip:0311112222@c>;reason=unconditional"),
    ]);
    assert_eq!(
        identity.diverted_by,
        [
            (DiversionSource::Diversion, "0335550101".into()),
            (DiversionSource::Redirecting, "0299998888".into())
        ]
    );
    assert!(read(&[("Diversion", "<sip:anonymous@anonymous.invalid>")]).diverted_by.is_empty());
}

#[test]
fn the_dialplan_s_encoding_is_undone() {
    let identity = read(&[
        ("Encoding", "percent"),
        ("From", "%22%E7%94%B0%E4%B8%AD%22%20%3Csip%3A09012345678%40c%3E%3Btag%3D1"),
        ("To", "%3Csip%3A0355501001%40pbx%3E"),
        ("Diversion", "%3Csip%3A0335550101%40c%3E%3Breason%3Dunconditional%3Bx%3"),
    ]);
    assert_eq!((identity.caller.number(), identity.caller.display()), (Some("09012345678"), Some("田中")));
    assert_eq!(identity.dialled[0].1, "0355501001");
    assert_eq!(identity.diverted_by[0].1, "0335550101");
}

#[test]
fn channel_and_headers_become_one() {
    let with = |headers: &[(&str, &str)], channel: &Identity| {
        from_headers(headers.iter().map(|(name, value)| (*name, value.as_bytes())), channel)
    };
    let headers = [("To", "<sip:0355501001@c>"), ("From", "<sip:09012345678@c>")];
    let open = from_channel("0355501000", "0901", "x", None);
    let whole = with(&headers, &open);
    assert_eq!(
        whole.dialled.iter().map(|(_, n)| n.as_str()).collect::<Vec<_>>(),
        ["0355501001", "0355501000"]
    );
    assert_eq!(whole.caller.number(), Some("09012345678"));
    let closed = from_channel("0355501000", "09012345678", "", Some("prohib"));
    let whole = with(&headers, &closed);
    assert_eq!((whole.caller.number(), whole.caller.presentation()), (None, Presentation::Withheld));
    assert_eq!(with(&[], &open).caller.number(), Some("0901"));
    // A header that hides the caller is not overruled by a channel that shows one.
    for from in ["\"Unavailable\" <sip:anonymous@anonymous.invalid>", "<sip:unknown@c>", "<sip:anonymous@c>"]
    {
        assert_eq!(with(&[("From", from)], &open).caller.number(), None, "{from}");
    }
}

#[test]
fn headers_that_were_read_from_a_channel_hide_its_caller_and_name_no_other() {
    let with = |headers: &[(&str, &str)], presentation: &str| {
        let channel = from_channel("0355501000", "09012345678", "Tanaka", Some(presentation));
        from_channel_and_headers(headers.iter().map(|(name, value)| (*name, value.as_bytes())), &channel)
    };
    let to = ("To", "<sip:0355501001@c>");
    let open = with(&[to, ("From", "<sip:0311112222@c>"), ("PAI1", "<sip:0399998888@c>")], "allowed");
    assert_eq!(open.caller.number(), Some("09012345678"));
    assert_eq!(
        open.dialled.iter().map(|(_, n)| n.as_str()).collect::<Vec<_>>(),
        ["0355501001", "0355501000"]
    );
    for hidden in [
        ("From", "\"Anonymous\" <sip:anonymous@anonymous.invalid>"),
        ("From", "\"Unavailable\" <sip:anonymous@anonymous.invalid>"),
        ("Privacy", "id"),
        ("RPID", "<sip:09012345678@c>;privacy=full"),
    ] {
        let identity = with(&[to, hidden], "allowed_not_screened");
        assert!(!format!("{identity:?}").contains("0901"), "{hidden:?}: {identity:?}");
    }
    let payphone = with(&[to, ("From", "\"Coin line/payphone\" <sip:0901@c>")], "prohib");
    assert_eq!(payphone.caller.presentation(), Presentation::Payphone);
    assert_eq!(with(&[to], "unavailable").caller.presentation(), Presentation::Unavailable);
}

const NAMES: [&str; 14] = [
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
    "Encoding",
];

/// Text made of the pieces that SIP addresses are made of, so that chance reaches the deep branches.
fn sip_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "sip:",
        "tel:",
        "<",
        ">",
        "\"",
        "\\",
        "@",
        ";",
        ",",
        "?",
        "%",
        "%2",
        "[",
        "]",
        ":",
        "=",
        "cause",
        "mp=1",
        "index=1",
        "phone-context=+81",
        "anonymous",
        ".invalid",
        "09012345678",
        "+81",
        "id",
        "percent",
        "\r\n ",
        "田",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_panic(values in prop::collection::vec((prop::sample::select(NAMES.to_vec()), sip_like()), 0..8)) {
        let channel = from_channel("0355501001", "09012345678", "x", None);
        let identity = from_headers(values.iter().map(|(name, value)| (*name, value.as_slice())), &channel);
        prop_assert!(identity.dialled.len() <= 4);
    }

    #[test]
    fn a_withheld_caller_never_yields_a_number(
        values in prop::collection::vec((prop::sample::select(NAMES[..13].to_vec()), sip_like()), 0..8),
        at in 0_usize..9,
    ) {
        let mut values = values;
        values.insert(at.min(values.len()), ("Privacy", b"id".to_vec()));
        let channel = from_channel("0355501001", "09012345678", "x", None);
        let identity = from_headers(values.iter().map(|(name, value)| (*name, value.as_slice())), &channel);
        prop_assert_ne!(identity.caller.presentation(), Presentation::Allowed);
        prop_assert_eq!((identity.caller.number(), identity.caller.display()), (None, None));
    }
}
