//! Messages to chats and by SMS. No real service can be had in a test: each is a server of this machine with a certificate of a
//! private authority, which takes requests over TLS and answers as the service's documents say. What the daemon sends, and what it makes
//! of the answers, is real.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::house::House;
use crate::support::wait::eventually;

/// What is secret in every URL and header of these tests.
pub(crate) const SECRET: &str = "s3cretpart0123456789";

/// The key of the bot of LINE WORKS in these tests, and of no other.
const KEY: &str = include_str!("../samples/line_works_bot.pem");

/// What the service does with a request.
#[derive(Debug, Clone)]
enum Act {
    /// It answers: status, headers, body.
    Answer(u16, &'static str, &'static str),
    /// It ends the connection without an answer.
    Cut,
    /// It does not answer for the rest of the test.
    Silence,
}

/// A request as the service saw it.
#[derive(Debug, Clone)]
struct Seen {
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// A service that answers what it was told to, and then 200 `ok`.
#[derive(Clone)]
pub(crate) struct StandIn {
    port: u16,
    pem: String,
    /// The files of the daemon's configuration.
    directory: Arc<tempfile::TempDir>,
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl StandIn {
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            port: listener.local_addr().unwrap().port(),
            pem: made.cert.pem(),
            directory: Arc::new(tempfile::tempdir().unwrap()),
            acts: Arc::default(),
            seen: Arc::default(),
        };
        let (acts, seen) = (Arc::clone(&service.acts), Arc::clone(&service.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, acts, seen) = (acceptor.clone(), Arc::clone(&acts), Arc::clone(&seen));
                tokio::spawn(async move {
                    // A client that refuses the certificate ends the connection.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let mut stream = BufReader::new(stream);
                    let Some(request) = read(&mut stream).await else { return };
                    let act = acts.lock().pop_front().unwrap_or(Act::Answer(200, "", "ok"));
                    seen.lock().push(request);
                    match act {
                        Act::Answer(status, headers, body) => {
                            let length = body.len();
                            let answer = format!(
                                "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
                            );
                            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
                            let _ = stream.get_mut().shutdown().await;
                        }
                        Act::Cut => {}
                        Act::Silence => std::future::pending().await,
                    }
                });
            }
        });
        service
    }

    fn will(&self, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().extend(acts);
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The URL of a webhook that begins like one of the service.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// A daemon for which this service is every chat, and the gateway of SMS.
    pub(crate) async fn house(&self) -> House {
        let directory = self.directory.path();
        let (ca_file, gateways) = (directory.join("ca.pem"), directory.join("gateways.toml"));
        std::fs::write(&ca_file, &self.pem).unwrap();
        std::fs::write(directory.join("token"), format!("{SECRET}\n")).unwrap();
        let url = self.url("/sms/send");
        let gateway = format!(
            "[sms.main]\nurl = \"{url}\"\nsecret_file = \"token\"\nsecret_prefix = \"Bearer \"\nok_contains = \"accepted\"\n\
             body = '{{\"to\": \"{{{{ number }}}}\", \"text\": \"{{{{ text }}}}\", \"ref\": \"{{{{ delivery }}}}\"}}'\n"
        );
        let bot = "[line_works_bot.main]\nbot_id = 2000001\nclient_id = \"cl1ent\"\nclient_secret_file = \"token\"\n\
            service_account = \"a1.serviceaccount@example\"\nprivate_key_file = \"key\"\n";
        std::fs::write(directory.join("key"), KEY).unwrap();
        std::fs::write(&gateways, gateway + bot).unwrap();
        let host = format!("127.0.0.1:{}", self.port);
        let mut settings: Vec<(String, String)> =
            ["slack", "teams", "chatwork", "line_works", "line_works_bot", "google_chat"]
                .map(|kind| (format!("CHAT__HOSTS__{kind}"), host.clone()))
                .into();
        settings.extend([
            ("CHAT__CHATWORK_TOKEN".into(), SECRET.into()),
            ("CHAT__GATEWAYS_FILE".into(), gateways.to_str().unwrap().into()),
            ("WEBHOOKS__CA_FILE".into(), ca_file.to_str().unwrap().into()),
            ("WEBHOOKS__ALLOW_PRIVATE_ADDRESSES".into(), "true".into()),
            ("PUBLIC__LISTEN".into(), "127.0.0.1:0".into()),
            ("PUBLIC__URL".into(), "https://m.example.jp".into()),
            ("LOG__LEVEL".into(), "debug".into()),
        ]);
        House::start_with(&[], &settings).await
    }
}

