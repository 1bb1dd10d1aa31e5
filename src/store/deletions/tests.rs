use serde_json::json;
use sqlx::Row as _;

use super::*;
use crate::contract::records::{Account, PresenceState};
use crate::ids::PbxId;
use crate::people::role::Role;
use crate::store::Store;
use crate::store::account_notices::ChangedBy;
use crate::store::customer_changes::{CustomerAction, CustomerChange};
use crate::store::erasure::RemovalStep;
use crate::store::users::UserDraft;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn by(seconds: i64) -> DeletedBy<'static> {
    DeletedBy { name: "管理", at: at(seconds) }
}

fn plan() -> NumberPlan {
    NumberPlan::default()
}

async fn account(store: &Store, code: &str, number: &str) -> Account {
    let fields = json!({
        "code": code, "name": "株式会社さくら商事", "kana": "さくらしょうじ", "notes": "社長は不在", "dialled": [number],
        "report_calls": "all", "wrap_up_s": 45,
    });
    let fields: AccountFields = serde_json::from_value(fields).unwrap();
    store.create_account(&fields.checked(&plan()).unwrap(), at(0)).await.unwrap()
}

#[tokio::test]
async fn an_account_comes_back_with_all_that_it_had() {
    let (_held, store) = super::super::empty_store().await;
    let made = account(&store, "A001", "0355501001").await;
    let customer = CustomerFields::named(made.id, "田中").checked(&plan()).unwrap();
    let customer = store.create_customer(&customer, at(1)).await.unwrap();
    store.delete_undoably(DeletedKind::Account, made.id, by(10)).await.unwrap();
    assert_eq!(store.account(made.id).await.unwrap(), None);
    assert_eq!(store.customer(customer.id).await.unwrap(), None);
    assert_eq!(store.remove_step(100).await.unwrap(), RemovalStep::Idle, "nothing is removed yet");
    assert_eq!(store.erasure_status().await.unwrap().accounts, 0);
    let again = store.delete_undoably(DeletedKind::Account, made.id, by(11)).await;
    assert!(matches!(again, Err(StoreError::Missing { what: "account" })), "{again:?}");
    let listed = store.deletions(at(20)).await.unwrap();
    let [only] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        (only.kind, only.name.as_str(), only.until),
        (DeletedKind::Account, "株式会社さくら商事", at(610))
    );

    // Its number went to another account meanwhile: nothing is done, and it can be tried again.
    let other = account(&store, "B002", "0355501001").await;
    let refused = store.undo_deletion(made.id, &plan(), at(30)).await;
    assert!(matches!(refused, Err(StoreError::Taken { what: "the dialled number", .. })), "{refused:?}");
    store.delete_account(other.id, at(31)).await.unwrap();
    assert_eq!(store.undo_deletion(made.id, &plan(), at(32)).await.unwrap().map(|one| one.id), Some(made.id));
    let back = store.account(made.id).await.unwrap().unwrap();
    assert_eq!((back.fields, back.created_at, back.changed_at), (made.fields, made.created_at, at(32)));
    assert_eq!(store.customer(customer.id).await.unwrap(), Some(customer));
    assert_eq!(store.undo_deletion(made.id, &plan(), at(33)).await.unwrap(), None);
    // The other one, which cannot come back, is removed.
    while store.remove_step(100).await.unwrap() != RemovalStep::Idle {}
    assert!(store.account(made.id).await.unwrap().is_some());
}

#[tokio::test]
async fn after_ten_minutes_an_account_is_removed_and_nothing_comes_back() {
    let (_held, store) = super::super::empty_store().await;
    let made = account(&store, "A001", "0355501001").await;
    store.delete_undoably(DeletedKind::Account, made.id, by(0)).await.unwrap();
    store.expire_deletions(at(599)).await.unwrap();
    assert_eq!(store.deletions(at(599)).await.unwrap().len(), 1);
    assert_eq!(store.deletions(at(600)).await.unwrap(), []);
    assert_eq!(store.undo_deletion(made.id, &plan(), at(600)).await.unwrap(), None);
    store.expire_deletions(at(600)).await.unwrap();
    assert_eq!(store.erasure_status().await.unwrap().accounts, 1);
    while store.remove_step(100).await.unwrap() != RemovalStep::Idle {}
    assert_eq!(store.erasure_status().await.unwrap().accounts, 0);
}

