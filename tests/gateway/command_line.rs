//! The commands as clients of a daemon: behind a proxy with https, whom they trust with their token; and records, by code, name
//! or the beginning of an id, changed, exported and imported again.
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::gateway_rig::Rig;

/// A certificate for `localhost` that signs itself, and its key.
struct Certificate {
    pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Self { pem: made.cert.pem(), der: made.cert.der().clone(), key }
    }
}

/// A proxy that speaks https with this certificate, in front of the gateway; returns its port.
async fn proxy(rig: &Rig, certificate: Certificate) -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der], certificate.key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, gateway) = (listener.local_addr().unwrap().port(), rig.address);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that refuses the certificate ends the connection.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut daemon = TcpStream::connect(gateway).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
            });
        }
    });
    port
}

/// Runs `toritsugi calls` against this address as the administrator.
async fn calls(rig: &Rig, url: &str, ca_file: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        command.env_remove(name);
    }
    command.args(["calls", "--url", url]).env("TORITSUGI_TOKEN", rig.token("admin")).kill_on_drop(true);
    command.args(ca_file.map(|file| ["--ca-file".as_ref(), file.as_os_str()]).into_iter().flatten());
    command.output().await.unwrap()
}

#[tokio::test]
async fn commands_reach_a_daemon_over_https_with_a_certificate_that_they_trust() {
    let rig = Rig::start().await;
    rig.ring(1, &["1001"]);
    let directory = tempfile::tempdir().unwrap();
    let (shown, other) = (Certificate::new(), Certificate::new());
    let trusted = directory.path().join("trusted.pem");
    let untrusted = directory.path().join("untrusted.pem");
    let broken = directory.path().join("broken.pem");
    std::fs::write(&trusted, &shown.pem).unwrap();
    std::fs::write(&untrusted, &other.pem).unwrap();
    std::fs::write(&broken, "no certificate").unwrap();
    let port = proxy(&rig, shown).await;
    let url = format!("https://localhost:{port}");

    let done = calls(&rig, &url, Some(&trusted)).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(!done.stdout.is_empty());

    // Nobody gets the token whose certificate no known authority signed, or signed for another name.
    let elsewhere = format!("https://127.0.0.1:{port}");
    for (url, file) in
        [(&url, None), (&url, Some(untrusted.as_path())), (&elsewhere, Some(trusted.as_path()))]
    {
        let refused = calls(&rig, url, file).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("is not trusted") && said.contains("--ca-file"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let refused = calls(&rig, &url, Some(&broken)).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("it holds no PEM certificate"), "{said}");
}

/// Runs a command against the gateway as the administrator; returns its exit code and its two outputs.
async fn command(rig: &Rig, arguments: &[&str], language: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        command.env_remove(name);
    }
    command
        .env("TORITSUGI_URL", format!("http://{}", rig.address))
        .env("TORITSUGI_TOKEN", rig.token("admin"));
    let done = command.env("LC_ALL", language).args(arguments).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn records_are_named_by_code_name_or_id_and_an_export_is_an_import() {
    let rig = Rig::start().await;
    for (code, name) in [("A001", "株式会社さくら商事"), ("A002", "みなと法律事務所")] {
        let fields = json!({"code": code, "name": name, "dialled": [format!("0355501{}", &code[1..])], "notes": "=1+1"});
        let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        let customer =
            json!({"account": made["id"], "code": "C1", "name": "田中太郎", "numbers": ["090-1234-5678"]});
        assert_eq!(rig.send("admin", Method::POST, "/v1/customers", &customer).await.0, StatusCode::CREATED);
    }
    let (_, page) = rig.get("admin", "/v1/accounts").await;
    let id = page["items"][0]["id"].as_str().unwrap();
    for named in ["A001", "a001", "Ａ００１", "株式会社さくら商事", id] {
        let (code, shown, said) = command(&rig, &["accounts", "show", named, "--json"], "C").await;
        assert_eq!(code, Some(0), "{named}: {said}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["id"], id, "{named}");
    }
    let change = [
        "accounts",
        "set",
        "A001",
        "notes=休業",
        "hours=月-金 09:00-18:00",
        "dialled=03-5550-1001,03-5550-1009",
    ];
    let (code, shown, said) = command(&rig, &change, "C").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.contains("03-5550-1001;03-5550-1009") && shown.contains("月-金 09:00-18:00"), "{shown}");
    for (arguments, says) in [
        (&["accounts", "show", "A009"][..], "toritsugi: no account is called \"A009\""),
        (
            &["accounts", "set", "A001", "colour=red"],
            "toritsugi: account has no field \"colour\" to set; it has code",
        ),
        (&["accounts", "set", "A001", "notes"], "toritsugi: \"notes\" is not a change: write FIELD=VALUE"),
        (&["customers", "show", "田中太郎"], "toritsugi: \"田中太郎\" may be several of them"),
        (&["history", "--account", "A009"], "toritsugi: no account is called \"A009\""),
    ] {
        let (code, _, said) = command(&rig, arguments, "C").await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with(says) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
    let (code, shown, said) = command(&rig, &["customers", "list", "--account", "A002"], "C").await;
    assert!(code == Some(0) && shown.lines().count() == 2 && shown.contains("A002"), "{shown}{said}");
    let (_, _, said) = command(&rig, &["accounts", "show", "A009"], "ja_JP.UTF-8").await;
    assert!(said.starts_with("toritsugi: \"A009\" という契約先はなく"), "{said}");
    export_and_import(&rig).await;
}

/// What `export` writes, `import` reads into an empty database, in both encodings, as the same records.
async fn export_and_import(rig: &Rig) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (encoding, read_as) in [("utf-8", "utf-8"), ("cp932", "shift_jis")] {
        let database = path(&format!("{encoding}.db"));
        for kind in ["accounts", "customers"] {
            let file = path(&format!("{kind}-{encoding}.csv"));
            let export = ["export", kind, "--encoding", encoding, "--to", &file];
            let (code, _, said) = command(rig, &export, "C").await;
            assert_eq!(code, Some(0), "{said}");
            let mut import = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
            import.env("TORITSUGI__STORE__PATH", &database).env("LC_ALL", "C").env("TORITSUGI_CONFIG", "");
            let done = import.args(["import", kind, &file, "--encoding", read_as]).output().await.unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "{kind} {encoding}: {said}");
        }
        let store = toritsugi::store::Store::open(Path::new(&database)).await.unwrap();
        let accounts = store.accounts(None, 10).await.unwrap().items;
        let was = rig.app.store.accounts(None, 10).await.unwrap().items;
        for (was, is) in was.iter().zip(&accounts) {
            assert_eq!(was.fields, is.fields, "{encoding}");
        }
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[1].fields.notes, "=1+1", "the guard is taken off again");
        store.close().await;
    }
}

