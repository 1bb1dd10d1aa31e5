//! Plans of many accounts are written while calls go on, and in the middle of it the daemon is killed, its link is cut, the PBX
//! is restarted, or somebody deletes keys: no call meets a plan that is written in part, and afterwards every plan is whole.
//!
//! `make callflow-soak` does the same with 7,500 accounts, which are 30,000 keys. `TORITSUGI_PLAN_ACCOUNTS` is how many there are,
//! `TORITSUGI_SOAK` how many times as many faults.
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Map, json};
use toritsugi::callflow::BATCH_CHANGES_MAX;
use toritsugi::contract::callflow::CallflowFields;
use toritsugi::contract::hours::Hours;
use toritsugi::contract::records::AccountFields;
use toritsugi::ids::RecordId;
use toritsugi::numbers::NumberPlan;
use toritsugi::store::Store;
use toritsugi::store::callflows::StoredCallflow;
use uuid::Uuid;

use crate::callflow::closed_now;
use crate::faults::proxy::Proxy;
use crate::faults::soak;
use crate::support::pbx_lab::{CallSpec, Event, Lab};
use crate::support::service::Service;
use crate::support::wait::eventually_within;

const ACCOUNTS: usize = 120;
/// Of so many accounts one is closed.
const ONE_IS_CLOSED_OF: usize = 5;
/// The queues of the template, in turn.
const QUEUES: [&str; 2] = ["operators", "operators-linear"];
/// Calls that are made at the same time, again and again.
const LANES: usize = 2;
/// Most keys that somebody deletes at once.
const DELETED_MAX: usize = 500;
/// How long the largest set of plans may take.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);

/// What goes wrong while plans are written.
#[derive(Clone, Copy, Debug)]
enum Fault {
    DaemonIsKilled,
    LinkIsCut,
    PbxIsRestarted,
    KeysAreDeleted,
}

/// The numbers of the accounts, with what their plans are called.
type Plans = Vec<(String, String)>;

/// Calls to one account after the other, each treated by the account's plan.
struct Probes<'a> {
    lab: &'a Lab,
    plans: &'a Plans,
    made: &'a AtomicUsize,
    /// Somebody deleted keys: the PBX's own dialplan may treat calls.
    may_be_house: AtomicBool,
    is_over: AtomicBool,
}

impl<'a> Probes<'a> {
    fn new(lab: &'a Lab, plans: &'a Plans, made: &'a AtomicUsize) -> Self {
        Self { lab, plans, made, may_be_house: AtomicBool::new(false), is_over: AtomicBool::new(false) }
    }

