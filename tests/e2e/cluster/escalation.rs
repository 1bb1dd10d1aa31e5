//! The timers of messages' routes and of digests with two daemons of one store: each fires once, and also when the daemon that led is
//! killed before its time.

use std::cell::RefCell;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::site::{Daemon, Site, Transcript};
use crate::support::pbx_lab::Lab;
use crate::support::services::shared;
use crate::support::wait::eventually;

const ROUTES: &str = r#"
format = 1
[[digest]]
name = "daily"
at = ["00:00"]
to = ["account"]
[[route]]
name = "low"
when = { urgency = "low" }
digest = "daily"
[[route]]
name = "calls"
[[route.step]]
to = ["on-call"]
via = ["phone"]
wait_min = 600
[[route.step]]
to = ["taker", "supervisors"]
wait_min = 600
"#;

struct Scene {
    site: Site,
    account: Value,
    database: PgConnection,
}

impl Scene {
    async fn start(site: Site, daemon: &Daemon) -> Self {
        let account = json!({"code": "ESC", "name": "当番商事"});
        let account = site.json(daemon, "admin", Method::POST, "/v1/accounts", &account).await["id"].clone();
        let contact =
            json!({"account": account, "name": "佐々木", "number": "090-1111-0001", "on_call_order": 1});
        site.json(daemon, "admin", Method::POST, "/v1/contacts", &contact).await;
        let path = format!("/v1/routes/{}", account.as_str().unwrap());
        site.json(daemon, "admin", Method::PUT, &path, &json!({"body": ROUTES})).await;
        let database: PgConnectOptions = site.settings[0].1.parse().unwrap();
        let database = database.connect().await.unwrap();
        Self { site, account, database }
    }

    async fn save(&self, daemon: &Daemon, urgency: &str) -> String {
        let message = json!({"account": self.account, "text": "折り返し", "urgency": urgency});
        let saved = self.site.json(daemon, "1001", Method::POST, "/v1/messages", &message).await;
        saved["id"].as_str().unwrap().to_owned()
    }

    /// Lets the first step of the running routes end at this time, and the digest come.
    async fn comes(&mut self, due: Timestamp) {
        let dispatches = "UPDATE dispatches SET due_ms = $1, body_json = jsonb_set(body_json::jsonb, '{ends_at}', to_jsonb($2::text))::text
            WHERE state = 'running' AND digest IS NULL AND body_json::jsonb -> 'step' = '0'::jsonb";
        sqlx::query(dispatches)
            .bind(due.as_millisecond())
            .bind(due.to_string())
            .execute(&mut self.database)
            .await
            .unwrap();
        sqlx::query("UPDATE digest_timers SET due_ms = $1")
            .bind(due.as_millisecond())
            .execute(&mut self.database)
            .await
            .unwrap();
    }

    /// How long after `due` the second step of a message began.
    async fn late(&mut self, message: &str, due: Timestamp) -> i64 {
        let id = uuid::Uuid::parse_str(message).unwrap();
        let query = sqlx::query_scalar::<_, i64>("SELECT changed_ms FROM dispatches WHERE message_id = $1");
        query.bind(id).fetch_one(&mut self.database).await.unwrap() - due.as_millisecond()
    }

    async fn runs(&self, daemon: &Daemon) -> usize {
        let path = format!("/v1/accounts/{}/digests", self.account.as_str().unwrap());
        let listed = self.site.json(daemon, "admin", Method::GET, &path, &Value::Null).await;
        listed["runs"].as_array().unwrap().len()
    }

    async fn is_at_the_second_step(&self, daemon: &Daemon, message: &str) {
        let path = format!("/v1/messages/{message}");
        self.site.until_json(daemon, &path, |m| m["delivery"]["route"]["step"] == 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_step_and_a_digest_come_once_also_when_the_leader_is_killed_before_their_time() {
    let lab = Lab::start().await;
    let site = Site::new(&lab, shared()).await;
    let (active, standby) = site.pair(&lab).await;
    let mut scene = Scene::start(site, &active).await;
    let mut desktop = scene.site.follow(&standby, "admin", None).await;
    let mut transcript = Transcript::default();

    // Both daemons look at the timers.
    let (raced, _) = (scene.save(&active, "normal").await, scene.save(&standby, "low").await);
    scene.comes(Timestamp::now()).await;
    scene.is_at_the_second_step(&standby, &raced).await;
    eventually("the digest is made", async || match scene.runs(&standby).await {
        0 => Err("no run".to_owned()),
        _ => Ok(()),
    })
    .await;

    // One that leads is killed before the time.
    let taken_over = scene.save(&active, "normal").await;
    scene.save(&active, "low").await;
    let due = Timestamp::now().checked_add(SignedDuration::from_secs(2)).unwrap();
    scene.comes(due).await;
    drop(active);
    scene.is_at_the_second_step(&standby, &taken_over).await;
    println!(
        "the second step began {} ms after its time, over the end of the leader",
        scene.late(&taken_over, due).await
    );
    scene.site.leads(&standby).await;
    eventually("the second digest is made", async || match scene.runs(&standby).await {
        count @ 0..=1 => Err(format!("{count} runs")),
        _ => Ok(()),
    })
    .await;

    // Once all is published, a later message shows that nothing comes twice.
    loop {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM message_notices")
            .fetch_one(&mut scene.database)
            .await
            .unwrap();
        if waiting == 0 {
            break;
        }
        tokio::time::sleep(crate::ms(100)).await;
    }
    let last = scene.save(&standby, "normal").await;
    let seen = RefCell::new(Vec::new());
    let is_last = |_: &Transcript, event: &Value| {
        let data = &event["data"];
        if event["kind"] == "message.escalated" || event["kind"] == "message.unanswered" {
            let what =
                (event["kind"].clone(), data["message"].clone(), data["to"].clone(), data["step"].clone());
            seen.borrow_mut().push(what);
        }
        event["kind"] == "message.saved" && data["id"] == last.as_str()
    };
    assert!(desktop.read("lab", &mut transcript, is_last).await);
    for message in [&raced, &taken_over] {
        let of: Vec<_> = seen.borrow().iter().filter(|(_, id, ..)| id == message.as_str()).cloned().collect();
        let expected: Vec<_> = [
            ("message.escalated", Value::Null),
            ("message.unanswered", json!("taker")),
            ("message.unanswered", json!("supervisors")),
        ]
        .into_iter()
        .map(|(kind, to)| (json!(kind), json!(message), to, json!(2)))
        .collect();
        assert_eq!(of, expected);
    }
    assert_eq!(scene.runs(&standby).await, 2);
    let items = format!("/v1/messages?account={}&kind=digest", scene.account.as_str().unwrap());
    let digests = scene.site.json(&standby, "admin", Method::GET, &items, &Value::Null).await;
    assert_eq!(digests["items"].as_array().unwrap().len(), 2);
    scene.database.close().await.unwrap();
}
