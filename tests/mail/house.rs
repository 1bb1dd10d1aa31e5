//! The daemon as a process over an empty database, with an account, an operator, a supervisor and an administrator.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use toritsugi::people::role::Role;
use toritsugi::store::Store;

use crate::mail_lab::{LOGIN, MailLab};
use crate::support::client::{Sse, http};
use crate::support::people::{TestUser, add_token, add_user};
use crate::support::wait::eventually;

/// The sender of all mails.
pub(crate) const SENDER: &str = "report@toritsugi.example.jp";

pub(crate) struct House {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) environment: Vec<(String, String)>,
    address: SocketAddr,
    http: reqwest::Client,
    tokens: Vec<(&'static str, String)>,
    pub(crate) account: String,
    daemon: Option<Child>,
}

/// The settings of a port of the lab with a sign-in.
pub(crate) fn signed_in(lab: &MailLab, port: &str, tls: &str) -> Vec<(&'static str, String)> {
    let mut settings = plain(&lab.port(port));
    settings.extend([
        ("TLS", tls.into()),
        ("CA_FILE", lab.ca_file.to_str().unwrap().into()),
        ("USER", LOGIN.0.into()),
        ("PASSWORD", LOGIN.1.into()),
    ]);
    settings
}

/// The settings of a port without TLS and without a sign-in.
pub(crate) fn plain(port: &str) -> Vec<(&'static str, String)> {
    vec![
        ("HOST", "localhost".into()),
        ("PORT", port.into()),
        ("TLS", "none".into()),
        ("FROM", SENDER.into()),
        ("FROM_NAME", "さくら電話秘書".into()),
    ]
}

impl House {
    /// Starts the daemon with these settings of `[mail]`; a later one replaces an earlier one.
    pub(crate) async fn start(mail: &[(&str, String)]) -> Self {
        Self::start_with(mail, &[]).await
    }

    /// As [`Self::start`], with settings of other sections.
    pub(crate) async fn start_with(mail: &[(&str, String)], others: &[(String, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("toritsugi.db");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let set = |key: &str, value: &str| (format!("TORITSUGI__{key}"), value.to_owned());
        let mut environment = vec![
            set("PBX__HOST", "127.0.0.1"),
            set("PBX__PORT", "1"),
            set("PBX__EVENT_SECRET", "0123456789abcdef"),
            set("PBX__ACTION_SECRET", "0123456789abcdef"),
            set("STORE__PATH", database.to_str().unwrap()),
            set("GATEWAY__LISTEN", &address.to_string()),
            set("MESSAGES__UNDO_SECONDS", "0"),
        ];
        environment.extend(mail.iter().map(|(key, value)| set(&format!("MAIL__{key}"), value)));
        environment.extend(others.iter().map(|(key, value)| set(key, value)));
        let store = Store::open(&database).await.unwrap();
        let mut tokens = Vec::new();
        for (name, role) in [("1001", Role::Operator), ("2001", Role::Supervisor), ("admin", Role::Admin)] {
            let extension = (role != Role::Admin).then_some(name);
            let user =
                add_user(&store, &TestUser::new(name, role, extension, Some("A班")), Timestamp::now()).await;
            tokens.push((name, add_token(&store, user, None, Timestamp::now()).await));
        }
        store.close().await;
        let account = String::new();
        let mut house = Self { directory, environment, address, http: http(), tokens, account, daemon: None };
        house.revive().await;
        let made = house
            .ask("admin", Method::POST, "/v1/accounts", json!({"code": "A", "name": "さくら商事"}))
            .await;
        house.account = made["id"].as_str().unwrap().to_owned();
        house
    }

    /// A command of the product with this house's configuration.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TORITSUGI_"))
        {
            if name != "TORITSUGI_TEST_RUN" {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().cloned());
        command.env("TORITSUGI_TOKEN", self.token("2001")).kill_on_drop(true);
        command
    }

    /// Starts the daemon, and waits until it answers.
    pub(crate) async fn revive(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let daemon =
            self.command().arg("serve").stderr(Stdio::from(log)).stdin(Stdio::null()).spawn().unwrap();
        self.daemon = Some(daemon);
        let url = format!("http://{}/healthz", self.address);
        eventually("the daemon answers", async || {
            let answer = self.http.get(&url).send().await.map_err(|error| error.to_string())?;
            if answer.status() == StatusCode::OK { Ok(()) } else { Err(answer.status().to_string()) }
        })
        .await;
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The event stream of this person.
    pub(crate) async fn events(&self, who: &str) -> Sse {
        let request = self.http.get(format!("{}/v1/events", self.url())).bearer_auth(self.token(who));
        Sse::of(request.send().await.unwrap()).await
    }

    /// Ends the daemon with SIGKILL.
    pub(crate) async fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().await.unwrap();
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("daemon.log")
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    /// The daemon's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id().unwrap()
    }

    pub(crate) fn token(&self, who: &str) -> &str {
        &self.tokens.iter().find(|(name, _)| *name == who).unwrap().1
    }

    /// Sends a request with a body, unless that is null.
    pub(crate) async fn try_ask(
        &self,
        who: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        let mut request = request.bearer_auth(self.token(who));
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await?;
        Ok((response.status(), response.json().await.unwrap_or(Value::Null)))
    }

    /// Sends a request, which succeeds.
    pub(crate) async fn ask(&self, who: &str, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.try_ask(who, method, path, &body).await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("2001", Method::GET, path, Value::Null).await
    }

    /// A contact with this address.
    pub(crate) async fn contact(&self, name: &str, email: &str) -> String {
        let fields = json!({"account": self.account, "name": name, "email": email});
        let made = self.ask("admin", Method::POST, "/v1/contacts", fields).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Saves a message for a contact; its id.
    pub(crate) async fn save(&self, contact: &str, text: &str) -> String {
        let message = json!({"account": self.account, "contact": contact, "text": text});
        let saved = self.ask("1001", Method::POST, "/v1/messages", message).await;
        assert_eq!(saved["delivery"]["state"], "queued", "{saved}");
        saved["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a message is so.
    pub(crate) async fn message_until(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let message = self.get(&format!("/v1/messages/{id}")).await;
            if is_so(&message) { Ok(message) } else { Err(message.to_string()) }
        })
        .await
    }

    /// Waits until the mail server has taken a message.
    pub(crate) async fn is_sent(&self, id: &str) -> Value {
        self.message_until(id, "the message is sent", |message| message["delivery"]["state"] == "sent").await
    }

    /// The deliveries of a message, the newest first.
    pub(crate) async fn deliveries(&self, message: &str) -> Vec<Value> {
        let found = self.get(&format!("/v1/deliveries?message={message}")).await;
        found["items"].as_array().unwrap().clone()
    }

    /// The log is free of secrets and of addresses in full.
    pub(crate) fn log_is_clean(&self, addresses: &[&str]) {
        let log = self.log();
        for word in addresses.iter().chain(&[LOGIN.1]) {
            assert!(!log.contains(word), "{word} is in the log: {log}");
        }
    }
}
