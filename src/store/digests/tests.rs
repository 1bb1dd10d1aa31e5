//! Digests and their runs on both databases.

use serde_json::{Value, json};

use super::super::super::Store;
use super::*;
use crate::contract::call::{Direction, Outcome};
use crate::contract::card::MatchedBy;
use crate::contract::delivery::{DeliveryState, MessageDeliveryState, UnroutedReason};
use crate::contract::history::{CallSource, FinishedCall};
use crate::contract::message::{Message, MessageFields, MessageUpdate, NewMessage};
use crate::contract::operator::WrapUp;
use crate::contract::records::{AccountFields, ContactFields, CustomerFields};
use crate::delivery::DeliveryInput;
use crate::identity::Presentation;
use crate::ids::{CallId, ChannelId};
use crate::journal::entry::{JournalEntry, WrapUpRecord};
use crate::numbers::NumberPlan;
use crate::operators::CompletedWrapUp;
use crate::store::deliveries::DeliveryFilter;
use crate::store::erasure::{ErasureStep, LiveCalls};
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::routes::NewRoutes;

const HANA: RecordId = RecordId(Uuid::from_u128(1001));
/// Every day at 18:00 in Tokyo.
const ROUTES: &str = r#"
format = 1
[[digest]]
name = "evening"
at = ["18:00"]
to = ["account"]
if_empty = "IF_EMPTY"
include = "INCLUDE"
calls = true
[[route]]
name = "low"
when = { urgency = "low" }
digest = "evening"
[[route]]
name = "usual"
[[route.step]]
to = ["named"]
until = "sent"
"#;

struct Rig<H> {
    _held: H,
    store: Store,
    account: RecordId,
    contact: RecordId,
}

/// A time of 30 November 2026 in Tokyo, or of a later day.
fn at(days: i64, hour: i64, minute: i64) -> Timestamp {
    let midnight: Timestamp = "2026-11-30T00:00:00+09:00".parse().unwrap();
    midnight + jiff::SignedDuration::from_mins(days * 1_440 + hour * 60 + minute)
}

fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

fn pbx() -> PbxId {
    PbxId::parse("lab").unwrap()
}

async fn rig(if_empty: &str, include: &str) -> Rig<impl Sized> {
    let (held, store) = super::super::empty_store().await;
    let plan = NumberPlan::default();
    let fields =
        AccountFields { code: "A".into(), name: "さくら商事".into(), ..AccountFields::default() };
    let account = store.create_account(&fields.checked(&plan).unwrap(), at(0, 8, 0)).await.unwrap().id;
    store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    store.set_route_time_zone("Asia/Tokyo").await.unwrap();
    let fields = ContactFields {
        email: Some("desk@sakura.example.jp".into()),
        on_call_order: Some(1),
        ..ContactFields::named(account, "佐々木")
    };
    let contact = store.create_contact(&fields.checked(&plan).unwrap(), at(0, 8, 0)).await.unwrap().id;
    let rig = Rig { _held: held, store, account, contact };
    rig.routes(&ROUTES.replace("IF_EMPTY", if_empty).replace("INCLUDE", include), at(0, 8, 0)).await;
    rig
}

impl<H> Rig<H> {
    async fn routes(&self, body: &str, at: Timestamp) {
        let routes = NewRoutes { account: Some(self.account), body, by: None, by_name: "花", version: None };
        self.store.save_routes(routes, at).await.unwrap();
    }

    async fn save(&self, n: u128, fields: Value, at: Timestamp) -> Message {
        self.save_of(n, None, fields, at).await
    }

    async fn save_of(&self, n: u128, customer: Option<RecordId>, fields: Value, at: Timestamp) -> Message {
        let fields: MessageFields = serde_json::from_value(fields).unwrap();
        let new = NewMessage {
            id: id(n),
            account: self.account,
            call: None,
            customer,
            kind: MessageKind::Message,
            taken_by: Some(HANA),
            taken_by_name: "花".into(),
            caller: None,
            content: fields.checked(&NumberPlan::default()).unwrap(),
            day: "261130".into(),
            not_before: at,
        };
        self.store.create_message(&new, &pbx(), at).await.unwrap().0
    }

