//! The outbox on both databases.

use std::time::Duration;

use uuid::Uuid;

use super::super::super::Store;
use super::*;
use crate::contract::delivery::{MessageDeliveryState, UnroutedReason};
use crate::contract::hours::Hours;
use crate::contract::message::{
    CheckedMessage, ContentChange, Message, MessageFields, MessageKind, MessageState, MessageUpdate,
    NewMessage,
};
use crate::contract::records::{
    AccountFields, ContactFields, CustomerFields, EndpointKind, MessageEndpointFields, OutsideHours,
};
use crate::delivery::{GIVE_UP_DELAY, LEASE_TTL, ServerPause, URGENT_GIVE_UP_DELAY};
use crate::ids::PbxId;
use crate::numbers::NumberPlan;
use crate::store::deliveries::{ClaimedDelivery, SUSPENDED_PREFIX};
use crate::store::erasure::{ErasureStep, LiveCalls, SentCopy};
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::messages::{ChangeOutcome, WithdrawOutcome};
use crate::store::retention::PurgeTarget;

const HANA: RecordId = RecordId(Uuid::from_u128(1001));

struct Rig<H> {
    _held: H,
    store: Store,
    account: RecordId,
    sasaki: RecordId,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn claim(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

async fn rig() -> Rig<impl Sized> {
    let (held, store) = super::super::empty_store().await;
    let plan = NumberPlan::default();
    let fields =
        AccountFields { code: "A".into(), name: "さくら商事".into(), ..AccountFields::default() };
    let account = store.create_account(&fields.checked(&plan).unwrap(), at(0)).await.unwrap().id;
    store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    let rig = Rig { _held: held, store, account, sasaki: claim(0) };
    let sasaki = rig.contact("佐々木", Some("sasaki@sakura.example.jp"), Some(2)).await;
    Rig { sasaki, ..rig }
}

impl<H> Rig<H> {
    async fn contact(&self, name: &str, email: Option<&str>, order: Option<u32>) -> RecordId {
        let fields = ContactFields {
            email: email.map(Into::into),
            on_call_order: order,
            ..ContactFields::named(self.account, name)
        };
        let checked = fields.checked(&NumberPlan::default()).unwrap();
        self.store.create_contact(&checked, at(0)).await.unwrap().id
    }

    async fn save(&self, n: u128, contact: Option<RecordId>, seconds: i64) -> Message {
        let fields = serde_json::json!({"text": format!("折り返し {n}"), "contact": contact.map(|id| id.0)});
        self.save_fields(n, fields, seconds, seconds).await
    }

    /// Saves a message that nothing delivers before `not_before`.
    async fn save_fields(
        &self,
        n: u128,
        fields: serde_json::Value,
        seconds: i64,
        not_before: i64,
    ) -> Message {
        let new = NewMessage {
            id: RecordId(Uuid::from_u128(n)),
            account: self.account,
            call: None,
            customer: None,
            kind: MessageKind::Message,
            taken_by: Some(HANA),
            taken_by_name: "花".into(),
            caller: Some("+81355501001".into()),
            content: content(fields),
            day: "231115".into(),
            not_before: at(not_before),
        };
        let pbx = PbxId::parse("lab").unwrap();
        self.store.create_message(&new, &pbx, at(seconds)).await.unwrap().0
    }

    /// Changes the content of a message, or corrects it.
    async fn rewrite(
        &self,
        n: u128,
        fields: serde_json::Value,
        why: Option<&str>,
        seconds: i64,
    ) -> ChangeOutcome {
        let before = self.message(n).await;
        let change = ContentChange {
            content: content(fields),
            version: before.version,
            by: Some(HANA),
            by_name: "花".into(),
            correction: why.map(Into::into),
            not_before: before.created_at,
        };
        let update = MessageUpdate { content: Some(change), acknowledged_by: None };
        self.store.change_message(before.id, &update, at(seconds)).await.unwrap()
    }

    async fn acknowledge(&self, n: u128, seconds: i64) -> Message {
        let update = MessageUpdate { content: None, acknowledged_by: Some(HANA) };
        let id = RecordId(Uuid::from_u128(n));
        applied(self.store.change_message(id, &update, at(seconds)).await.unwrap())
    }

    async fn message(&self, n: u128) -> Message {
        self.store.message(RecordId(Uuid::from_u128(n))).await.unwrap().unwrap()
    }

    async fn all(&self) -> Vec<Delivery> {
        self.store.message_deliveries(DeliveryFilter::default()).await.unwrap()
    }

    async fn claimed(&self, by: u128, seconds: i64) -> Vec<ClaimedDelivery> {
        let until = at(seconds).checked_add(LEASE_TTL).unwrap();
        self.store.claim_message_deliveries(MAIL_SERVER, claim(by), (at(seconds), until), 32).await.unwrap()
    }

    async fn settle(
        &self,
        id: RecordId,
        by: u128,
        input: DeliveryInput,
        seconds: i64,
    ) -> Option<DeliveryState> {
        self.store.settle_delivery(id, claim(by), input, (at(seconds), 0)).await.unwrap()
    }
}

fn content(fields: serde_json::Value) -> CheckedMessage {
    serde_json::from_value::<MessageFields>(fields).unwrap().checked(&NumberPlan::default()).unwrap()
}

fn applied(outcome: ChangeOutcome) -> Message {
    let ChangeOutcome::Applied(message) = outcome else { panic!("{outcome:?}") };
    message
}

fn shown(message: &Message) -> (MessageDeliveryState, Option<UnroutedReason>) {
    (message.delivery.state, message.delivery.reason)
}

#[tokio::test]
async fn a_message_is_saved_with_its_delivery_or_says_why_not() {
    let rig = rig().await;
    let named = rig.save(1, Some(rig.sasaki), 10).await;
    assert_eq!(shown(&named), (MessageDeliveryState::Queued, None));
    assert_eq!((named.delivery.next_at, named.version), (Some(at(10)), 1));
    // Nobody is named: the first in the on-call order who has an address.
    rig.contact("当番", None, Some(1)).await;
    let unnamed = rig.save(2, None, 11).await;
    assert_eq!(shown(&unnamed), (MessageDeliveryState::Queued, None));
    let deliveries = rig.all().await;
    let to: Vec<_> = deliveries.iter().map(|d| (d.message, d.contact, d.address.as_str())).collect();
    let sasaki = Some(rig.sasaki);
    assert_eq!(
        to,
        [(unnamed.id, sasaki, "sasaki@sakura.example.jp"), (named.id, sasaki, "sasaki@sakura.example.jp")]
    );
    // Nobody else gets what is for a contact without an address.
    let silent = rig.contact("無口", None, None).await;
    assert_eq!(
        shown(&rig.save(3, Some(silent), 12).await),
        (MessageDeliveryState::None, Some(UnroutedReason::NoAddress))
    );
    // A repeated request makes no second delivery.
    rig.save(1, Some(rig.sasaki), 20).await;
    assert_eq!(rig.all().await.len(), 2);
    rig.store.set_mail_server(MAIL_SERVER, false).await.unwrap();
    let off = rig.save(4, Some(rig.sasaki), 13).await;
    assert_eq!(shown(&off), (MessageDeliveryState::None, Some(UnroutedReason::NoMailServer)));
}

#[tokio::test]
async fn an_account_without_anybody_on_call_says_so() {
    let rig = rig().await;
    rig.store.delete_contact(rig.sasaki).await.unwrap();
    rig.contact("受付", Some("a@example.jp"), None).await;
    assert_eq!(
        shown(&rig.save(1, None, 0).await),
        (MessageDeliveryState::None, Some(UnroutedReason::NoContact))
    );
}

#[tokio::test]
async fn a_delivery_is_claimed_once_and_settled_by_its_claim() {
    let rig = rig().await;
    rig.save(1, None, 0).await;
    let first = rig.claimed(1, 0).await;
    assert_eq!((first.len(), first[0].attempts), (1, 1));
    assert!(rig.claimed(2, 0).await.is_empty());
    let id = first[0].id;
    assert_eq!(rig.settle(id, 2, DeliveryInput::Accepted, 1).await, None, "another claim");
    rig.store.keep_rendered(claim(1), &[(id, b"mail".to_vec())]).await.unwrap();
    let deferred =
        DeliveryInput::Deferred { error: "450 4.2.0 later\r\n x".into(), status: Some("4.2.0".into()) };
    assert_eq!(rig.settle(id, 1, deferred, 1).await, Some(DeliveryState::Queued));
    let message = rig.message(1).await;
    assert_eq!(message.delivery.last_error.as_deref(), Some("450 4.2.0 later x"));
    assert_eq!(
        (message.state, message.version, message.delivery.next_at),
        (MessageState::Open, 1, rig.all().await[0].next_at)
    );
    assert!(rig.claimed(3, 10).await.is_empty(), "not due yet");
    let again = rig.claimed(3, 20).await;
    assert_eq!((again[0].attempts, again[0].rendered.as_deref()), (2, Some(&b"mail"[..])));
    assert_eq!(rig.settle(id, 3, DeliveryInput::Accepted, 21).await, Some(DeliveryState::Sent));
    let message = rig.message(1).await;
    assert_eq!((message.state, message.version, message.changed_at), (MessageState::Sent, 2, at(21)));
    assert_eq!(
        (message.delivery.state, message.delivery.next_at, message.delivery.last_error),
        (MessageDeliveryState::Sent, None, None)
    );
    assert_eq!(rig.settle(id, 3, DeliveryInput::Accepted, 22).await, None);
    let log = rig.store.delivery_log(message.id).await.unwrap();
    let log: Vec<_> = log.iter().map(|one| (one.at, one.state, one.detail.as_deref())).collect();
    let later = "450 4.2.0 later x";
    assert_eq!(log, [(at(1), DeliveryState::Queued, Some(later)), (at(21), DeliveryState::Sent, None)]);
}

#[tokio::test]
async fn what_a_dead_daemon_had_claimed_is_due_again() {
    let rig = rig().await;
    rig.save(1, None, 0).await;
    let id = rig.claimed(1, 0).await[0].id;
    assert_eq!(rig.store.sweep_deliveries(at(179)).await.unwrap(), (0, 0));
    rig.store.renew_delivery_claim(claim(1), at(300)).await.unwrap();
    assert_eq!(rig.store.sweep_deliveries(at(200)).await.unwrap(), (0, 0));
    assert_eq!(rig.store.sweep_deliveries(at(300)).await.unwrap(), (1, 0));
    let delivery = &rig.all().await[0];
    assert!(delivery.maybe_sent && delivery.state == DeliveryState::Queued);
    // The daemon that comes back finds that it is too late.
    assert_eq!(rig.settle(id, 1, DeliveryInput::Accepted, 301).await, None);
    assert_eq!(rig.claimed(2, 301).await.len(), 1);
}

#[tokio::test]
async fn what_nobody_took_for_a_day_fails_and_can_be_sent_again() {
    let rig = rig().await;
    rig.save(1, None, 0).await;
    let end = i64::try_from(GIVE_UP_DELAY.as_secs()).unwrap();
    assert_eq!(rig.store.sweep_deliveries(at(end - 1)).await.unwrap(), (0, 0));
    assert_eq!(rig.store.sweep_deliveries(at(end)).await.unwrap(), (0, 1));
    let message = rig.message(1).await;
    assert_eq!((message.state, message.delivery.state), (MessageState::Failed, MessageDeliveryState::Failed));
    let id = rig.all().await[0].id;
    let queued = rig.store.send_again(id, at(end + 5)).await.unwrap();
    assert_eq!((queued.id, queued.state, queued.next_at), (id, DeliveryState::Queued, Some(at(end + 5))));
    assert_eq!(rig.message(1).await.state, MessageState::Open);
    let id = rig.claimed(1, end + 5).await[0].id;
    rig.settle(id, 1, DeliveryInput::Accepted, end + 6).await;
    // What was taken is sent again as a new delivery, twice if need be.
    for n in 1..=2 {
        let new = rig.store.send_again(id, at(end + 10 + n)).await.unwrap();
        assert!(new.id != id && i64::from(new.again) == n, "{new:?}");
    }
    assert_eq!(rig.message(1).await.state, MessageState::Sent);
    assert!(matches!(
        rig.store.send_again(claim(7), at(0)).await,
        Err(StoreError::Missing { what: "delivery" })
    ));
}

#[tokio::test]
async fn an_acknowledged_message_is_sent_no_more_and_a_changed_one_is_written_again() {
    let rig = rig().await;
    rig.save(1, None, 0).await;
    rig.save(2, None, 0).await;
    let message = rig.acknowledge(1, 1).await;
    assert_eq!(
        (message.state, message.delivery.state),
        (MessageState::Acknowledged, MessageDeliveryState::None)
    );
    let claimed = rig.claimed(1, 1).await;
    assert_eq!(claimed.len(), 1, "the second message alone");
    // While a mail is sent, its text is final.
    let text = || serde_json::json!({"text": "b"});
    let outcome = rig.rewrite(2, text(), None, 2).await;
    assert!(matches!(outcome, ChangeOutcome::NotOpen(_)), "{outcome:?}");
    rig.store.keep_rendered(claim(1), &[(claimed[0].id, b"old".to_vec())]).await.unwrap();
    rig.settle(claimed[0].id, 1, DeliveryInput::Deferred { error: "450".into(), status: None }, 3).await;
    applied(rig.rewrite(2, text(), None, 4).await);
    let again = rig.claimed(2, 60).await;
    assert_eq!(again[0].rendered, None);
    let facts = rig.store.letter_facts(again[0].id).await.unwrap().unwrap();
    assert_eq!((facts.message.fields.text.as_str(), facts.account_name.as_str()), ("b", "さくら商事"));
    assert_eq!((facts.contact_name, facts.recipient_name.as_deref()), (None, Some("佐々木")));
}

/// The mail of a message is being sent when somebody answers it, and the server says "not now".
#[tokio::test]
async fn an_answered_message_is_not_tried_again_unless_a_person_asks_for_it() {
    let rig = rig().await;
    rig.save(1, None, 0).await;
    let first = rig.claimed(1, 0).await.remove(0);
    rig.acknowledge(1, 1).await;
    let deferred = || DeliveryInput::Deferred { error: "450".into(), status: None };
    assert_eq!(rig.settle(first.id, 1, deferred(), 2).await, Some(DeliveryState::Cancelled));
    let shown = rig.message(1).await;
    assert_eq!((shown.state, shown.delivery.state), (MessageState::Acknowledged, MessageDeliveryState::None));
    let again = rig.store.send_again(first.id, at(10)).await.unwrap();
    assert_ne!(again.id, first.id);
    assert_eq!(rig.claimed(2, 10).await.len(), 1);
    assert_eq!(rig.settle(again.id, 2, deferred(), 11).await, Some(DeliveryState::Queued));
    assert_eq!(rig.message(1).await.state, MessageState::Acknowledged);
}

#[tokio::test]
async fn an_urgent_message_that_nobody_took_fails_after_two_hours() {
    let rig = rig().await;
    let end = i64::try_from(URGENT_GIVE_UP_DELAY.as_secs()).unwrap();
    rig.save_fields(1, serde_json::json!({"text": "a", "urgency": "urgent"}), 0, 0).await;
    assert_eq!(rig.store.sweep_deliveries(at(end - 1)).await.unwrap(), (0, 0));
    assert_eq!(rig.store.sweep_deliveries(at(end)).await.unwrap(), (0, 1));
    let id = rig.all().await[0].id;
    rig.store.send_again(id, at(end + 10)).await.unwrap();
    assert_eq!(rig.store.sweep_deliveries(at(2 * end + 9)).await.unwrap(), (0, 0));
    assert_eq!(rig.store.sweep_deliveries(at(2 * end + 10)).await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_message_waits_for_its_time_and_an_urgent_one_goes_first() {
    let rig = rig().await;
    let held = serde_json::json!({"text": "a", "hold_until": at(100).to_string()});
    let held = rig.save_fields(1, held, 0, 5).await;
    assert_eq!(held.delivery.next_at, Some(at(100)));
    let fresh = rig.save_fields(2, serde_json::json!({"text": "b"}), 0, 5).await;
    assert_eq!((fresh.delivery.state, fresh.delivery.next_at), (MessageDeliveryState::Queued, Some(at(5))));
    for (n, urgency) in [(3, "low"), (4, "normal"), (5, "urgent")] {
        rig.save_fields(n, serde_json::json!({"text": "c", "urgency": urgency}), 1, 6).await;
    }
    assert!(rig.claimed(1, 4).await.is_empty(), "each of them can be withdrawn");
    // A message that is put off waits, and one that is hurried does not.
    applied(rig.rewrite(1, serde_json::json!({"text": "a", "urgency": "urgent"}), None, 4).await);
    let later = serde_json::json!({"text": "b", "hold_until": at(900).to_string()});
    assert_eq!(applied(rig.rewrite(2, later, None, 4).await).delivery.next_at, Some(at(900)));
    let order: Vec<_> = rig.claimed(1, 10).await.iter().map(|d| d.message.0.as_u128()).collect();
    assert_eq!(order, [1, 5, 4, 3]);
    // It is given up a day after its time.
    for n in [1, 3, 4, 5] {
        rig.acknowledge(n, 11).await;
    }
    let end = 900 + i64::try_from(GIVE_UP_DELAY.as_secs()).unwrap();
    assert_eq!(rig.store.sweep_deliveries(at(end - 1)).await.unwrap(), (4, 0));
    assert_eq!(rig.store.sweep_deliveries(at(end)).await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_message_is_withdrawn_with_its_delivery_unless_that_is_under_way() {
    let rig = rig().await;
    for n in 1..=3 {
        rig.save(n, None, 0).await;
    }
    let withdraw =
        async |n: u128| rig.store.withdraw_message(RecordId(Uuid::from_u128(n)), at(0), at(3)).await.unwrap();
    let WithdrawOutcome::Withdrawn(gone) = withdraw(1).await else { panic!("nobody has it") };
    assert_eq!((gone.delivery.state, gone.delivery.next_at), (MessageDeliveryState::None, None));
    let cancelled = rig.all().await.into_iter().find(|delivery| delivery.message == gone.id).unwrap();
    assert_eq!(cancelled.state, DeliveryState::Cancelled);
    assert!(rig.store.send_again(cancelled.id, at(4)).await.is_err(), "nor does a person send it");
    let claimed = rig.claimed(1, 1).await;
    assert_eq!(claimed.len(), 2);
    for (delivery, end) in claimed.iter().zip([
        DeliveryInput::Unknown { error: "cut off".into() },
        DeliveryInput::Deferred { error: "450".into(), status: None },
    ]) {
        let n = delivery.message.0.as_u128();
        assert!(matches!(withdraw(n).await, WithdrawOutcome::TooLate(_)), "it is being sent");
        let may_have_it = matches!(end, DeliveryInput::Unknown { .. });
        rig.settle(delivery.id, 1, end, 2).await;
        assert_eq!(matches!(withdraw(n).await, WithdrawOutcome::TooLate(_)), may_have_it);
    }
}

#[tokio::test]
async fn a_changed_message_goes_to_whom_it_names_now() {
    let rig = rig().await;
    let kaede = rig.contact("楓", Some("kaede@sakura.example.jp"), None).await;
    rig.save(1, Some(rig.sasaki), 0).await;
    let to = |contact: RecordId| serde_json::json!({"text": "a", "contact": contact.0});
    applied(rig.rewrite(1, to(kaede), None, 1).await);
    let states = async || {
        let mut all: Vec<_> = rig.all().await.into_iter().map(|d| (d.contact, d.again, d.state)).collect();
        all.sort_by_key(|(contact, again, _)| (*contact != Some(rig.sasaki), *again));
        all
    };
    let (sasaki, kaede) = (Some(rig.sasaki), Some(kaede));
    let (queued, cancelled) = (DeliveryState::Queued, DeliveryState::Cancelled);
    assert_eq!(states().await, [(sasaki, 0, cancelled), (kaede, 0, queued)]);
    applied(rig.rewrite(1, to(rig.sasaki), None, 2).await);
    assert_eq!(states().await, [(sasaki, 0, cancelled), (sasaki, 1, queued), (kaede, 0, cancelled)]);
    let silent = rig.contact("無口", None, None).await;
    let nobody = applied(rig.rewrite(1, to(silent), None, 3).await);
    assert_eq!(shown(&nobody), (MessageDeliveryState::None, Some(UnroutedReason::NoAddress)));
    assert!(rig.claimed(1, 10).await.is_empty());
    assert_eq!(nobody.delivery.next_at, None);
}

#[tokio::test]
async fn a_correction_goes_to_all_who_may_have_what_it_corrects() {
    let rig = rig().await;
    let kaede = rig.contact("楓", Some("kaede@sakura.example.jp"), None).await;
    rig.save(1, Some(rig.sasaki), 0).await;
    let first = rig.claimed(1, 0).await.remove(0);
    // While it is being sent, nothing but a correction changes it, and the correction does not wait.
    let to_kaede = serde_json::json!({"text": "b", "contact": kaede.0});
    assert!(matches!(rig.rewrite(1, to_kaede.clone(), None, 1).await, ChangeOutcome::NotOpen(_)));
    let corrected = applied(rig.rewrite(1, to_kaede, Some("宛先の誤り"), 1).await);
    assert_eq!((corrected.revision, corrected.state), (2, MessageState::Open));
    assert_eq!(shown(&corrected), (MessageDeliveryState::Queued, None));
    // What it replaces is not sent after it.
    let deferred = DeliveryInput::Deferred { error: "450".into(), status: None };
    assert_eq!(rig.settle(first.id, 1, deferred, 2).await, Some(DeliveryState::Cancelled));
    let second = rig.claimed(2, 3).await;
    let mut addresses: Vec<_> = second.iter().map(|d| d.address.as_str()).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["kaede@sakura.example.jp", "sasaki@sakura.example.jp"]);
    assert_eq!(rig.message(1).await.state, MessageState::Open, "the first revision decides nothing any more");
    for delivery in &second {
        assert_eq!(rig.store.letter_facts(delivery.id).await.unwrap().unwrap().message.revision, 2);
        rig.settle(delivery.id, 2, DeliveryInput::Accepted, 4).await;
    }
    let sent = rig.message(1).await;
    assert_eq!((sent.state, sent.delivery.state), (MessageState::Sent, MessageDeliveryState::Sent));
    // A correction of what the account has received opens the message, and is sent whatever contact is named.
    rig.acknowledge(1, 5).await;
    let third = applied(rig.rewrite(1, serde_json::json!({"text": "c"}), Some("時刻の誤り"), 6).await);
    assert_eq!((third.revision, shown(&third)), (3, (MessageDeliveryState::Queued, None)));
    assert_eq!(rig.claimed(3, 7).await.len(), 2);
    assert_eq!(rig.message(1).await.state, MessageState::Open);
    // What is sent again is the present content.
    let again = rig.store.send_again(second[0].id, at(8)).await.unwrap();
    assert_eq!((again.revision, again.again), (3, 1));
}

#[tokio::test]
async fn the_longest_due_go_first_and_a_pause_lets_one_try() {
    let rig = rig().await;
    for n in [3, 1, 2] {
        rig.save(n, None, i64::try_from(n).unwrap()).await;
    }
    let lease = at(500);
    let two = rig.store.claim_message_deliveries(MAIL_SERVER, claim(1), (at(9), lease), 2).await.unwrap();
    assert_eq!(two.iter().map(|d| d.message.0.as_u128()).collect::<Vec<_>>(), [1, 2]);
    let load = rig.store.outbox_load(MAIL_SERVER).await.unwrap();
    assert_eq!((load.waiting, load.oldest), (3, Some(at(1))));
    assert_eq!(load.oldest_of, [(Urgency::Normal, at(1))]);
    for (server, count) in [(MAIL_SERVER, 3), ("slack", 0)] {
        let filter = DeliveryFilter { server: Some(server), ..DeliveryFilter::default() };
        assert_eq!(rig.store.message_deliveries(filter).await.unwrap().len(), count, "{server}");
        let queued = DeliveryFilter { state: Some(DeliveryState::Queued), ..filter };
        assert_eq!(rig.store.message_deliveries(queued).await.unwrap().len(), count.min(1), "{server}");
    }
    assert_eq!(rig.store.mail_server_pause(MAIL_SERVER).await.unwrap(), None);
    let pause = ServerPause::after(None, at(10), "535 5.7.8 no".into());
    rig.store.pause_mail_server(MAIL_SERVER, Some(&pause)).await.unwrap();
    assert_eq!(rig.store.mail_server_pause(MAIL_SERVER).await.unwrap(), Some(pause));
    assert!(!rig.store.take_mail_probe(MAIL_SERVER, at(14), at(90)).await.unwrap(), "the pause holds");
    assert!(rig.store.take_mail_probe(MAIL_SERVER, at(15), at(90)).await.unwrap());
    assert!(!rig.store.take_mail_probe(MAIL_SERVER, at(15), at(90)).await.unwrap(), "somebody tries");
    // A daemon that starts does not end the pause.
    rig.store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    assert!(rig.store.mail_server_pause(MAIL_SERVER).await.unwrap().is_some());
    rig.store.pause_mail_server(MAIL_SERVER, None).await.unwrap();
    assert_eq!(rig.store.mail_server_pause(MAIL_SERVER).await.unwrap(), None);
}

#[tokio::test]
async fn mails_of_an_account_wait_for_its_own_server_as_long_as_there_is_one() {
    let rig = rig().await;
    let store = &rig.store;
    let account = AccountFields {
        code: "A".into(),
        name: "さくら商事".into(),
        mail_host: Some("clinic".into()),
        ..AccountFields::default()
    };
    let account = account.checked(&NumberPlan::default()).unwrap();
    assert_eq!(
        store.update_account(rig.account, &account, at(0), None).await.unwrap().fields,
        account.fields
    );
    assert_eq!(
        store.account(rig.account).await.unwrap().unwrap().fields.mail_host.as_deref(),
        Some("clinic")
    );
    let servers_of = async || rig.all().await.into_iter().map(|one| one.server).collect::<Vec<_>>();
    // Not in the configuration: the main server.
    rig.save(1, Some(rig.sasaki), 1).await;
    store.keep_mail_servers(&[MAIL_SERVER, "clinic", "backup"]).await.unwrap();
    assert_eq!(store.mail_servers().await.unwrap(), [MAIL_SERVER, "clinic", "backup"]);
    rig.save(2, Some(rig.sasaki), 2).await;
    rig.save(3, Some(rig.sasaki), 3).await;
    assert_eq!(servers_of().await, ["clinic", "clinic", MAIL_SERVER]);
    let of_main = rig.claimed(1, 9).await;
    assert_eq!(of_main.iter().map(|one| one.message.0.as_u128()).collect::<Vec<_>>(), [1]);
    let until = at(9).checked_add(LEASE_TTL).unwrap();
    let one = store.claim_message_deliveries("clinic", claim(2), (at(9), until), 1).await.unwrap();
    assert_eq!(one[0].message.0.as_u128(), 2);
    store.keep_rendered(claim(2), &[(one[0].id, b"of the clinic".to_vec())]).await.unwrap();
    // The configuration has it no longer: what waits goes over the main server, and what may have been sent keeps its bytes.
    store.keep_mail_servers(&[MAIL_SERVER]).await.unwrap();
    assert_eq!(servers_of().await, [MAIL_SERVER; 3]);
    store.sweep_deliveries(until).await.unwrap();
    let later = rig.claimed(3, 1_000).await;
    let bytes: Vec<_> =
        later.iter().map(|one| (one.message.0.as_u128(), one.rendered.as_deref(), one.maybe_sent)).collect();
    assert_eq!(bytes, [(1, None, true), (2, Some(&b"of the clinic"[..]), true), (3, None, false)]);
    // What is sent again goes over the server that the account has now.
    rig.settle(later[2].id, 3, DeliveryInput::Accepted, 1_001).await;
    store.keep_mail_servers(&[MAIL_SERVER, "clinic"]).await.unwrap();
    assert_eq!(store.send_again(later[2].id, at(1_002)).await.unwrap().server, "clinic");
    store.keep_mail_servers(&[]).await.unwrap();
    assert_eq!(servers_of().await, [MAIL_SERVER; 4]);
}

#[tokio::test]
async fn an_account_with_many_messages_leaves_half_to_others() {
    let rig = rig().await;
    for n in 1..=20 {
        rig.save(n, None, i64::try_from(n).unwrap()).await;
    }
    let fields = AccountFields { code: "B".into(), name: "もみじ".into(), ..AccountFields::default() };
    let checked = fields.checked(&NumberPlan::default()).unwrap();
    let other = rig.store.create_account(&checked, at(0)).await.unwrap().id;
    let rig = Rig { account: other, ..rig };
    rig.contact("楓", Some("kaede@momiji.example.jp"), Some(1)).await;
    for n in 21..=22 {
        rig.save(n, None, i64::try_from(n).unwrap()).await;
    }
    let numbers = async |by, limit| {
        let lease = (at(60), at(240));
        let claimed = rig.store.claim_message_deliveries(MAIL_SERVER, claim(by), lease, limit).await.unwrap();
        claimed.iter().map(|delivery| delivery.message.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(1, 8).await, [1, 2, 3, 4, 21, 22, 5, 6]);
    assert_eq!(numbers(2, 8).await, [7, 8, 9, 10, 11, 12, 13, 14]);
    assert_eq!(numbers(3, 1).await, [15]);
}

#[tokio::test]
async fn addresses_and_words_are_purged_and_a_deleted_message_takes_its_deliveries() {
    let rig = rig().await;
    for n in 1..=3 {
        rig.save(n, None, 0).await;
    }
    let claimed = rig.claimed(1, 0).await;
    let refused =
        DeliveryInput::Refused { error: "550 5.1.1 <sasaki@…>".into(), status: Some("5.1.1".into()) };
    rig.settle(claimed[0].id, 1, refused, 1).await;
    let later = at(3600).checked_add(Duration::from_secs(1)).unwrap();
    assert_eq!(
        rig.store.purge(PurgeTarget::Deliveries, later, 500).await.unwrap(),
        1,
        "those under way stay"
    );
    assert_eq!(rig.store.purge(PurgeTarget::Deliveries, later, 500).await.unwrap(), 0);
    assert_eq!(rig.store.purge(PurgeTarget::DeliveryLog, later, 500).await.unwrap(), 1);
    let purged = rig.all().await.into_iter().find(|d| d.id == claimed[0].id).unwrap();
    assert_eq!((purged.address.as_str(), purged.error, purged.status.as_deref()), ("", None, Some("5.1.1")));
    assert!(rig.store.send_again(purged.id, at(4000)).await.is_err(), "nobody knows to whom");
    rig.store.delete_message(purged.message).await.unwrap();
    assert_eq!(rig.all().await.len(), 2);
    assert_eq!(rig.settle(purged.id, 1, DeliveryInput::Accepted, 2).await, None);
}

#[tokio::test]
async fn what_was_not_sent_of_a_forgotten_customer_never_is() {
    let rig = rig().await;
    let fields: CustomerFields =
        serde_json::from_value(serde_json::json!({"account": rig.account.0, "name": "田中"})).unwrap();
    let customer = rig.store.create_customer(&fields.checked(&NumberPlan::default()).unwrap(), at(0)).await;
    let customer = customer.unwrap().id;
    for n in 1..=2 {
        rig.save(n, None, 0).await;
    }
    let of_tanaka = sqlx::query("UPDATE messages SET customer_id = $1").bind(customer);
    of_tanaka.execute(super::super::of(&rig.store).writer()).await.unwrap();
    let taken = rig.store.claim_message_deliveries(MAIL_SERVER, claim(1), (at(0), at(180)), 1).await.unwrap();
    rig.store.keep_rendered(claim(1), &[(taken[0].id, "田中様".into())]).await.unwrap();
    let plan = NumberPlan::default();
    rig.store.forget_customer(customer, &plan, at(0)).await.unwrap();
    while let ErasureStep::Done(_) =
        rig.store.erase_step(100, LiveCalls::Unknown, &plan, at(1)).await.unwrap()
    {}
    let mut states: Vec<_> = rig.all().await.iter().map(|delivery| delivery.state).collect();
    states.sort_by_key(|state| state.as_str());
    assert_eq!(states, [DeliveryState::Cancelled, DeliveryState::Sending]);
    rig.settle(taken[0].id, 1, DeliveryInput::Deferred { error: "450".into(), status: None }, 1).await;
    let again = rig.claimed(2, 60).await;
    assert_eq!((again.len(), again[0].rendered.as_deref()), (1, None), "written again, without the customer");
    let facts = rig.store.letter_facts(again[0].id).await.unwrap().unwrap();
    assert_eq!(
        (facts.message.fields.text.as_str(), facts.customer_name, facts.message.caller),
        ("", None, None)
    );
}

#[tokio::test]
async fn what_was_sent_about_a_customer_is_listed_before_and_after_the_deletion() {
    let rig = rig().await;
    let plan = NumberPlan::default();
    let fields = serde_json::json!({"account": rig.account.0, "name": "田中", "numbers": ["03-5550-1001"]});
    let fields: CustomerFields = serde_json::from_value(fields).unwrap();
    let customer = rig.store.create_customer(&fields.checked(&plan).unwrap(), at(0)).await.unwrap().id;
    for n in 1..=4 {
        rig.save(n, None, i64::try_from(n).unwrap()).await;
    }
    // The others are from the customer's number, which only the erasure finds.
    let of_tanaka = sqlx::query("UPDATE messages SET customer_id = $1 WHERE id = $2").bind(customer);
    let of_tanaka = of_tanaka.bind(RecordId(Uuid::from_u128(1)));
    of_tanaka.execute(super::super::of(&rig.store).writer()).await.unwrap();
    let claimed = rig.claimed(1, 10).await;
    rig.settle(claimed[0].id, 1, DeliveryInput::Accepted, 11).await;
    rig.settle(claimed[1].id, 1, DeliveryInput::Accepted, 12).await;
    let refused = DeliveryInput::Refused { error: "554 no".into(), status: None };
    rig.settle(claimed[2].id, 1, refused, 13).await;
    rig.settle(claimed[3].id, 1, DeliveryInput::Unknown { error: "cut off".into() }, 14).await;
    let listed = async || {
        let copies = rig.store.sent_copies(customer).await.unwrap();
        let of = |copy: &SentCopy| (copy.message.0.as_u128(), copy.state, copy.in_digest);
        assert!(!copies.has_more && copies.items.iter().all(|copy| copy.number.is_some()), "{copies:?}");
        assert!(copies.items.iter().all(|copy| copy.address == "sasaki@sakura.example.jp"), "{copies:?}");
        (copies.items.iter().map(of).collect::<Vec<_>>(), copies.is_complete)
    };
    let first = (1, DeliveryState::Sent, false);
    assert_eq!(listed().await, (vec![first], true));
    rig.store.forget_customer(customer, &plan, at(20)).await.unwrap();
    assert_eq!(listed().await, (vec![first], false));
    loop {
        let step = rig.store.erase_step(100, LiveCalls::Known(&[]), &plan, at(100)).await.unwrap();
        if step == ErasureStep::Finished(customer) {
            break;
        }
    }
    // One that may have arrived counts; one that was refused does not.
    let (copies, is_complete) = listed().await;
    let messages: Vec<u128> = copies.iter().map(|(message, ..)| *message).collect();
    assert_eq!((messages, is_complete), (vec![4, 2, 1], true));
    rig.store.delete_message(RecordId(Uuid::from_u128(1))).await.unwrap();
    assert_eq!(listed().await.0.len(), 2);
}

/// Several daemons claim at the same time: each delivery goes to one of them.
#[tokio::test]
async fn many_daemons_claim_each_delivery_once() {
    let rig = rig().await;
    for n in 1..=40 {
        rig.save(n, None, 0).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut rounds = 0;
    while seen.len() < 40 {
        rounds += 1;
        assert!(rounds < 100, "{} of 40", seen.len());
        let claims = (0..4).map(|n| {
            let store = rig.store.clone();
            tokio::spawn(async move {
                store.claim_message_deliveries(MAIL_SERVER, claim(n), (at(1), at(181)), 3).await.unwrap()
            })
        });
        for claimed in claims.collect::<Vec<_>>() {
            for delivery in claimed.await.unwrap() {
                assert!(seen.insert(delivery.id.0), "claimed twice");
            }
        }
    }
}

/// Between the deletion of a customer and the end of the erasure, a mail that was rendered before is not sent as it is.
#[tokio::test]
async fn what_was_rendered_before_a_customer_was_deleted_is_not_sent() {
    let rig = rig().await;
    let fields: CustomerFields =
        serde_json::from_value(serde_json::json!({"account": rig.account.0, "name": "田中"})).unwrap();
    let customer = rig.store.create_customer(&fields.checked(&NumberPlan::default()).unwrap(), at(0)).await;
    let customer = customer.unwrap().id;
    rig.save(1, None, 0).await;
    let of_tanaka = sqlx::query("UPDATE messages SET customer_id = $1").bind(customer);
    of_tanaka.execute(super::super::of(&rig.store).writer()).await.unwrap();
    let taken = rig.claimed(1, 0).await;
    rig.store.keep_rendered(claim(1), &[(taken[0].id, "田中様".into())]).await.unwrap();
    rig.settle(taken[0].id, 1, DeliveryInput::Deferred { error: "450".into(), status: None }, 1).await;
    rig.store.forget_customer(customer, &NumberPlan::default(), at(2)).await.unwrap();
    let again = rig.claimed(2, 60).await;
    assert_eq!((again.len(), again[0].rendered.as_deref()), (1, None));
    let facts = rig.store.letter_facts(again[0].id).await.unwrap().unwrap();
    assert_eq!((facts.message.fields.text.as_str(), facts.message.caller), ("", None));
}

/// 2023-11-14 22:13:20 UTC is a Wednesday morning, 07:13, in Tokyo.
#[tokio::test]
async fn an_endpoint_outside_its_hours_waits_or_gives_way() {
    let rig = rig().await;
    let zone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
    let endpoint = async |address: &str, priority: u32, outside: OutsideHours| {
        let fields = MessageEndpointFields {
            contact: Some(rig.sasaki),
            priority,
            hours: Hours::read("月-金 09:00-18:00").unwrap(),
            outside,
            ..MessageEndpointFields::to(rig.account, address)
        };
        let checked =
            fields.checked(&zone, &crate::contract::records::ChannelRules::default(), None).unwrap();
        rig.store.create_message_endpoint(&checked, at(0)).await.unwrap()
    };
    let first = endpoint("first@example.jp", 0, OutsideHours::Next).await;
    rig.save(1, Some(rig.sasaki), 0).await;
    let delivery = rig.all().await.remove(0);
    assert_eq!((delivery.address.as_str(), delivery.endpoint), ("sasaki@sakura.example.jp", None));
    let change = |outside| {
        let fields = MessageEndpointFields { outside, ..first.fields.clone() };
        fields.checked(&zone, &crate::contract::records::ChannelRules::default(), None).unwrap()
    };
    rig.store.update_message_endpoint(first.id, &change(OutsideHours::Hold), at(1)).await.unwrap();
    rig.save(2, Some(rig.sasaki), 2).await;
    let delivery = rig.all().await.into_iter().find(|one| one.endpoint == Some(first.id)).unwrap();
    assert_eq!(delivery.next_at.unwrap().to_string(), "2023-11-15T00:00:00Z");
    rig.store.update_message_endpoint(first.id, &change(OutsideHours::Send), at(3)).await.unwrap();
    rig.save(3, Some(rig.sasaki), 4).await;
    let delivery = rig.all().await.remove(0);
    assert_eq!((delivery.endpoint, delivery.next_at), (Some(first.id), Some(at(4))));
}

#[tokio::test]
async fn a_contact_prefers_kinds_of_endpoints_and_reads_a_language() {
    let rig = rig().await;
    let room = MessageEndpointFields {
        contact: Some(rig.sasaki),
        kind: EndpointKind::Chatwork,
        priority: 5,
        ..MessageEndpointFields::to(rig.account, "12345678")
    };
    let rules = crate::contract::records::ChannelRules {
        has_chatwork: true,
        ..crate::contract::records::ChannelRules::default()
    };
    let room = room.checked(&jiff::tz::TimeZone::UTC, &rules, None).unwrap();
    rig.store.create_message_endpoint(&room, at(0)).await.unwrap();
    let mut sasaki = rig.store.contact(rig.sasaki).await.unwrap().unwrap().fields;
    for (n, (order, language, expected)) in [
        (vec![], None, ("mail", Language::Ja)),
        (vec![EndpointKind::Chatwork], Some(Language::En), ("chatwork", Language::En)),
        (vec![EndpointKind::Mail, EndpointKind::Chatwork], Some(Language::Ja), ("mail", Language::Ja)),
        // One that the contact has not leaves the others as they are.
        (vec![EndpointKind::Fax], Some(Language::En), ("mail", Language::En)),
    ]
    .into_iter()
    .enumerate()
    {
        (sasaki.endpoint_order, sasaki.language) = (order, language);
        let checked = sasaki.clone().checked(&NumberPlan::default()).unwrap();
        let stored = rig.store.update_contact(rig.sasaki, &checked, at(1), None).await.unwrap();
        assert_eq!(stored.fields, sasaki);
        let saved = rig.save(n as u128 + 1, Some(rig.sasaki), 2).await;
        let delivery = rig.all().await.into_iter().find(|one| one.message == saved.id).unwrap();
        let facts = rig.store.letter_facts(delivery.id).await.unwrap().unwrap();
        assert_eq!((delivery.channel.as_str(), facts.language), expected, "{n}");
    }
    sasaki.endpoint_order = vec![EndpointKind::Mail, EndpointKind::Mail];
    assert_eq!(sasaki.checked(&NumberPlan::default()).unwrap_err().field, "endpoint_order");
}

#[tokio::test]
async fn what_waits_for_an_address_that_is_suspended_meanwhile_is_not_tried() {
    let rig = rig().await;
    rig.save(1, Some(rig.sasaki), 0).await;
    rig.save(2, Some(rig.sasaki), 0).await;
    let claimed = rig.claimed(1, 1).await;
    let refused = DeliveryInput::Refused { error: "550 5.1.1 gone".into(), status: Some("5.1.1".into()) };
    rig.settle(claimed[0].id, 1, refused, 2).await;
    let deferred = DeliveryInput::Deferred { error: "450".into(), status: None };
    rig.settle(claimed[1].id, 1, deferred, 2).await;
    let again = rig.claimed(2, 60).await.remove(0);
    assert_eq!(again.suspended.as_deref(), Some("550 5.1.1 gone"));
    // A person who sends it again knows better.
    let error = format!("{SUSPENDED_PREFIX}550 5.1.1 gone");
    rig.settle(again.id, 2, DeliveryInput::Refused { error, status: None }, 61).await;
    assert_eq!(rig.store.bounces(false).await.unwrap().len(), 1, "the server was asked once");
    rig.store.send_again(again.id, at(70)).await.unwrap();
    assert_eq!(rig.claimed(3, 71).await[0].suspended, None);
    assert_eq!(rig.store.suspended_addresses().await.unwrap(), []);
}

#[tokio::test]
async fn without_a_named_contact_a_returned_message_goes_along_the_on_call_order_and_then_to_the_account() {
    let rig = rig().await;
    rig.contact("当番", Some("first@sakura.example.jp"), Some(1)).await;
    let own = MessageEndpointFields::to(rig.account, "own@sakura.example.jp");
    let own = own
        .checked(&jiff::tz::TimeZone::UTC, &crate::contract::records::ChannelRules::default(), None)
        .unwrap();
    rig.store.create_message_endpoint(&own, at(0)).await.unwrap();
    rig.save(1, None, 0).await;
    for (n, address) in [(1, "first"), (2, "sasaki"), (3, "own")] {
        let claimed = rig.claimed(n, i64::try_from(n).unwrap()).await.remove(0);
        assert_eq!(claimed.address, format!("{address}@sakura.example.jp"));
        assert_eq!(rig.message(1).await.delivery.state, MessageDeliveryState::Queued);
        let refused = DeliveryInput::Refused { error: "554 5.6.0 no".into(), status: Some("5.6.0".into()) };
        rig.settle(claimed.id, n, refused, i64::try_from(n).unwrap()).await;
    }
    let failed = rig.message(1).await;
    assert_eq!((failed.state, failed.delivery.state), (MessageState::Failed, MessageDeliveryState::Failed));
    assert_eq!(rig.store.suspended_addresses().await.unwrap(), [], "no address is gone");
}
