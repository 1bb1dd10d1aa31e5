//! Upgrade: this version opens a database of the version before migration 11 and applies its migrations. Every topic
//! reads the rows of the old database, and writes to the tables that were renamed.
//!
//! The databases are the texts in `tests/services/before/`, which the older version's own tables and checksums are part
//! of: a change of an old migration file fails here, too.

use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use super::history::HistoryFilter;
use super::log::{LogLimits, StoredLog};
use super::messages::MessageFilter;
use super::users::TokenKind;
use super::webhooks::{DeliveryState, NewDelivery, OutboxWrite};
use super::{AuditFilter, CustomerFilter, Location, PostgresAddress, SchemaStatus, Store, from_ms, to_ms};
use crate::contract::call::Outcome;
use crate::contract::card::MatchedBy;
use crate::contract::history::FinishedCall;
use crate::contract::message::{ContentChange, MessageFields, MessageUpdate};
use crate::contract::operator::RequestedState;
use crate::contract::pbx::PbxLinkState;
use crate::contract::records::CallerIdPolicy;
use crate::contract::supervision::{Mode, Notify};
use crate::ids::{CallId, PbxId, RecordId};
use crate::journal::entry::{JournalEntry, MessagePublication, SegmentChange};
use crate::numbers::NumberPlan;
use crate::operators::Activity;
use crate::people::token::TokenHash;

const SATO: RecordId = id(0x11);
const ITO: RecordId = id(0x12);
const ACCOUNT: RecordId = id(0xa1);
const CUSTOMER: RecordId = id(0xb1);
const CALLER: &str = "+819012345678";

/// The id that the databases give record `n`.
const fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(0x7000_8000_0000_0000_0000 | n))
}

fn call(n: u128) -> CallId {
    CallId::parse(&id(n).0.to_string()).unwrap()
}

fn finished() -> CallId {
    call(0xd1)
}

fn unfinished() -> CallId {
    call(0xd2)
}

fn osaka() -> PbxId {
    PbxId::parse("osaka").unwrap()
}

#[tokio::test]
async fn a_sqlite_database_of_the_version_before_is_read_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toritsugi.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let before = include_str!("../../tests/services/before/sqlite.sql");
    sqlx::raw_sql(before).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert!(matches!(Store::inspect(&path).await.unwrap(), SchemaStatus::Older { schema: 10, .. }));
    check(&Store::open(&path).await.unwrap()).await;
    assert!(matches!(Store::inspect(&path).await.unwrap(), SchemaStatus::Current { .. }));
}

#[tokio::test]
async fn a_postgres_database_of_the_version_before_is_read_and_written() {
    let address = crate::backends::postgres().empty_database().await;
    let mut connection = address.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let before = include_str!("../../tests/services/before/postgres.sql");
    sqlx::raw_sql(before).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let location = Location::Postgres(PostgresAddress::parse(&address).unwrap());
    let status = Store::inspect_at(&location).await.unwrap();
    assert!(matches!(status, SchemaStatus::Older { schema: 10, .. }), "{status:?}");
    check(&Store::open_at(&location).await.unwrap()).await;
    let status = Store::inspect_at(&location).await.unwrap();
    assert!(matches!(status, SchemaStatus::Current { .. }), "{status:?}");
}

async fn check(store: &Store) {
    store.ping().await.unwrap();
    users_and_tokens(store).await;
    directory(store).await;
    calls(store).await;
    messages(store).await;
    event_log(store).await;
    pbx_links(store).await;
    supervision(store).await;
    operators(store).await;
    webhooks(store).await;
    audit(store).await;
}

async fn users_and_tokens(store: &Store) {
    let users = store.users(None, 10).await.unwrap().items;
    let names: Vec<_> = users.iter().map(|user| user.person.name.as_str()).collect();
    assert_eq!(names, ["佐藤", "伊藤", "田村"]);
    assert_eq!((users[0].team.as_deref(), users[0].has_password), (Some("A班"), true));
    assert_eq!((users[0].revoked_at, users[2].revoked_at), (None, Some(from_ms(900))));
    let (found, password) = store.user_by_login("1001").await.unwrap().unwrap();
    assert_eq!((found.person.id, password.is_some()), (SATO, true));
    assert_eq!(store.teams().await.unwrap().len(), 1);
    let token = store.token(&TokenHash::from_bytes([7; 32])).await.unwrap().unwrap();
    assert_eq!((token.user, token.kind, token.label.as_str()), (SATO, TokenKind::Session, "desk"));
    assert_eq!((token.created_at, token.last_used_at), (from_ms(3_000), Some(from_ms(4_000))));
}

