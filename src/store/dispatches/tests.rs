//! Dispatches, phone tasks and their timers on both databases.

use uuid::Uuid;

use super::super::super::Store;
use super::*;
use crate::contract::answer::AnswerKind;
use crate::contract::bounce::{BounceKind, BounceOutcome};
use crate::contract::delivery::MessageDeliveryState;
use crate::contract::message::{
    ContentChange, MessageFields, MessageKind, MessageState, MessageUpdate, NewMessage,
};
use crate::contract::records::{AccountFields, ContactFields, CustomerFields, MessageEndpointFields};
use crate::contract::task::{Task, TaskResult, TaskState};
use crate::delivery::DeliveryInput;
use crate::numbers::NumberPlan;
use crate::store::answers::{AnswerOrigin, AnswerOutcome, NewAnswer, NewLink, NewReply};
use crate::store::deliveries::{DeliveryFilter, NewBounce};
use crate::store::erasure::LiveCalls;
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::messages::{ChangeOutcome, WithdrawOutcome};
use crate::store::routes::{NewRoutes, SavedRoutes};
use crate::store::tasks::{TaskChange, TaskFilter, TaskOutcome};

const HANA: RecordId = RecordId(Uuid::from_u128(1001));
const KEN: RecordId = RecordId(Uuid::from_u128(1002));

const ROUTES: &str = r#"
format = 1
[[route]]
name = "urgent"
when = { urgency = "urgent" }
[[route.step]]
to = ["named"]
wait_min = 5
[[route.step]]
to = ["on-call"]
via = ["phone"]
one_by_one = 3
wait_min = 20
[[route.step]]
to = ["supervisors"]
wait_min = 10
[[route]]
name = "usual"
[[route.step]]
to = ["named"]
until = "sent"
[[route.step]]
to = ["account"]
until = "sent"
"#;

struct Rig<H> {
    _held: H,
    store: Store,
    account: RecordId,
    contacts: Vec<RecordId>,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn id(n: u128) -> RecordId {
    RecordId(Uuid::from_u128(n))
}

async fn rig() -> Rig<impl Sized> {
    let (held, store) = super::super::empty_store().await;
    let plan = NumberPlan::default();
    let fields =
        AccountFields { code: "A".into(), name: "さくら商事".into(), ..AccountFields::default() };
    let account = store.create_account(&fields.checked(&plan).unwrap(), at(0)).await.unwrap().id;
    store.set_mail_server(MAIL_SERVER, true).await.unwrap();
    store.set_route_time_zone("Asia/Tokyo").await.unwrap();
    let mut rig = Rig { _held: held, store, account, contacts: Vec::new() };
    for (n, name) in [(1, "佐々木"), (2, "田中"), (3, "鈴木")] {
        let fields = ContactFields {
            email: Some(format!("c{n}@sakura.example.jp")),
            number: Some(format!("090-1111-000{n}")),
            on_call_order: (n > 1).then_some(n),
            ..ContactFields::named(account, name)
        };
        let checked = fields.checked(&plan).unwrap();
        rig.contacts.push(rig.store.create_contact(&checked, at(0)).await.unwrap().id);
    }
    let routes =
        NewRoutes { account: Some(account), body: ROUTES, by: None, by_name: "花", version: Some(0) };
    assert_eq!(rig.store.save_routes(routes, at(0)).await.unwrap(), SavedRoutes::Saved(1));
    rig
}

impl<H> Rig<H> {
    async fn save(&self, n: u128, fields: Value, seconds: i64) -> Message {
        let fields: MessageFields = serde_json::from_value(fields).unwrap();
        let new = NewMessage {
            id: id(n),
            account: self.account,
            call: None,
            customer: None,
            kind: MessageKind::Message,
            taken_by: Some(HANA),
            taken_by_name: "花".into(),
            caller: None,
            content: fields.checked(&NumberPlan::default()).unwrap(),
            day: "231115".into(),
            not_before: at(seconds),
        };
        self.store.create_message(&new, &pbx(), at(seconds)).await.unwrap().0
    }