    async fn save_as(&self, kind: MessageKind, n: u128, at: Timestamp) {
        let fields = MessageFields { text: "x".into(), ..MessageFields::default() };
        let new = NewMessage {
            id: id(n),
            account: self.account,
            call: None,
            customer: None,
            kind,
            taken_by: None,
            taken_by_name: String::new(),
            caller: None,
            content: fields.checked(&NumberPlan::default()).unwrap(),
            day: "261130".into(),
            not_before: at,
        };
        self.store.create_message(&new, &pbx(), at).await.unwrap();
    }

    /// A call that an operator took, and the result of the work after it: two people may have written the same one down.
    async fn call(&self, n: usize, account: RecordId, offered_at: Timestamp, disposition: &str) {
        let ended_at = offered_at + jiff::SignedDuration::from_secs(30);
        let id = CallId::derive(&pbx(), &ChannelId::parse(&format!("{n}.1")).unwrap());
        let call = FinishedCall {
            id,
            pbx: pbx(),
            direction: Direction::Inbound,
            account: Some(account),
            matched_by: MatchedBy::Dialled,
            customer: None,
            caller: Some("+81355501001".into()),
            presentation: Presentation::Allowed,
            dialled: None,
            diverted_by: None,
            offered_at,
            answered_at: Some(offered_at),
            ended_at,
            outcome: Outcome::Answered,
            operators: Vec::new(),
            handled_by: None,
            channels: Vec::new(),
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: Vec::new(),
        };
        self.store.record_call(&call).await.unwrap();
        for user in [1001, 1002] {
            let work = WrapUp {
                call: id,
                account: Some(account),
                account_name: String::new(),
                since: ended_at,
                until: ended_at,
                planned_s: 30,
                extensions: Vec::new(),
                set_aside_ms: None,
            };
            let finished =
                CompletedWrapUp { work, ended_at, disposition: Some(disposition.into()), notes: None };
            let user = RecordId(Uuid::from_u128(user));
            let record = WrapUpRecord { user, finished };
            self.store.write_entry(&pbx(), &JournalEntry::WrapUp(Box::new(record))).await.unwrap();
        }
    }

    async fn message(&self, n: u128) -> Message {
        self.store.message(id(n)).await.unwrap().unwrap()
    }

    /// What a message shows: its state, and its delivery's with the next time.
    async fn shown(&self, n: u128) -> (MessageState, MessageDeliveryState, Option<Timestamp>) {
        let message = self.message(n).await;
        (message.state, message.delivery.state, message.delivery.next_at)
    }

    async fn run(&self, now: Timestamp) -> RunOutcome {
        self.store.run_digest(self.account, "evening", RunWhen::Due, (&pbx(), now)).await.unwrap()
    }

    async fn timer(&self) -> DigestTimer {
        self.store.digest_timers(self.account).await.unwrap().remove(0)
    }

    /// The digests that wait for the mail server, each with the numbers of its messages.
    async fn claimed(&self, now: Timestamp) -> Vec<(RecordId, RecordId, Vec<u128>, DigestReport)> {
        let lease = (now, now + jiff::SignedDuration::from_mins(3));
        let claimed = self.store.claim_message_deliveries(MAIL_SERVER, id(9), lease, 32).await.unwrap();
        let mut found = Vec::new();
        for delivery in claimed {
            let facts = self.store.letter_facts(delivery.id).await.unwrap().unwrap();
            let Some(digest) = facts.digest else { continue };
            let items = digest.items.iter().map(|item| item.message.id.0.as_u128()).collect();
            found.push((delivery.id, delivery.message, items, digest.run.report));
        }
        found
    }

