//! Two hundred desktops, of which one reads nothing and one reads slowly. The daemon disconnects both at a named
//! limit; both reconnect and miss nothing; the other desktops notice nothing.
//!
//! | desktops | user | see |
//! |---|---|---|
//! | 100 | 20 operators, five screens each | their own calls |
//! | 100 | supervisors of their team; one reads the snapshot and then nothing, one is slow | every call |
//!
//! Which limit ends a stream depends on the machine: `subscriber_events_max`, or the time for which a client may
//! accept no bytes (`gateway/connection.rs`). Each limit has its metric; the sum must equal the number of stream ends
//! that the desktops saw.
use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;
use toritsugi::people::role::Role;
use toritsugi::store::Store;

use super::desktop::Desktop;
use super::load::Load;
use super::seat::{Gate, Over, Seat};
use super::{soak, start};
use crate::far_end_cdr::far_end_cdr;
use crate::ms;
use crate::support::pbx_lab::Lab;
use crate::support::people::{TestUser, add_token, add_user};
use crate::support::service::Service;
use crate::support::wait::eventually;

const OPERATORS: usize = 20;
const SCREENS: usize = 5;
const SUPERVISORS: usize = 100;
const DESKTOPS: usize = OPERATORS * SCREENS + SUPERVISORS;
/// Number of published events for each event that the slow desktop reads.
const EVENTS_TO_ONE: usize = 8;
/// More than enough for any desktop to be cut off.
const EVENTS_MAX: usize = 10_000;
/// Length of notes that make a pop as large as pops can be.
const NOTES_CHARS: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_that_never_reads_among_two_hundred_loses_nothing_and_costs_nobody_anything() {
    let begun = Instant::now();
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[("BUS__SUBSCRIBER_EVENTS_MAX", "128")]).await;
    let users = Users::create(&service).await;
    let mut daemon = start(&service);
    let Desktops { operators, supervisors, never, slow } = users.connect(&service).await;
    let watcher = &supervisors[2];
    let load = Load::new(&lab, "55", 200, 1_500).await;
    let mut published = [0, 0];
    let story = async {
        watcher.wait("the first pop", |model| model.count("call.presented") > 0).await;
        for _ in 0..soak() {
            published[0] += falls_behind(&service, watcher, &supervisors[0], &never, false).await;
            published[1] += falls_behind(&service, watcher, &supervisors[1], &slow, true).await;
        }
        load.stop();
    };
    tokio::join!(load.run(ms(150), &service, watcher), story);
    load.all_ended().await;

    let figures = load.nothing_is_lost(&service, &supervisors).await;
    let everything = watcher.look(|model| model.of_calls.clone());
    for desktop in &supervisors {
        desktop.wait("it has every event of every call", |model| model.of_calls == everything).await;
        desktop.look(|model| {
            assert_eq!((model.snapshots, model.redelivered), (1, 0), "what it has missed came once")
        });
    }
    each_operator_had_own_pops(&lab, &load, &operators).await;
    let ends = |desktop: &Desktop| desktop.look(|model| model.ends());
    let (cut, ends_of_two) = (cut_off(&service).await, ends(&supervisors[0]) + ends(&supervisors[1]));
    assert_eq!(cut, ends_of_two, "cut off by the daemon's metrics, and ends that those two saw");
    let others = || supervisors[2..].iter().chain(operators.iter().map(|(_, desktop)| desktop));
    assert!(others().all(|desktop| ends(desktop) == 0), "another desktop's stream ended");
    so_many_streams(&service, DESKTOPS).await;
    println!(
        "{DESKTOPS} desktops, {} cut off ({} by its queue) after {} events for the one that never reads and {} for the \
         slow one, all resumed; {} others never noticed; {} events of {figures}; nothing lost, nothing twice, in {:?}",
        cut,
        metric(&service, "subscribers_cut_off_total").await,
        published[0],
        published[1],
        others().count(),
        everything.len(),
        begun.elapsed()
    );
    daemon.kill().await.unwrap();
}

/// The tokens of all users, one for each desktop.
struct Users {
    /// Extension and token.
    operators: Vec<(String, String)>,
    supervisors: Vec<String>,
}

/// Desktops that follow the events.
struct Desktops {
    operators: Vec<(String, Desktop)>,
    /// The first reads nothing, the second reads slowly.
    supervisors: Vec<Desktop>,
    never: Gate,
    slow: Gate,
}

impl Users {
    async fn create(service: &Service) -> Self {
        let store = Store::open_at(&service.config.store.location().unwrap()).await.unwrap();
        let now = jiff::Timestamp::now();
        let (mut operators, mut supervisors) = (Vec::new(), Vec::new());
        for n in 1..=OPERATORS {
            let extension = format!("{}", 1_100 + n);
            let name = format!("担当{n}");
            let user = TestUser::new(&name, Role::Operator, Some(&extension), Some("hall"));
            let user = add_user(&store, &user, now).await;
            for _ in 0..SCREENS {
                operators.push((extension.clone(), add_token(&store, user, None, now).await));
            }
        }
        for n in 1..=SUPERVISORS {
            let name = format!("監督{n}");
            let user = TestUser::new(&name, Role::Supervisor, None, Some("hall"));
            let user = add_user(&store, &user, now).await;
            supervisors.push(add_token(&store, user, None, now).await);
        }
        store.close().await;
        Self { operators, supervisors }
    }