    async fn urgent(&self, n: u128) -> Message {
        let contact = self.contacts[0].0;
        self.save(n, json!({"text": "至急", "urgency": "urgent", "contact": contact}), 0).await
    }

    async fn message(&self, n: u128) -> Message {
        self.store.message(id(n)).await.unwrap().unwrap()
    }

    async fn mails(&self) -> Vec<(String, DeliveryState)> {
        let mut all = self.store.message_deliveries(DeliveryFilter::default()).await.unwrap();
        all.sort_by_key(|delivery| (delivery.created_at, delivery.id.0));
        all.into_iter().map(|delivery| (delivery.address, delivery.state)).collect()
    }

    /// Sends what is due; `refused` is the address that the server refuses.
    async fn send(&self, seconds: i64, refused: Option<&str>) {
        let lease = (at(seconds), at(seconds + 100));
        let claimed = self.store.claim_message_deliveries(MAIL_SERVER, id(9), lease, 32).await.unwrap();
        for delivery in claimed {
            let input = if refused == Some(delivery.address.as_str()) {
                DeliveryInput::Refused {
                    error: "550 5.1.1 no such user".into(),
                    status: Some("5.1.1".into()),
                }
            } else {
                DeliveryInput::Accepted
            };
            self.store.settle_delivery(delivery.id, id(9), input, (at(seconds), 0)).await.unwrap().unwrap();
        }
    }

    async fn tick(&self, seconds: i64) -> usize {
        let due = self.store.due_dispatches(at(seconds)).await.unwrap().messages;
        for message in &due {
            assert!(self.store.tick_dispatch(*message, at(seconds)).await.unwrap());
            assert!(!self.store.tick_dispatch(*message, at(seconds)).await.unwrap(), "a timer fires once");
        }
        due.len()
    }

    async fn tasks(&self, state: Option<TaskState>) -> Vec<Task> {
        self.store.tasks(TaskFilter { state, ..TaskFilter::default() }).await.unwrap()
    }

    async fn change(&self, task: &Task, change: TaskChange, by: RecordId, seconds: i64) -> TaskOutcome {
        self.store.change_task(task.id, change, (by, "健"), at(seconds)).await.unwrap()
    }

    /// What the events of a kind say since the last time.
    async fn notices(&self, kind: &str) -> Vec<Value> {
        let notices = self.store.message_notices(&pbx()).await.unwrap();
        let positions: Vec<i64> = notices.iter().map(|notice| notice.position).collect();
        self.store.delete_message_notices(&positions).await.unwrap();
        notices.into_iter().filter(|notice| notice.kind == kind).map(|notice| notice.data).collect()
    }