    async fn settle(&self, delivery: RecordId, input: DeliveryInput, now: Timestamp) {
        self.store.settle_delivery(delivery, id(9), input, (now, 0)).await.unwrap().unwrap();
    }
}

fn low(text: &str) -> Value {
    json!({"text": text, "urgency": "low"})
}

#[tokio::test]
async fn a_message_of_low_urgency_waits_for_its_digest_and_is_sent_with_it() {
    let rig = rig("send", "all").await;
    assert_eq!(rig.timer().await.next_at, at(0, 18, 0));
    rig.save(1, low("折り返し不要"), at(0, 10, 0)).await;
    let held = (MessageState::Open, MessageDeliveryState::Held, Some(at(0, 18, 0)));
    assert_eq!(rig.shown(1).await, held);
    rig.save(2, json!({"text": "納期", "contact": rig.contact.0}), at(0, 11, 0)).await;
    assert_eq!(rig.run(at(0, 17, 59)).await, RunOutcome::NotDue);
    let due = rig.store.due_digests(at(0, 17, 59)).await.unwrap();
    assert_eq!((due.due.len(), due.next_at), (0, Some(at(0, 18, 0))));
    assert_eq!(rig.store.due_digests(at(0, 18, 0)).await.unwrap().due.len(), 1);

    let RunOutcome::Made(digest) = rig.run(at(0, 18, 0)).await else { panic!("it is due") };
    assert_eq!(rig.run(at(0, 18, 0)).await, RunOutcome::NotDue);
    assert_eq!(rig.timer().await.next_at, at(1, 18, 0));
    let made = rig.store.message(digest).await.unwrap().unwrap();
    assert_eq!((made.kind, made.taken_by), (MessageKind::Digest, None));
    assert!(made.number.is_some_and(|number| number.starts_with("261130-")));
    assert_eq!(rig.shown(1).await, held, "the digest is not out yet");
    let mut claimed = rig.claimed(at(0, 18, 1)).await;
    let (delivery, message, items, report) = claimed.remove(0);
    assert_eq!((claimed.len(), message, items), (0, digest, vec![1, 2]));
    assert_eq!((report.calls, report.gaps), (Some(CallCounts::default()), vec![]));
    rig.settle(delivery, DeliveryInput::Accepted, at(0, 18, 2)).await;
    assert_eq!(rig.shown(1).await, (MessageState::Sent, MessageDeliveryState::Sent, None));
    let runs = rig.store.digest_runs(rig.account).await.unwrap();
    assert_eq!((runs.len(), runs[0].items, runs[0].state), (1, 2, MessageState::Sent));
    // Nobody waits for it any more.
    assert_eq!(rig.store.due_dispatches(at(9, 0, 0)).await.unwrap().messages, []);
    // The event says so once, also if somebody has it sent again.
    let sent = async || {
        let notices = rig.store.message_notices(&pbx()).await.unwrap();
        let of_digest = notices.into_iter().filter(|notice| notice.kind == "digest.sent");
        of_digest.map(|notice| (notice.taken_by, notice.data)).collect::<Vec<_>>()
    };
    let number = rig.store.message(digest).await.unwrap().unwrap().number;
    let data = json!({
        "message": digest, "number": number, "account": rig.account, "name": "evening", "items": 2,
        "from": "2026-11-29T23:00:00.000Z", "to": "2026-11-30T09:00:00.000Z",
    });
    assert_eq!(sent().await, [(None, data.clone())]);
    rig.store.send_again(delivery, at(0, 18, 3)).await.unwrap();
    let (again, ..) = rig.claimed(at(0, 18, 4)).await.remove(0);
    rig.settle(again, DeliveryInput::Accepted, at(0, 18, 5)).await;
    assert_eq!(sent().await, [(None, data)]);
}

