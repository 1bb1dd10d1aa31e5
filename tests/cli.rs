//! The command line as a process: exit codes, one line per error, and no secret in any output.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "year/mod.rs"]
mod year;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use toritsugi::contract::records::search::fold;
use toritsugi::store::Store;

use self::year::sink::Sink;
use self::year::{Size, make};

/// Runs the program with no configuration except what the test sets.
fn toritsugi(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").args(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn assert_fails(output: &Output, code: i32, begins: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with(begins), "{said:?} does not begin with {begins:?}");
    assert_eq!(said.lines().count(), 1, "{said:?}");
}

#[test]
fn a_wrong_configuration_is_one_line_and_exit_code_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.toml");
    let name = file.to_str().unwrap();
    let cases = [
        ("[pbx]\nprot = 5038\n", "pbx.prot: unknown key; [pbx] has "),
        (
            "[pbx]\nport = 0\n",
            "pbx.port: invalid value: integer `0`, expected a whole number from 1 to 65535",
        ),
        ("[pbx]\nevent_secret = 'hunter2'\n", "pbx.event_secret: a secret does not belong in this file"),
        ("[gateway\n", "line 1: "),
    ];
    for (text, reason) in cases {
        std::fs::write(&file, text).unwrap();
        for output in [
            toritsugi(&["--config", name, "check"], &[]),
            toritsugi(&["check"], &[("TORITSUGI_CONFIG", name)]),
        ] {
            assert_fails(&output, 64, &format!("toritsugi: {name}: {reason}"));
            assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
        }
    }
    let absent = directory.path().join("absent.toml");
    let output = toritsugi(&["check", "--config", absent.to_str().unwrap()], &[]);
    assert_fails(&output, 64, &format!("toritsugi: {}: cannot be read: ", absent.display()));
}

#[test]
fn a_daemon_without_secrets_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let environment = [
        ("TORITSUGI__STORE__PATH", database.to_str().unwrap()),
        ("TORITSUGI__GATEWAY__LISTEN", "127.0.0.1:0"),
    ];
    let output = toritsugi(&["serve"], &environment);
    assert_fails(&output, 64, "toritsugi: no secret: pbx.event_secret_file: name the file that holds it");
}

