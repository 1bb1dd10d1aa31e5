//! Imports as jobs, and the files that they read again.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use encoding_rs::SHIFT_JIS;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::directory::import::{ImportKind, columns_of};

use crate::support::gateway_rig::{Rig, answer};
use crate::support::wait::{eventually, eventually_within};

/// Sends a file, and waits until its import is over.
async fn import(rig: &Rig, query: &str, file: Vec<u8>) -> Value {
    let request = rig.request("admin", Method::POST, &format!("/v1/imports?{query}")).body(file);
    let (status, job) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, &job["state"]), (StatusCode::ACCEPTED, &json!("running")), "{job}");
    let path = format!("/v1/imports/{}", job["id"].as_str().unwrap());
    eventually("the import is over", async || {
        let (_, job) = rig.get("admin", &path).await;
        if job["state"] == "running" { Err(job.to_string()) } else { Ok(job) }
    })
    .await
}

async fn account(rig: &Rig) {
    let (status, made) =
        rig.send("admin", Method::POST, "/v1/accounts", &json!({"code": "A001", "name": "さくら商事"})).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
}

fn shift_jis(text: &str) -> Vec<u8> {
    let (bytes, _, lost) = SHIFT_JIS.encode(text);
    assert!(!lost, "each character is one of Shift_JIS");
    bytes.into_owned()
}

/// Twenty lines that cannot be imported, each with a word of what is wrong with it. The first good line is 2.
const BAD_LINES: [(&str, &str); 20] = [
    ("X999,C02,田中,,,,", "account"),
    (",C03,田中,,,,", "account"),
    ("A001,,田中,,,,", "code"),
    ("A001,C05,,,,,", "name"),
    ("A001,C01,同じコード,,,,", "line 2 already"),
    ("A001,C07,田中,,,,番号", "numbers"),
    ("A001,C08,田中,,,,090-1111", "numbers"),
    ("A001,C09,田中,,,,0120-FLOWER", "numbers"),
    ("A001,C10,田中,,,,'=1+1", "numbers"),
    ("A001,C11,田中,,,,090-1111-2222,余り", "cells"),
    ("A001,C12,田中,,,,1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21", "numbers"),
    ("A001,C13,{121},,,,", "name: longer"),
    ("A001,C14,田中,{121},,,", "kana: longer"),
    ("A001,{121},田中,,,,", "code: longer"),
    ("A001,C16,田中,,{121},,", "company: longer"),
    ("A001,C17,田中,,,{121},", "flags: longer"),
    ("A001,C18,田中,,,a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r;s;t;u,", "flags: at most"),
    ("A001,C19,\u{7},,,,", "name"),
    ("A001,C20,{sjis},,,,", "Shift_JIS"),
    ("A001,C21,田中,,,,+0123456789012345678", "numbers"),
];

#[tokio::test]
async fn a_shift_jis_file_with_twenty_kinds_of_bad_lines_changes_nothing_and_each_line_is_named() {
    let rig = Rig::start().await;
    account(&rig).await;
    let mut file = shift_jis(
        "契約先コード,顧客コード,氏名,カナ,会社名,区分,電話番号\r\nA001,C01,髙橋,タカハシ,,vip,090-1111-2222\r\n",
    );
    for (line, _) in BAD_LINES {
        let line = line.replace("{121}", &"あ".repeat(121));
        let (before, after) = line.split_once("{sjis}").unwrap_or((&line, ""));
        file.extend(shift_jis(before));
        if !after.is_empty() {
            // The first byte of a character whose second one is a comma's neighbour.
            file.extend([0x81, 0x20]);
            file.extend(shift_jis(after));
        }
        file.extend(b"\r\n");
    }
    let job = import(&rig, "kind=customers", file).await;
    assert_eq!((&job["state"], &job["encoding"]), (&json!("failed"), &json!("shift_jis")), "{job}");
    let errors = job["errors"].as_array().unwrap();
    for (at, (line, word)) in BAD_LINES.into_iter().enumerate() {
        let number = at as u64 + 3;
        let error = errors.iter().find(|error| error["line"] == number);
        let problem = error.unwrap_or_else(|| panic!("line {number} ({line}) is no error: {job}"))["problem"]
            .to_string();
        assert!(problem.contains(word), "line {number} ({line}): {problem} does not name {word}");
    }
    assert_eq!(errors.len(), BAD_LINES.len(), "{job}");
    assert_eq!(job["sample"][0][2], "髙橋", "{job}");
    assert_eq!(rig.get("admin", "/v1/customers").await.1["items"], json!([]), "nothing was changed");
}