async fn directory(store: &Store) {
    let (accounts, version) = store.all_accounts().await.unwrap();
    assert_eq!((accounts.len(), version), (1, store.accounts_version().await.unwrap()));
    let fields = &accounts[0].fields;
    assert_eq!((fields.code.as_str(), fields.name.as_str()), ("A-1", "株式会社さくら商事"));
    assert_eq!(
        (&fields.dialled[..], &fields.forwarding[..]),
        (&texts(["03-5550-1001"])[..], &texts(["03-3555-0101"])[..])
    );
    assert_eq!(fields.caller_id_policy, CallerIdPolicy::Account);
    assert_eq!((fields.accept_by_key, fields.accept_sound.as_deref()), (false, Some("press1")));
    assert_eq!(fields.extra_numbers, texts(["0120999999"]));
    assert_eq!((fields.supervision_notify, fields.wrap_up_s), (Some(Notify::Desktop), Some(30)));
    assert_eq!(fields.hours.as_ref().map(|hours| hours.weekly.len()), Some(1));
    assert!(fields.link.is_some() && !fields.never_monitor);

    let filter = CustomerFilter {
        account: Some(ACCOUNT),
        number_key: Some(CALLER.into()),
        ..CustomerFilter::default()
    };
    let customers = store.customers(&filter, None, 10).await.unwrap().items;
    assert_eq!((customers.len(), customers[0].id), (1, CUSTOMER));
    let fields = &customers[0].fields;
    assert_eq!((&fields.flags, &fields.numbers), (&texts(["vip"]), &texts(["090-1234-5678"])));
    // Rows of an older version are searched as they are written, until the daemon has folded them.
    let named = |text: &str| CustomerFilter { text: Some(text.into()), ..CustomerFilter::default() };
    assert_eq!(store.customers(&named(&fields.name), None, 10).await.unwrap().items.len(), 1);
    while store.fold_customers(&NumberPlan::default(), 1).await.unwrap() > 0 {}
    for text in [fields.name.as_str(), "090 1234 5678"] {
        assert_eq!(store.customers(&named(text), None, 10).await.unwrap().items.len(), 1, "{text}");
    }
    assert_eq!(store.find_accounts("さくら商事", 10).await.unwrap().len(), 1);
    while store.fold_accounts(&NumberPlan::default(), 1).await.unwrap() > 0 {}
    while store.fold_contacts(&NumberPlan::default(), 1).await.unwrap() > 0 {}
    for text in ["さくら商事", "サクラ商事", "5550 1001"] {
        assert_eq!(store.find_accounts(text, 10).await.unwrap().len(), 1, "{text}");
    }
    assert_eq!(store.find_contacts("090-8765-4321", 10).await.unwrap().len(), 1);
    let contacts = store.contacts_in_order(ACCOUNT).await.unwrap();
    let fields = &contacts[0].fields;
    assert_eq!((contacts.len(), fields.ring_s, fields.on_call_order), (1, Some(25), Some(1)));
    assert_eq!(fields.number.as_deref(), Some("090-8765-4321"));
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

async fn calls(store: &Store) {
    let listed = store.history(&HistoryFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|call| call.id).collect::<Vec<_>>(), [finished()]);
    let whole = store.finished_call(finished()).await.unwrap().unwrap();
    assert_eq!(
        (whole.account, whole.customer, whole.matched_by),
        (Some(ACCOUNT), Some(CUSTOMER), MatchedBy::Diversion)
    );
    assert_eq!((whole.caller.as_deref(), whole.outcome), (Some(CALLER), Outcome::Answered));
    assert_eq!((whole.operators.len(), whole.channels.len(), whole.inferred), (1, 2, false));
    let segments: Vec<_> = whole.segments.iter().map(|s| (s.kind.as_str(), s.target.as_deref())).collect();
    assert_eq!(segments, [("presented", None), ("transfer", Some("鈴木"))]);
    let caller = store.caller_history(ACCOUNT, CALLER).await.unwrap();
    assert_eq!((caller.history.calls, caller.history.open_messages), (1, 1));
    assert_eq!(caller.customers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["田中太郎"]);
}