#[tokio::test]
async fn several_daemons_and_a_crash_make_one_run_and_no_message_is_twice_or_never_in_one() {
    let rig = rig("skip", "all").await;
    for n in 1..=250 {
        rig.save(n, low("x"), at(0, 9, 0) + jiff::SignedDuration::from_millis(i64::try_from(n).unwrap()))
            .await;
    }
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        let run = || rig.run(at(0, 18, 0));
        let (a, b, c) = tokio::join!(run(), run(), run());
        outcomes.extend([a, b, c]);
    }
    let made = outcomes.iter().filter(|outcome| matches!(outcome, RunOutcome::Made(_))).count();
    assert_eq!(made, 5, "{outcomes:?}");
    let mut claimed = Vec::new();
    for minute in 0..9 {
        claimed.extend(rig.claimed(at(0, 18, minute)).await);
    }
    let mut all: Vec<u128> = claimed.iter().flat_map(|(_, _, items, _)| items.clone()).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=250).collect::<Vec<_>>());
    let more: Vec<bool> = claimed.iter().map(|(.., report)| report.has_more).collect();
    assert_eq!(more, [true, true, true, true, false]);
    // What is saved later, also if its time is before the run, is in the next one.
    rig.save(300, low("x"), at(0, 17, 59)).await;
    rig.save(301, low("x"), at(0, 18, 0)).await;
    assert!(matches!(rig.run(at(1, 18, 0)).await, RunOutcome::Made(_)));
    assert_eq!(rig.claimed(at(1, 18, 1)).await[0].2, [300, 301]);
}

#[tokio::test]
async fn without_anything_to_report_a_digest_says_so_or_is_left_out() {
    let sends = rig("send", "all").await;
    assert!(matches!(sends.run(at(0, 18, 0)).await, RunOutcome::Made(_)));
    let (_, _, items, report) = sends.claimed(at(0, 18, 1)).await.remove(0);
    assert_eq!((items, report.calls.unwrap().offered, report.gaps), (vec![], 0, vec![]));
    let skips = rig("skip", "all").await;
    assert_eq!(skips.run(at(0, 18, 0)).await, RunOutcome::Empty);
    assert_eq!(skips.timer().await.next_at, at(1, 18, 0));
    // A time without the PBX is nothing that may be passed over.
    let gap = (to_ms(at(1, 10, 2)), to_ms(at(1, 10, 3)));
    sqlx::query("INSERT INTO pbx_gaps (pbx, from_ms, to_ms, cause) VALUES ('lab', $1, $2, 'test')")
        .bind(gap.0)
        .bind(gap.1)
        .execute(super::super::of(&skips.store).writer())
        .await
        .unwrap();
    assert!(matches!(skips.run(at(1, 18, 0)).await, RunOutcome::Made(_)));
    assert_eq!(skips.claimed(at(1, 18, 1)).await.remove(0).3.gaps, [gap]);
}

#[tokio::test]
async fn a_digest_counts_the_results_of_its_accounts_calls_and_reports_callback_requests() {
    let rig = rig("send", "all").await;
    for (n, disposition) in ["sales", "sales", "quote"].into_iter().enumerate() {
        rig.call(n, rig.account, at(0, 10, 0), disposition).await;
    }
    // Not this account's, and not of this time.
    rig.call(8, id(99), at(0, 10, 0), "sales").await;
    rig.call(9, rig.account, at(-1, 10, 0), "sales").await;
    rig.save_as(MessageKind::Callback, 1, at(0, 10, 1)).await;
    assert!(matches!(rig.run(at(0, 18, 0)).await, RunOutcome::Made(_)));
    let (_, _, items, report) = rig.claimed(at(0, 18, 1)).await.remove(0);
    let counted: Vec<_> = report.dispositions.iter().map(|one| (one.code.as_str(), one.calls)).collect();
    assert_eq!((items, counted), (vec![1], vec![("sales", 2), ("quote", 1)]));
    assert_eq!(report.calls.unwrap().offered, 3);
}