#[tokio::test]
async fn a_file_is_tried_then_imported_and_exported_as_it_was() {
    let rig = Rig::start().await;
    account(&rig).await;
    let text = "account,code,name,kana,company,department,notes,flags,numbers\r\n\
                A001,C1,髙橋,,\"髙橋, 商店\",,一行目,vip;claim,090-1111-2222;03-5550-1001\r\n\
                A001,C2,=1+1,,,,,,\r\n";
    let tried = import(&rig, "kind=customers&dry_run=true", text.into()).await;
    assert_eq!(
        (&tried["state"], &tried["encoding"], &tried["created"]),
        (&json!("done"), &json!("utf-8"), &json!(2)),
        "{tried}"
    );
    assert_eq!(rig.get("admin", "/v1/customers").await.1["items"], json!([]), "a trial changes nothing");
    let done = import(&rig, "kind=customers", text.into()).await;
    assert_eq!(
        (&done["created"], &done["updated"], &done["written"]),
        (&json!(2), &json!(0), &json!(2)),
        "{done}"
    );
    let again = import(&rig, "kind=customers", text.into()).await;
    assert_eq!((&again["updated"], &again["unchanged"]), (&json!(0), &json!(2)), "{again}");
    let changed = text.replace("vip;claim", "vip").replace("\r\nA001,C2", "\r\nA001,C3");
    let tried = import(&rig, "kind=customers&dry_run=true", changed.into()).await;
    assert_eq!(
        (&tried["created"], &tried["updated"], &tried["unchanged"]),
        (&json!(1), &json!(1), &json!(0)),
        "{tried}"
    );
    let (_, trail) = rig.get("admin", "/v1/audit?action=customer.imported").await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 2, "{trail}");

    for (encoding, charset) in [("utf-8", "utf-8"), ("cp932", "shift_jis")] {
        let path = format!("/v1/export/customers.csv?encoding={encoding}");
        let response = rig.request("admin", Method::GET, &path).send().await.unwrap();
        assert_eq!(
            response.headers()["content-type"],
            format!("text/csv; charset={charset}; header=present")
        );
        let file = response.bytes().await.unwrap();
        let again = import(&rig, "kind=customers", file.to_vec()).await;
        assert_eq!((&again["unchanged"], &again["encoding"]), (&json!(2), &json!(charset)), "{again}");
    }
    let (_, customers) = rig.get("admin", "/v1/customers").await;
    let items = customers["items"].as_array().unwrap();
    assert_eq!(
        (&items[0]["company"], &items[1]["name"]),
        (&json!("髙橋, 商店"), &json!("=1+1")),
        "{customers}"
    );
    assert_eq!(items[0]["flags"], json!(["vip", "claim"]));
    for file in ["accounts.csv", "contacts.csv", "users.csv"] {
        let response = rig.request("admin", Method::GET, &format!("/v1/export/{file}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        assert!(response.text().await.unwrap().starts_with("\u{feff}\""), "{file}");
    }
    assert_eq!(rig.get("admin", "/v1/export/secrets.csv").await.0, StatusCode::NOT_FOUND);
    of_one_account(&rig).await;
}