    /// The kinds and reasons of the events since the last time.
    async fn events(&self) -> Vec<(String, Value)> {
        let notices = self.store.message_notices(&pbx()).await.unwrap();
        let positions: Vec<i64> = notices.iter().map(|notice| notice.position).collect();
        self.store.delete_message_notices(&positions).await.unwrap();
        notices
            .into_iter()
            .map(|notice| {
                let what = if notice.kind == "task.changed" { "state" } else { "why" };
                (notice.kind, notice.data[what].clone())
            })
            .collect()
    }
}

fn pbx() -> PbxId {
    PbxId::parse("lab").unwrap()
}

fn event(kind: &str, why: &str) -> (String, Value) {
    (kind.into(), json!(why))
}

fn changed(outcome: TaskOutcome) -> Task {
    match outcome {
        TaskOutcome::Changed(task) => task,
        TaskOutcome::Refused(task) => panic!("refused: {task:?}"),
    }
}

#[tokio::test]
async fn an_urgent_message_that_nobody_confirms_goes_on_by_its_timers() {
    let rig = rig().await;
    rig.urgent(1).await;
    rig.send(1, None).await;
    assert_eq!(rig.mails().await, [("c1@sakura.example.jp".to_owned(), DeliveryState::Sent)]);
    let due = rig.store.due_dispatches(at(10)).await.unwrap();
    assert_eq!((due.messages, due.next_at), (vec![], Some(at(300))));
    assert_eq!(rig.tick(299).await, 0);
    assert_eq!(rig.tick(300).await, 1);
    let tasks = rig.tasks(None).await;
    assert_eq!((tasks.len(), tasks[0].name.as_str()), (1, "田中"));
    assert_eq!(rig.events().await, [event("message.escalated", "time"), event("task.changed", "open")]);
    let route = rig.message(1).await.delivery.route.unwrap();
    assert_eq!((route.name.as_str(), route.step, route.next_at), ("urgent", 2, Some(at(480))));
    assert_eq!(rig.tick(480).await, 1, "the next person");
    let names: Vec<_> = rig.tasks(None).await.into_iter().map(|task| task.name).collect();
    assert_eq!(names, ["鈴木"]);
    assert_eq!(rig.tasks(Some(TaskState::Failed)).await.len(), 1);
    assert_eq!(rig.tick(1_500).await, 1, "the supervisors");
    assert_eq!(rig.tick(2_100).await, 1);
    let last = rig.events().await;
    assert_eq!(
        last[last.len() - 2..],
        [event("message.unanswered", "escalated"), event("message.unanswered", "unanswered")]
    );
    assert_eq!(
        rig.store.unanswered_messages().await.unwrap(),
        [(crate::contract::message::Urgency::Urgent, 1)]
    );
    let message = rig.message(1).await;
    assert_eq!(
        (message.state, message.delivery.route.unwrap().state),
        (MessageState::Sent, DispatchState::Unanswered)
    );
    assert_eq!(rig.store.due_dispatches(at(99_999)).await.unwrap(), DueDispatches::default());
}

#[tokio::test]
async fn a_refused_address_begins_the_next_step_at_once() {
    let rig = rig().await;
    rig.save(1, json!({"text": "納期", "contact": rig.contacts[0].0}), 0).await;
    rig.send(1, Some("c1@sakura.example.jp")).await;
    let message = rig.message(1).await;
    assert_eq!(message.state, MessageState::Open, "the next one may still have it");
    assert_eq!(rig.events().await, [event("message.escalated", "failed")]);
    rig.send(2, None).await;
    let expected =
        [("c1@sakura.example.jp", DeliveryState::Bounced), ("c2@sakura.example.jp", DeliveryState::Sent)];
    assert_eq!(rig.mails().await, expected.map(|(address, state)| (address.to_owned(), state)));
    let message = rig.message(1).await;
    assert_eq!(
        (message.state, message.delivery.route.unwrap().state),
        (MessageState::Sent, DispatchState::Settled)
    );
    rig.save(2, json!({"text": "納期", "contact": rig.contacts[0].0}), 10).await;
    let last = rig.mails().await.pop().unwrap();
    assert_eq!(
        last,
        ("c2@sakura.example.jp".to_owned(), DeliveryState::Queued),
        "the first one is suspended"
    );
    rig.send(11, Some("c2@sakura.example.jp")).await;
    assert_eq!(rig.message(2).await.state, MessageState::Failed);
    assert_eq!(rig.events().await.last(), Some(&event("message.unanswered", "unreached")));
}

#[tokio::test]
async fn a_mail_that_comes_back_goes_to_the_persons_next_endpoint_before_the_next_step() {
    let rig = rig().await;
    let endpoint = MessageEndpointFields {
        contact: Some(rig.contacts[0]),
        ..MessageEndpointFields::to(rig.account, "second@sakura.example.jp")
    };
    let endpoint = endpoint
        .checked(&jiff::tz::TimeZone::UTC, &crate::contract::records::ChannelRules::default(), None)
        .unwrap();
    let endpoint = rig.store.create_message_endpoint(&endpoint, at(0)).await.unwrap().id;
    rig.save(1, json!({"text": "納期", "contact": rig.contacts[0].0}), 0).await;
    rig.send(1, None).await;
    assert_eq!(rig.message(1).await.delivery.route.unwrap().state, DispatchState::Settled);
    let mut came_back = 0;
    for (seconds, next) in [(60, "second@sakura.example.jp"), (120, "c2@sakura.example.jp")] {
        let all = rig.store.message_deliveries(DeliveryFilter::default()).await.unwrap();
        let sent = all.into_iter().find(|delivery| delivery.state == DeliveryState::Sent).unwrap();
        came_back += 1;
        let bounce = NewBounce {
            delivery: Some(sent.id),
            kind: BounceKind::Failed,
            status: Some("5.1.1".into()),
            recipient: None,
            text: "user unknown".into(),
            source: "http",
            fingerprint: [came_back; 32],
        };
        assert_eq!(rig.store.apply_bounce(&bounce, at(seconds)).await.unwrap(), BounceOutcome::Applied);
        let all = rig.store.message_deliveries(DeliveryFilter::default()).await.unwrap();
        let queued = all.into_iter().find(|delivery| delivery.state == DeliveryState::Queued).unwrap();
        let is_endpoint = next.starts_with("second");
        assert_eq!((queued.address.as_str(), queued.endpoint), (next, is_endpoint.then_some(endpoint)));
        let route = rig.message(1).await.delivery.route.unwrap();
        assert_eq!((route.state, route.step), (DispatchState::Running, if is_endpoint { 1 } else { 2 }));
        rig.send(seconds + 1, None).await;
    }
    assert_eq!(rig.message(1).await.state, MessageState::Sent);
    let log = rig.store.delivery_log(id(1)).await.unwrap();
    let states: Vec<_> = log.iter().map(|logged| logged.state).collect();
    let (sent, bounced) = (DeliveryState::Sent, DeliveryState::Bounced);
    assert_eq!(states, [sent, bounced, sent, bounced, sent]);
    assert!(log[1].detail.as_deref().is_some_and(|detail| detail.contains("user unknown")), "{log:?}");
    let escalations = rig.events().await;
    assert_eq!(escalations, [event("message.escalated", "failed")], "the first one was the same step");
}

#[tokio::test]
async fn a_customer_who_is_erased_ends_the_route_and_leaves_no_note() {
    let rig = rig().await;
    let plan = NumberPlan::default();
    let customer = json!({"account": rig.account, "name": "山本"});
    let customer: CustomerFields = serde_json::from_value(customer).unwrap();
    let customer = rig.store.create_customer(&customer.checked(&plan).unwrap(), at(0)).await.unwrap().id;
    rig.urgent(1).await;
    rig.urgent(2).await;
    sqlx::query("UPDATE messages SET customer_id = $1")
        .bind(customer)
        .execute(super::super::of(&rig.store).writer())
        .await
        .unwrap();
    rig.send(1, None).await;
    rig.tick(300).await;
    let task = rig.tasks(None).await.into_iter().find(|task| task.message == id(1)).unwrap();
    let busy = TaskChange::Result(TaskResult::Busy, Some("山本様の件".into()));
    changed(rig.change(&task, busy, HANA, 310).await);
    let all = rig.store.message_deliveries(DeliveryFilter::default()).await.unwrap();
    let delivery = all.iter().find(|delivery| delivery.message == id(2)).unwrap().id;
    rig.store.keep_links(&[NewLink { hash: [7; 32], delivery, expires_at: at(9_999) }]).await.unwrap();
    let answer = NewAnswer {
        kind: AnswerKind::Seen,
        other_name: None,
        note: Some("山本様に折り返します".into()),
        revision: 1,
    };
    let taken =
        rig.store.answer_by_link(&[7; 32], (&answer, &AnswerOrigin::default()), at(320)).await.unwrap();
    assert_eq!(taken, AnswerOutcome::Taken);
    assert!(rig.store.linked_message(&[7; 32], at(321)).await.unwrap().is_some());
    let note = async || rig.store.message_answers(id(2)).await.unwrap().remove(0).note;
    assert_eq!(note().await, answer.note);
    rig.store.forget_customer(customer, &plan, at(400)).await.unwrap();
    assert_eq!(note().await, None, "at once");
    assert!(rig.store.linked_message(&[7; 32], at(401)).await.unwrap().is_none());
    let known = LiveCalls::Known(&[]);
    for second in 400..520 {
        rig.store.erase_step(50, known, &plan, at(second)).await.unwrap();
    }
    assert_eq!(rig.tasks(None).await, []);
    let ended = rig.tasks(Some(TaskState::Cancelled)).await;
    assert!(ended.len() == 2 && ended.iter().all(|task| task.note.is_none()), "{ended:?}");
    assert_eq!(note().await, None);
    assert_eq!(rig.tick(99_999).await, 0);
    assert_eq!(rig.message(1).await.delivery.route.unwrap().state, DispatchState::Cancelled);
    assert_eq!(rig.events().await, []);
}

#[tokio::test]
async fn what_a_person_told_an_operator_is_an_answer_like_any_other() {
    let rig = rig().await;
    rig.urgent(1).await;
    rig.send(1, None).await;
    let answer = async |kind, contact, other_name: Option<&str>, seconds| {
        let answer = NewAnswer { kind, other_name: other_name.map(Into::into), note: None, revision: 1 };
        rig.store.answer_by_operator((id(1), contact), &answer, HANA, at(seconds)).await
    };
    let named = Some(rig.contacts[0]);
    assert_eq!(answer(AnswerKind::NotMine, named, None, 10).await.unwrap(), AnswerOutcome::Taken);
    let kinds: Vec<_> = rig.events().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["message.answered", "message.escalated", "task.changed"]);
    assert_eq!(rig.message(1).await.delivery.route.unwrap().step, 2);
    let unknown = answer(AnswerKind::Seen, Some(id(77)), None, 20).await;
    assert!(matches!(unknown, Err(StoreError::Missing { .. })), "{unknown:?}");
    for expected in [AnswerOutcome::Taken, AnswerOutcome::Repeated] {
        assert_eq!(answer(AnswerKind::Done, None, Some("受付"), 30).await.unwrap(), expected);
    }
    let message = rig.message(1).await;
    assert_eq!((message.state, message.acknowledged_by), (MessageState::Acknowledged, Some(HANA)));
    let answers = rig.store.message_answers(id(1)).await.unwrap();
    let all: Vec<_> = answers.iter().map(|one| (one.by_name.as_str(), one.via.as_str())).collect();
    assert_eq!(all, [("佐々木", "operator"), ("受付", "operator")]);
    assert_eq!(rig.tasks(None).await, [], "nobody is called any more");
}

