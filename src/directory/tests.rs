//! The directory on a real database: sample accounts and customers, identified as calls identify them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::contract::card::{Card, MatchedBy};
use crate::contract::history::FinishedCall;
use crate::contract::hours::Hours;
use crate::contract::records::{AccountFields, ContactFields, CustomerFields, OnCallShift};
use crate::directory::explain::{CustomerMatchReason, ExplainRequest, MatchResult};
use crate::directory::*;
use crate::identity::{Caller, DialledSource, DiversionSource, Identity, Presentation};
use crate::ids::{CallId, ChannelId, PbxId, RecordId};
use crate::store::deletions::DeletedBy;
use crate::store::history::CUSTOMERS_PER_CARD_MAX;
use crate::store::{CustomerFilter, StoreError};

const AT: Timestamp = Timestamp::UNIX_EPOCH;
const DELETED: DeletedBy<'static> = DeletedBy { name: "管理", at: AT };

struct Fixture {
    _database: Box<dyn std::any::Any>,
    directory: Directory,
    sakura: RecordId,
    minato: RecordId,
}

async fn fixture() -> Fixture {
    let (database, store) = super::empty_store().await;
    let options = DirectoryOptions {
        default_accounts: [("trunk-3".into(), "A003".into())].into(),
        dialled_headers: [
            ("by-request-uri".into(), DialledHeader::RequestUri),
            ("by-extension".into(), DialledHeader::Extension),
            ("by-to".into(), DialledHeader::To),
        ]
        .into(),
        ..DirectoryOptions::default()
    };
    let directory = Directory::load(store, options).await.unwrap();
    let mut ids = Vec::new();
    for (code, name, dialled, forwarding) in [
        ("A001", "株式会社さくら商事", "0355501001", "0335550101"),
        ("A002", "みなと法律事務所", "0355501002", "0335550102"),
        ("A003", "山田歯科クリニック", "0355501003", "0663450103"),
    ] {
        let fields = AccountFields {
            code: code.into(),
            name: name.into(),
            dialled: vec![dialled.into()],
            forwarding: vec![forwarding.into()],
            hours: Hours::read("月-金 09:00-18:00").unwrap(),
            ..AccountFields::default()
        };
        ids.push(directory.create_account(fields, AT).await.unwrap().id);
    }
    for (account, name) in [(ids[0], "田中太郎"), (ids[1], "株式会社田中工務店")] {
        let fields = CustomerFields {
            numbers: vec!["090-1234-5678".into()],
            code: Some("C1".into()),
            ..CustomerFields::named(account, name)
        };
        directory.create_customer(fields, AT).await.unwrap();
    }
    Fixture { _database: Box::new(database), directory, sakura: ids[0], minato: ids[1] }
}

fn call(diverted_by: &[(DiversionSource, &str)], dialled: &[&str], caller: Option<&str>) -> Identity {
    Identity {
        dialled: dialled.iter().map(|n| (DialledSource::To, (*n).into())).collect(),
        diverted_by: diverted_by.iter().map(|(s, n)| (*s, (*n).into())).collect(),
        caller: Caller::new(caller, None, caller.map_or(Presentation::Withheld, |_| Presentation::Allowed)),
    }
}

async fn card(fixture: &Fixture, identity: &Identity, trunk: Option<&str>) -> Card {
    fixture.directory.card(&fixture.directory.identify(identity, trunk), Timestamp::now()).await.unwrap()
}

#[tokio::test]
async fn the_most_trusted_number_names_the_account() {
    use DiversionSource::{Diversion, HistoryInfo, Redirecting};
    let fixture = fixture().await;
    let cases: [(&[_], &[_], _, _, _, _); 8] = [
        (
            &[(Diversion, "0335550101")],
            &["0355501000"],
            None,
            "株式会社さくら商事",
            MatchedBy::Diversion,
            "0355501000",
        ),
        (
            &[(Diversion, "+81335550102")],
            &["0355501001"],
            None,
            "みなと法律事務所",
            MatchedBy::Diversion,
            "0355501001",
        ),
        (
            &[(Diversion, "0311112222"), (HistoryInfo, "0335550101")],
            &["0355501000"],
            None,
            "株式会社さくら商事",
            MatchedBy::HistoryInfo,
            "0355501000",
        ),
        (&[(Redirecting, "0335550101")], &[], None, "株式会社さくら商事", MatchedBy::Diversion, ""),
        (&[], &["2001", "0355501003"], None, "山田歯科クリニック", MatchedBy::Dialled, "0355501003"),
        (
            &[(Diversion, "0311112222")],
            &["81355501001"],
            Some("trunk-3"),
            "株式会社さくら商事",
            MatchedBy::Dialled,
            "81355501001",
        ),
        (&[], &["0355501000"], Some("trunk-3"), "山田歯科クリニック", MatchedBy::Trunk, "0355501000"),
        (&[], &["2001", "0355501000"], Some("trunk-9"), "", MatchedBy::None, "0355501000"),
    ];
    for (diverted_by, dialled, trunk, name, matched_by, rang) in cases {
        let card = card(&fixture, &call(diverted_by, dialled, Some("0311112222")), trunk).await;
        assert_eq!((card.account.name.as_str(), card.account.matched_by), (name, matched_by));
        assert_eq!(card.account.id.is_some(), matched_by != MatchedBy::None);
        assert_eq!(card.dialled.unwrap_or_default(), rang);
    }
}