#[test]
fn a_taken_port_is_said_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = toritsugi(&["serve"], &[("TORITSUGI__GATEWAY__LISTEN", &address)]);
    assert_fails(
        &output,
        1,
        &format!("toritsugi: cannot listen on {address}: is another daemon running there?"),
    );
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [&["nope"][..], &["replay"], &["check", "--nope"], &["import", "planets", "x.csv"]] {
        assert_eq!(toritsugi(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn help_is_grouped_and_has_examples_in_the_language_of_the_terminal() {
    let english = [
        (&["--help"][..], "Look:\n"),
        (&["help"], "shows the arguments and examples of a command"),
        (&["help", "user", "add"], "Examples:\n  toritsugi user add admin"),
        (&["user", "add", "--help"], "--kana <KANA>"),
    ];
    for (arguments, says) in english {
        let output = toritsugi(arguments, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text.contains(says), "{arguments:?}: {says} is not in\n{text}");
    }
    let japanese = [
        (&["--help"][..], "見る:\n"),
        (&["help", "user", "add"], "例:\n  toritsugi user add admin"),
        (&["check", "--help"], "続けて外からの電話を一本待ち"),
    ];
    for (arguments, says) in japanese {
        let output = toritsugi(arguments, &[("LC_ALL", "ja_JP.UTF-8")]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(says), "{arguments:?}: {says} is not in\n{text}");
    }
    let output = toritsugi(&["user", "ad"], &[("LC_ALL", "ja_JP.UTF-8")]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.starts_with("toritsugi: 知らないコマンドです: ad"),
        "{said}"
    );
    // A file or a pipe gets no colours.
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn check_ends_with_a_summary_and_what_to_do_next() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let environment = [
        ("TORITSUGI__PBX__PORT", "1"),
        ("TORITSUGI__PBX__EVENT_SECRET", "hunter2"),
        ("TORITSUGI__PBX__ACTION_SECRET", "hunter2"),
        ("TORITSUGI__STORE__PATH", database.to_str().unwrap()),
        // Nothing listens there.
        ("TORITSUGI__GATEWAY__LISTEN", "127.0.0.1:1"),
    ];
    // Makes the database, with a user who has a token and no password.
    let added = toritsugi(&["user", "add", "crm", "--role", "system"], &environment);
    assert!(String::from_utf8_lossy(&added.stderr).starts_with("token, shown once:"), "{added:?}");
    assert!(
        String::from_utf8(added.stdout).unwrap().starts_with("toritsugi_"),
        "the output is the token alone"
    );
    let output = toritsugi(&["check"], &environment);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "note    accounts        there are no accounts",
        "note    users           there is no administrator: `toritsugi user add NAME --role admin --password`",
        "note    daemon          no daemon answers at 127.0.0.1:1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let last: Vec<&str> = text.trim_end().lines().rev().take(2).collect();
    assert!(last[1].contains(" ok, ") && last[1].ends_with(" failed"), "{text}");
    assert!(last[0].starts_with("repair first: login"), "{text}");
    let japanese: Vec<_> = environment.into_iter().chain([("LC_ALL", "ja_JP.UTF-8")]).collect();
    let text = String::from_utf8(toritsugi(&["check"], &japanese).stdout).unwrap();
    assert!(text.contains("契約先がないので") && text.contains("最初に直すもの: "), "{text}");
    // The marks and the names are those that scripts read.
    assert!(text.lines().any(|line| line.starts_with("note    accounts ")), "{text}");
}

#[test]
fn users_are_shown_and_changed_by_name_or_extension() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let environment = [("TORITSUGI__STORE__PATH", database.to_str().unwrap())];
    let add = ["user", "add", "佐藤", "--role", "operator", "--extension", "1001", "--team", "day"];
    assert!(toritsugi(&add, &environment).status.success());
    let set = ["user", "set", "1001", "--team", "night", "--extension", "1005", "--kana", "さとう"];
    assert!(toritsugi(&set, &environment).status.success());
    let shown = String::from_utf8(toritsugi(&["user", "show", "佐藤"], &environment).stdout).unwrap();
    for line in ["extension   1005", "team        night", "kana        さとう", "password    no"] {
        assert!(shown.lines().any(|it| it == line), "{line} is not in\n{shown}");
    }
    assert!(shown.contains("command line"), "{shown}");
    let same = toritsugi(&["user", "set", "1005", "--team", "night"], &environment);
    assert_fails(&same, 1, "toritsugi: nothing was changed");
}

#[test]
fn a_support_bundle_has_neither_names_nor_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let (config, bundle) = (directory.path().join("t.toml"), directory.path().join("support.json"));
    std::fs::write(directory.path().join("events.secret"), "hunter2\n").unwrap();
    let text = "[pbx]\nname = \"honsha\"\nport = 1\nevent_secret_file = \"events.secret\"\n\
                trunks = [\"carrier-a\"]\n[transfer]\nservice_number = \"0355501000\"\n[store]\npath = \"t.db\"\n";
    std::fs::write(&config, text).unwrap();
    let file = bundle.to_str().unwrap();
    let output = toritsugi(&["--config", config.to_str().unwrap(), "support-bundle", file], &[]);
    assert!(output.status.success(), "{output:?}");
    let written = std::fs::read_to_string(&bundle).unwrap();
    for secret in ["hunter2", "honsha", "carrier-a", "0355501000", directory.path().to_str().unwrap()] {
        assert!(!written.contains(secret), "{secret} is in {written}");
    }
    let parsed: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(parsed["settings"]["pbx"]["port"], 1);
    assert!(parsed["check"].as_array().is_some_and(|lines| lines.len() > 5), "{written}");
    let again = toritsugi(&["--config", config.to_str().unwrap(), "support-bundle", file], &[]);
    assert_fails(&again, 1, "toritsugi: cannot create the new file");
}

#[test]
fn check_reports_in_lines_or_in_json_and_fails_without_a_pbx() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    // Port 1 of loopback: nothing listens there.
    let environment = [
        ("TORITSUGI__PBX__PORT", "1"),
        ("TORITSUGI__PBX__EVENT_SECRET", "hunter2"),
        ("TORITSUGI__PBX__ACTION_SECRET", "hunter2"),
        ("TORITSUGI__STORE__PATH", database.to_str().unwrap()),
    ];
    let output = toritsugi(&["check"], &environment);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in
        ["ok      configuration ", "ok      store ", "FAILED  login, events ", "FAILED  login, actions "]
    {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line} is not in\n{text}");
    }
    assert!(!database.exists(), "a check changes nothing");

    let output = toritsugi(&["check", "--json"], &environment);
    assert_eq!(output.status.code(), Some(1));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(findings.iter().any(|f| f["what"] == "login, events" && f["outcome"] == "failed"));
    let all = format!("{text}{}", String::from_utf8_lossy(&output.stdout));
    assert!(!all.contains("hunter2"));
}