#[tokio::test]
async fn a_task_is_one_persons_and_its_result_acknowledges_the_message() {
    let rig = rig().await;
    rig.urgent(1).await;
    rig.send(1, None).await;
    rig.tick(300).await;
    let task = rig.tasks(None).await.remove(0);
    let claimed = changed(rig.change(&task, TaskChange::Claim, HANA, 301).await);
    assert_eq!((claimed.state, claimed.claimed_until), (TaskState::Claimed, Some(at(601))));
    assert!(matches!(rig.change(&task, TaskChange::Claim, KEN, 302).await, TaskOutcome::Refused(_)));
    let told = TaskChange::Result(TaskResult::Told, None);
    assert!(matches!(rig.change(&task, told.clone(), KEN, 302).await, TaskOutcome::Refused(_)));
    // The step ends while the operator is on the phone, and the person has it all the same.
    rig.tick(480).await;
    let done = changed(rig.change(&task, told.clone(), HANA, 490).await);
    assert_eq!((done.state, done.attempts), (TaskState::Done, 1));
    let message = rig.message(1).await;
    assert_eq!((message.state, message.acknowledged_by), (MessageState::Acknowledged, Some(HANA)));
    let shown = (message.delivery.state, message.delivery.next_at);
    assert_eq!(shown, (MessageDeliveryState::Sent, None), "the mail of the first step was taken");
    assert_eq!(message.delivery.route.unwrap().state, DispatchState::Answered);
    assert_eq!(rig.tasks(None).await, [], "the other person is not called");
    assert_eq!(rig.tasks(Some(TaskState::Cancelled)).await.len(), 1);
    assert!(matches!(rig.change(&task, told, HANA, 500).await, TaskOutcome::Refused(_)));
    assert_eq!(rig.tick(99_999).await, 0);
}

