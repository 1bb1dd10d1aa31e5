//! Faxes over HTTP: lists, documents, who takes them, and that nothing in a document runs in a browser.

use jiff::SignedDuration;
use reqwest::{Method, StatusCode};
use serde_json::json;
use toritsugi::contract::fax::{Fax, FaxMode, FaxState, NewFax};
use toritsugi::ids::RecordId;
use uuid::Uuid;

use crate::support::gateway_rig::Rig;
use crate::support::ids::{call, pbx};

/// The `n`th fax, with a document that a browser could run.
pub(crate) fn new_fax(n: u32, account: Option<RecordId>) -> NewFax {
    NewFax {
        fax: Fax {
            id: RecordId(Uuid::now_v7()),
            pbx: pbx(),
            account,
            call: Some(call(n)),
            dialled: Some("+81355501091".into()),
            caller: Some("+81312345678".into()),
            station: Some("0312345678".into()),
            state: FaxState::Complete,
            mode: FaxMode::T38,
            pages: 2,
            bytes: 37,
            received_at: "2026-04-01T00:00:00Z".parse().unwrap(),
        },
        file: format!("{n}.{}_0355501091.tif", Uuid::now_v7().simple()),
        document: b"%PDF-1.4 <html><script>1</script></html>".to_vec(),
    }
}

#[tokio::test]
async fn faxes_are_listed_by_page_and_condition() {
    let rig = Rig::start().await;
    let account = json!({"code": "A", "name": "さくら商事"});
    let (_, account) = rig.send("admin", Method::POST, "/v1/accounts", &account).await;
    let account: RecordId = serde_json::from_value(account["id"].clone()).unwrap();
    let mut ids = Vec::new();
    for n in 1..=3 {
        let mut new = new_fax(n, (n != 2).then_some(account));
        new.fax.received_at += SignedDuration::from_hours(i64::from(n));
        if n == 3 {
            new.fax.state = FaxState::Partial;
        }
        assert!(rig.app.store.create_fax(&new, None, rig.app.clock.now()).await.unwrap());
        ids.push(new.fax.id.to_string());
    }
    let listed = async |query: &str| {
        let (status, page) = rig.get("2001", &format!("/v1/faxes{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["items"].as_array().unwrap().iter();
        let items: Vec<String> = items.map(|fax| fax["id"].as_str().unwrap().to_owned()).collect();
        (items, page["next"].as_str().map(str::to_owned))
    };
    let (first, next) = listed("?limit=2").await;
    assert_eq!(first, [ids[2].clone(), ids[1].clone()]);
    let (rest, next) = listed(&format!("?limit=2&cursor={}", next.unwrap())).await;
    assert_eq!((rest, next), (vec![ids[0].clone()], None));
    assert_eq!(listed("?state=partial").await.0, [ids[2].clone()]);
    assert_eq!(listed(&format!("?account={account}")).await.0, [ids[2].clone(), ids[0].clone()]);
    assert_eq!(listed(&format!("?call={}", call(2))).await.0, [ids[1].clone()]);
    assert_eq!(listed("?from=2026-04-01T02:00:00Z&to=2026-04-01T03:00:00Z").await.0, [ids[1].clone()]);
    for query in ["?state=lost", "?limit=0", "?cursor=x", "?colour=red", "?account=x"] {
        let (status, problem) = rig.get("2001", &format!("/v1/faxes{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {problem}");
    }
}

#[tokio::test]
async fn a_document_is_a_file_to_be_saved_and_who_took_it_is_in_the_audit_trail() {
    let rig = Rig::start().await;
    let new = new_fax(1, None);
    rig.app.store.create_fax(&new, None, rig.app.clock.now()).await.unwrap();
    let path = format!("/v1/faxes/{}", new.fax.id);
    let (status, shown) = rig.get("2001", &path).await;
    assert_eq!((status, &shown["pages"], &shown["state"]), (StatusCode::OK, &json!(2), &json!("complete")));
    let answer = rig.request("2001", Method::GET, &format!("{path}/document")).send().await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/pdf");
    assert_eq!(header("content-disposition"), format!("attachment; filename=\"fax-{}.pdf\"", new.fax.id));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(answer.bytes().await.unwrap(), new.document);

    let (status, _) = rig.get("1001", &format!("{path}/document")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let status = rig.request("admin", Method::DELETE, &path).send().await.unwrap().status();
    assert_eq!(status, StatusCode::NO_CONTENT);
    for path in [path.clone(), format!("{path}/document")] {
        assert_eq!(rig.get("admin", &path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let (_, audit) = rig.get("admin", "/v1/audit?action=fax.").await;
    let entries: Vec<_> = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].clone(), entry["actor_name"].clone(), entry["subject_id"].clone()))
        .collect();
    let id = json!(new.fax.id);
    assert_eq!(
        entries,
        [(json!("fax.deleted"), json!("admin"), id.clone()), (json!("fax.read"), json!("2001"), id),]
    );
    assert!(!audit.to_string().contains("12345678"), "{audit}");
}

#[tokio::test]
async fn a_fax_that_cannot_be_read_has_no_document() {
    let rig = Rig::start().await;
    let mut new = new_fax(1, None);
    new.document.clear();
    (new.fax.state, new.fax.pages, new.fax.bytes) = (FaxState::Unreadable, 0, 0);
    rig.app.store.create_fax(&new, None, rig.app.clock.now()).await.unwrap();
    let (status, problem) = rig.get("admin", &format!("/v1/faxes/{}/document", new.fax.id)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(problem["detail"].as_str().unwrap().contains("could not be read"), "{problem}");
}