async fn messages(store: &Store) {
    let listed = store.messages(&MessageFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|m| (m.id, m.version)).collect::<Vec<_>>(), [(id(0xe1), 2), (id(0xe2), 2)]);
    assert_eq!(
        (listed[0].fields.text.as_str(), listed[0].call),
        ("折り返しお電話ください", Some(finished()))
    );
    assert_eq!(listed[1].acknowledged_by, Some(ITO));
    let unpublished = store.unpublished_messages(&osaka(), 10).await.unwrap();
    assert_eq!(
        unpublished.iter().map(|(m, published)| (m.id, *published)).collect::<Vec<_>>(),
        [(id(0xe1), 1)]
    );
    let entry = JournalEntry::MessagePublished(MessagePublication { id: id(0xe1), version: 2 });
    store.write_entry(&osaka(), &entry).await.unwrap();
    assert!(store.unpublished_messages(&osaka(), 10).await.unwrap().is_empty());
    // An older version's message has no number, is found by its text, and keeps it over a correction.
    assert_eq!((&listed[1].number, listed[1].revision), (&None, 1));
    let text = MessageFilter { text: Some("お電話".into()), ..MessageFilter::default() };
    assert_eq!(store.messages(&text, None, 10).await.unwrap().len(), 1);
    let fields = MessageFields { text: "訂正".into(), ..MessageFields::default() };
    let content = ContentChange {
        content: fields.checked(&NumberPlan::default()).unwrap(),
        version: 2,
        by: Some(ITO),
        by_name: "伊藤".into(),
        correction: Some("誤り".into()),
        not_before: from_ms(0),
    };
    let update = MessageUpdate { content: Some(content), acknowledged_by: None };
    store.change_message(id(0xe2), &update, from_ms(9_000)).await.unwrap();
    let revisions = store.message_revisions(id(0xe2)).await.unwrap();
    let texts: Vec<_> = revisions.iter().map(|revision| revision.content.text.as_str()).collect();
    assert_eq!(texts, [listed[1].fields.text.as_str(), "訂正"]);
}

async fn stored_log(store: &Store) -> StoredLog {
    let limits = LogLimits { events_max: 100, bytes_max: 1 << 20, since: Timestamp::UNIX_EPOCH };
    store.read_log(&osaka(), limits).await.unwrap()
}

async fn event_log(store: &Store) {
    let log = stored_log(store).await;
    assert_eq!((log.head, log.visibility), (48, Some(("5eed".to_owned(), 46))));
    assert_eq!(log.events.iter().map(|event| event.position).collect::<Vec<_>>(), [47, 48]);
    assert_eq!(log.events[1].id.to_string(), "a1-8");
    assert!(log.events[0].visibility_loss.is_none() && log.events[1].visibility_loss.is_some());
    assert_eq!(log.checkpoints.len(), 1);
    let checkpoint = &log.checkpoints[0];
    assert_eq!((checkpoint.snapshot.id, checkpoint.snapshot.presented().count()), (unfinished(), 1));
    assert_eq!(checkpoint.segments[0].kind, "presented");

    store.save_visibility(&osaka(), "cafe", 48).await.unwrap();
    let again = JournalEntry::Checkpoint(Box::new(checkpoint.clone()));
    store.write_entry(&osaka(), &again).await.unwrap();
    let log = stored_log(store).await;
    assert_eq!((log.visibility, log.checkpoints.len()), (Some(("cafe".to_owned(), 48)), 1));
    let record = store.finished_call(finished()).await.unwrap().unwrap();
    let record = JournalEntry::Finished(Box::new(FinishedCall { id: unfinished(), ..record }));
    store.write_entry(&osaka(), &record).await.unwrap();
    assert!(stored_log(store).await.checkpoints.is_empty());
    assert!(store.finished_call(unfinished()).await.unwrap().is_some());
}

async fn pbx_links(store: &Store) {
    let link = store.pbx_link(&osaka()).await.unwrap().unwrap();
    assert_eq!((link.up, link.since, link.alive), (true, from_ms(90_000), from_ms(202_000)));
    assert_eq!((link.cause.as_deref(), link.started.as_deref()), (None, Some("2026-01-05 08:00:00")));
    let down = PbxLinkState { up: false, cause: Some("lost".into()), ..link };
    store.write_entry(&osaka(), &JournalEntry::PbxLink(Box::new(down.clone()))).await.unwrap();
    assert_eq!(store.pbx_link(&osaka()).await.unwrap(), Some(down));
    let gaps = store.gaps(None, None, 10).await.unwrap();
    assert_eq!(
        (gaps.len(), gaps[0].from, gaps[0].to, gaps[0].restarted),
        (1, from_ms(50_000), from_ms(90_000), true)
    );
    let later = crate::contract::pbx::Gap { to: from_ms(95_000), ..gaps[0].clone() };
    store.write_entry(&osaka(), &JournalEntry::Gap(Box::new(later.clone()))).await.unwrap();
    assert_eq!(store.gaps(None, None, 10).await.unwrap(), [later]);
}