#[tokio::test]
async fn who_is_not_reached_is_called_again_and_a_claim_ends_with_its_time() {
    let rig = rig().await;
    rig.urgent(1).await;
    rig.send(1, Some("c1@sakura.example.jp")).await;
    let task = rig.tasks(None).await.remove(0);
    changed(rig.change(&task, TaskChange::Claim, HANA, 2).await);
    let busy = TaskChange::Result(TaskResult::Busy, Some("話し中".into()));
    let again = changed(rig.change(&task, busy, HANA, 10).await);
    assert_eq!((again.state, again.due_at, again.claimed_by), (TaskState::Open, at(610), None));
    changed(rig.change(&task, TaskChange::Claim, KEN, 20).await);
    assert_eq!(rig.store.sweep_tasks(at(319)).await.unwrap(), 0);
    assert_eq!(rig.store.sweep_tasks(at(320)).await.unwrap(), 1);
    assert_eq!(rig.tasks(Some(TaskState::Open)).await.len(), 1);
    changed(rig.change(&task, TaskChange::Claim, HANA, 330).await);
    let wrong = TaskChange::Result(TaskResult::WrongNumber, None);
    assert_eq!(changed(rig.change(&task, wrong, HANA, 331).await).state, TaskState::Failed);
    let names: Vec<_> = rig.tasks(None).await.into_iter().map(|task| task.name).collect();
    assert_eq!(names, ["鈴木"], "the next person is called at once");
    let missing = rig.store.change_task(id(77), TaskChange::Claim, (HANA, ""), at(0)).await;
    assert!(matches!(missing, Err(StoreError::Missing { what: "task" })), "{missing:?}");
}

