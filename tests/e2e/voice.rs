//! Voice messages: what a caller says to a closed company is in its mailbox, once, whatever ends the recording and whatever dies
//! meanwhile; and nothing is there where nobody spoke.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::callflow::{account, closed_now, is_level, set_callflow};
use crate::fax::{MAILBOX, mail_settings, reader};
use crate::mail_lab::MailLab;
use crate::support::pbx_lab::{CallSpec, Event, Lab, PlacedCall, Recording, Tone};
use crate::support::service::{Service, wait_for};
use crate::support::wait::{eventually, eventually_within};
use crate::{KNOWN_CALLER, MINATO, SAKURA};

/// Bytes of a second of a recording.
const SECOND_BYTES: u64 = 16_000;

/// The PBX's directory of voice messages, as this machine sees it.
pub(crate) fn directory(lab: &Lab) -> PathBuf {
    let directory = Path::new(&lab.fact("LAB_INSTANCE")).join("pbx/spool/toritsugi-voice");
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    directory
}

/// A daemon that takes the recordings of the PBX's directory; the company is closed, and callers may leave a message.
async fn service(lab: &Lab, directory: &Path, mail: &[(&str, &str)]) -> Service {
    let settings: Vec<_> =
        [("VOICE__DIRECTORY", directory.to_str().unwrap())].into_iter().chain(mail.iter().copied()).collect();
    let service = Service::start_with(lab, &settings).await;
    for (code, most) in [("A001", 60), ("A002", 10)] {
        service.change_account(code, json!({ "hours": closed_now() })).await;
        let fields = json!({
            "voice_message": "closed", "voice_guidance": "accept", "closed_guidance": "accept", "voice_max_s": most,
        });
        set_callflow(&service, code, fields).await;
    }
    offers_voice(&service).await;
    service
}

/// Waits until the PBX offers it.
async fn offers_voice(service: &Service) {
    is_level(service).await;
    let path = format!("/v1/accounts/{}/callflow", account(service, "A001").await);
    service.until("admin", &path, |_, view| view["now"]["steps"].to_string().contains("voice")).await;
    is_level(service).await;
}

/// Waits until the caller's recording has so many seconds.
pub(crate) async fn has_spoken(directory: &Path, call: &PlacedCall<'_>, seconds: u64) -> PathBuf {
    let channel = call.at_pbx().await.header("Uniqueid").unwrap_or("").to_owned();
    let part: String =
        channel.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')).collect();
    eventually(&format!("{seconds} s of the caller are recorded"), async || {
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&part));
        let Some(file) = files.next() else { return Err("no file".to_owned()) };
        let bytes = fs::metadata(&file).unwrap().len();
        if bytes >= seconds * SECOND_BYTES { Ok(file) } else { Err(format!("{bytes} bytes")) }
    })
    .await
}

async fn is_empty(directory: &Path) {
    eventually("the files are taken away", async || {
        let left = fs::read_dir(directory).unwrap().count();
        if left == 0 { Ok(()) } else { Err(format!("{left} files")) }
    })
    .await;
}

/// The recording of a mail, read without any code of the product.
fn recording_of(mail: &[u8]) -> Vec<u8> {
    let mail = std::str::from_utf8(mail).unwrap().replace("\r\n", "\n");
    let part = mail.split_once("Content-Type: audio/wav;").expect("the mail has a recording").1;
    let body = part.split_once("\n\n").unwrap().1.split_once("\n--").unwrap().0;
    BASE64.decode(body.replace('\n', "")).unwrap()
}

async fn mails(postfix: &MailLab, count: usize) -> Vec<Vec<u8>> {
    eventually_within(Duration::from_secs(30), "the voice messages are mailed", async || {
        let mails = postfix.mails(MAILBOX);
        if mails.len() == count {
            Ok(mails)
        } else {
            Err(format!("{} mails\n{}", mails.len(), postfix.log()))
        }
    })
    .await
}