    /// Every desktop follows the events, half of them over WebSocket; the calls are for a company with long notes.
    async fn connect(self, service: &Service) -> Desktops {
        let served = Desktop::follow(service, "admin").await;
        let dialled: Vec<String> = (1..=OPERATORS).map(|n| format!("03555021{n:02}")).collect();
        let notes = "取次".repeat(NOTES_CHARS / 2);
        let account = json!({ "code": "H001", "name": "株式会社長話", "notes": notes, "dialled": dialled });
        let (status, answer) = service.ask("admin", Method::POST, "/v1/accounts", Some(account)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        drop(served);
        so_many_streams(service, 0).await;
        let over = |n: usize| if n.is_multiple_of(2) { Over::Sse } else { Over::Ws };
        let seats = self.operators.into_iter().enumerate();
        let operators = seats.map(|(n, (extension, token))| (extension, Seat::new(service, &token, over(n))));
        let operators: Vec<_> =
            operators.map(|(extension, seat)| (extension, Desktop::at_seat(seat))).collect();
        let mut supervisors = Vec::new();
        let mut gates = Vec::new();
        for (n, token) in self.supervisors.iter().enumerate() {
            let seat = Seat::new(service, token, if n < 2 { Over::NarrowSse } else { over(n) });
            gates.push(seat.gate());
            if n == 0 {
                // It reads the snapshot and nothing after it.
                seat.gate().shut();
                seat.gate().lets_one_through();
            }
            supervisors.push(Desktop::at_seat(seat));
        }
        for desktop in operators.iter().map(|(_, desktop)| desktop).chain(&supervisors) {
            desktop.wait("the link is up", |model| model.up).await;
        }
        so_many_streams(service, DESKTOPS).await;
        let [never, slow] = [gates[0].clone(), gates[1].clone()];
        Desktops { operators, supervisors, never, slow }
    }
}

/// Under calls, this desktop reads nothing, or one event now and then, until the daemon disconnects it; then it reads
/// the rest and resumes. Returns how many events were published before it was disconnected.
async fn falls_behind(
    service: &Service,
    watcher: &Desktop,
    desktop: &Desktop,
    gate: &Gate,
    reads_some: bool,
) -> usize {
    let (begun, before) = (watcher.look(|model| model.events()), desktop.look(|model| model.ends()));
    loop {
        gate.shut();
        let (cut, mut events) = (cut_off(service).await, watcher.look(|model| model.events()));
        while cut_off(service).await == cut {
            assert!(events < begun + EVENTS_MAX, "it is never cut off");
            events += EVENTS_TO_ONE;
            watcher.wait("calls go on", |model| model.events() >= events).await;
            if reads_some {
                gate.lets_one_through();
            }
        }
        let ended = watcher.count("call.ended");
        watcher.wait("calls that it misses", |model| model.count("call.ended") > ended + 3).await;
        gate.open();
        let total = watcher.look(|model| model.of_calls.len());
        desktop.wait("it has what it has missed", |model| model.of_calls.len() >= total).await;
        // Otherwise the other slow desktop, which had just reconnected, was disconnected.
        if desktop.look(|model| model.ends()) > before {
            desktop.wait("it goes on where it was", |model| model.resumes > before).await;
            return events - begun;
        }
    }
}

/// Each operator's desktops received the pops of the operator's own phone, as the far end recorded them, once each, and
/// no other.
async fn each_operator_had_own_pops(lab: &Lab, load: &Load<'_>, operators: &[(String, Desktop)]) {
    let record = far_end_cdr(lab, &load.placed()).await;
    for (extension, desktop) in operators {
        desktop.wait("every call of the operator ends", |model| model.open.is_empty()).await;
        let rang = record.iter().filter(|(_, call)| call.rang.contains(extension));
        let wanted: BTreeSet<_> = rang.map(|(caller, _)| (caller.clone(), extension.clone())).collect();
        desktop.look(|model| {
            assert_eq!(model.pops(), wanted, "pops at a desktop of {extension}");
            assert_eq!(
                (model.duplicates.len(), model.snapshots, model.redelivered),
                (0, 1, 0),
                "{:?}",
                model.duplicates
            );
        });
    }
}

async fn so_many_streams(service: &Service, wanted: usize) {
    eventually("every stream is open", async || match metric(service, "event_streams").await {
        open if open == wanted => Ok(()),
        open => Err(format!("{open} of {wanted}")),
    })
    .await;
}

/// Number of clients that the daemon disconnected for reading too slowly, at either limit.
async fn cut_off(service: &Service) -> usize {
    metric(service, "subscribers_cut_off_total").await + metric(service, "clients_stalled_total").await
}

async fn metric(service: &Service, name: &str) -> usize {
    usize::try_from(service.metric(&format!("toritsugi_{name}")).await.unwrap()).unwrap()
}
