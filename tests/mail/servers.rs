//! The backup server, servers that accounts have of their own, and access tokens instead of passwords.

use reqwest::Method;
use serde_json::{Value, json};

use super::house::{House, SENDER, plain, signed_in};
use crate::mail_lab::{Answer, CuttingProxy, LOGIN, MailLab};
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

/// The sender of the account that has a server of its own.
const CLINIC: &str = "desk@clinic.example.jp";

/// A main server, a backup, and one for accounts at this port, which wants a sign-in.
fn with_own_server(lab: &MailLab, port: u16) -> Vec<(&'static str, String)> {
    let mut settings = plain(&lab.port("PLAIN_PORT"));
    settings.extend([
        ("BOUNCE_ADDRESS", "bounce@toritsugi.example.jp".into()),
        ("BACKUP__HOST", "localhost".into()),
        ("BACKUP__PORT", lab.port("BARE_PORT")),
        ("BACKUP__TLS", "none".into()),
        ("HOSTS__clinic__HOST", "localhost".into()),
        ("HOSTS__clinic__PORT", port.to_string()),
        ("HOSTS__clinic__CA_FILE", lab.ca_file.to_str().unwrap().into()),
        ("HOSTS__clinic__USER", LOGIN.0.into()),
        ("HOSTS__clinic__PASSWORD", LOGIN.1.into()),
        ("HOSTS__clinic__FROM", CLINIC.into()),
        ("HOSTS__clinic__FROM_NAME", "みなとクリニック".into()),
        ("HOSTS__clinic__BOUNCE_ADDRESS", "bounce@clinic.example.jp".into()),
    ]);
    settings
}

/// An account with a server of its own sends over that one, with its sender, and another account over the main one; while the own one
/// refuses the sign-in, an urgent mail goes over the backup, with the same sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mails_of_an_account_leave_by_its_own_server() {
    let lab = MailLab::start().await;
    let own = CuttingProxy::start(&lab.port("STARTTLS_PORT"), 0).await;
    let mut house = House::start(&with_own_server(&lab, own.port)).await;
    let clinic = json!({"code": "B", "name": "みなとクリニック", "mail_host": "minato"});
    let (status, refused) = house.try_ask("admin", Method::POST, "/v1/accounts", &clinic).await.unwrap();
    assert!(status == 422 && refused.to_string().contains("is not one of clinic"), "{status} {refused}");
    let clinic = json!({"code": "B", "name": "みなとクリニック", "mail_host": "clinic"});
    let clinic = house.ask("admin", Method::POST, "/v1/accounts", clinic).await["id"].clone();
    let doctor = json!({"account": clinic, "name": "伊藤", "email": "ito@sakura.example.jp"});
    let doctor = house.ask("admin", Method::POST, "/v1/contacts", doctor).await["id"].clone();
    let sasaki = house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let message = |text: &str, urgency: &str| json!({"account": clinic, "contact": doctor, "text": text, "urgency": urgency});

    let of_main = house.save(&sasaki, "納期").await;
    let of_clinic = house.ask("1001", Method::POST, "/v1/messages", message("予約の変更", "normal")).await;
    let of_clinic = of_clinic["id"].as_str().unwrap().to_owned();
    for (id, server) in [(&of_main, "main"), (&of_clinic, "clinic")] {
        house.is_sent(id).await;
        assert_eq!(house.deliveries(id).await[0]["server"], server);
    }
    assert_eq!(house.get("/v1/deliveries?server=clinic").await["items"].as_array().unwrap().len(), 1);
    let arrived = async |mailbox: &str, count: usize| {
        eventually("the mails are there", async || {
            let mails = lab.mails(mailbox);
            if mails.len() == count { Ok(mails) } else { Err(lab.log()) }
        })
        .await
        .into_iter()
        .map(|mail| String::from_utf8(mail).unwrap())
        .collect::<Vec<_>>()
    };
    let (sasaki, ito) = (arrived("sasaki", 1).await.remove(0), arrived("ito", 1).await.remove(0));
    let has = |mail: &str, sender: &str, path: &str| {
        assert!(mail.contains(&format!("<{sender}>")), "{mail}");
        let path_line = mail.lines().find(|line| line.starts_with("Return-Path: <bounce+")).unwrap();
        assert!(path_line.ends_with(&format!("@{path}>")), "{path_line}");
    };
    has(&sasaki, SENDER, "toritsugi.example.jp");
    has(&ito, CLINIC, "clinic.example.jp");
    assert!(!ito.contains(SENDER) && !own.written.lock().unwrap().is_empty(), "{ito}");
    let checked = house.command().args(["mail", "check"]).output().await.unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(
        checked.contains("clinic: localhost port") && checked.contains("encrypted, signed in"),
        "{checked}"
    );

    // The own server refuses the sign-in: what is urgent goes over the backup, and the main server is not concerned.
    house.kill().await;
    for (name, value) in &mut house.environment {
        if name == "TORITSUGI__MAIL__HOSTS__clinic__PASSWORD" {
            "wrong".clone_into(value);
        }
    }
    house.revive().await;
    let usual = house.ask("1001", Method::POST, "/v1/messages", message("折り返し", "normal")).await;
    let urgent = house.ask("1001", Method::POST, "/v1/messages", message("至急", "urgent")).await;
    house.is_sent(urgent["id"].as_str().unwrap()).await;
    has(&arrived("ito", 2).await[1], CLINIC, "clinic.example.jp");
    let servers = house.get("/v1/mail/servers").await["items"].clone();
    let paused: Vec<_> =
        servers.as_array().unwrap().iter().map(|one| (&one["name"], one["why"].is_string())).collect();
    assert_eq!(paused, [(&json!("main"), false), (&json!("clinic"), true), (&json!("backup"), false)]);

    // Taken out of the configuration: what waited goes over the main server, and `check` says so.
    house.kill().await;
    house.environment.retain(|(name, _)| !name.contains("__HOSTS__"));
    house.revive().await;
    house.is_sent(usual["id"].as_str().unwrap()).await;
    has(&arrived("ito", 3).await[2], SENDER, "toritsugi.example.jp");
    let checked = house.command().args(["mail", "check"]).output().await.unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.contains("send over the main one: B (clinic)"), "{checked}");
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
