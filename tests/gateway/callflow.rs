//! Callflows and overrides: what is set is shown, previewed and explained by the same rules.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toritsugi::callflow::guidance::Guidance;
use toritsugi::contract::guidance_draft::RecordedGuidance;
use toritsugi::contract::sound::{Sound, SoundKind, SoundOrigin};
use toritsugi::ids::RecordId;
use toritsugi::store::sounds::SoundOutcome;
use uuid::Uuid;

use crate::support::gateway_rig::{Rig, answer};

async fn account(rig: &Rig, hours: &str) -> String {
    let fields =
        json!({ "code": "S-1", "name": "さくら歯科", "dialled": ["0355501001"], "hours": hours_of(hours) });
    let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn hours_of(text: &str) -> Value {
    let hours = toritsugi::contract::hours::Hours::read(text).unwrap();
    serde_json::to_value(hours).unwrap()
}

async fn treatments(rig: &Rig, path: &str) -> Vec<(String, String, String)> {
    let (status, preview) = rig.get("1001", path).await;
    assert_eq!(status, StatusCode::OK, "{preview}");
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let items = preview["items"].as_array().unwrap();
    items.iter().map(|one| (text(one, "at"), text(one, "treatment"), text(one, "because"))).collect()
}

#[tokio::test]
async fn a_callflow_is_set_shown_previewed_and_removed() {
    let rig = Rig::start().await;
    let account = account(&rig, "月-金 09:00-18:00").await;
    let path = format!("/v1/accounts/{account}/callflow");
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    let preview = format!("{path}/preview?from=2026-11-20T10:00:00%2B09:00&to=2026-11-24T10:00:00%2B09:00");
    assert_eq!(rig.get("1001", &preview).await.0, StatusCode::NOT_FOUND);

    let fields = json!({ "wait_s": 30, "lines": 2, "holiday_guidance": "custom/holiday" });
    let (status, written) = rig.send("admin", Method::PUT, &path, &fields).await;
    assert_eq!(status, StatusCode::OK, "{written}");
    assert_eq!(
        (&written["fields"]["queue"], &written["fields"]["wait_s"]),
        (&json!("operators"), &json!(30))
    );
    assert_eq!(rig.get("1001", &path).await.1["fields"], written["fields"]);

    let expected = [
        ("2026-11-20T01:00:00.000Z", "open", "weekly"),
        ("2026-11-20T09:00:00.000Z", "closed", "weekly"),
        // 勤労感謝の日
        ("2026-11-22T15:00:00.000Z", "holiday", "holiday"),
        ("2026-11-23T15:00:00.000Z", "closed", "weekly"),
        ("2026-11-24T00:00:00.000Z", "open", "weekly"),
    ];
    let found = treatments(&rig, &preview).await;
    let found: Vec<_> =
        found.iter().map(|(at, what, why)| (at.as_str(), what.as_str(), why.as_str())).collect();
    assert_eq!(found, expected);
    // `explain` says before the call what the PBX will do with it.
    let explain = "/v1/explain?dialled=0355501001&at=2026-11-23T10:00:00%2B09:00";
    let (_, explained) = rig.get("1001", explain).await;
    assert_eq!(
        explained["callflow"],
        json!({ "treatment": "holiday", "because": "holiday", "until": "2026-11-23T15:00:00.000Z", "steps": [
            { "step": "say", "sound": "custom/holiday", "mode": "early", "instead": "toritsugi/closed" },
            { "step": "end", "outcome": "closed" },
        ] })
    );

    let (_, page) = rig.get("admin", "/v1/audit?action=callflow.changed").await;
    assert_eq!(page["items"][0]["subject_id"], json!(account), "{page}");
    assert_eq!(rig.send("admin", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    assert!(rig.get("1001", explain).await.1.get("callflow").is_none());
}

#[tokio::test]
async fn what_the_pbx_could_misread_is_refused_with_the_field() {
    let rig = Rig::start().await;
    let path = format!("/v1/accounts/{}/callflow", account(&rig, "").await);
    for (fields, word) in [
        (json!({ "queue": "受付" }), "queue"),
        (json!({ "queue": "a,b" }), "queue"),
        (json!({ "wait_s": 0 }), "wait_s"),
        (json!({ "wait_s": 3601 }), "wait_s"),
        (json!({ "priority": 10 }), "priority"),
        (json!({ "closed_guidance": "/etc/passwd" }), "closed_guidance"),
        (json!({ "overflow_guidance": "a|b" }), "overflow_guidance"),
        (json!({ "guidance": "late" }), "guidance"),
        (json!({ "colour": "red" }), "colour"),
        (json!({ "wait_s": -1 }), "wait_s"),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, &path, &fields).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{fields}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{fields}: {problem}");
    }
    let nobody = "/v1/accounts/00000000-0000-7000-8000-000000000000/callflow";
    let (status, problem) = rig.send("admin", Method::PUT, nobody, &json!({})).await;
    assert_eq!(
        (status, problem["type"].as_str().unwrap().ends_with("unknown-record")),
        (StatusCode::NOT_FOUND, true)
    );
    assert_eq!(rig.send("admin", Method::PUT, &path, &json!({})).await.0, StatusCode::OK);
    for query in [
        "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "?from=2026-01-01T00:00:00Z&to=2026-06-01T00:00:00Z",
    ] {
        let (status, _) = rig.get("1001", &format!("{path}/preview{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn an_override_decides_until_it_is_ended() {
    let rig = Rig::start().await;
    let account = account(&rig, "").await;
    let now = rig.app.clock.now();
    let explain = format!("/v1/explain?dialled=0355501001&at={now}");
    assert!(rig.get("1001", &explain).await.1.get("callflow").is_none(), "its calls are left to the PBX");

    let set = async |body: Value| rig.send("admin", Method::POST, "/v1/overrides", &body).await;
    let (status, own) = set(json!({ "account": account, "treatment": "open", "reason": "臨時営業" })).await;
    assert_eq!(status, StatusCode::CREATED, "{own}");
    let until = now + jiff::SignedDuration::from_hours(1);
    let (_, all) = set(json!({ "treatment": "closed", "until": until.to_string() })).await;
    let because = async || rig.get("1001", &explain).await.1["callflow"]["because"].clone();
    assert_eq!(because().await, "service_override");
    let (_, listed) = rig.get("1001", "/v1/overrides").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");

    let path = format!("/v1/overrides/{}", all["id"].as_str().unwrap());
    assert_eq!(rig.send("admin", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.send("admin", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(because().await, "account_override");
    for (body, word) in [
        (json!({ "treatment": "closed", "until": "2020-01-01T00:00:00Z" }), "until"),
        (json!({ "treatment": "away" }), "treatment"),
        (json!({ "treatment": "closed", "reason": "あ".repeat(201) }), "reason"),
    ] {
        let (status, problem) = set(body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    let nobody = json!({ "treatment": "closed", "account": "00000000-0000-7000-8000-000000000000" });
    assert_eq!(set(nobody).await.0, StatusCode::NOT_FOUND);
    let (_, page) = rig.get("admin", "/v1/audit?action=override.ended").await;
    assert_eq!(page["items"][0]["details"]["treatment"], "closed", "{page}");
}

#[tokio::test]
async fn without_a_pbx_nothing_is_said_to_be_there() {
    let rig = Rig::start().await;
    let (status, sync) = rig.get("1001", "/v1/callflow").await;
    assert_eq!((status, &sync["state"]), (StatusCode::OK, &json!("offline")), "{sync}");
}

#[tokio::test]
async fn readiness_names_the_account_and_what_to_do() {
    let rig = Rig::start().await;
    let fields = json!({ "code": "S-2", "name": "みなと歯科" });
    let (_, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    let id = made["id"].as_str().unwrap();
    let of_account = async || {
        let (status, found) = rig.get("1001", "/v1/callflow/readiness").await;
        assert_eq!(status, StatusCode::OK, "{found}");
        let items = found["items"].as_array().unwrap().clone();
        items.into_iter().filter(|one| one["account"] == id).collect::<Vec<_>>()
    };
    assert_eq!(of_account().await, Vec::<Value>::new(), "without a callflow nothing is expected of it");
    let path = format!("/v1/accounts/{id}/callflow");
    assert_eq!(rig.send("admin", Method::PUT, &path, &json!({})).await.0, StatusCode::OK);
    let found = of_account().await;
    assert_eq!(
        (found.len(), &found[0]["kind"], &found[0]["account_name"]),
        (1, &json!("no_number"), &json!("S-2 みなと歯科"))
    );
    let numbers = json!({ "dialled": ["0355501002"] });
    assert_eq!(
        rig.send("admin", Method::PATCH, &format!("/v1/accounts/{id}"), &numbers).await.0,
        StatusCode::OK
    );
    assert_eq!(of_account().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_version_that_somebody_else_wrote_is_not_overwritten_and_supervisors_switch_where_they_may() {
    let options = crate::support::gateway_rig::Options { supervisors_switch: true, ..Default::default() };
    for (rig, may_switch) in [(Rig::start().await, false), (Rig::with(options).await, true)] {
        let account = account(&rig, "月-金 09:00-18:00").await;
        let path = format!("/v1/accounts/{account}/callflow");
        let write = async |version: &str, wait_s: u32| {
            let request = rig.request("admin", Method::PUT, &path).header("If-Match", version);
            let answer = request.json(&json!({ "wait_s": wait_s })).send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap())
        };
        let (status, first) = write("\"0\"", 30).await;
        assert_eq!(status, StatusCode::OK, "{first}");
        let (status, problem) = write("\"0\"", 31).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::CONFLICT, &json!("callflow-changed")),
            "{problem}"
        );
        let (status, problem) = write("x", 31).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::BAD_REQUEST, &json!("invalid-query")),
            "{problem}"
        );
        let version = first["version"].to_string();
        let (status, second) = write(&version, 32).await;
        assert_eq!((status, &second["fields"]["wait_s"]), (StatusCode::OK, &json!(32)));

        let close = json!({ "account": account, "treatment": "closed" });
        let (status, _) = rig.send("2001", Method::POST, "/v1/overrides", &close).await;
        assert_eq!(status, if may_switch { StatusCode::CREATED } else { StatusCode::FORBIDDEN });
        assert_eq!(rig.send("1001", Method::POST, "/v1/overrides", &close).await.0, StatusCode::FORBIDDEN);
    }
}

/// A sound of this length, as if it had been uploaded; its id.
pub(crate) async fn keep_sound(rig: &Rig, name: &str, ms: u64) -> String {
    let sound = Sound {
        id: RecordId(Uuid::now_v7()),
        account: None,
        kind: SoundKind::Announcement,
        origin: SoundOrigin::Upload,
        title: "さくら".into(),
        words: String::new(),
        name: name.into(),
        ms,
        by_name: "花".into(),
        created_at: rig.app.clock.now(),
    };
    assert_eq!(rig.app.store.create_sound(&sound, &[0xff; 80]).await.unwrap(), SoundOutcome::Kept);
    sound.id.to_string()
}

#[tokio::test]
async fn a_callflow_follows_its_template_but_for_what_is_its_own() {
    let rig = Rig::start().await;
    let path = format!("/v1/accounts/{}/callflow", account(&rig, "").await);
    let template = "/v1/callflow-templates/usual";
    let fields =
        json!({ "name": "標準", "fields": { "wait_s": 30, "lines": 3, "closed_guidance": "custom/a" } });
    let (status, written) = rig.send("admin", Method::PUT, template, &fields).await;
    assert_eq!((status, &written["accounts"]), (StatusCode::OK, &json!(0)), "{written}");
    // What is as in the template is not the account's own; null is the default, whatever the template has.
    let body = json!({ "template": "usual", "wait_s": 30, "priority": 2, "closed_guidance": null });
    let (status, callflow) = rig.send("admin", Method::PUT, &path, &body).await;
    assert_eq!(status, StatusCode::OK, "{callflow}");
    assert_eq!(
        (&callflow["template"], &callflow["own"]),
        (&json!("usual"), &json!(["closed_guidance", "priority"])),
        "{callflow}"
    );
    let of = |callflow: &Value| {
        let fields = &callflow["fields"];
        (fields["wait_s"].as_u64(), fields["lines"].as_u64(), fields.get("closed_guidance").cloned())
    };
    assert_eq!(of(&callflow), (Some(30), Some(3), None));
    // A change is tried first: one account, and its number.
    let fields =
        json!({ "name": "標準", "fields": { "wait_s": 45, "lines": 3, "closed_guidance": "custom/a" } });
    let (_, tried) = rig.send("admin", Method::PUT, &format!("{template}?dry_run=true"), &fields).await;
    let effect = (&tried["accounts"], &tried["changed"], &tried["numbers"]);
    assert_eq!(effect, (&json!(1), &json!(1), &json!(1)), "{tried}");
    assert_eq!(of(&rig.get("1001", &path).await.1).0, Some(30), "nothing is written");
    let (_, written) = rig.send("admin", Method::PUT, template, &fields).await;
    assert_eq!(written["changed"], 1);
    assert_eq!(of(&rig.get("1001", &path).await.1).0, Some(45));
    // A change of what the account has for itself changes nothing.
    let fields =
        json!({ "name": "標準", "fields": { "wait_s": 45, "lines": 3, "closed_guidance": "custom/b" } });
    let (_, tried) = rig.send("admin", Method::PUT, &format!("{template}?dry_run=true"), &fields).await;
    assert_eq!((&tried["accounts"], &tried["changed"]), (&json!(1), &json!(0)), "{tried}");
    let (status, problem) = rig.send("admin", Method::DELETE, template, &json!(null)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("template-in-use")), "{problem}");
    let (_, list) = rig.get("1001", "/v1/callflow-templates").await;
    assert_eq!(list["items"][0]["fields"]["wait_s"], 45, "{list}");
    // Without the template, everything is its own again.
    let (_, callflow) = rig.send("admin", Method::PUT, &path, &json!({})).await;
    assert_eq!(of(&callflow), (Some(90), Some(0), None));
    assert_eq!(rig.send("admin", Method::DELETE, template, &json!(null)).await.0, StatusCode::NO_CONTENT);
    for (path, body) in [
        (path.as_str(), json!({ "template": "usual" })),
        (template, json!({ "name": "", "fields": {} })),
        (template, json!({ "name": "x", "fields": { "wait_s": 0 } })),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, path, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }
    let (status, _) = rig.send("admin", Method::PUT, "/v1/callflow-templates/a%20b", &fields).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_rule_refuses_a_caller_before_the_hours_and_after_an_override_of_the_service() {
    let rig = Rig::start().await;
    let account = account(&rig, "月-金 09:00-18:00").await;
    let explain = "/v1/explain?dialled=0355501001&from=09012345678&at=2026-11-23T10:00:00%2B09:00";
    assert!(rig.get("1001", explain).await.1.get("callflow").is_none());
    let refuse =
        json!({ "account": account, "number": "090-1234-5678", "rule": "refuse", "note": "迷惑電話" });
    let (status, rule) = rig.send("2001", Method::POST, "/v1/caller-rules", &refuse).await;
    assert_eq!((status, &rule["number"]), (StatusCode::CREATED, &json!("+819012345678")), "{rule}");
    let then = rig.get("1001", explain).await.1["callflow"].clone();
    assert_eq!(
        (&then["because"], &then["steps"]),
        (&json!("caller_rule"), &json!([{ "step": "end", "outcome": "refused" }]))
    );
    let other = explain.replace("09012345678", "0399998888");
    assert!(rig.get("1001", &other).await.1.get("callflow").is_none(), "the rule names one caller");
    // An override of the account comes after the rule, one of the service before it.
    for (body, because) in [
        (json!({ "treatment": "open", "account": account }), "caller_rule"),
        (json!({ "treatment": "open" }), "service_override"),
    ] {
        let (status, set) = rig.send("admin", Method::POST, "/v1/overrides", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{set}");
        rig.app.directory.refresh().await.unwrap();
        let at = rig.app.clock.now();
        let path = format!("/v1/explain?dialled=0355501001&from=09012345678&at={at}");
        assert_eq!(rig.get("1001", &path).await.1["callflow"]["because"], because);
        let path = format!("/v1/overrides/{}", set["id"].as_str().unwrap());
        rig.send("admin", Method::DELETE, &path, &json!(null)).await;
    }
    rig.app.directory.refresh().await.unwrap();
    let (_, page) = rig.get("admin", "/v1/audit?action=caller_rule.set").await;
    assert!(!page.to_string().contains("12345678"), "an entry names no caller: {page}");
    let path = format!("/v1/caller-rules/{}", rule["id"].as_str().unwrap());
    assert_eq!(rig.send("2001", Method::DELETE, &path, &json!(null)).await.0, StatusCode::NO_CONTENT);
    assert!(rig.get("1001", explain).await.1.get("callflow").is_none());
    for (change, word) in [
        (json!({ "note": "" }), "note"),
        (json!({ "number": "anonymous" }), "number"),
        (json!({ "priority": 2 }), "priority"),
        (json!({ "until": "2020-01-01T00:00:00Z" }), "until"),
    ] {
        let mut body = refuse.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = rig.send("admin", Method::POST, "/v1/caller-rules", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
}

#[tokio::test]
async fn a_sound_is_converted_or_refused_and_an_announcement_is_no_longer_than_two_seconds() {
    let rig = Rig::start().await;
    let path = format!("/v1/accounts/{}/callflow", account(&rig, "").await);
    let wav = |ms: usize| {
        Guidance { ulaw: (0..ms * 8).map(|n| if n % 16 < 8 { 0x20 } else { 0xa0 }).collect() }.to_wav()
    };
    let upload = async |query: &str, file: Vec<u8>| {
        let request = rig.request("admin", Method::POST, &format!("/v1/sounds?{query}"));
        answer(request.header("content-type", "audio/wav").body(file).send().await.unwrap()).await
    };
    let (status, sound) = upload("title=x&kind=announcement", wav(1_500)).await;
    assert_eq!((status, &sound["ms"]), (StatusCode::CREATED, &json!(1_500)), "{sound}");
    let name = sound["name"].as_str().unwrap();
    let audio = format!("/v1/sounds/{}/audio", sound["id"].as_str().unwrap());
    let played = rig.request("1001", Method::GET, &audio).send().await.unwrap();
    assert_eq!(played.headers()["content-type"], "audio/wav");
    assert!(played.bytes().await.unwrap().starts_with(b"RIFF"));
    for (query, file, word) in [
        ("title=x&kind=announcement", wav(2_100), "2000 ms"),
        ("title=x", b"ID3".to_vec(), "no WAV file"),
        ("title=x", wav(100), "100 ms"),
    ] {
        let (status, problem) = upload(query, file).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    let (status, problem) = upload("title=y&kind=announcement", wav(1_500)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("value-taken")), "{problem}");
    assert_eq!(upload("title=", wav(1_000)).await.0, StatusCode::BAD_REQUEST);
    // With who calls and from where, it would be too long.
    assert_eq!(
        rig.send("admin", Method::PUT, &path, &json!({ "announcement": name })).await.0,
        StatusCode::OK
    );
    for body in [
        json!({ "announcement": name, "announce_caller": true }),
        json!({ "announcement": "toritsugi-own/0000" }),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, &path, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with("announcement"), "{problem}");
    }
    let path = format!("/v1/sounds/{}", sound["id"].as_str().unwrap());
    let (status, problem) = rig.send("admin", Method::DELETE, &path, &json!(null)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("sound-in-use")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("S-1"), "{problem}");
    // Deleted all the same, as by a restored database: readiness says so.
    let id = RecordId(sound["id"].as_str().unwrap().parse().unwrap());
    assert!(rig.app.store.delete_sound(id).await.unwrap().is_some());
    let (_, ready) = rig.get("admin", "/v1/callflow/readiness").await;
    let missing = ready["items"].as_array().unwrap().iter().find(|one| one["kind"] == "sound_missing");
    assert!(missing.is_some_and(|one| one["detail"].as_str().unwrap().contains(name)), "{ready}");
}

#[tokio::test]
async fn a_pin_is_set_shown_without_itself_and_removed() {
    let rig = Rig::start().await;
    let path = format!("/v1/accounts/{}/guidance-pin", account(&rig, "").await);
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    for (body, word) in [
        (json!({ "pin": "4815" }), "6 digits"),
        (json!({ "pin": "123456" }), "different digits"),
        (json!({ "pin": "481516", "entry": "S-1" }), "entry"),
    ] {
        let (status, problem) = rig.send("admin", Method::PUT, &path, &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    let (status, set) = rig.send("admin", Method::PUT, &path, &json!({ "pin": "481516" })).await;
    // The account's code is S-1.
    assert_eq!((status, &set["entry"]), (StatusCode::OK, &json!("1")), "{set}");
    let (_, shown) = rig.get("1001", &path).await;
    assert_eq!(shown, set);
    let other = json!({ "code": "T-1", "name": "みなと" });
    let (_, other) = rig.send("admin", Method::POST, "/v1/accounts", &other).await;
    let others = format!("/v1/accounts/{}/guidance-pin", other["id"].as_str().unwrap());
    let (status, problem) = rig.send("admin", Method::PUT, &others, &json!({ "pin": "162342" })).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("value-taken")), "{problem}");
    let (status, set) =
        rig.send("admin", Method::PUT, &others, &json!({ "pin": "162342", "entry": "77" })).await;
    assert_eq!((status, &set["entry"]), (StatusCode::OK, &json!("77")), "{set}");
    let (status, _) = rig.send("admin", Method::DELETE, &path, &json!(null)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    let (_, trail) = rig.get("admin", "/v1/audit?action=guidance_pin.").await;
    let actions: Vec<_> =
        trail["items"].as_array().unwrap().iter().map(|one| one["action"].as_str()).collect();
    assert_eq!(
        actions,
        [Some("guidance_pin.removed"), Some("guidance_pin.set"), Some("guidance_pin.set")],
        "{trail}"
    );
    let nowhere = [&trail, &set, &shown].iter().all(|answer| {
        let text = answer.to_string();
        !text.contains("481516") && !text.contains("162342") && !text.contains("argon2")
    });
    assert!(nowhere, "{trail}");
}

#[tokio::test]
async fn a_recording_that_waits_is_found_confirmed_as_it_was_heard_or_discarded() {
    let rig = Rig::start().await;
    let id = account(&rig, "").await;
    let path = format!("/v1/accounts/{id}/callflow");
    let fields = json!({ "recorded_guidance": "confirmed" });
    let (status, set) = rig.send("admin", Method::PUT, &path, &fields).await;
    assert_eq!((status, &set["fields"]["recorded_guidance"]), (StatusCode::OK, &json!("confirmed")), "{set}");
    let account = RecordId(id.parse().unwrap());
    let waits = async |n: u32| {
        let sound = keep_sound(&rig, &format!("toritsugi-own/{n}"), 900).await;
        let of_account = (account, RecordId(sound.parse().unwrap()));
        let now = rig.app.clock.now();
        rig.app.store.set_guidance_draft(of_account, RecordedGuidance::Confirmed, now).await.unwrap();
        sound
    };
    let (first, second) = (waits(1).await, waits(2).await);
    let (_, found) = rig.get("1001", "/v1/guidance-drafts").await;
    let waiting = &found["items"][0];
    assert_eq!((&waiting["sound"], &waiting["used_from"]), (&json!(second), &json!("confirmed")), "{found}");
    let (_, ready) = rig.get("admin", "/v1/callflow/readiness").await;
    let is_found = |one: &Value| one["kind"] == "guidance_waiting" && one["account"] == json!(id);
    assert!(ready["items"].as_array().unwrap().iter().any(is_found), "{ready}");
    // It waits: a callflow may name it any moment.
    let (status, problem) =
        rig.send("admin", Method::DELETE, &format!("/v1/sounds/{second}"), &json!(null)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("sound-in-use")), "{problem}");
    // The first was heard, and another one was recorded meanwhile.
    let draft = format!("/v1/accounts/{id}/guidance-draft");
    let confirm = format!("{draft}/confirm");
    let (status, problem) = rig.send("admin", Method::POST, &confirm, &json!({ "sound": first })).await;
    assert_eq!((status, &problem["type"]), (StatusCode::CONFLICT, &json!("guidance-changed")), "{problem}");
    let (status, used) = rig.send("admin", Method::POST, &confirm, &json!({ "sound": second })).await;
    assert_eq!((status, &used["name"]), (StatusCode::OK, &json!("toritsugi-own/2")), "{used}");
    let (_, flow) = rig.get("admin", &path).await;
    assert_eq!(flow["fields"]["closed_guidance"], "toritsugi-own/2", "{flow}");
    assert_eq!(
        rig.send("admin", Method::POST, &confirm, &json!({ "sound": second })).await.0,
        StatusCode::NOT_FOUND
    );
    let third = waits(3).await;
    let (status, _) =
        rig.send("admin", Method::DELETE, &format!("{draft}?sound={third}"), &json!(null)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (_, flow) = rig.get("admin", &path).await;
    assert_eq!(flow["fields"]["closed_guidance"], "toritsugi-own/2", "{flow}");
    let (_, trail) = rig.get("admin", "/v1/audit?action=guidance.").await;
    let actions: Vec<_> =
        trail["items"].as_array().unwrap().iter().map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, [Some("guidance.discarded"), Some("guidance.used")], "{trail}");
}

#[tokio::test]
async fn what_waits_for_the_next_closing_is_due_once_the_account_has_been_open() {
    let rig = Rig::start().await;
    let id = account(&rig, "月-金 09:00-17:00").await;
    let (status, _) =
        rig.send("admin", Method::PUT, &format!("/v1/accounts/{id}/callflow"), &json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let account = RecordId(id.parse().unwrap());
    rig.app.directory.refresh().await.unwrap();
    let sound = RecordId(keep_sound(&rig, "toritsugi-own/7", 900).await.parse().unwrap());
    let store = &rig.app.store;
    // Friday evening.
    let recorded = at("2026-10-09T18:00:00+09:00");
    store.set_guidance_draft((account, sound), RecordedGuidance::NextClosing, recorded).await.unwrap();
    for (now, count) in [
        ("2026-10-09T18:30:00+09:00", 0),
        ("2026-10-11T12:00:00+09:00", 0),
        ("2026-10-13T09:01:00+09:00", 1),
        // A daemon that was stopped over the day.
        ("2026-10-13T20:00:00+09:00", 1),
    ] {
        let due = rig.app.directory.guidance_due(at(now)).await.unwrap();
        assert_eq!(due.len(), count, "{now}");
    }
    store.set_guidance_draft((account, sound), RecordedGuidance::Confirmed, recorded).await.unwrap();
    assert_eq!(rig.app.directory.guidance_due(at("2026-10-13T20:00:00+09:00")).await.unwrap(), []);
}