async fn voice_messages(service: &Service, count: usize) -> Vec<Value> {
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == count);
    let page = service.until("admin", "/v1/messages?kind=voice", is).await;
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_says_is_in_the_accounts_mailbox_however_it_ends_and_silence_is_dropped() {
    let lab = Lab::start().await;
    let postfix = MailLab::start().await;
    let directory = directory(&lab);
    let port = postfix.port("STARTTLS_PORT");
    let mut service = service(&lab, &directory, &mail_settings(&postfix, &port)).await;
    reader(&service).await;
    let mut events = service.follow("admin", None).await;

    // At the same time, by callers of their own: hang-up, #, silence, the limit, nothing said, the number withheld.
    let call = async |from: &str, to: &str| lab.place_call(CallSpec::new(from, to)).await;
    let by_hang_up = call("0311110001", SAKURA).await;
    let by_key = call("0311110002", SAKURA).await;
    let by_silence = call("0311110003", SAKURA).await;
    let by_limit = call("0311110004", MINATO).await;
    let silent = call("0311110005", SAKURA).await;
    silent.falls_silent().await;
    let withheld = lab.place_call(CallSpec::new("0311110006", SAKURA).withheld()).await;
    has_spoken(&directory, &by_hang_up, 3).await;
    by_hang_up.hang_up().await;
    has_spoken(&directory, &by_key, 3).await;
    by_key.send_dtmf("#").await;
    assert_eq!(by_key.ended().await, 21);
    has_spoken(&directory, &by_silence, 3).await;
    by_silence.falls_silent().await;
    has_spoken(&directory, &withheld, 3).await;
    withheld.hang_up().await;
    assert_eq!(by_limit.ended().await, 21);
    silent.ended().await;
    by_silence.ended().await;

    let messages = voice_messages(&service, 5).await;
    let mut numbers: Vec<_> = messages.iter().map(|message| message["caller"].as_str()).collect();
    numbers.sort_unstable();
    let expected =
        [None, Some("+81311110001"), Some("+81311110002"), Some("+81311110003"), Some("+81311110004")];
    assert_eq!(numbers, expected, "{messages:?}");
    is_empty(&directory).await;
    let received = wait_for(&mut events, "voice_message.received").await;
    assert!(received["data"]["ms"].as_u64().is_some_and(|ms| ms >= 2_000), "{received}");

    // Each is in the mailbox of its account with the caller's voice, without the silence at its end.
    let mails = mails(&postfix, 4).await;
    for mail in &mails {
        let heard = Recording::from_wav(&recording_of(mail));
        assert!((2..=14).contains(&heard.seconds()), "{} s", heard.seconds());
        assert!(heard.hears_throughout(Tone::CALLER, 1..2), "{:?}", heard.per_second());
        let text = String::from_utf8_lossy(mail);
        assert!(!text.contains("11110006") && !text.contains("1111-0006"), "a withheld number: {text}");
    }
    for message in &messages {
        let path = format!("/v1/messages/{}/files/0", message["id"].as_str().unwrap());
        let sound = service.request("1001", Method::GET, &path).send().await.unwrap();
        assert_eq!(sound.headers()["content-type"], "audio/wav");
        let sound = sound.bytes().await.unwrap();
        if message["caller"] == "+81311110004" {
            // The other account has no address; its limit is ten seconds.
            let seconds = Recording::from_wav(&sound).seconds();
            assert!((9..=10).contains(&seconds), "{seconds} s");
        } else {
            assert!(mails.iter().any(|mail| recording_of(mail) == sound), "{message}");
        }
        // The call is closed, and says what was left.
        let path = format!("/v1/history/{}", message["call"].as_str().unwrap());
        let call = service.until("admin", &path, |_, call| call["left_behind"] == "voice_message").await;
        assert_eq!((&call["outcome"], &call["source"]), (&json!("closed"), &json!("seen")), "{call}");
    }
    let (_, past) = service.ask("admin", Method::GET, "/v1/history", None).await;
    let left = past["items"].as_array().unwrap().iter().filter(|call| call.get("left_behind").is_some());
    assert_eq!((past["items"].as_array().unwrap().len(), left.count()), (6, 5), "{past}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_left_while_no_daemon_ran_is_mailed_once_after_the_next_start() {
    let lab = Lab::start().await;
    let postfix = MailLab::start().await;
    let directory = directory(&lab);
    let port = postfix.port("STARTTLS_PORT");
    let mut service = service(&lab, &directory, &mail_settings(&postfix, &port)).await;
    reader(&service).await;
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    has_spoken(&directory, &call, 1).await;
    service.kill().await;
    let file = has_spoken(&directory, &call, 3).await;
    let recorded = fs::read_dir(&directory).unwrap().count();
    assert_eq!(recorded, 1);
    call.hang_up().await;
    let closed =
        lab.pbx.events.wait("the recording to be over", |event| event.has("UserEvent", "ToritsugiVoice"));
    closed.await;
    // An hour ago, so that nobody needs to wait until it counts as left behind.
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().append(true).open(&file).unwrap().set_modified(hour_ago).unwrap();
    let bytes = fs::read(&file).unwrap();
    service.again().await;
    let messages = voice_messages(&service, 1).await;
    is_empty(&directory).await;
    // A mail that is on its way when the daemon dies is sent again, under the same Message-ID.
    let path = format!("/v1/messages/{}", messages[0]["id"].as_str().unwrap());
    service.until("admin", &path, |_, message| message["state"] == "sent").await;
    // The same file once more, as after a crash between its record and its removal.
    service.kill().await;
    fs::write(&file, &bytes).unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(hour_ago).unwrap();
    service.again().await;
    is_empty(&directory).await;
    assert_eq!(voice_messages(&service, 1).await[0]["id"], messages[0]["id"]);
    let mail = mails(&postfix, 1).await.remove(0);
    let heard = Recording::from_wav(&recording_of(&mail));
    assert!(heard.hears_throughout(Tone::CALLER, 1..2), "{:?}", heard.per_second());
    service.stop().await;
}

/// A message and a task for each caller who confirmed a number, in their order; none for who did not, or left at a prompt.
#[tokio::test(flavor = "multi_thread")]
async fn who_confirms_a_number_is_called_back_in_order_and_nobody_else_is() {
    let lab = Lab::start().await;
    let directory = directory(&lab);
    let mut service = service(&lab, &directory, &[]).await;
    let fields = json!({
        "voice_message": "closed", "voice_guidance": "accept", "closed_guidance": "accept", "voice_max_s": 10,
        "callback": "closed", "callback_guidance": "accept",
    });
    set_callflow(&service, "A001", fields).await;
    let path = format!("/v1/accounts/{}/callflow", account(&service, "A001").await);
    service.until("admin", &path, |_, view| view["now"]["steps"].to_string().contains("callback")).await;
    is_level(&service).await;

    // The number that called, confirmed.
    let own = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    own.send_dtmf("11").await;
    assert_eq!(own.ended().await, 21);
    // A caller who withholds the number enters one; the first is too short.
    let withheld = lab.place_call(CallSpec::new("0311110006", SAKURA).withheld()).await;
    let mark = lab.pbx.events.mark();
    withheld.send_dtmf("1110#0399998888#").await;
    // The number is read back first.
    let asks = |event: &Event| {
        event.has("Application", "Read")
            && event.header("AppData").is_some_and(|data| data.contains("callback-check"))
    };
    lab.pbx.events.wait_after(mark, "the question whether it is right", asks).await;
    withheld.send_dtmf("1").await;
    assert_eq!(withheld.ended().await, 21);
    // Wrong keys lead to the voice message; a caller who leaves at the first question asked for nothing.
    let wrong = lab.place_call(CallSpec::new("0311110001", SAKURA)).await;
    wrong.send_dtmf("55").await;
    has_spoken(&directory, &wrong, 2).await;
    wrong.hang_up().await;
    let leaves = lab.place_call(CallSpec::new("0311110002", SAKURA)).await;
    leaves.send_dtmf("1").await;
    leaves.hang_up().await;

    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == 2);
    let tasks = service.until("1001", "/v1/tasks", is).await;
    let numbers: Vec<_> =
        tasks["items"].as_array().unwrap().iter().map(|task| task["number"].clone()).collect();
    assert_eq!(numbers, [json!(KNOWN_CALLER), json!("0399998888")], "{tasks}");
    let messages = service.until("admin", "/v1/messages?kind=callback", is).await;
    let of_withheld = messages["items"].as_array().unwrap().iter().find(|one| one.get("caller").is_none());
    assert!(of_withheld.is_some() && !messages.to_string().contains("11110006"), "{messages}");
    for message in messages["items"].as_array().unwrap() {
        let path = format!("/v1/history/{}", message["call"].as_str().unwrap());
        let call = service.until("admin", &path, |_, call| call["left_behind"] == "callback").await;
        assert_eq!(call["outcome"], "closed", "{call}");
    }
    assert!(!lab.plan_keys().await.keys().any(|key| key.starts_with("callback/")), "the daemon has them");
    voice_messages(&service, 1).await;

    // Asked for while no daemon runs, and read twice after a crash: one task.
    service.kill().await;
    let mark = lab.pbx.events.mark();
    let own = lab.place_call(CallSpec::new("0311110009", SAKURA)).await;
    own.send_dtmf("11").await;
    let asked =
        lab.pbx.events.wait_after(mark, "the request", |event| event.has("UserEvent", "ToritsugiCallback"));
    asked.await;
    own.ended().await;
    let keys = lab.plan_keys().await;
    let (key, value) = keys.iter().find(|(key, _)| key.starts_with("callback/")).expect("the PBX keeps it");
    service.again().await;
    let is = |_: StatusCode, page: &Value| page["items"].as_array().is_some_and(|all| all.len() == 3);
    service.until("1001", "/v1/tasks", is).await;
    lab.write_plan_key(key, value).await;
    service.kill().await;
    service.again().await;
    eventually_within(Duration::from_secs(30), "the key is deleted", async || {
        let keys = lab.plan_keys().await;
        if keys.contains_key(key) { Err(format!("{keys:?}")) } else { Ok(()) }
    })
    .await;
    service.until("1001", "/v1/tasks", is).await;
    service.stop().await;
}