#[test]
fn a_transcript_is_replayed_alike_each_time() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/transcripts/asterisk-22/answered-first-operator.ami");
    let run = || toritsugi(&["replay", "--json", file.to_str().unwrap()], &[]);
    let first = run();
    assert!(first.status.success());
    assert_eq!(first.stdout, run().stdout);
    let report: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(report["events"][0]["kind"], "call.offered");

    let output = toritsugi(&["replay", "/nonexistent.ami"], &[]);
    assert_fails(&output, 1, "toritsugi: cannot read /nonexistent.ami: ");
}

#[test]
fn commands_that_need_a_daemon_say_so() {
    let url = ("TORITSUGI_URL", "http://127.0.0.1:1");
    assert_fails(&toritsugi(&["demo"], &[url]), 1, "toritsugi: no token: put one into a file");
    let output = toritsugi(&["demo"], &[url, ("TORITSUGI_TOKEN", "hunter2")]);
    assert_fails(
        &output,
        1,
        "toritsugi: no daemon answers at http://127.0.0.1:1/: is `toritsugi serve` running there?",
    );
    let output = toritsugi(&["health"], &[("TORITSUGI__GATEWAY__LISTEN", "127.0.0.1:1")]);
    assert_fails(&output, 1, "toritsugi: no daemon answers at 127.0.0.1:1");
}

