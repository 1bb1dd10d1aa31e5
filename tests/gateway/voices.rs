//! What callers spoke: who may read the message may hear it, and who heard it is in the audit trail.

use reqwest::{Method, StatusCode};
use serde_json::json;
use toritsugi::contract::message::{MessageFields, MessageKind, NewMessage};
use toritsugi::contract::voice::{NewVoiceMessage, VoiceMessage};
use toritsugi::ids::RecordId;
use toritsugi::numbers::NumberPlan;
use uuid::Uuid;

use crate::support::gateway_rig::Rig;
use crate::support::ids::pbx;

/// A voice message for an account; its id.
pub(crate) async fn leave(rig: &Rig, account: &str) -> String {
    let (id, now) = (RecordId(Uuid::now_v7()), rig.app.clock.now());
    let account = RecordId(account.parse().unwrap());
    let voice = VoiceMessage { id, pbx: pbx(), account, call: None, ms: 2_000, bytes: 4, recorded_at: now };
    let file = format!("{id}_{}.wav", account.0.simple());
    let new = NewVoiceMessage { voice, file, recording: b"RIFF".to_vec() };
    let content = MessageFields { text: "音声メッセージ".into(), ..MessageFields::default() };
    let message = NewMessage {
        id,
        account,
        call: None,
        customer: None,
        kind: MessageKind::Voice,
        taken_by: None,
        taken_by_name: String::new(),
        caller: None,
        content: content.checked(&NumberPlan::default()).unwrap(),
        day: "261130".into(),
        not_before: now,
    };
    assert!(rig.app.store.create_voice_message(&new, &message, now).await.unwrap());
    id.to_string()
}

#[tokio::test]
async fn a_recording_is_heard_as_a_sound_and_a_message_without_one_has_none() {
    let rig = Rig::start().await;
    let (_, account) =
        rig.send("admin", Method::POST, "/v1/accounts", &json!({ "code": "A", "name": "さくら" })).await;
    let account = account["id"].as_str().unwrap();
    let voice = leave(&rig, account).await;
    let sound =
        rig.request("1001", Method::GET, &format!("/v1/messages/{voice}/audio")).send().await.unwrap();
    assert_eq!(
        (sound.status(), &sound.headers()["content-type"]),
        (StatusCode::OK, &"audio/wav".parse().unwrap())
    );
    assert_eq!(sound.headers()["content-security-policy"], "sandbox; default-src 'none'");
    assert_eq!(sound.bytes().await.unwrap().as_ref(), b"RIFF");
    let (_, audit) = rig.get("admin", "/v1/audit?action=voice.read").await;
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "{audit}");
    let (_, written) =
        rig.send("1001", Method::POST, "/v1/messages", &json!({ "account": account, "text": "x" })).await;
    let none = format!("/v1/messages/{}/audio", written["id"].as_str().unwrap());
    assert_eq!(rig.get("1001", &none).await.0, StatusCode::NOT_FOUND);
}