#[tokio::test]
async fn an_answer_a_correction_and_a_withdrawal_end_the_route() {
    let rig = rig().await;
    rig.urgent(1).await;
    let acknowledged = MessageUpdate { content: None, acknowledged_by: Some(HANA) };
    rig.store.change_message(id(1), &acknowledged, at(2)).await.unwrap();
    let nothing_waits = async |n: u128, route: DispatchState| {
        let delivery = rig.message(n).await.delivery;
        assert_eq!((delivery.state, delivery.next_at), (MessageDeliveryState::None, None), "message {n}");
        assert_eq!((delivery.reason, delivery.route.unwrap().state), (None, route), "message {n}");
    };
    nothing_waits(1, DispatchState::Answered).await;
    rig.urgent(2).await;
    let withdrawn = rig.store.withdraw_message(id(2), at(0), at(3)).await.unwrap();
    assert!(matches!(withdrawn, WithdrawOutcome::Withdrawn(_)));
    nothing_waits(2, DispatchState::Cancelled).await;
    assert_eq!(rig.tick(99_999).await, 0);
    let all = rig.mails().await;
    assert!(all.iter().all(|(_, state)| *state == DeliveryState::Cancelled), "{all:?}");
}

#[tokio::test]
async fn two_daemons_apply_a_timer_once() {
    let rig = rig().await;
    for n in 1..=10 {
        rig.urgent(n).await;
    }
    let tick = |n: u128| rig.store.tick_dispatch(id(n), at(300));
    let mut applied = 0;
    for n in 1..=10 {
        let (a, b, c) = tokio::join!(tick(n), tick(n), tick(n));
        applied += [a, b, c].into_iter().filter(|result| *result.as_ref().unwrap()).count();
    }
    assert_eq!((applied, rig.tasks(None).await.len()), (10, 10));
}