/// Reads a request with its body.
async fn read(
    stream: &mut BufReader<tokio_rustls::server::TlsStream<tokio::net::TcpStream>>,
) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { target, headers, body: String::from_utf8(body).ok()? })
}

impl House {
    /// An endpoint of a contact; the record.
    pub(crate) async fn endpoint(&self, contact: &str, fields: Value) -> Value {
        let mut whole = json!({"account": self.account, "contact": contact, "priority": 0});
        for (key, value) in fields.as_object().unwrap() {
            whole[key] = value.clone();
        }
        self.ask("admin", Method::POST, "/v1/endpoints", whole).await
    }

    /// A contact without a mail address.
    pub(crate) async fn person(&self, name: &str) -> String {
        let fields = json!({"account": self.account, "name": name});
        let made = self.ask("admin", Method::POST, "/v1/contacts", fields).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// A delivery in this state.
    async fn delivery_until(&self, message: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let found = self.deliveries(message).await;
            found.iter().find(|one| is_so(one)).cloned().ok_or_else(|| format!("{found:?}"))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one part for each service")]
async fn each_service_gets_a_message_in_its_own_form() {
    let service = StandIn::start().await;
    let house = service.house().await;
    let accepted = Act::Answer(200, "", "{\"status\":\"accepted\"}");
    for (kind, fields, target, content_type) in [
        (
            "slack",
            json!({"address": service.url(&format!("/services/T0/B0/{SECRET}")), "mention": "here"}),
            format!("/services/T0/B0/{SECRET}"),
            "application/json",
        ),
        (
            "teams",
            json!({"address": service.url(&format!("/workflows/0a/run?api-version=1&sp=%2Ftriggers&sig={SECRET}%2B"))}),
            format!("/workflows/0a/run?api-version=1&sp=%2Ftriggers&sig={SECRET}%2B"),
            "application/json",
        ),
        (
            "line_works",
            json!({"address": service.url(&format!("/message/{SECRET}"))}),
            format!("/message/{SECRET}"),
            "application/json",
        ),
        (
            "google_chat",
            json!({"address": service.url(&format!("/v1/spaces/A/messages?key=k&token={SECRET}"))}),
            format!("/v1/spaces/A/messages?key=k&token={SECRET}&requestId=d-"),
            "application/json",
        ),
        (
            "chatwork",
            json!({"address": "rid1234", "mention": "all"}),
            "/v2/rooms/1234/messages".to_owned(),
            "application/x-www-form-urlencoded",
        ),
        (
            "sms",
            json!({"address": "090-1234-5678", "profile": "main"}),
            "/sms/send".to_owned(),
            "application/json",
        ),
    ] {
        service.will([accepted.clone()]);
        let contact = house.person(kind).await;
        let mut whole = fields.clone();
        whole["kind"] = json!(kind);
        let endpoint = house.endpoint(&contact, whole).await;
        assert!(!endpoint.to_string().contains(SECRET), "{endpoint}");
        let message = house.save(&contact, "注文<1234>の[納期]を & \"確認\"したい。\n17時まで").await;
        let delivery = house.delivery_until(&message, kind, |one| one["state"] == "sent").await;
        assert_eq!((&delivery["channel"], &delivery["address"]), (&json!(kind), &endpoint["address"]));
        assert_eq!((&delivery["attempts"], &delivery["endpoint"]), (&json!(1), &endpoint["id"]));
        let seen = service.seen().pop().unwrap();
        assert!(seen.target.starts_with(&target), "{}", seen.target);
        assert_eq!(seen.header("content-type"), Some(content_type));
        assert_eq!(seen.header("host"), Some(format!("127.0.0.1:{}", service.port).as_str()));
        let link = "https://m.example.jp/a/";
        match kind {
            "slack" => {
                let text = seen.json()["blocks"][1]["text"]["text"].as_str().unwrap().to_owned();
                assert!(text.starts_with("<!here>\nslack様\n"), "{text}");
                assert!(
                    text.contains("注文&lt;1234&gt;の[納期]を &amp; \"確認\"したい。\n17時まで"),
                    "{text}"
                );
                let button = &seen.json()["blocks"][2]["elements"][0]["url"];
                assert!(button.as_str().unwrap().starts_with(link), "{button}");
            }
            "teams" => {
                let card = &seen.json()["attachments"][0]["content"];
                assert!(
                    card["body"][1]["text"].as_str().unwrap().contains("注文\\<1234\\>の\\[納期\\]"),
                    "{card}"
                );
                assert!(card["actions"][0]["url"].as_str().unwrap().starts_with(link), "{card}");
            }
            "line_works" => {
                let body = seen.json();
                assert!(body["body"]["text"].as_str().unwrap().contains("注文<1234>の[納期]"), "{body}");
                assert!(body["button"]["url"].as_str().unwrap().starts_with(link), "{body}");
            }
            "google_chat" => {
                let id = seen.target.rsplit_once("requestId=d-").unwrap().1;
                assert_eq!(id, delivery["id"].as_str().unwrap());
                let widgets = &seen.json()["cardsV2"][0]["card"]["sections"][0]["widgets"];
                assert!(
                    widgets[0]["textParagraph"]["text"].as_str().unwrap().contains("注文&lt;1234&gt;"),
                    "{widgets}"
                );
            }
            "chatwork" => {
                assert_eq!(seen.header("x-chatworktoken"), Some(SECRET));
                let pairs: Vec<(String, String)> =
                    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
                assert!(pairs[0].1.starts_with("[toall]\n[info][title]"), "{pairs:?}");
                assert!(pairs[0].1.contains("注文<1234>の［納期］を"), "{pairs:?}");
            }
            _ => {
                assert_eq!(seen.header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
                let body = seen.json();
                assert_eq!((&body["to"], &body["ref"]), (&json!("+819012345678"), &delivery["id"]));
                let text = body["text"].as_str().unwrap();
                let (line, url) = text.split_once('\n').unwrap();
                assert!(line.starts_with("【伝言】さくら商事様宛") && url.starts_with(link), "{text}");
                assert!(!text.contains("注文"), "what it is about is behind the link: {text}");
            }
        }
        // The answers of the API show the address as a person may see it.
        let shown = house.get(&format!("/v1/messages/{message}/timeline")).await.to_string();
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let listed = house.ask("admin", Method::GET, "/v1/endpoints", Value::Null).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 6);
    assert!(!listed.to_string().contains(SECRET), "{listed}");
    house.log_is_clean(&[SECRET]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one part for each answer")]
async fn what_a_service_answers_decides_what_follows() {
    let service = StandIn::start().await;
    let house = service.house().await;
    let url = |n: u32| service.url(&format!("/services/T{n}/B{n}/{SECRET}{n}"));
    let new = async |n: u32| {
        let contact = house.person(&format!("担当{n}")).await;
        let endpoint = house.endpoint(&contact, json!({"kind": "slack", "address": url(n)})).await;
        (contact, endpoint)
    };
    // Too many: it waits as long as the service says, and no attempt is counted.
    let (contact, _) = new(1).await;
    service.will([Act::Answer(429, "retry-after: 1\r\n", "rate_limited")]);
    let message = house.save(&contact, "あとで").await;
    let sent = house.delivery_until(&message, "it is sent later", |one| one["state"] == "sent").await;
    assert_eq!((&sent["attempts"], service.seen().len()), (&json!(1), 2));
    let bodies: Vec<String> = service.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies[0], bodies[1], "each attempt posts the same");

    // The service has a fault: it is tried again, by a person at once.
    let (contact, _) = new(2).await;
    service.will([Act::Answer(503, "", "down")]);
    let message = house.save(&contact, "障害").await;
    let error = json!("Slack answered 503: down");
    let waiting = house.delivery_until(&message, "it is tried again", |one| one["error"] == error).await;
    assert_eq!((&waiting["state"], &waiting["maybe_sent"]), (&json!("queued"), &json!(false)));
    let again = format!("/v1/deliveries/{}/retry", waiting["id"].as_str().unwrap());
    house.ask("2001", Method::POST, &again, Value::Null).await;
    house.delivery_until(&message, "it is sent", |one| one["state"] == "sent").await;

    // There is no such webhook: the message goes to the next endpoint, and nothing more to this one.
    let (contact, endpoint) = new(5).await;
    let next = json!({"kind": "sms", "address": "090-1234-5678", "profile": "main", "priority": 1});
    house.endpoint(&contact, next).await;
    service.will([Act::Answer(404, "", "no_team"), Act::Answer(200, "", "accepted")]);
    let message = house.save(&contact, "行き先なし").await;
    house
        .delivery_until(&message, "the next has it", |one| one["channel"] == "sms" && one["state"] == "sent")
        .await;
    let bounced = house.delivery_until(&message, "it bounced", |one| one["state"] == "bounced").await;
    assert_eq!(
        (&bounced["error"], &bounced["status"]),
        (&json!("Slack answered 404: no_team"), &json!("404"))
    );
    let path = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    assert_eq!(house.get(&path).await["suspended"]["why"], "Slack answered 404: no_team");
    let asked = service.seen().len();
    service.will([Act::Answer(200, "", "accepted")]);
    let message = house.save(&contact, "次も").await;
    house
        .delivery_until(&message, "the next has it", |one| one["channel"] == "sms" && one["state"] == "sent")
        .await;
    assert_eq!(service.seen().len(), asked + 1, "the suspended one is not asked");
    // A test ends the suspension.
    house.ask("admin", Method::POST, &format!("{path}/test"), Value::Null).await;
    eventually("the test is posted", async || {
        let seen = service.seen().pop().unwrap();
        let text = seen.body.contains("試験の通知");
        if text { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert!(house.get(&path).await["suspended"].is_null());

    // The token of the configuration is wrong: the message waits, and no attempt is counted.
    let contact = house.person("部屋").await;
    house.endpoint(&contact, json!({"kind": "chatwork", "address": "77"})).await;
    service.will([Act::Answer(401, "", "{\"errors\":[\"Invalid API Token\"]}")]);
    let message = house.save(&contact, "鍵").await;
    let waits = house.delivery_until(&message, "it waits", |one| !one["error"].is_null()).await;
    assert_eq!((&waits["state"], &waits["attempts"]), (&json!("queued"), &json!(0)), "{waits}");
    assert!(waits["error"].as_str().unwrap().starts_with("Chatwork answered 401"), "{waits}");
    // The connection breaks, or no answer comes: it may have been taken.
    for (n, act) in [(3, Act::Cut), (4, Act::Silence)] {
        let (contact, _) = new(n).await;
        service.will([act]);
        let message = house.save(&contact, "途中").await;
        let unsure = house.delivery_until(&message, "it may be there", |one| one["maybe_sent"] == true).await;
        assert_eq!((&unsure["state"], &unsure["attempts"]), (&json!("queued"), &json!(1)), "{unsure}");
        // The next attempt says so.
        let again = format!("/v1/deliveries/{}/retry", unsure["id"].as_str().unwrap());
        house.ask("2001", Method::POST, &again, Value::Null).await;
        house.delivery_until(&message, "it is posted again", |one| one["state"] == "sent").await;
        let text = service.seen().pop().unwrap().json()["blocks"][1]["text"]["text"].clone();
        assert!(text.as_str().unwrap().starts_with("（再送の可能性があります）\n"), "{text}");
    }

    house.log_is_clean(&[SECRET]);
}

/// Whether a request for a token is the bot's own, signed with its key.
fn asks_as_the_bot(form: &BTreeMap<String, String>) {
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("cl1ent", SECRET));
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let pem = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(pem.secret_pkcs8_der()).unwrap();
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("cl1ent"), &json!("a1.serviceaccount@example")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_of_line_works_posts_with_a_token_that_it_asks_for() {
    const TOKEN_PATH: &str = "/oauth2/v2.0/token";
    let service = StandIn::start().await;
    let house = service.house().await;
    let contact = house.person("担当").await;
    let place = "channels/12345a12-b12c";
    let fields = json!({"kind": "line_works_bot", "address": place, "profile": "main"});
    house.endpoint(&contact, fields).await;
    let token = |body: &'static str| Act::Answer(200, "", body);
    let (first, second) = (
        "{\"access_token\": \"s3cretpart0123456789/1==\", \"token_type\": \"Bearer\", \"expires_in\": \"86400\"}",
        "{\"access_token\": \"s3cretpart0123456789/2==\", \"token_type\": \"Bearer\", \"expires_in\": \"86400\"}",
    );
    let posted = Act::Answer(201, "", "");
    let mut looked = 0;
    // The requests since the last look: where they went, and with which token.
    let mut requests = || {
        let seen = service.seen().split_off(looked);
        looked += seen.len();
        let short = |seen: &Seen| {
            let token = seen.header("authorization").map(|text| text.rsplit_once('/').unwrap().1.to_owned());
            (seen.target.rsplit_once('/').unwrap().1.to_owned(), token.unwrap_or_default())
        };
        (seen.iter().map(short).collect::<Vec<_>>(), seen)
    };
    let to = |target: &str, token: &str| (target.to_owned(), token.to_owned());
    let sent = async |text: &str| {
        let message = house.save(&contact, text).await;
        let delivery = house.delivery_until(&message, text, |one| one["state"] == "sent").await;
        assert_eq!((&delivery["attempts"], &delivery["address"]), (&json!(1), &json!(place)), "{delivery}");
    };

    // The first message asks for a token; the next one uses the same.
    service.will([token(first), posted.clone(), posted.clone()]);
    sent("注文<m userId=\"all\">を確認したい").await;
    sent("次の伝言").await;
    let (short, seen) = requests();
    assert_eq!(short, [to("token", ""), to("messages", "1=="), to("messages", "1==")]);
    let form = seen[0].form();
    assert_eq!((seen[0].target.as_str(), form["scope"].as_str()), (TOKEN_PATH, "bot"));
    asks_as_the_bot(&form);
    assert_eq!(seen[1].target, format!("/v1.0/bots/2000001/{place}/messages"));
    let content = &seen[1].json()["content"];
    assert_eq!(content["type"], "button_template");
    assert!(content["contentText"].as_str().unwrap().contains("注文＜m userId=\"all\"＞を"), "{content}");
    assert!(
        content["actions"][0]["uri"].as_str().unwrap().starts_with("https://m.example.jp/a/"),
        "{content}"
    );

    // A token that is refused is replaced at once, and the message counts as one attempt.
    service.will([Act::Answer(401, "", "expired"), token(second), posted.clone()]);
    sent("新しい鍵で").await;
    assert_eq!(requests().0, [to("messages", "1=="), to("token", ""), to("messages", "2==")]);

    // Too many: the bot waits as long as the service says.
    service.will([Act::Answer(429, "ratelimit-reset: 1\r\n", "TOO_MANY_REQUESTS"), posted.clone()]);
    sent("混雑の後で").await;
    let (short, seen) = requests();
    assert_eq!((short.len(), &seen[0].body), (2, &seen[1].body), "each attempt posts the same");

    // The bot is not in the channel: never.
    service.will([Act::Answer(403, "", "NOT_A_MEMBER")]);
    let message = house.save(&contact, "招かれていない").await;
    let bounced = house.delivery_until(&message, "it bounced", |one| one["state"] == "bounced").await;
    assert_eq!(bounced["error"], "LINE WORKS Bot answered 403: NOT_A_MEMBER");

    // The new token is refused, too: the message waits, and no attempt is counted.
    let refused = Act::Answer(401, "", "{\"token\": \"s3cretpart0123456789\"}");
    service.will([refused.clone(), token(first), refused]);
    let message = house.save(&contact, "権限なし").await;
    let waits = house.delivery_until(&message, "it waits", |one| !one["error"].is_null()).await;
    assert_eq!((&waits["state"], &waits["attempts"]), (&json!("queued"), &json!(0)), "{waits}");
    assert_eq!(waits["error"], "LINE WORKS Bot answered 401", "nothing that repeats the token is kept");
    house.log_is_clean(&[SECRET, KEY.lines().nth(1).unwrap(), "eyJhbGci"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_outside_its_service_is_refused_and_a_secret_is_write_only() {
    let service = StandIn::start().await;
    let house = service.house().await;
    let contact = house.person("担当").await;
    for (kind, address, words) in [
        ("slack", "https://127.0.0.1:1/services/T/B/x".to_owned(), "address: write the webhook's URL"),
        ("slack", service.url("/admin"), "address: write the webhook's URL"),
        ("slack", "http://hooks.slack.com/services/T/B/x".into(), "address: write the webhook's URL"),
        ("google_chat", "https://hooks.slack.com/services/T/B/x".into(), "address: write the webhook's URL"),
        ("chatwork", "../me".into(), "address: write the number of the room"),
        ("line_works_bot", "channels/1".into(), "profile: write the name of a bot of LINE WORKS: main"),
        ("sms", "090-1234-5678".into(), "profile: write the name of a gateway of SMS: main"),
        ("mail", "x".into(), "address: write it as name@example.com"),
    ] {
        let fields = json!({"account": house.account, "contact": contact, "kind": kind, "address": address});
        let (status, problem) = house.try_ask("admin", Method::POST, "/v1/endpoints", &fields).await.unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(words), "{problem}");
    }
    let url = service.url(&format!("/services/T0/B0/{SECRET}"));
    let made = house.endpoint(&contact, json!({"kind": "slack", "address": url})).await;
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    // Another field is changed, also with the address as it is shown: the URL stays.
    let label = json!({"label": "受付", "address": made["address"]});
    house.ask("admin", Method::PATCH, &path, label).await;
    let message = house.save(&contact, "変更後").await;
    house.delivery_until(&message, "it is sent", |one| one["state"] == "sent").await;
    assert!(service.seen().pop().unwrap().target.ends_with(SECRET));
    // Another URL replaces it.
    let other = service.url(&format!("/services/T1/B1/{SECRET}x"));
    let changed = house.ask("admin", Method::PATCH, &path, json!({"address": other})).await;
    assert_ne!(changed["address"], made["address"]);
    let message = house.save(&contact, "別の所へ").await;
    house.delivery_until(&message, "it is sent", |one| one["state"] == "sent").await;
    assert!(service.seen().pop().unwrap().target.ends_with(&format!("{SECRET}x")));
    house.log_is_clean(&[SECRET]);
}

/// How fast it is: printed, not asserted, since it depends on the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_saved_to_posted() {
    const MESSAGES: usize = 60;
    let service = StandIn::start().await;
    let house = service.house().await;
    let mut people = Vec::new();
    for n in 0..6 {
        let contact = house.person(&format!("計測{n}")).await;
        let url = service.url(&format!("/services/T{n}/B{n}/{SECRET}{n}"));
        house.endpoint(&contact, json!({"kind": "slack", "address": url})).await;
        people.push(contact);
    }
    for n in 0..MESSAGES {
        house.save(&people[n % people.len()], &format!("{n}")).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let items = eventually("all are sent", async || {
        let found = house.get("/v1/deliveries?state=sent").await;
        let items = found["items"].as_array().unwrap().clone();
        if items.len() == MESSAGES { Ok(items) } else { Err(format!("{} of {MESSAGES}", items.len())) }
    })
    .await;
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let mut took: Vec<i64> =
        items.iter().map(|item| time(&item["changed_at"]) - time(&item["created_at"])).collect();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    println!(
        "saved to posted, {MESSAGES} messages at 4/s to 6 webhooks over TLS: p50 {} ms, p95 {} ms, max {} ms",
        at(50),
        at(95),
        at(100)
    );
}