#[tokio::test]
async fn the_same_number_is_another_person_for_another_account() {
    let fixture = fixture().await;
    for (dialled, name) in [("0355501001", "田中太郎"), ("0355501002", "株式会社田中工務店")] {
        let card = card(&fixture, &call(&[], &[dialled], Some("+819012345678")), None).await;
        assert_eq!(card.customers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), [name]);
        assert_eq!(card.caller.name.as_deref(), Some(name));
        assert_eq!(card.caller.number.as_deref(), Some("090-1234-5678"));
        assert_eq!(card.caller.area.as_deref(), Some("携帯電話"));
    }
    let third = card(&fixture, &call(&[], &["0355501003"], Some("09012345678")), None).await;
    assert!(third.customers.is_empty());
}

#[tokio::test]
async fn who_withholds_matches_nobody_and_shows_nothing() {
    let fixture = fixture().await;
    let card = card(&fixture, &call(&[], &["0355501001"], None), None).await;
    assert_eq!(card.account.name, "株式会社さくら商事");
    assert!(card.customers.is_empty());
    let json = serde_json::to_string(&card).unwrap();
    assert!(json.contains("\"presentation\":\"withheld\"") && !json.contains("\"number\""), "{json}");
}

#[tokio::test]
async fn several_customers_come_best_first_with_their_history() {
    let fixture = fixture().await;
    let add = async |name: &str, numbers: &[&str]| {
        let fields = CustomerFields {
            numbers: numbers.iter().map(|n| (*n).into()).collect(),
            ..CustomerFields::named(fixture.sakura, name)
        };
        fixture.directory.create_customer(fields, AT).await.unwrap().id
    };
    add("第二番号", &["0312345678", "09012345678"]).await;
    let recent = add("最近", &["09012345678"]).await;
    let pbx = PbxId::parse("p").unwrap();
    let identity = call(&[], &["0355501001"], Some("09012345678"));
    let view = crate::contract::call::CallView {
        id: CallId::derive(&pbx, &ChannelId::parse("1.1").unwrap()),
        pbx,
        direction: crate::contract::call::Direction::Inbound,
        state: crate::contract::call::CallState::Ended,
        offered_at: Timestamp::from_second(1_700_000_000).unwrap(),
        answered_at: None,
        ended_at: None,
        presented_to: vec![],
        operator: None,
        handled_by: Vec::new(),
        outcome: None,
        card: Some(Arc::new(card(&fixture, &identity, None).await)),
        queue: None,
        treatment: None,
        guidance: None,
        inferred: false,
    };
    let finished = FinishedCall::of(&view, fixture.directory.plan());
    assert_eq!((finished.customer, finished.caller.as_deref()), (None, Some("+819012345678")));
    let finished = FinishedCall { customer: Some(recent), ..finished };
    fixture.directory.store().record_call(&finished).await.unwrap();
    let card = card(&fixture, &identity, None).await;
    assert_eq!(
        card.customers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["最近", "田中太郎", "第二番号"]
    );
    assert_eq!((card.history.calls, card.history.last_call), (1, Some(view.offered_at)));
}

#[tokio::test]
async fn a_number_of_very_many_customers_shows_the_first_of_them() {
    let fixture = fixture().await;
    for n in 0..CUSTOMERS_PER_CARD_MAX {
        let fields = CustomerFields {
            numbers: vec!["09012345678".into()],
            ..CustomerFields::named(fixture.sakura, &format!("同じ番号{n}"))
        };
        fixture.directory.create_customer(fields, AT).await.unwrap();
    }
    let card = card(&fixture, &call(&[], &["0355501001"], Some("09012345678")), None).await;
    assert_eq!(card.customers.len(), CUSTOMERS_PER_CARD_MAX);
}

#[tokio::test]
async fn the_account_is_named_while_the_store_is_gone() {
    let fixture = fixture().await;
    fixture.directory.store().close().await;
    let found = fixture.directory.identify(&call(&[], &["0355501001"], Some("09012345678")), None);
    assert!(fixture.directory.card(&found, Timestamp::now()).await.is_err());
    let card = fixture.directory.bare_card(&found, Timestamp::now());
    assert_eq!(
        (card.account.name.as_str(), card.caller.number.as_deref()),
        ("株式会社さくら商事", Some("090-1234-5678"))
    );
}