#[tokio::test]
async fn a_route_is_saved_in_versions_and_only_over_the_one_that_was_seen() {
    let rig = rig().await;
    let save = async |version, account| {
        let routes = NewRoutes { account, body: "format = 1", by: Some(HANA), by_name: "花", version };
        rig.store.save_routes(routes, at(5)).await
    };
    let own = Some(rig.account);
    assert_eq!(save(Some(0), own).await.unwrap(), SavedRoutes::Stale(1));
    assert_eq!(save(Some(1), own).await.unwrap(), SavedRoutes::Saved(2));
    assert_eq!(save(None, None).await.unwrap(), SavedRoutes::Saved(1));
    assert!(matches!(save(None, Some(id(77))).await, Err(StoreError::Missing { .. })));
    assert_eq!(rig.store.routes(own, Some(1)).await.unwrap().unwrap().body, ROUTES);
    assert_eq!(rig.store.routes(own, None).await.unwrap().unwrap().body, "format = 1");
    let versions = rig.store.route_versions(own).await.unwrap();
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 1]);
    // An empty document of its own leaves the account with the installation's, and that one with the built-in route.
    rig.urgent(1).await;
    assert_eq!(rig.message(1).await.delivery.route, None);
    assert_eq!(rig.mails().await.len(), 1);
}

#[tokio::test]
async fn a_route_that_reaches_nobody_says_so_and_alarms() {
    let rig = rig().await;
    let nobody = "format = 1\n[[route]]\nname = \"a\"\n[[route.step]]\nto = [\"contact:x\"]";
    let routes =
        NewRoutes { account: Some(rig.account), body: nobody, by: None, by_name: "花", version: None };
    rig.store.save_routes(routes, at(0)).await.unwrap();
    let message = rig.urgent(1).await;
    assert_eq!(message.delivery.reason, Some(UnroutedReason::NoRecipient));
    assert_eq!(message.delivery.route.unwrap().state, DispatchState::Unreached);
    assert_eq!(rig.events().await, [event("message.unanswered", "unreached")]);
}

/// A message whose route only calls, or only alarms, has no delivery of its own.
#[tokio::test]
async fn a_message_without_a_mail_shows_when_its_route_goes_on_and_nothing_once_it_is_over() {
    const CALLS: &str = "format = 1\n[[route]]\nname = \"calls\"\n[[route.step]]\nto = [\"on-call\"]\nvia = [\"phone\"]\n\
        wait_min = 5\n[[route.step]]\nto = [\"taker\", \"supervisors\"]\nwait_min = 5";
    let rig = rig().await;
    let routes =
        NewRoutes { account: Some(rig.account), body: CALLS, by: None, by_name: "花", version: None };
    rig.store.save_routes(routes, at(0)).await.unwrap();
    let shown = async |n| {
        let message = rig.message(n).await;
        (message.state, message.delivery.state, message.delivery.next_at)
    };
    let acknowledged = MessageUpdate { content: None, acknowledged_by: Some(HANA) };
    for n in 1..=3 {
        rig.urgent(n).await;
        assert_eq!(shown(n).await, (MessageState::Open, MessageDeliveryState::Queued, Some(at(300))));
    }
    rig.store.change_message(id(1), &acknowledged, at(2)).await.unwrap();
    assert_eq!(shown(1).await, (MessageState::Acknowledged, MessageDeliveryState::None, None));
    let tasks = rig.tasks(None).await;
    let task = tasks.iter().find(|task| task.message == id(2)).unwrap();
    changed(rig.change(task, TaskChange::Result(TaskResult::Told, None), HANA, 3).await);
    assert_eq!(shown(2).await, (MessageState::Acknowledged, MessageDeliveryState::None, None));
    rig.events().await;
    rig.tick(300).await;
    assert_eq!(shown(3).await, (MessageState::Open, MessageDeliveryState::Queued, Some(at(600))));
    let whom: Vec<_> =
        rig.notices("message.unanswered").await.iter().map(|data| data["to"].clone()).collect();
    assert_eq!(whom, ["taker", "supervisors"]);
    rig.tick(600).await;
    assert_eq!(shown(3).await, (MessageState::Failed, MessageDeliveryState::Failed, None));
    rig.store.change_message(id(3), &acknowledged, at(700)).await.unwrap();
    assert_eq!(shown(3).await, (MessageState::Acknowledged, MessageDeliveryState::None, None));
}

