//! People who answer a mail: the answer confirms the message, or is a note on it; a machine's answer is nothing.

use serde_json::json;

use super::arrives::ReadMail;
use super::house::House;
use super::returned::settings;
use crate::mail_lab::MailLab;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_by_mail_confirms_the_message_and_a_machines_does_not() {
    let lab = MailLab::start().await;
    let mut settings = settings(&lab, true);
    settings.push(("REPLY_ADDRESS", "reply@toritsugi.example.jp".into()));
    let house = House::start(&settings).await;
    let contact = house.contact("佐々木", "sasaki@sakura.example.jp").await;
    let id = house.save(&contact, "注文1234の納期").await;
    house.is_sent(&id).await;
    eventually("the mail is there", async || if lab.count("sasaki") == 1 { Ok(()) } else { Err(lab.log()) })
        .await;
    let mail = ReadMail::read(&lab.mails("sasaki")[0]);
    let reply_to = mail.header("Reply-To");
    assert!(reply_to.starts_with("reply+") && reply_to.ends_with("@toritsugi.example.jp"), "{reply_to}");
    assert!(mail.text.contains("「了解」とだけご返信"), "{}", mail.text);

    let answer = |headers: &str, text: &str| {
        format!(
            "From: =?utf-8?B?5L2Q44CF5pyo?= <sasaki@sakura.example.jp>\nTo: {reply_to}\nSubject: Re: x\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n{headers}\n{text}\n\n\
             2026年12月3日(木) 14:32 <report@toritsugi.example.jp>:\n> 注文1234の納期\n"
        )
    };
    let answers = async |count: usize| {
        eventually("the answer is there", async || {
            let found = house.get(&format!("/v1/messages/{id}/answers")).await;
            if found["items"].as_array().unwrap().len() == count { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    };
    // A machine, and somebody who guesses another delivery's address. What comes after them is read after them.
    lab.post(&reply_to, &answer("Auto-Submitted: auto-replied\n", "了解しました。休暇中です。")).await;
    let digit = reply_to.as_bytes()["reply+".len()];
    let forged = reply_to.replacen(char::from(digit), if digit == b'0' { "1" } else { "0" }, 1);
    lab.post(&forged, &answer("", "了解しました").replace(&reply_to, &forged)).await;
    lab.post(&reply_to, &answer("", "山本の担当です。回しておきます。")).await;
    let noted = answers(1).await["items"][0].clone();
    let seen = (&noted["kind"], &noted["via"], &noted["by_name"], &noted["note"]);
    let note = json!("山本の担当です。回しておきます。");
    assert_eq!(seen, (&json!("note"), &json!("reply"), &json!("佐々木"), &note), "{noted}");
    assert_eq!(house.get(&format!("/v1/messages/{id}")).await["state"], "sent", "a note confirms nothing");

    lab.post(&reply_to, &answer("", "了解しました。")).await;
    let confirmed = answers(2).await["items"][1].clone();
    assert_eq!((&confirmed["kind"], &confirmed["contact"]), (&json!("seen"), &json!(contact)), "{confirmed}");
    let message = house.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(message["state"], "acknowledged", "{message}");
    house.log_is_clean(&["sasaki@sakura.example.jp", "回しておきます"]);
}