/// A file of one account, which has every column that an import reads.
async fn of_one_account(rig: &Rig) {
    let other = json!({"code": "A002", "name": "みなと", "report_calls": "all", "open_on_answer": true});
    let (_, other) = rig.send("admin", Method::POST, "/v1/accounts", &other).await;
    let id = other["id"].as_str().unwrap();
    let make = async |code: &str, deputy: Option<&Value>| {
        let fields = json!({"account": id, "code": code, "name": "佐々木", "deputy": deputy});
        rig.send("admin", Method::POST, "/v1/contacts", &fields).await.1["id"].clone()
    };
    let deputy = make("T1", None).await;
    make("T2", Some(&deputy)).await;
    for (kind, rows) in [("accounts", 1), ("customers", 0), ("contacts", 2)] {
        let path = format!("/v1/export/{kind}.csv?account={id}");
        let response = rig.request("admin", Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let file = response.text().await.unwrap();
        let header = file.trim_start_matches('\u{feff}').lines().next().unwrap().replace('"', "");
        let kind_of = match kind {
            "accounts" => ImportKind::Accounts,
            "customers" => ImportKind::Customers,
            _ => ImportKind::Contacts,
        };
        assert_eq!(header.split(',').collect::<Vec<_>>(), columns_of(kind_of).collect::<Vec<_>>());
        assert_eq!(file.lines().count() - 1, rows, "{file}");
        let again = import(rig, &format!("kind={kind}"), file.into_bytes()).await;
        assert_eq!((&again["state"], &again["unchanged"]), (&json!("done"), &json!(rows)), "{kind}: {again}");
    }
    let refused = rig.get("admin", &format!("/v1/export/users.csv?account={id}")).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{}", refused.1);
}

#[tokio::test]
async fn what_is_no_file_is_said_and_a_second_import_waits() {
    let rig = Rig::start().await;
    account(&rig).await;
    for (file, word) in
        [("", "empty"), ("a,b\r\n1,2", "no column"), ("account,code,name\r\nA001,\"x", "never closed")]
    {
        let job = import(&rig, "kind=customers", file.into()).await;
        assert_eq!(job["state"], "failed", "{job}");
        assert!(job["problem"].as_str().unwrap().contains(word), "{job}");
    }
    let mut file = String::from("account,code,name\r\n");
    for n in 0..20_000 {
        write!(file, "A001,C{n},x\r\n").unwrap();
    }
    let send = async || {
        let request = rig.request("admin", Method::POST, "/v1/imports?kind=customers").body(file.clone());
        answer(request.send().await.unwrap()).await
    };
    let (first, second) = (send().await, send().await);
    assert_eq!(first.0, StatusCode::ACCEPTED, "{first:?}");
    assert_eq!((second.0, &second.1["type"]), (StatusCode::CONFLICT, &json!("import-running")), "{second:?}");
    let path = format!("/v1/imports/{}", first.1["id"].as_str().unwrap());
    let done = eventually("it is over", async || {
        let (_, job) = rig.get("admin", &path).await;
        if job["state"] == "running" { Err(job.to_string()) } else { Ok(job) }
    })
    .await;
    assert_eq!((&done["written"], &done["checked"]), (&json!(20_000), &json!(20_000)), "{done}");
    assert_eq!(rig.get("admin", "/v1/imports").await.1["items"].as_array().unwrap().len(), 4);
}

/// Rows of the file; `make import-figures` sets 100000.
const FIGURE_ROWS: &str = "TORITSUGI_IMPORT_ROWS";

/// How long an import takes, a second one of the same file, and one that changes each row. Printed, not asserted: it depends on the
/// machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_an_import() {
    const WITHIN: Duration = Duration::from_secs(1800);
    let rows: u32 = std::env::var(FIGURE_ROWS).ok().and_then(|rows| rows.parse().ok()).unwrap_or(500);
    let rig = Rig::start().await;
    account(&rig).await;
    let (_, page) = rig.get("admin", "/v1/accounts").await;
    let of_account = format!("/v1/accounts/{}", page["items"][0]["id"].as_str().unwrap());
    let file = |company: &str| {
        let mut text = String::from("account,code,name,kana,company,flags,numbers\r\n");
        for n in 0..rows {
            let number = format!("090-{:04}-{:04}", n / 10_000, n % 10_000);
            write!(text, "A001,C{n:06},田中{n},タナカ{n},{company},vip,{number}\r\n").unwrap();
        }
        text
    };
    let (first, other) = (file("田中電機株式会社"), file("田中電機工業株式会社"));
    for (what, file, count) in [
        ("new", &first, "created"),
        ("the same again", &first, "unchanged"),
        ("each row changed", &other, "updated"),
    ] {
        let began = Instant::now();
        let request = rig.request("admin", Method::POST, "/v1/imports?kind=customers").body(file.clone());
        let (status, job) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{job}");
        let path = format!("/v1/imports/{}", job["id"].as_str().unwrap());
        // What somebody saves meanwhile waits for a step of the import at most.
        let mut longest = Duration::ZERO;
        let job = eventually_within(WITHIN, "the import is over", async || {
            let saved = Instant::now();
            let kana = json!({ "kana": format!("さくら{}", saved.elapsed().as_nanos()) });
            assert_eq!(rig.send("admin", Method::PATCH, &of_account, &kana).await.0, StatusCode::OK);
            longest = longest.max(saved.elapsed());
            let (_, job) = rig.get("admin", &path).await;
            if job["state"] == "running" { Err(job.to_string()) } else { Ok(job) }
        })
        .await;
        assert_eq!(job[count], rows, "{job}");
        let took = began.elapsed();
        println!(
            "{what}: {rows} customers in {:.1} s ({:.0} a second), another write waited at most {} ms",
            took.as_secs_f64(),
            f64::from(rows) / took.as_secs_f64(),
            longest.as_millis()
        );
    }
}