#[tokio::test]
async fn a_digest_reports_what_its_account_chose_and_always_what_waits_for_it() {
    let acknowledged = MessageUpdate { content: None, acknowledged_by: Some(HANA) };
    for (include, expected) in [("all", vec![1, 2, 3]), ("low", vec![1]), ("unacknowledged", vec![1, 2])] {
        let rig = rig("send", include).await;
        rig.save(1, low("x"), at(0, 10, 0)).await;
        rig.save(2, json!({"text": "x"}), at(0, 10, 1)).await;
        rig.save(3, json!({"text": "x"}), at(0, 10, 2)).await;
        rig.store.change_message(id(3), &acknowledged, at(0, 11, 0)).await.unwrap();
        // One that is held for the next morning, one that was withdrawn, a test.
        rig.save(4, json!({"text": "x", "hold_until": "2026-12-01T09:00:00+09:00"}), at(0, 10, 3)).await;
        rig.save(5, low("x"), at(0, 10, 4)).await;
        rig.store.withdraw_message(id(5), at(0, 0, 0), at(0, 10, 5)).await.unwrap();
        assert!(matches!(rig.run(at(0, 18, 0)).await, RunOutcome::Made(_)));
        let claimed = rig.claimed(at(0, 18, 1)).await;
        assert_eq!(claimed[0].2, expected, "{include}");
        rig.run(at(1, 18, 0)).await;
        let next: Vec<u128> =
            rig.claimed(at(1, 18, 1)).await.into_iter().flat_map(|(_, _, items, _)| items).collect();
        assert_eq!(next, if include == "low" { vec![] } else { vec![4] }, "{include}");
    }
}

#[tokio::test]
async fn a_late_run_is_made_and_one_that_was_missed_is_in_the_next_which_says_so() {
    let rig = rig("send", "all").await;
    rig.save(1, low("x"), at(0, 10, 0)).await;
    assert!(matches!(rig.run(at(1, 5, 59)).await, RunOutcome::Made(_)), "twelve hours late at most");
    assert_eq!(rig.claimed(at(1, 6, 0)).await[0].2, [1]);
    rig.save(2, low("x"), at(1, 10, 0)).await;
    assert_eq!(rig.run(at(2, 6, 1)).await, RunOutcome::Missed);
    // It is alarmed meanwhile, and sent with the next one all the same.
    assert!(rig.store.tick_dispatch(id(2), at(2, 6, 1)).await.unwrap());
    assert_eq!(rig.shown(2).await, (MessageState::Failed, MessageDeliveryState::Failed, None));
    let notices = rig.store.message_notices(&pbx()).await.unwrap();
    assert_eq!(notices.iter().map(|notice| &notice.data["why"]).collect::<Vec<_>>(), ["unreached"]);
    assert_eq!(rig.run(at(2, 6, 2)).await, RunOutcome::NotDue);
    assert!(matches!(rig.run(at(2, 18, 0)).await, RunOutcome::Made(_)));
    let (delivery, _, items, report) = rig.claimed(at(2, 18, 1)).await.remove(0);
    assert_eq!((items, report.missed_ms), (vec![2], Some(to_ms(at(1, 18, 0)))));
    rig.settle(delivery, DeliveryInput::Accepted, at(2, 18, 2)).await;
    assert_eq!(rig.shown(2).await, (MessageState::Sent, MessageDeliveryState::Sent, None));
}