async fn supervision(store: &Store) {
    let segments = store.supervision_segments(finished()).await.unwrap();
    let read = |segments: &[crate::contract::supervision::SupervisionSegment]| {
        segments.iter().map(|s| (s.mode, to_ms(s.from), s.until.map(to_ms))).collect::<Vec<_>>()
    };
    assert_eq!(read(&segments), [(Mode::Listen, 110_000, Some(120_000)), (Mode::Whisper, 120_000, None)]);
    assert_eq!((segments[0].supervisor, segments[0].reason.as_deref()), (ITO, Some("新人")));
    let reconcile = SegmentChange::Reconcile { pbx: osaka(), supervisions: vec![], at: from_ms(150_000) };
    store.write_entry(&osaka(), &JournalEntry::SegmentChange(reconcile)).await.unwrap();
    let segments = store.supervision_segments(finished()).await.unwrap();
    assert_eq!(read(&segments)[1], (Mode::Whisper, 120_000, Some(150_000)));
}

async fn operators(store: &Store) {
    let states = store.states().await.unwrap();
    assert_eq!(states.iter().map(|state| (state.user, state.version)).collect::<Vec<_>>(), [(SATO, 3)]);
    let state = &states[0];
    assert_eq!((state.activity, state.awaiting_return), (Activity::Talking(unfinished()), Some(call(0xd4))));
    assert_eq!(state.requested, RequestedState::NotReady("break".into()));
    assert_eq!(state.wrap_ups.iter().map(|work| work.call).collect::<Vec<_>>(), [finished()]);
    assert_eq!(state.expired.as_ref().map(|work| work.call), Some(call(0xd3)));
    let changes = store.state_changes(SATO, from_ms(0), from_ms(300_000)).await.unwrap();
    assert_eq!(
        (changes.len(), changes[0].at, changes[0].reason.as_deref()),
        (1, from_ms(210_000), Some("break"))
    );
    let wrap_ups = store.wrap_ups(&[finished()]).await.unwrap();
    assert_eq!((wrap_ups.len(), wrap_ups[0].user), (1, SATO));
    let work = &wrap_ups[0].finished;
    assert_eq!((work.disposition.as_deref(), work.work.extensions.len()), (Some("message"), 1));
}

async fn webhooks(store: &Store) {
    assert_eq!(store.webhook_cursor(&osaka()).await.unwrap().as_deref(), Some("a1-7"));
    let other = PbxId::parse("tokyo").unwrap();
    assert_eq!(store.webhook_cursor(&other).await.unwrap().as_deref(), Some("90-3"));
    let deliveries = store.deliveries(None).await.unwrap();
    let read: Vec<_> = deliveries.iter().map(|d| (d.event.as_str(), d.state, d.attempts)).collect();
    assert_eq!(read, [("a1-1", DeliveryState::Failed, 9), ("a1-7", DeliveryState::Waiting, 2)]);
    let event = NewDelivery {
        receiver: "crm".into(),
        event: "a1-8".into(),
        kind: "call.presented",
        body: "{}".into(),
    };
    let written = store.write_outbox(&osaka(), &[event], (Some("a1-7"), "a1-8"), from_ms(202_000), 10).await;
    assert_eq!(written.unwrap(), OutboxWrite::Written { dropped: 0 });
    assert_eq!(store.webhook_cursor(&osaka()).await.unwrap().as_deref(), Some("a1-8"));
}

async fn audit(store: &Store) {
    let entries = store.audit(&AuditFilter::default(), None, 10).await.unwrap().items;
    assert_eq!((entries.len(), entries[0].actor, entries[0].call), (1, Some(ITO), Some(finished())));
    assert_eq!((entries[0].action.as_str(), entries[0].subject.as_str()), ("supervision.started", "1001"));
    assert_eq!(entries[0].details["mode"], "listen");
}