#[tokio::test]
async fn a_contact_comes_back_with_presence_and_endpoints() {
    let (_held, store) = super::super::empty_store().await;
    let account = account(&store, "A001", "0355501001").await.id;
    let fields = json!({
        "account": account, "code": "C1", "name": "佐々木", "number": "090-1234-5678", "on_call_order": 1,
        "days_off": ["2026-12-31"],
    });
    let fields: ContactFields = serde_json::from_value(fields).unwrap();
    let contact = store.create_contact(&fields.checked(&plan()).unwrap(), at(1)).await.unwrap();
    let pbx = PbxId::parse("lab").unwrap();
    let noted = ChangedBy { name: "佐藤", pbx: &pbx, at: at(2) };
    let contact = store.set_presence(contact.id, (PresenceState::Out, at(9000)), noted).await.unwrap();
    let hook = MessageEndpointFields {
        contact: Some(contact.id),
        ..MessageEndpointFields::to(account, "sasaki@example.jp")
    };
    let secret = Some(Secret::new("https://hooks.example.jp/secret"));
    let hook = CheckedMessageEndpoint { fields: hook, secret };
    let hook = store.create_message_endpoint(&hook, at(3)).await.unwrap();
    store.delete_undoably(DeletedKind::Contact, contact.id, by(10)).await.unwrap();
    assert_eq!(store.contact(contact.id).await.unwrap(), None);
    assert_eq!(store.message_endpoint(hook.id).await.unwrap(), None);
    store.undo_deletion(contact.id, &plan(), at(20)).await.unwrap().unwrap();
    let back = store.contact(contact.id).await.unwrap().unwrap();
    assert_eq!((&back.fields, &back.presence), (&contact.fields, &contact.presence));
    assert_eq!(back.created_at, contact.created_at);
    assert_eq!(store.message_endpoint(hook.id).await.unwrap().unwrap().fields, hook.fields);
    let secret: Option<String> = sqlx::query("SELECT secret FROM message_endpoints WHERE id = $1")
        .bind(hook.id)
        .fetch_one(super::super::of(&store).readers())
        .await
        .unwrap()
        .try_get("secret")
        .unwrap();
    assert_eq!(secret.as_deref(), Some("https://hooks.example.jp/secret"));
}

#[tokio::test]
async fn a_customer_comes_back_with_its_changes_unless_its_code_is_taken() {
    let (_held, store) = super::super::empty_store().await;
    let account = account(&store, "A001", "0355501001").await.id;
    let fields = CustomerFields {
        code: Some("K1".into()),
        numbers: vec!["090-1234-5678".into()],
        flags: vec!["vip".into()],
        ..CustomerFields::named(account, "田中")
    };
    let checked = fields.checked(&plan()).unwrap();
    let customer = store.create_customer(&checked, at(1)).await.unwrap();
    let change = CustomerChange {
        action: CustomerAction::Created,
        by_name: "佐藤".into(),
        at: at(1),
        fields: json!({"name": {"after": "田中"}}),
    };
    store.add_customer_change(customer.id, &change).await.unwrap();
    store.delete_undoably(DeletedKind::Customer, customer.id, by(10)).await.unwrap();
    let other = store.create_customer(&checked, at(11)).await.unwrap();
    let refused = store.undo_deletion(customer.id, &plan(), at(12)).await;
    assert!(matches!(refused, Err(StoreError::Taken { what: "the customer code", .. })), "{refused:?}");
    store.delete_customer(other.id).await.unwrap();
    store.undo_deletion(customer.id, &plan(), at(13)).await.unwrap().unwrap();
    let back = store.customer(customer.id).await.unwrap().unwrap();
    assert_eq!((back.fields, back.created_at), (customer.fields, at(1)));
    assert_eq!(store.customer_changes(customer.id).await.unwrap(), [change]);
}

#[tokio::test]
async fn a_user_comes_back_while_nobody_has_the_name() {
    let (_held, store) = super::super::empty_store().await;
    let add = async |name: &str, role| {
        let user = UserDraft {
            name: name.to_owned(),
            kana: String::new(),
            role,
            extension: None,
            team: None,
            password: None,
        };
        store.add_user(&user, at(0)).await.unwrap()
    };
    add("admin", Role::Admin).await;
    let user = add("新人", Role::Operator).await;
    store.revoke_user(user, at(10)).await.unwrap();
    store.delete_undoably(DeletedKind::User, user, by(10)).await.unwrap();
    let other = add("新人", Role::Operator).await;
    let refused = store.undo_deletion(user, &plan(), at(11)).await;
    assert!(matches!(refused, Err(StoreError::Taken { .. })), "{refused:?}");
    store.revoke_user(other, at(12)).await.unwrap();
    store.undo_deletion(user, &plan(), at(13)).await.unwrap().unwrap();
    assert_eq!(store.user(user).await.unwrap().unwrap().revoked_at, None);
}