#[tokio::test]
async fn a_digest_that_nobody_can_get_fails_what_waited_for_it() {
    let rig = rig("send", "all").await;
    rig.save(1, low("x"), at(0, 10, 0)).await;
    assert!(matches!(rig.run(at(0, 18, 0)).await, RunOutcome::Made(_)));
    let (delivery, ..) = rig.claimed(at(0, 18, 1)).await.remove(0);
    let error = "550 5.1.1 unknown".to_owned();
    rig.settle(delivery, DeliveryInput::Refused { error, status: Some("5.1.1".into()) }, at(0, 18, 2)).await;
    let failed = (MessageState::Failed, MessageDeliveryState::Failed, None);
    assert_eq!(rig.shown(1).await, failed);
    // Nobody is left whose address works: the next one says why, and its messages fail at once.
    rig.save(2, low("x"), at(1, 10, 0)).await;
    let RunOutcome::Made(next) = rig.run(at(1, 18, 0)).await else { panic!("it is due") };
    let next = rig.store.message(next).await.unwrap().unwrap();
    assert_eq!(next.delivery.reason, Some(UnroutedReason::NoRecipient));
    assert_eq!(rig.shown(2).await, failed);
    // A person has the first one sent again.
    rig.store.send_again(delivery, at(1, 19, 0)).await.unwrap();
    assert_eq!(rig.claimed(at(1, 19, 1)).await[0].0, delivery);
    rig.settle(delivery, DeliveryInput::Accepted, at(1, 19, 2)).await;
    assert_eq!(rig.shown(1).await, (MessageState::Sent, MessageDeliveryState::Sent, None));
}

#[tokio::test]
async fn a_correction_is_in_the_next_digest_and_an_answer_ends_the_waiting() {
    let rig = rig("skip", "low").await;
    for n in 1..=2 {
        rig.save(n, low("x"), at(0, 10, 0)).await;
    }
    let acknowledged = MessageUpdate { content: None, acknowledged_by: Some(HANA) };
    rig.store.change_message(id(2), &acknowledged, at(0, 11, 0)).await.unwrap();
    assert_eq!(rig.shown(2).await, (MessageState::Acknowledged, MessageDeliveryState::None, None));
    rig.run(at(0, 18, 0)).await;
    let (delivery, _, items, _) = rig.claimed(at(0, 18, 1)).await.remove(0);
    assert_eq!(items, [1, 2], "it is of low urgency");
    rig.settle(delivery, DeliveryInput::Accepted, at(0, 18, 2)).await;
    assert_eq!(rig.shown(2).await, (MessageState::Acknowledged, MessageDeliveryState::None, None));
    let before = rig.message(1).await;
    let fields: MessageFields = serde_json::from_value(low("正しい内容")).unwrap();
    let content = crate::contract::message::ContentChange {
        content: fields.checked(&NumberPlan::default()).unwrap(),
        version: before.version,
        by: Some(HANA),
        by_name: "花".into(),
        correction: Some("聞き違い".into()),
        not_before: at(1, 9, 0),
    };
    let corrected = MessageUpdate { content: Some(content), acknowledged_by: None };
    rig.store.change_message(id(1), &corrected, at(1, 9, 0)).await.unwrap();
    assert_eq!(rig.shown(1).await, (MessageState::Open, MessageDeliveryState::Held, Some(at(1, 18, 0))));
    rig.run(at(1, 18, 0)).await;
    assert_eq!(rig.claimed(at(1, 18, 1)).await[0].2, [1]);
    rig.run(at(2, 18, 0)).await;
    assert_eq!(rig.claimed(at(2, 18, 1)).await, [], "it was reported");
}