#[tokio::test]
async fn a_follow_up_is_a_task_at_its_time_that_a_confirmation_does_not_end() {
    let rig = rig().await;
    let contact = rig.contacts[0].0;
    let follow_up =
        json!({"at": crate::contract::time::time(at(9_000)), "text": "見積書が届いたか", "by": "operator"});
    let fields = json!({"text": "見積", "urgency": "urgent", "contact": contact, "follow_up": follow_up});
    rig.save(1, fields, 0).await;
    let tasks = rig.tasks(None).await;
    let [task] = &tasks[..] else { panic!("{tasks:?}") };
    assert_eq!((task.text.as_deref(), task.due_at), (Some("見積書が届いたか"), at(9_000)));
    assert_eq!((task.number.as_str(), task.name.as_str()), ("090-1111-0001", "佐々木"));
    rig.send(1, None).await;
    let delivery = rig.store.message_deliveries(DeliveryFilter::default()).await.unwrap()[0].id;
    let reply = |kind, address: &str, note: &str| NewReply {
        kind,
        by_name: "別の人".into(),
        address: Some(address.into()),
        note: Some(note.into()),
    };
    let own = "C1@sakura.example.jp";
    let noted = rig.store.answer_by_reply(delivery, &reply(AnswerKind::Note, own, "後ほど"), at(20)).await;
    assert_eq!(noted.unwrap(), AnswerOutcome::Taken);
    assert_eq!(rig.message(1).await.state, MessageState::Sent);
    let seen = reply(AnswerKind::Seen, "other@sakura.example.jp", "了解");
    for expected in [AnswerOutcome::Taken, AnswerOutcome::Repeated] {
        assert_eq!(rig.store.answer_by_reply(delivery, &seen, at(30)).await.unwrap(), expected);
    }
    assert_eq!(rig.message(1).await.state, MessageState::Acknowledged);
    let answers = rig.store.message_answers(id(1)).await.unwrap();
    let said: Vec<_> =
        answers.iter().map(|answer| (answer.by_name.as_str(), answer.via.as_str(), answer.kind)).collect();
    assert_eq!(said, [("佐々木", "reply", AnswerKind::Note), ("別の人", "reply", AnswerKind::Seen)]);
    assert_eq!(rig.tasks(None).await.len(), 1, "it is still to be seen to");
    let done = changed(rig.change(&tasks[0], TaskChange::Result(TaskResult::Told, None), HANA, 9_001).await);
    assert_eq!(done.state, TaskState::Done);
    let unknown = rig.store.answer_by_reply(id(99), &seen, at(40)).await.unwrap();
    assert_eq!(unknown, AnswerOutcome::Gone);
}

#[tokio::test]
async fn a_follow_up_that_is_changed_has_another_task() {
    let rig = rig().await;
    let contact = rig.contacts[0].0;
    let follow_up =
        json!({"at": crate::contract::time::time(at(9_000)), "text": "見積書が届いたか", "by": "operator"});
    let fields = json!({"text": "見積", "urgency": "urgent", "contact": contact, "follow_up": follow_up});
    rig.save(1, fields, 0).await;
    let later =
        json!({"at": crate::contract::time::time(at(9_000)), "text": "見積書は届いたか", "by": "contact"});
    for (n, (by, open)) in [("contact", 0), ("operator", 1)].into_iter().enumerate() {
        let mut follow_up = later.clone();
        follow_up["by"] = by.into();
        let fields = json!({"text": "見積", "urgency": "urgent", "contact": contact, "follow_up": follow_up});
        let fields: MessageFields = serde_json::from_value(fields).unwrap();
        let change = ContentChange {
            content: fields.checked(&NumberPlan::default()).unwrap(),
            version: rig.message(1).await.version,
            by: Some(HANA),
            by_name: "花".into(),
            correction: None,
            not_before: at(0),
        };
        let update = MessageUpdate { content: Some(change), acknowledged_by: None };
        let changed = rig.store.change_message(id(1), &update, at(i64::try_from(n).unwrap() + 1)).await;
        assert!(matches!(changed, Ok(ChangeOutcome::Applied(_))), "{changed:?}");
        let tasks = rig.tasks(Some(TaskState::Open)).await;
        assert_eq!(tasks.len(), open, "{by}: {tasks:?}");
        assert!(tasks.iter().all(|task| task.text.as_deref() == Some("見積書は届いたか")), "{tasks:?}");
    }
}