#[tokio::test]
async fn a_change_is_there_for_the_next_call() {
    let fixture = fixture().await;
    let directory = &fixture.directory;
    let patch = json!({"dialled": ["0355509999"], "notes": "本日休業"});
    directory.patch_account(fixture.sakura, &patch, AT).await.unwrap();
    let found = directory.identify(&call(&[], &["0355509999"], None), None);
    assert_eq!(found.account.unwrap().fields.notes, "本日休業");
    assert!(directory.identify(&call(&[], &["0355501001"], None), None).account.is_none());

    let taken = directory.patch_account(fixture.minato, &json!({"forwarding": ["03-3555-0101"]}), AT).await;
    assert!(matches!(taken, Err(EditError::Store(StoreError::Taken { .. }))), "{taken:?}");
    assert_eq!(taken.unwrap_err().to_string(), "the forwarding number is taken already: 03-3555-0101");

    // Another process's change is seen by the next refresh.
    let other = Directory::load(directory.store().clone(), DirectoryOptions::default()).await.unwrap();
    other.delete_account(fixture.sakura, AT).await.unwrap();
    assert!(directory.refresh().await.unwrap());
    assert!(!directory.refresh().await.unwrap());
    assert_eq!(directory.accounts_in_memory(), 2);
    let gone = CustomerFilter { account: Some(fixture.sakura), ..CustomerFilter::default() };
    assert!(directory.store().customers(&gone, None, 10).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn records_are_read_by_page_and_by_filter() {
    let fixture = fixture().await;
    let store = fixture.directory.store();
    let first = store.accounts(None, 2).await.unwrap();
    let rest = store.accounts(first.next, 2).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (2, 1, None));
    assert_eq!(first.items[0].fields.forwarding, ["0335550101"]);
    for (filter, count) in [
        (CustomerFilter::default(), 2),
        (CustomerFilter { account: Some(fixture.minato), ..Default::default() }, 1),
        (CustomerFilter { number_key: Some("+819012345678".into()), ..Default::default() }, 2),
        (
            CustomerFilter {
                account: Some(fixture.minato),
                number_key: Some("+819012345678".into()),
                text: None,
            },
            1,
        ),
        (CustomerFilter { account: Some(fixture.minato), text: Some("太郎".into()), number_key: None }, 0),
        (CustomerFilter { text: Some("太郎".into()), ..Default::default() }, 1),
    ] {
        assert_eq!(store.customers(&filter, None, 10).await.unwrap().items.len(), count, "{filter:?}");
    }
}

const SEARCHED: &str = "契約企業コード,顧客コード,氏名,フリガナ,会社名,電話番号\r\n\
    A003,K1,髙橋一郎,ﾀｶﾊｼｲﾁﾛｳ,㈱ﾐﾎﾝ商会,０９０－００００－０００１\r\n\
    A003,K2,高橋二郎,タカハシジロウ,株式会社ミホン商会,090-0000-0002\r\n\
    A003,K3,SMITH,スミス,ABC Ltd,+1 212-555-0100\r\n";

async fn import(fixture: &Fixture, file: &str) {
    let (kind, encoding) = (import::ImportKind::Customers, import::TextEncoding::Utf8);
    let options = import::ImportOptions { kind, encoding, dry_run: false };
    fixture.directory.import(std::io::Cursor::new(file.to_owned()), options, AT).await.unwrap();
}

/// The codes of the customers whom a search finds.
async fn found(fixture: &Fixture, text: &str) -> Vec<String> {
    let filter = CustomerFilter { text: Some(text.into()), ..Default::default() };
    let page = fixture.directory.store().customers(&filter, None, 10).await.unwrap();
    page.items.into_iter().filter_map(|customer| customer.fields.code).collect()
}

#[tokio::test]
async fn a_search_finds_whatever_the_form_in_which_it_is_written() {
    let fixture = fixture().await;
    import(&fixture, SEARCHED).await;
    for (text, codes) in [
        ("タカハシ", &["K1", "K2"][..]),
        ("ﾀｶﾊｼ", &["K1", "K2"]),
        ("たかはし", &["K1", "K2"]),
        ("高橋", &["K1", "K2"]),
        ("髙橋", &["K1", "K2"]),
        ("高橋 一郎", &["K1"]),
        ("smith", &["K3"]),
        ("Ｓｍｉｔｈ", &["K3"]),
        ("ミホン商会", &["K1", "K2"]),
        ("㈱みほん", &["K1", "K2"]),
        ("abc ltd", &["K3"]),
        ("k2", &["K2"]),
        ("09000000001", &["K1"]),
        ("090-0000-0001", &["K1"]),
        ("+81 90 0000 0001", &["K1"]),
        ("０００２", &["K2"]),
        ("(212) 555", &["K3"]),
        ("高橋一郎タカハシ", &[]),
        ("・", &[]),
        ("はし%", &[]),
    ] {
        assert_eq!(found(&fixture, text).await, codes, "{text}");
    }
    let id =
        fixture.directory.store().customers(&CustomerFilter::default(), None, 10).await.unwrap().items[4].id;
    let patch = json!({ "name": "ｽﾐｽ", "numbers": ["03-5555-0111"] });
    fixture.directory.patch_customer(id, &patch, AT).await.unwrap();
    assert_eq!(found(&fixture, "smith").await, [""; 0]);
    assert_eq!(
        (found(&fixture, "すみす").await, found(&fixture, "5555").await),
        (vec!["K3".into()], vec!["K3".into()])
    );
}

#[tokio::test]
async fn a_customer_whose_search_text_is_missing_is_folded_in_steps() {
    let fixture = fixture().await;
    import(&fixture, SEARCHED).await;
    // Without the column of the numbers, the import does not have all that a search compares.
    import(&fixture, "account,code,name,kana,company\nA003,K1,髙橋三郎,ﾀｶﾊｼ,\nA003,K2,高橋四郎,ﾀｶﾊｼ,\n")
        .await;
    assert_eq!(found(&fixture, "髙橋三郎").await, ["K1"], "as it is written");
    assert_eq!(found(&fixture, "たかはし").await, [""; 0]);
    let (store, plan) = (fixture.directory.store(), fixture.directory.plan());
    for left in [1, 1, 0] {
        assert_eq!(store.fold_customers(plan, 1).await.unwrap(), left);
    }
    assert_eq!(found(&fixture, "たかはし").await, ["K1", "K2"]);
    assert_eq!(found(&fixture, "090 0000 0001").await, ["K1"]);
}

/// The names of the accounts and contacts that a search finds.
async fn found_in_directory(fixture: &Fixture, text: &str) -> Vec<String> {
    let store = fixture.directory.store();
    let accounts = store.find_accounts(text, 10).await.unwrap().into_iter().map(|one| one.fields.name);
    let contacts = store.find_contacts(text, 10).await.unwrap().into_iter().map(|one| one.fields.name);
    accounts.chain(contacts).collect()
}

#[tokio::test]
async fn accounts_and_contacts_are_found_whatever_the_form_in_which_they_are_written() {
    let fixture = fixture().await;
    let directory = &fixture.directory;
    directory.edit_account(fixture.sakura, &json!({ "kana": "サクラショウジ" }), AT, None).await.unwrap();
    for (name, kana, number, do_not_tell) in [
        ("佐々木健", "ササキケン", "090-5550-0011", false),
        ("髙橋弁護士", "タカハシ", "090-5550-0012", true),
    ] {
        let fields = ContactFields {
            kana: kana.into(),
            role: "営業部長".into(),
            number: Some(number.into()),
            do_not_tell,
            ..ContactFields::named(fixture.sakura, name)
        };
        directory.create_contact(fields, AT).await.unwrap();
    }
    for (text, names) in [
        ("さくら", &["株式会社さくら商事"][..]),
        ("ｻｸﾗ", &["株式会社さくら商事"]),
        ("㈱サクラ", &["株式会社さくら商事"]),
        ("a001", &["株式会社さくら商事"]),
        ("5550-1001", &["株式会社さくら商事"]),
        ("+81 3 3555 0101", &["株式会社さくら商事"]),
        ("クリニック", &["山田歯科クリニック"]),
        ("佐佐木", &["佐々木健"]),
        ("ｻｻｷ", &["佐々木健"]),
        ("営業", &["佐々木健", "髙橋弁護士"]),
        ("高橋", &["髙橋弁護士"]),
        ("０９０５５５０００１１", &["佐々木健"]),
        // A number that callers must not learn is not found.
        ("0905550", &["佐々木健"]),
        ("・", &[]),
        ("さくら%", &[]),
        ("田", &["山田歯科クリニック"]),
    ] {
        assert_eq!(found_in_directory(&fixture, text).await, names, "{text}");
    }
    // What changes is found as it is now, and what is deleted is not found.
    directory.edit_account(fixture.minato, &json!({ "name": "みさき法律事務所" }), AT, None).await.unwrap();
    assert_eq!(found_in_directory(&fixture, "みなと").await, [""; 0]);
    assert_eq!(found_in_directory(&fixture, "ﾐｻｷ").await, ["みさき法律事務所"]);
    directory.delete_account(fixture.sakura, AT).await.unwrap();
    for text in ["さくら", "ささき", "高橋"] {
        assert_eq!(found_in_directory(&fixture, text).await, [""; 0], "{text}");
    }
}

#[tokio::test]
async fn accounts_and_contacts_of_an_import_without_all_columns_are_folded_in_steps() {
    let fixture = fixture().await;
    let (store, plan) = (fixture.directory.store(), fixture.directory.plan());
    let files = [
        (import::ImportKind::Accounts, "code,name\nA001,株式会社サクラ商店\nA002,ミナト事務所\n"),
        (import::ImportKind::Contacts, "account,code,name\nA001,T1,髙橋三郎\n"),
        (import::ImportKind::Contacts, "account,code,name\nA001,T1,髙橋四郎\n"),
    ];
    for (kind, file) in files {
        let options = import::ImportOptions { kind, encoding: import::TextEncoding::Utf8, dry_run: false };
        fixture.directory.import(std::io::Cursor::new(file), options, AT).await.unwrap();
    }
    assert_eq!(found_in_directory(&fixture, "サクラ").await, ["株式会社サクラ商店"], "as it is written");
    assert_eq!(found_in_directory(&fixture, "髙橋").await, ["髙橋四郎"], "as it is written");
    assert_eq!(found_in_directory(&fixture, "さくら").await, [""; 0]);
    for left in [1, 1, 0] {
        assert_eq!(store.fold_accounts(plan, 1).await.unwrap(), left);
    }
    for left in [1, 0] {
        assert_eq!(store.fold_contacts(plan, 1).await.unwrap(), left);
    }
    assert_eq!(found_in_directory(&fixture, "さくら").await, ["株式会社サクラ商店"]);
    assert_eq!(found_in_directory(&fixture, "3555-0101").await, ["株式会社サクラ商店"]);
    assert_eq!(found_in_directory(&fixture, "高橋").await, ["髙橋四郎"]);
}

/// Two people change one record that both have read: the second is refused, and nothing of the first is lost.
#[tokio::test]
async fn a_record_that_somebody_changed_meanwhile_is_not_changed_again() {
    let fixture = fixture().await;
    let directory = &fixture.directory;
    let later = AT + jiff::SignedDuration::from_secs(1);
    let is_changed = |error: EditError| matches!(error, EditError::Store(StoreError::Changed { .. }));

    let seen = Some(directory.store().account(fixture.sakura).await.unwrap().unwrap().changed_at);
    let edited = directory.edit_account(fixture.sakura, &json!({"notes": "甲"}), later, seen).await.unwrap();
    assert_eq!((Some(edited.before.changed_at), edited.after.fields.notes.as_str()), (seen, "甲"));
    let second = directory.edit_account(fixture.sakura, &json!({"notes": "乙"}), later, seen).await;
    assert!(is_changed(second.unwrap_err()));
    let again = directory
        .edit_account(fixture.sakura, &json!({"notes": "乙"}), later, Some(edited.after.changed_at))
        .await;
    assert_eq!(again.unwrap().before.fields.notes, "甲");

    let fields = ContactFields::named(fixture.sakura, "先");
    let contact = directory.create_contact(fields, AT).await.unwrap();
    let seen = Some(contact.changed_at);
    directory.edit_contact(contact.id, &json!({"role": "部長"}), later, seen).await.unwrap();
    let second = directory.edit_contact(contact.id, &json!({"role": "社長"}), later, seen).await;
    assert!(is_changed(second.unwrap_err()));

    let fields = CustomerFields::named(fixture.sakura, "見本");
    let customer = directory.create_customer(fields, AT).await.unwrap();
    let seen = Some(customer.changed_at);
    directory.edit_customer(customer.id, &json!({"company": "甲社"}), later, seen).await.unwrap();
    let second = directory.edit_customer(customer.id, &json!({"company": "乙社"}), later, seen).await;
    assert!(is_changed(second.unwrap_err()));
    let kept = directory.store().customer(customer.id).await.unwrap().unwrap();
    assert_eq!(kept.fields.company.as_deref(), Some("甲社"));
}

#[tokio::test]
async fn customers_and_contacts_are_changed_and_deleted() {
    let fixture = fixture().await;
    let directory = &fixture.directory;
    let customers = directory.store().customers(&CustomerFilter::default(), None, 1).await.unwrap();
    let tanaka = customers.items[0].clone();
    let changed = directory
        .patch_customer(tanaka.id, &json!({"company": "田中組", "flags": ["vip"]}), AT)
        .await
        .unwrap();
    assert_eq!(directory.store().customer(tanaka.id).await.unwrap(), Some(changed));
    let twin = CustomerFields { code: Some("C1".into()), ..CustomerFields::named(fixture.sakura, "x") };
    assert!(matches!(
        directory.create_customer(twin, AT).await,
        Err(EditError::Store(StoreError::Taken { .. }))
    ));
    let lost = CustomerFields::named(RecordId(uuid::Uuid::nil()), "x");
    assert!(matches!(
        directory.create_customer(lost, AT).await,
        Err(EditError::Store(StoreError::Missing { .. }))
    ));
    directory.delete_customer(tanaka.id, DELETED).await.unwrap();
    assert!(directory.delete_customer(tanaka.id, DELETED).await.is_err());

    for (name, order) in [("後", Some(2)), ("無", None), ("先", Some(1))] {
        let fields = ContactFields {
            on_call_order: order,
            number: Some("09055500011".into()),
            ..ContactFields::named(fixture.sakura, name)
        };
        directory.create_contact(fields, AT).await.unwrap();
    }
    let contacts = directory.store().contacts_in_order(fixture.sakura).await.unwrap();
    assert_eq!(contacts.iter().map(|c| c.fields.name.as_str()).collect::<Vec<_>>(), ["先", "後", "無"]);
    let changed = directory.patch_contact(contacts[0].id, &json!({"number": null}), AT).await.unwrap();
    assert_eq!((changed.fields.number, changed.fields.accept_by_key), (None, true));
    directory.delete_contact(contacts[0].id, DELETED).await.unwrap();
    let page = directory.store().contacts(Some(fixture.sakura), None, 10).await.unwrap();
    assert_eq!(page.items.len(), 2);
}

#[tokio::test]
async fn the_contacts_on_call_of_several_accounts_are_read_at_once_and_are_those_of_each() {
    let fixture = fixture().await;
    let directory = &fixture.directory;
    let fields = AccountFields { code: "Z9".into(), name: "みなと".into(), ..AccountFields::default() };
    let other = directory.create_account(fields, AT).await.unwrap();
    for (account, name, order, shifts) in [
        (fixture.sakura, "二", Some(2), Vec::new()),
        (other.id, "甲", Some(1), Vec::new()),
        (fixture.sakura, "一", Some(1), Vec::new()),
        (fixture.sakura, "当番でない", None, Vec::new()),
        (
            fixture.sakura,
            "日",
            None,
            vec![OnCallShift { from: AT, until: AT + jiff::SignedDuration::from_hours(1) }],
        ),
    ] {
        let fields = ContactFields {
            on_call_order: order,
            on_call_shifts: shifts,
            number: Some("09055500011".into()),
            ..ContactFields::named(account, name)
        };
        directory.create_contact(fields, AT).await.unwrap();
    }
    let of = async |accounts: &[RecordId]| {
        let found = directory.store().contacts_on_call(accounts).await.unwrap();
        found.into_iter().map(|contact| (contact.fields.account, contact.fields.name)).collect::<Vec<_>>()
    };
    let names = |account: RecordId, found: &[(RecordId, String)]| {
        let of_account = found.iter().filter(|(of, _)| *of == account).map(|(_, name)| name.clone());
        of_account.collect::<Vec<_>>()
    };
    let found = of(&[other.id, fixture.sakura]).await;
    assert_eq!(names(fixture.sakura, &found), ["一", "二", "日"]);
    assert_eq!(names(other.id, &found), ["甲"]);
    assert_eq!(of(&[other.id]).await.len(), 1);
    assert_eq!(of(&[]).await, []);
}

#[tokio::test]
async fn an_explanation_says_what_was_tried_and_why() {
    let fixture = fixture().await;
    let request = ExplainRequest {
        dialled: Some("0355501002".into()),
        from: Some("090-1234-5678".into()),
        diverted_by: Some("0335550101".into()),
        trunk: None,
        at: "2026-01-04T12:00:00+09:00".parse().unwrap(),
        ..ExplainRequest::default()
    };
    let explained = fixture.directory.explain(&request).await.unwrap();
    assert_eq!(explained.card.account.name, "株式会社さくら商事");
    let verdicts: Vec<_> = explained.tried.iter().map(|t| (t.source, t.verdict)).collect();
    assert_eq!(verdicts, [("diversion", MatchResult::Matched), ("extension", MatchResult::Outranked)]);
    assert_eq!(explained.customers, CustomerMatchReason::One);
    let hours = explained.hours.unwrap();
    assert_eq!((hours.open, hours.local_time.as_str()), (false, "2026-01-04 12:00 JST"));

    let decided = explained.decided_by.unwrap();
    assert_eq!((decided.source, decided.number.as_str()), ("diversion", "0335550101"));
    let unmatched = ExplainRequest { dialled: Some("s".into()), from: None, diverted_by: None, ..request };
    let explained = fixture.directory.explain(&unmatched).await.unwrap();
    assert_eq!(explained.tried[0].verdict, MatchResult::NotANumber);
    assert_eq!((explained.customers, explained.hours), (CustomerMatchReason::NoAccount, None));
}

/// The called numbers by header, the trunk, part of the account's name, the number that rang, and how it was found.
type CalledCase<'a> = (&'a [(DialledSource, &'a str)], &'a str, &'a str, &'a str, MatchedBy);

async fn assert_found(fixture: &Fixture, cases: &[CalledCase<'_>]) {
    for &(dialled, trunk, name, rang, matched_by) in cases {
        let identity = Identity {
            dialled: dialled.iter().map(|(source, number)| (*source, (*number).into())).collect(),
            ..call(&[], &[], Some("0311112222"))
        };
        let card = card(fixture, &identity, Some(trunk)).await;
        assert!(card.account.name.contains(name), "{dialled:?} on {trunk}: {}", card.account.name);
        assert_eq!(
            (card.account.matched_by, card.dialled.as_deref()),
            (matched_by, Some(rang)),
            "{dialled:?}"
        );
        let forwarder = (matched_by == MatchedBy::Diversion).then_some(card.diverted_by).flatten();
        assert_eq!(forwarder.is_some(), matched_by == MatchedBy::Diversion, "{dialled:?}");
    }
}

/// A Japanese trunk that registers: the pilot number, which may have an account of its own, is in the Request-URI, and the
/// number that was dialled, or the one that forwarded the call, in To.
#[tokio::test]
async fn the_header_that_has_the_dialled_number_depends_on_the_trunk() {
    use DialledSource::{CalledParty, Extension, RequestUri, To};
    let fixture = fixture().await;
    let (pilot, sakura, minato, nobody) = ("0355501003", "0355501001", "0355501002", "0355501000");
    let cases: [CalledCase<'_>; 11] = [
        // Auto: To tells more than the pilot number in the Request-URI.
        (&[(RequestUri, pilot), (To, sakura)], "trunk", "さくら", sakura, MatchedBy::Dialled),
        (
            &[(RequestUri, nobody), (To, sakura), (Extension, nobody)],
            "trunk",
            "さくら",
            sakura,
            MatchedBy::Dialled,
        ),
        (&[(RequestUri, sakura), (To, nobody)], "trunk", "さくら", sakura, MatchedBy::Dialled),
        (
            &[(CalledParty, minato), (RequestUri, pilot), (To, sakura)],
            "trunk",
            "みなと",
            minato,
            MatchedBy::Dialled,
        ),
        // The dialplan read the number from somewhere else.
        (
            &[(RequestUri, pilot), (To, pilot), (Extension, sakura)],
            "trunk",
            "さくら",
            sakura,
            MatchedBy::Dialled,
        ),
        (
            &[(RequestUri, "8100"), (To, minato), (Extension, nobody)],
            "trunk",
            "みなと",
            minato,
            MatchedBy::Dialled,
        ),
        // Without headers: the newest extension is the dialplan's.
        (&[(Extension, sakura), (Extension, pilot)], "trunk", "さくら", sakura, MatchedBy::Dialled),
        // A setting goes first, and the others stand in for it.
        (&[(RequestUri, sakura), (To, minato)], "by-request-uri", "さくら", sakura, MatchedBy::Dialled),
        (&[(RequestUri, nobody), (To, minato)], "by-request-uri", "みなと", minato, MatchedBy::Dialled),
        (
            &[(RequestUri, pilot), (To, minato), (Extension, sakura)],
            "by-extension",
            "さくら",
            sakura,
            MatchedBy::Dialled,
        ),
        (
            &[(CalledParty, pilot), (RequestUri, pilot), (To, minato)],
            "by-to",
            "みなと",
            minato,
            MatchedBy::Dialled,
        ),
    ];
    assert_found(&fixture, &cases).await;
}

/// ボイスワープ: To, or the Request-URI, keeps the client's own number, whatever the trunk's setting.
#[tokio::test]
async fn a_called_number_that_an_account_forwards_from_forwarded_the_call() {
    use DialledSource::{Extension, RequestUri, To};
    let fixture = fixture().await;
    let (pilot, minato, nobody) = ("0355501003", "0355501002", "0355501000");
    let (sakura_forwards, yamada_forwards) = ("+81335550101", "0663450103");
    let cases: [CalledCase<'_>; 4] = [
        (&[(RequestUri, nobody), (To, sakura_forwards)], "trunk", "さくら", nobody, MatchedBy::Diversion),
        (
            &[(RequestUri, pilot), (To, sakura_forwards)],
            "by-request-uri",
            "さくら",
            pilot,
            MatchedBy::Diversion,
        ),
        (&[(RequestUri, yamada_forwards), (To, minato)], "trunk", "山田", minato, MatchedBy::Diversion),
        (&[(Extension, yamada_forwards)], "trunk", "山田", yamada_forwards, MatchedBy::Diversion),
    ];
    assert_found(&fixture, &cases).await;
    // A header that names the forwarder goes before To.
    let identity = Identity {
        dialled: vec![(To, sakura_forwards.into())],
        ..call(&[(DiversionSource::Diversion, "0335550102")], &[], None)
    };
    assert_eq!(card(&fixture, &identity, None).await.account.name, "みなと法律事務所");
}

#[tokio::test]
async fn an_explanation_says_which_header_decided() {
    let fixture = fixture().await;
    let request = ExplainRequest {
        request_uri: Some("0355501003".into()),
        to: Some("0335550101".into()),
        trunk: Some("by-request-uri".into()),
        ..ExplainRequest::default()
    };
    let explained = fixture.directory.explain(&request).await.unwrap();
    let decided = explained.decided_by.unwrap();
    assert_eq!((decided.source, decided.number.as_str()), ("to", "0335550101"));
    assert_eq!(explained.dialled_header, DialledHeader::RequestUri);
    let tried: Vec<_> = explained.tried.iter().map(|t| (t.source, t.verdict)).collect();
    let expected = [
        ("to", MatchResult::Matched),
        ("request_uri", MatchResult::Outranked),
        ("trunk", MatchResult::NoAccount),
    ];
    assert_eq!(tried, expected);
    let no_forwarder = ExplainRequest { to: Some("0355501002".into()), trunk: None, ..request };
    let explained = fixture.directory.explain(&no_forwarder).await.unwrap();
    assert_eq!(explained.decided_by.unwrap().source, "to");
    assert_eq!(explained.dialled_header, DialledHeader::Auto);
}

fn script(account: RecordId, id: &str, version: u32, body: &str) -> crate::contract::script::NewScript {
    let read = crate::script::read(body).unwrap();
    crate::contract::script::NewScript {
        account,
        script: id.into(),
        version,
        name: read.name.clone(),
        body: body.into(),
        publishes: true,
        retires_older: read.valid.is_always(),
        restored: None,
        by: account,
        by_name: "花".into(),
    }
}

#[tokio::test]
async fn a_pop_names_its_script_by_number_and_day_also_while_the_store_is_gone() {
    let fixture = fixture().await;
    let directory = &fixture.directory;
    let usual = "format = 1\nname = \"通常\"\n[opening]\nopen = \"{greeting}。{company}、{operator}です。\"\nclosed = \"次は{next_open}です。\"\n[[opening.special]]\nwhen = { customer = \"known\", hours = \"open\" }\nsay = \"いつもありがとうございます。\"\n";
    let orders = "format = 1\nname = \"注文\"\ndialled = [\"03-3555-0101\"]\nvalid = { until = 2026-12-04 }\nopening = { open = \"注文です。\" }\n";
    for (id, body) in [("usual", usual), ("orders", orders)] {
        directory.store().write_script(&script(fixture.sakura, id, 0, body), AT).await.unwrap();
    }
    assert!(directory.refresh().await.unwrap());
    assert!(!directory.refresh().await.unwrap());
    let named = |card: Card| card.script.map(|script| (script.id, script.version, script.opening));
    let shown = async |diverted: bool, caller: Option<&str>, at: &str| {
        let diverted_by = [(DiversionSource::Diversion, "0335550101")];
        let identity = call(&diverted_by[..usize::from(diverted)], &["0355501001"], caller);
        let found = directory.identify(&identity, None);
        let at = at.parse().unwrap();
        let card = directory.card(&found, at).await.unwrap();
        let request = ExplainRequest {
            dialled: Some("0355501001".into()),
            diverted_by: diverted.then(|| "0335550101".into()),
            from: caller.map(str::to_owned),
            at,
            ..ExplainRequest::default()
        };
        assert_eq!(
            directory.explain(&request).await.unwrap().card.script,
            card.script,
            "explain says the same"
        );
        named(card)
    };
    let is = |id: &str, opening: &str| Some((id.to_owned(), 1, opening.to_owned()));
    let (friday, saturday) = ("2026-12-04T02:00:00Z", "2026-12-05T02:00:00Z");
    let usual = is("usual", "お電話ありがとうございます。株式会社さくら商事、{operator}です。");
    assert_eq!(shown(false, None, friday).await, usual);
    assert_eq!(shown(false, Some("09012345678"), friday).await, is("usual", "いつもありがとうございます。"));
    assert_eq!(shown(false, None, saturday).await, is("usual", "次は12月7日（月）9時です。"));
    assert_eq!(shown(true, None, friday).await, is("orders", "注文です。"));
    assert_eq!(shown(true, None, saturday).await, is("usual", "次は12月7日（月）9時です。"));

    let gaps = directory.script_gaps(friday.parse().unwrap());
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gaps: Vec<_> = gaps[0].1.iter().map(|gap| (gap.from.as_str(), gap.unopened.is_some())).collect();
    assert_eq!(gaps, [("Friday 2026-12-04 00:00", true)], "the script of the number says the same at night");

    directory.store().close().await;
    let found = directory.identify(&call(&[], &["0355501001"], None), None);
    assert_eq!(named(directory.bare_card(&found, friday.parse().unwrap())), usual);
}