#[tokio::test]
async fn words_and_teams_are_listed_shown_and_set_and_a_deletion_is_undone() {
    let rig = Rig::start().await;
    for (arguments, says) in [
        (&["words", "list", "dispositions"][..], "dispositions  message  伝言"),
        (
            &["words", "set", "dispositions", "sales", "label=営業電話", "no_message=yes", "position=1"],
            "no_message          yes",
        ),
        (&["words", "list"], "dispositions  sales    営業電話  -        plain  yes"),
        (&["words", "set", "flags", "vip", "label=お得意様", "tone=good"], "tone                good"),
        (&["words", "show", "flags", "vip"], "label               お得意様"),
        (&["words", "set", "flags", "vip", "retired=yes"], "retired             yes"),
        (&["teams", "list"], "A班"),
        (&["teams", "set", "Ａ班", "name=夜間"], "name                夜間"),
        (&["teams", "show", "夜間"], "member              1001 (operator)"),
        (&["undo"], "ID  KIND  CODE  NAME  BY  UNTIL"),
    ] {
        let (code, shown, said) = command(&rig, arguments, "C").await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(shown.contains(says), "{arguments:?}: {says} is not in\n{shown}");
    }
    let fields = json!({"code": "A001", "name": "株式会社さくら商事", "dialled": ["0355501001"]});
    let (_, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    let path = format!("/v1/accounts/{}", made["id"].as_str().unwrap());
    assert_eq!(rig.send("admin", Method::DELETE, &path, &Value::Null).await.0, StatusCode::NO_CONTENT);
    let (_, shown, _) = command(&rig, &["undo"], "C").await;
    assert!(shown.contains("account  A001  株式会社さくら商事  admin"), "{shown}");
    let (code, shown, said) = command(&rig, &["undo", "A001"], "C").await;
    assert_eq!((code, shown.as_str()), (Some(0), "account 株式会社さくら商事: back\n"), "{said}");
    assert_eq!(rig.get("admin", &path).await.0, StatusCode::OK);
    for (arguments, says) in [
        (&["words", "show", "flags", "none"][..], "toritsugi: flags have no word \"none\""),
        (&["words", "set", "flags", "none", "tone=good"], "toritsugi: flags have no word \"none\""),
        (
            &["words", "set", "flags", "vip", "tone=blue"],
            "toritsugi: tone=blue: write plain, good, warn or bad",
        ),
        (&["words", "set", "dispositions", "Sales", "label=x"], "toritsugi: "),
        (&["teams", "set", "夜間", "nights"], "toritsugi: \"nights\" is not a change"),
        (&["teams", "show", "夕方"], "toritsugi: no team is called \"夕方\""),
        (&["undo", "A001"], "toritsugi: no deleted record is called \"A001\""),
    ] {
        let (code, _, said) = command(&rig, arguments, "C").await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with(says) && said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_pronunciation_is_recorded_and_deleted_by_command_and_what_is_no_sound_is_refused_before_the_daemon_is_asked()
 {
    let rig = Rig::start().await;
    let fields = json!({"code": "A001", "name": "株式会社さくら商事", "dialled": ["0355501001"]});
    let (status, made) = rig.send("admin", Method::POST, "/v1/accounts", &fields).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("/v1/accounts/{}/pronunciation", made["id"].as_str().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let file = directory.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let sound = file("sakura.ogg", b"OggS and some sound");
    let none = file("none.txt", b"no sound");
    let large = file("large.mp3", &[b"ID3".as_slice(), &[0; 300_000]].concat());
    for (arguments, said) in [
        (vec!["accounts", "pronunciation", "A001", &none], "is no sound that browsers play"),
        (vec!["accounts", "pronunciation", "A001", &large], "300003 bytes, and at most 262144 are allowed"),
        (vec!["accounts", "pronunciation", "A001", "/nowhere/at.all"], "cannot read /nowhere/at.all"),
        (vec!["accounts", "pronunciation", "A009", &sound], "no account is called \"A009\""),
        (vec!["accounts", "pronunciation", "A001", "--delete"], "has no recorded pronunciation"),
    ] {
        let (code, _, error) = command(&rig, &arguments, "C").await;
        assert!(code == Some(1) && error.contains(said), "{arguments:?}: {error}");
    }
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
    let (code, shown, error) = command(&rig, &["accounts", "pronunciation", "A001", &sound], "C").await;
    assert_eq!((code, shown.as_str()), (Some(0), "A001: recorded, audio/ogg, 19 bytes\n"), "{error}");
    let played = rig.request("1001", Method::GET, &path).send().await.unwrap();
    assert_eq!(played.bytes().await.unwrap().as_ref(), b"OggS and some sound");
    let (code, _, error) = command(&rig, &["accounts", "pronunciation", "A001", "--delete"], "C").await;
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(rig.get("1001", &path).await.0, StatusCode::NOT_FOUND);
}