#[test]
fn a_world_is_imported_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("t.db");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let store = [("TORITSUGI__STORE__PATH", database.to_str().unwrap())];
    let run = |arguments: &[&str]| toritsugi(arguments, &store);
    let call = ["explain", "--dialled", "0355501000", "--diverted-by", "0335550101", "--from", "09012345678"];
    assert_fails(&run(&call), 1, "toritsugi: there is no database at ");
    for kind in ["accounts", "customers", "contacts"] {
        let file = samples.join(format!("{kind}.csv"));
        let imported = run(&["import", kind, file.to_str().unwrap()]);
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    }
    let windows = samples.join("customers-shift_jis.csv");
    let refused = run(&["import", "customers", windows.to_str().unwrap()]);
    assert_fails(&refused, 1, "toritsugi: ");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--encoding shift_jis"));
    let again =
        run(&["import", "customers", windows.to_str().unwrap(), "--encoding", "shift_jis", "--dry-run"]);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "9 rows: 0 would be created, 0 would be updated, 9 unchanged\n"
    );

    let bad = dir.path().join("bad.csv");
    std::fs::write(&bad, "account,code,name\nA001,C9,\nA999,C10,x\n").unwrap();
    let refused = run(&["import", "customers", bad.to_str().unwrap()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.contains("bad.csv:2: name: must not be empty\n") && said.contains("bad.csv:3: account:"),
        "{said}"
    );

    let explained = run(&call);
    let said = String::from_utf8(explained.stdout).unwrap();
    for words in [
        "株式会社さくら商事",
        "matched by the forwarding number",
        "090-1234-5678 (携帯電話)",
        "田中太郎",
        "佐々木健",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let json = run(&[&call[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["card"]["account"]["matched_by"], "diversion");
    assert_eq!(json["tried"][1]["verdict"], "no_account");
    assert_eq!(json["decided_by"]["source"], "diversion");

    // A forwarded call on a trunk that registers: To has the number that forwards.
    let registered = ["explain", "--request-uri", "0355501002", "--to", "0335550101", "--trunk", "trunk"];
    let said = String::from_utf8(run(&registered).stdout).unwrap();
    assert!(
        said.contains("株式会社さくら商事") && said.contains("Decided:   0335550101 from To\n"),
        "{said}"
    );
    // Which of two dialled numbers counts is a setting of the trunk.
    let both = ["explain", "--request-uri", "0355501002", "--to", "0355501001", "--trunk", "trunk"];
    let said = String::from_utf8(run(&both).stdout).unwrap();
    assert!(said.contains("Decided:   0355501001 from To\n"), "{said}");
    let setting = ("TORITSUGI__DIRECTORY__DIALLED_HEADERS__trunk", "request_uri");
    let said = toritsugi(&both, &[store[0], setting]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("Decided:   0355501002 from Request-URI\n"), "{said}");
    let wrong = toritsugi(&both, &[store[0], ("TORITSUGI__DIRECTORY__DIALLED_HEADERS__trunk", "from")]);
    assert_eq!(wrong.status.code(), Some(64), "{}", String::from_utf8_lossy(&wrong.stderr));
}

#[test]
fn a_backup_is_restored_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let environment = [("TORITSUGI__STORE__PATH", path("t.db"))];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let run = |arguments: &[&str]| toritsugi(arguments, &environment);
    let csv = path("accounts.csv");
    let import = |code: &str| {
        std::fs::write(&csv, format!("code,name\n{code},さくら\n")).unwrap();
        let output = run(&["import", "accounts", &csv]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    import("A");
    let backup = path("b.db");
    let made = run(&["backup", &backup]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(String::from_utf8_lossy(&made.stdout).contains("checked"));
    assert_fails(
        &run(&["backup", &backup]),
        1,
        &format!("toritsugi: cannot open the database {backup}: it exists already"),
    );
    import("B");
    let restored = run(&["restore", "--json", &backup]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let told: serde_json::Value = serde_json::from_slice(&restored.stdout).unwrap();
    let before = told["before"].as_str().unwrap();
    let codes = |database: &str| {
        std::fs::write(&csv, "code,name\nA,x\nB,x\n").unwrap();
        let environment = [("TORITSUGI__STORE__PATH", database)];
        let output = toritsugi(&["import", "accounts", "--dry-run", "--json", &csv], &environment);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["updated"].as_u64().unwrap()
    };
    assert_eq!((codes(&path("t.db")), codes(before)), (1, 2));
    let postgres = [("TORITSUGI__STORE__URL", "postgres://a@127.0.0.1:1/x")];
    assert_fails(
        &toritsugi(&["backup", &path("c.db")], &postgres),
        1,
        "toritsugi: the store is on a PostgreSQL server: use pg_dump",
    );
}

/// The rows of `call_operators`, in order.
async fn call_operators(db: &mut SqliteConnection) -> Vec<(String, String, i64, Vec<u8>)> {
    let rows =
        sqlx::query_as("SELECT who, direction, offered_ms, call_id FROM call_operators ORDER BY 1, 2, 3, 4");
    rows.fetch_all(db).await.unwrap()
}

/// The step that is next, and how far it has come; `None`: all are done.
async fn next_step(db: &mut SqliteConnection) -> Option<(String, Option<String>)> {
    let next = sqlx::query_as("SELECT name, reached FROM upgrade_steps ORDER BY position LIMIT 1");
    next.fetch_optional(db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_killed_again_and_again_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.db");
    Store::open(&path).await.unwrap().close().await;
    let options = SqliteConnectOptions::new().filename(&path).busy_timeout(Duration::from_secs(30));
    let mut sink = Sink::sqlite(options.connect().await.unwrap());
    make(Size { calls: 20_000, ..Size::SMALL }, fold, &mut sink).await.unwrap();
    sink.close().await.unwrap();
    // As the database was before these steps.
    let mut db = options.connect().await.unwrap();
    let rows = call_operators(&mut db).await;
    let indexes = ["calls_by_direction", "calls_by_outcome", "segments_by_target", "calls_by_called_number"];
    let mut before = String::from("DELETE FROM call_operators;");
    for index in indexes {
        before += &format!("DROP INDEX {index}; INSERT INTO upgrade_steps (name) VALUES ('{index}');");
    }
    before += "INSERT INTO upgrade_steps (name) VALUES ('call_operators')";
    sqlx::raw_sql(sqlx::AssertSqlSafe(before)).execute(&mut db).await.unwrap();
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
        command.args(["user", "list", "--json"]).env("TORITSUGI__STORE__PATH", &path);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut kills = 0;
    while let Some(next) = next_step(&mut db).await {
        let mut process = command().spawn().unwrap();
        // As soon as it has come further, it is killed.
        while next_step(&mut db).await.as_ref() == Some(&next) && process.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "{kills}");
    assert!(command().status().unwrap().success());
    assert_eq!(call_operators(&mut db).await.len(), rows.len());
    assert_eq!(call_operators(&mut db).await, rows);
    for index in indexes {
        let made: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = $1")
                .bind(index)
                .fetch_one(&mut db)
                .await
                .unwrap();
        assert_eq!(made, 1, "{index}");
    }
}