#[tokio::test]
async fn a_digest_keeps_its_place_over_new_versions_and_ends_with_its_document() {
    let rig = rig("send", "all").await;
    rig.save(1, low("x"), at(0, 10, 0)).await;
    let later = ROUTES.replace("IF_EMPTY", "send").replace("INCLUDE", "all").replace("18:00", "20:00");
    rig.routes(&later, at(0, 12, 0)).await;
    let timer = rig.timer().await;
    assert_eq!((timer.next_at, timer.since), (at(0, 20, 0), at(0, 8, 0)));
    let manual = (&pbx(), at(0, 13, 0));
    let run = rig.store.run_digest(rig.account, "evening", RunWhen::Now, manual).await.unwrap();
    assert!(matches!(run, RunOutcome::Made(_)));
    assert_eq!(rig.claimed(at(0, 13, 1)).await[0].2, [1]);
    let timer = rig.timer().await;
    let until = at(0, 13, 0) + jiff::SignedDuration::from_millis(1);
    assert_eq!((timer.next_at, timer.since), (at(0, 20, 0), until));
    let unknown = rig.store.run_digest(rig.account, "morning", RunWhen::Now, manual).await.unwrap();
    assert_eq!(unknown, RunOutcome::Unknown);
    rig.routes("format = 1", at(0, 14, 0)).await;
    assert_eq!(rig.store.digest_timers(rig.account).await.unwrap(), []);
    assert_eq!(rig.store.due_digests(at(9, 0, 0)).await.unwrap(), DueDigests::default());
}

#[tokio::test]
async fn a_customer_who_is_forgotten_is_in_no_digest_that_is_still_to_be_sent() {
    let rig = rig("send", "all").await;
    let plan = NumberPlan::default();
    let fields = CustomerFields {
        numbers: vec!["090-1234-5678".into()],
        ..CustomerFields::named(rig.account, "田中")
    };
    let customer = rig.store.create_customer(&fields.checked(&plan).unwrap(), at(0, 9, 0)).await.unwrap().id;
    rig.save_of(1, Some(customer), low("田中です"), at(0, 10, 0)).await;
    rig.run(at(0, 18, 0)).await;
    let (delivery, ..) = rig.claimed(at(0, 18, 1)).await.remove(0);
    let bytes = "田中です".as_bytes().to_vec();
    rig.store.keep_rendered(id(9), &[(delivery, bytes)]).await.unwrap();
    let postponed = DeliveryInput::Postponed { until: at(0, 18, 2), error: None };
    rig.settle(delivery, postponed, at(0, 18, 2)).await;
    rig.store.forget_customer(customer, &plan, at(0, 18, 3)).await.unwrap();
    let rendered = async |now| {
        let lease = (now, now + jiff::SignedDuration::from_mins(3));
        let claimed = rig.store.claim_message_deliveries(MAIL_SERVER, id(9), lease, 32).await.unwrap();
        let claimed = claimed.into_iter().find(|claimed| claimed.id == delivery).unwrap();
        let facts = rig.store.letter_facts(delivery).await.unwrap().unwrap().digest.unwrap();
        let postponed = DeliveryInput::Postponed { until: now, error: None };
        rig.settle(delivery, postponed, now).await;
        (claimed.rendered, facts.items[0].message.fields.text.clone())
    };
    assert_eq!(rendered(at(0, 18, 4)).await, (None, String::new()), "asked for");
    while let ErasureStep::Done(_) =
        rig.store.erase_step(100, LiveCalls::Unknown, &plan, at(0, 19, 0)).await.unwrap()
    {}
    assert_eq!(rendered(at(0, 19, 1)).await, (None, String::new()), "done");
}

/// What the list of deliveries shows of a digest.
#[tokio::test]
async fn a_digest_is_a_message_with_deliveries() {
    let rig = rig("send", "all").await;
    let RunOutcome::Made(digest) = rig.run(at(0, 18, 0)).await else { panic!("it is due") };
    let filter = DeliveryFilter { message: Some(digest), ..DeliveryFilter::default() };
    let deliveries = rig.store.message_deliveries(filter).await.unwrap();
    let shown: Vec<_> = deliveries.iter().map(|one| (one.address.as_str(), one.state, one.contact)).collect();
    assert_eq!(shown, [("desk@sakura.example.jp", DeliveryState::Queued, Some(rig.contact))]);
    rig.store.delete_message(digest).await.unwrap();
    assert_eq!(rig.store.digest_runs(rig.account).await.unwrap(), []);
}
