//! What happens to mails when the message changes: a correction goes to who has the first mail, in one thread; a message that
//! is withdrawn in time is never mailed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::arrives::ReadMail;
use super::house::{House, signed_in};
use crate::mail_lab::MailLab;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_goes_to_who_has_the_first_mail() {
    let lab = MailLab::start().await;
    let house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let kato = house.contact("加藤", "kato@sakura.example.jp").await;
    let fields = json!({
        "account": house.account, "contact": kato, "text": "注文1234の納期", "action": "call_back", "urgency": "urgent",
        "from": {"name": "やまもと", "name_kanji": "山本", "company": "ミホン", "number": "090-1111-2222", "number_is": "told"},
        "answers": [{"id": "a", "label": "症状", "value": "頭痛", "sensitive": true}],
    });
    let saved = house.ask("1001", Method::POST, "/v1/messages", fields).await;
    let id = saved["id"].as_str().unwrap();
    let sent = house.is_sent(id).await;
    let correction = json!({"text": "注文1235の納期", "why": "番号の誤り", "version": sent["version"]});
    let path = format!("/v1/messages/{id}/corrections");
    let corrected = house.ask("1001", Method::POST, &path, correction).await;
    assert_eq!((&corrected["revision"], &corrected["state"]), (&json!(2), &json!("open")), "{corrected}");
    let sent = house.message_until(id, "the correction is sent", |message| message["state"] == "sent").await;
    assert_eq!(sent["delivery"]["state"], "sent");
    eventually("both mails are there", async || if lab.count("kato") == 2 { Ok(()) } else { Err(lab.log()) })
        .await;
    let mut mails: Vec<_> = lab.mails("kato").iter().map(|bytes| ReadMail::read(bytes)).collect();
    mails.sort_by_key(|mail| mail.text.contains("訂正"));
    let subjects: Vec<_> = mails.iter().map(|mail| mail.header("Subject")).collect();
    let subject = "【至急】ヤマモト様 折り返し希望｜さくら商事";
    assert_eq!(subjects, [subject.to_owned(), format!("【訂正】{subject}")]);
    let number = sent["number"].as_str().unwrap();
    for (mail, text) in mails.iter().zip(["注文1234の納期", "注文1235の納期"]) {
        assert_eq!(mail.header("X-Toritsugi-Message"), number);
        assert_eq!(mail.header("References"), mails[0].header("References"), "one thread");
        for line in [
            "お名前　ヤマモト様（山本）",
            "会社名　ミホン",
            "お電話　090-1111-2222",
            "ご希望　折り返し希望",
            "緊急度　至急",
            &format!("内容\n{text}"),
            &format!("受付番号 {number}"),
        ] {
            assert!(mail.text.contains(&format!("{line}\n")), "{line:?} is in {}", mail.text);
        }
        assert!(!mail.text.contains("頭痛"), "{}", mail.text);
    }
    assert_ne!(mails[0].header("Message-ID"), mails[1].header("Message-ID"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_can_be_withdrawn_until_its_mail_is_on_its_way() {
    let lab = MailLab::start().await;
    let mut house = House::start(&signed_in(&lab, "STARTTLS_PORT", "starttls")).await;
    let mori = house.contact("森", "mori@sakura.example.jp").await;
    let sent = house.save(&mori, "すぐに").await;
    house.is_sent(&sent).await;
    house.kill().await;
    house.environment.push(("TORITSUGI__MESSAGES__UNDO_SECONDS".into(), "60".into()));
    house.revive().await;
    let late = house.save(&mori, "取り消し").await;
    let undo = async |id: &str| {
        let path = format!("/v1/messages/{id}/undo");
        house.try_ask("1001", Method::POST, &path, &Value::Null).await.unwrap()
    };
    let (status, refused) = undo(&sent).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    let (status, withdrawn) = undo(&late).await;
    assert_eq!((status, &withdrawn["delivery"]["state"]), (StatusCode::OK, &json!("none")), "{withdrawn}");
    let delivery = house.deliveries(&late).await.remove(0);
    assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("cancelled"), &json!(0)), "{delivery}");
    // An urgent one does not wait, and is corrected instead.
    let urgent = json!({"account": house.account, "contact": mori, "text": "至急", "urgency": "urgent"});
    let urgent = house.ask("1001", Method::POST, "/v1/messages", urgent).await;
    let urgent = urgent["id"].as_str().unwrap();
    house.is_sent(urgent).await;
    let (status, refused) = undo(urgent).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    // A later message is sent, so the outbox has passed the withdrawn one.
    house.kill().await;
    house.environment.push(("TORITSUGI__MESSAGES__UNDO_SECONDS".into(), "0".into()));
    house.revive().await;
    let last = house.save(&mori, "最後").await;
    house.is_sent(&last).await;
    eventually("the three others are in the mailbox", async || {
        if lab.count("mori") == 3 { Ok(()) } else { Err(lab.log()) }
    })
    .await;
}