    /// Makes calls until [`Self::end`].
    async fn run(&self) {
        while !self.is_over.load(Ordering::SeqCst) {
            self.probe(self.made.fetch_add(1, Ordering::SeqCst)).await;
        }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Waits until so many further calls were begun.
    async fn more(&self, calls: usize) {
        let until = self.made.load(Ordering::SeqCst) + calls;
        eventually_within(WRITTEN_WITHIN, "calls were made", async || {
            let made = self.made.load(Ordering::SeqCst);
            if made >= until { Ok(()) } else { Err(format!("{made} of {until}")) }
        })
        .await;
    }

    async fn probe(&self, n: usize) {
        let (number, plan) = &self.plans[n % self.plans.len()];
        let from = format!("0901{n:07}");
        let may_be_house = self.may_be_house.load(Ordering::SeqCst);
        let events = &self.lab.pbx.events;
        let mark = events.mark();
        let call = self.lab.place_call(CallSpec::new(&from, number)).await;
        let is_mine = |event: &Event| event.has("CallerIDNum", &from);
        let is_plan = |event: &Event| event.has("UserEvent", "ToritsugiCallflow");
        let is_treated =
            |event: &Event| event.name() == "QueueCallerJoin" || event.has("UserEvent", "ToritsugiOutcome");
        let first = |event: &Event| is_mine(event) && (is_plan(event) || is_treated(event));
        let first = events.wait_after(mark, "the call to be treated", first).await;
        if is_plan(&first) {
            assert!(first.has("Plan", plan), "{number}: {first:?}");
            let treated = |event: &Event| is_mine(event) && is_treated(event);
            let treated = events.wait_after(mark, "the plan to be carried out", treated).await;
            match first.header("Treatment") {
                Some("o") => {
                    assert!(QUEUES.iter().any(|queue| treated.has("Queue", queue)), "{number}: {treated:?}");
                }
                Some("c") => assert!(treated.has("Outcome", "closed"), "{number}: {treated:?}"),
                other => panic!("{number}: {other:?}"),
            }
        } else {
            let may_be_house = may_be_house || self.may_be_house.load(Ordering::SeqCst);
            assert!(may_be_house, "{number} has no plan: {first:?}");
        }
        call.hang_up().await;
    }
}

/// Writes the template that the accounts follow; returns its id.
async fn write_template(service: &Service, queue: &str) -> RecordId {
    let body = json!({ "name": "多数", "fields": { "queue": queue, "closed_guidance": "accept" } });
    let path = "/v1/callflow-templates/many";
    let (status, answer) = service.ask("admin", Method::PUT, path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    RecordId(Uuid::parse_str(answer["template"]["id"].as_str().unwrap()).unwrap())
}

/// Accounts that follow the template, behind the daemon's back: it is not running.
async fn write_accounts(service: &Service, accounts: usize, template: RecordId) -> Plans {
    let store = Store::open_at(&service.config.store.location().unwrap()).await.unwrap();
    let (numbers, now) = (NumberPlan::default(), Timestamp::now());
    let closed: Hours = serde_json::from_value(closed_now()).unwrap();
    let mut plans = Plans::new();
    for n in 0..accounts {
        let number = format!("03{:08}", 10_000_000 + n);
        let fields = AccountFields {
            code: format!("F{n:05}"),
            name: format!("会社{n}"),
            hours: (n % ONE_IS_CLOSED_OF == 0).then(|| closed.clone()),
            dialled: vec![number.clone()],
            forwarding: vec![format!("06{:08}", 10_000_000 + n)],
            ..AccountFields::default()
        };
        let account = store.create_account(&fields.checked(&numbers).unwrap(), now).await.unwrap().id;
        let callflow = StoredCallflow {
            account,
            fields: CallflowFields::default(),
            template: Some(template),
            own: Map::new(),
            by_name: "x".to_owned(),
            changed_at: now,
        };
        assert!(store.set_callflow(&callflow, None).await.unwrap());
        plans.push((number, account.0.simple().to_string()));
    }
    store.close().await;
    plans
}

/// Whether the PBX has the whole plan of each account, with this queue.
fn are_whole(keys: &BTreeMap<String, String>, plans: &Plans, queue: &str) -> Result<(), String> {
    let value = |key: String| keys.get(&key).ok_or(key);
    for (number, plan) in plans {
        if value(format!("dialled/{number}"))? != plan {
            return Err(format!("dialled/{number}"));
        }
        let line = value(format!("plan/{plan}"))?;
        let (version, rest) = line.split_once('|').ok_or(line)?;
        let times = value(format!("times/{}", rest.split('|').next().unwrap_or_default()))?;
        for letter in times.split('/').filter_map(|change| change.split(':').next_back()) {
            if letter == "z" {
                continue;
            }
            let steps = value(format!("do/{plan}/{version}/{letter}"))?;
            if letter == "o" && !steps.contains(&format!("queue {queue} ")) {
                return Err(steps.clone());
            }
        }
    }
    Ok(())
}

/// Waits until the daemon says that the PBX has everything, and the PBX has it.
async fn all_is_written(lab: &Lab, service: &Service, plans: &Plans, queue: &str) {
    eventually_within(WRITTEN_WITHIN, "every plan is written", async || {
        let (_, sync) = service.ask("admin", Method::GET, "/v1/callflow", None).await;
        if sync["state"] != "level" {
            return Err(sync.to_string());
        }
        are_whole(&lab.plan_keys().await, plans, queue)
    })
    .await;
}

/// Waits until so many further orders were begun at the PBX.
pub(crate) async fn orders(lab: &Lab, mark: usize, orders: usize) {
    let begun = Cell::new(0);
    let is_last = |event: &Event| {
        let is_put = |name: &str| name.starts_with("Local/put@") && name.ends_with(";2");
        let is_order = event.name() == "Newchannel" && event.header("Channel").is_some_and(is_put);
        begun.set(begun.get() + usize::from(is_order));
        is_order && begun.get() >= orders
    };
    let reached = lab.pbx.events.at_any_time_after(mark, "orders that write plans", is_last);
    if tokio::time::timeout(WRITTEN_WITHIN, reached).await.is_err() {
        panic!("{} of {orders} orders were begun within {WRITTEN_WITHIN:?}", begun.get());
    }
}

/// Deletes up to [`DELETED_MAX`] keys of plans, from all of them.
async fn delete_keys(lab: &Lab) {
    let keys: Vec<String> = lab.plan_keys().await.into_keys().filter(|key| key != "night").collect();
    for key in keys.iter().step_by((keys.len() / DELETED_MAX).max(3)) {
        lab.pbx.action(&[("Action", "DBDel"), ("Family", "toritsugi"), ("Key", key)]).await;
    }
}

#[tokio::test]
async fn no_call_meets_a_plan_that_is_written_in_part_whatever_fails_meanwhile() {
    let accounts = std::env::var("TORITSUGI_PLAN_ACCOUNTS").ok().and_then(|text| text.parse().ok());
    let accounts = accounts.unwrap_or(ACCOUNTS);
    let (begun, mut lab) = (Instant::now(), Lab::start().await);
    let proxy = Proxy::start(&lab).await;
    let settings = [("PBX__PORT", proxy.port()), ("PBX__RECONNECT_SECONDS_MAX", "1")];
    let mut service = Service::start_with(&lab, &settings).await;
    let template = write_template(&service, QUEUES[0]).await;
    service.kill().await;
    let plans = write_accounts(&service, accounts, template).await;
    service.again().await;
    all_is_written(&lab, &service, &plans, QUEUES[0]).await;

    use Fault::{DaemonIsKilled, KeysAreDeleted, LinkIsCut, PbxIsRestarted};
    let faults = [DaemonIsKilled, LinkIsCut, KeysAreDeleted, PbxIsRestarted].repeat(soak());
    // Each change writes a plan for every account. The steps may still be there from the change before the last one.
    let all_orders = accounts.div_ceil(BATCH_CHANGES_MAX);
    let made = AtomicUsize::new(0);
    for (n, fault) in faults.iter().enumerate() {
        let (queue, at_order) = (QUEUES[(n + 1) % 2], 1 + all_orders * n / faults.len());
        let mark = lab.pbx.events.mark();
        if matches!(fault, PbxIsRestarted) {
            let probes = Probes::new(&lab, &plans, &made);
            let writing = async {
                write_template(&service, queue).await;
                orders(&lab, mark, at_order).await;
            };
            // The calls of this moment die with the PBX.
            tokio::select! {
                () = writing => {}
                () = async { tokio::join!(probes.run(), probes.run()); } => {}
            }
            lab.kill_pbx().await;
            lab.far.action(&[("Action", "Hangup"), ("Channel", "/^.*$/")]).await;
            lab.revive_pbx().await;
        }
        let probes = Probes::new(&lab, &plans, &made);
        let scene = async {
            if !matches!(fault, PbxIsRestarted) {
                write_template(&service, queue).await;
                orders(&lab, mark, at_order).await;
            }
            match fault {
                DaemonIsKilled => {
                    service.kill().await;
                    probes.more(2 * LANES).await;
                    service.again().await;
                }
                LinkIsCut => proxy.cut().await,
                KeysAreDeleted => {
                    probes.may_be_house.store(true, Ordering::SeqCst);
                    delete_keys(&lab).await;
                    // The daemon reads all keys when it follows the PBX again; else within ten minutes.
                    proxy.cut().await;
                }
                PbxIsRestarted => {}
            }
            all_is_written(&lab, &service, &plans, queue).await;
            probes.may_be_house.store(false, Ordering::SeqCst);
            probes.more(LANES).await;
            probes.end();
        };
        tokio::join!(scene, probes.run(), probes.run());
    }
    let calls = made.load(Ordering::SeqCst);
    println!(
        "{accounts} accounts, {} faults, {calls} calls: each by a whole plan, in {:?}",
        faults.len(),
        begun.elapsed()
    );
    service.stop().await;
}
