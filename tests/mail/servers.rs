//! The backup server, and access tokens instead of passwords.

use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, signed_in};
use crate::mail_lab::{Answer, LOGIN, MailLab};
use crate::support::wait::eventually;

/// While the first server refuses the sign-in, what is urgent goes over the second one, and the rest waits for the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_messages_go_over_the_backup_while_the_server_refuses_all() {
    let lab = MailLab::start().await;
    let mut settings = signed_in(&lab, "STARTTLS_PORT", "starttls");
    settings.extend([
        ("PASSWORD", "wrong".into()),
        ("BACKUP__HOST", "localhost".into()),
        ("BACKUP__PORT", lab.port("PLAIN_PORT")),
        ("BACKUP__TLS", "none".into()),
    ]);
    let mut house = House::start(&settings).await;
    let contact = house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let usual = house.save(&contact, "納期").await;
    let urgent =
        json!({"account": house.account, "contact": contact, "text": "至急のご連絡", "urgency": "urgent"});
    let urgent = house.ask("1001", Method::POST, "/v1/messages", urgent).await;
    let sent = house.is_sent(urgent["id"].as_str().unwrap()).await;
    assert_eq!(sent["state"], "sent", "{sent}");
    let waiting = house.get(&format!("/v1/messages/{usual}")).await;
    assert_eq!(waiting["delivery"]["state"], "queued", "{waiting}");
    let servers = house.get("/v1/mail/servers").await["items"].clone();
    let names: Vec<&Value> = servers.as_array().unwrap().iter().map(|server| &server["name"]).collect();
    assert_eq!(names, [&json!("main"), &json!("backup")]);
    assert!(servers[0]["why"].as_str().unwrap().starts_with("sign-in: 535"), "{servers}");
    assert_eq!((&servers[0]["waiting"], &servers[1]["why"]), (&json!(1), &Value::Null), "{servers}");
    let checked = house.command().arg("check").output().await.unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("mail backup"), "{checked}");

    house.kill().await;
    for (name, value) in &mut house.environment {
        if name == "TORITSUGI__MAIL__PASSWORD" {
            LOGIN.1.clone_into(value);
        }
    }
    house.revive().await;
    house.ask("2001", Method::POST, "/v1/mail/servers/main/resume", Value::Null).await;
    house.is_sent(&usual).await;
    eventually("both are there", async || if lab.count("sasaki") == 2 { Ok(()) } else { Err(lab.log()) })
        .await;
}

/// Dovecot asks whose the token is. A wrong one pauses the server; another program renews the file, and the mail goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_oauth_signs_in() {
    const TOKENS: [&str; 2] = ["ya29.mail-token", "ya29.imap-token"];
    let lab = MailLab::start().await;
    lab.allow_token(TOKENS[0], LOGIN.0);
    lab.allow_token(TOKENS[1], "bounce");
    let directory = tempfile::tempdir().unwrap();
    let files = ["mail", "imap"].map(|name| directory.path().join(name));
    std::fs::write(&files[0], "ya29.over\n").unwrap();
    std::fs::write(&files[1], TOKENS[1]).unwrap();
    let mut settings = signed_in(&lab, "STARTTLS_PORT", "starttls");
    settings.retain(|(key, _)| *key != "PASSWORD");
    settings.extend([
        ("TOKEN_FILE", files[0].to_str().unwrap().into()),
        ("BOUNCE_ADDRESS", "bounce@toritsugi.example.jp".into()),
        ("IMAP__HOST", "localhost".into()),
        ("IMAP__PORT", lab.port("IMAPS_PORT")),
        ("IMAP__USER", "bounce".into()),
        ("IMAP__TOKEN_COMMAND", format!("cat,{}", files[1].to_str().unwrap())),
        ("IMAP__POLL_SECONDS", "1".into()),
    ]);
    let house = House::start(&settings).await;
    let contact = house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let id = house.save(&contact, "納期").await;
    eventually("the server refuses the token", async || {
        let servers = house.get("/v1/mail/servers").await;
        let why = servers["items"][0]["why"].as_str().unwrap_or_default().to_owned();
        if why.starts_with("sign-in: 535") { Ok(()) } else { Err(servers.to_string()) }
    })
    .await;
    std::fs::write(&files[0], TOKENS[0]).unwrap();
    house.ask("2001", Method::POST, "/v1/mail/servers/main/resume", Value::Null).await;
    house.is_sent(&id).await;
    // Sends nothing, but asks whether a mail that comes back would be taken.
    let plus = "bounce+check@toritsugi.example.jp";
    lab.at_recipient(plus, &[Answer::Say("550 5.1.1 no such user")]);
    let mut checked = String::new();
    for words in [format!("{plus} is refused (550 5.1.1"), format!("localhost takes {plus}")] {
        let output = house.command().args(["mail", "check"]).output().await.unwrap();
        checked = String::from_utf8(output.stdout).unwrap();
        let has = |words: &str| checked.contains(words);
        assert!(
            output.status.success()
                && has("encrypted, signed in")
                && has("localhost has 0 of them")
                && has(&words),
            "{checked}"
        );
    }
    for token in TOKENS.iter().chain(&["ya29.over"]) {
        assert!(!house.log().contains(token) && !checked.contains(token), "{token} is shown");
    }
}
