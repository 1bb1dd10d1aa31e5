//! Two hundred desktops, of which one never reads and one reads slowly: both are cut off at a named limit, come back
//! and have everything; the others feel nothing.
//!
//! | desktops | of | see |
//! |---|---|---|
//! | 100 | 20 operators, at five screens each | their own calls |
//! | 100 | supervisors of their team; one reads the state and then nothing, one is slow | every call |
//!
//! Which limit ends a stream is the machine's affair: `subscriber_events_max`, or how long a client may take nothing
//! (`gateway/connection.rs`). Each has its metric, and together they count the ends that the desktops themselves saw.
use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::json;
use toritsugi::operator::Role;
use toritsugi::store::Store;

use super::desktop::Desktop;
use super::load::Load;
use super::seat::{Gate, Over, Seat};
use super::{soak, start};
use crate::far_record::far_record;
use crate::lab::{Lab, ask_until};
use crate::ms;
use crate::service::{Service, add_person, add_token};

const OPERATORS: usize = 20;
const SCREENS: usize = 5;
const SUPERVISORS: usize = 100;
const DESKTOPS: usize = OPERATORS * SCREENS + SUPERVISORS;
/// So many of these are told while the slow desktop reads one.
const EVENTS_TO_ONE: usize = 8;
/// More than enough for any desktop to be cut off.
const EVENTS_MAX: usize = 10_000;
/// Notes that make a pop as large as lawful ones are.
const NOTES_CHARS: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_that_never_reads_among_two_hundred_loses_nothing_and_costs_nobody_anything() {
    let begun = Instant::now();
    let lab = Lab::start().await;
    let service = Service::outside(&lab, &[("BUS__SUBSCRIBER_EVENTS_MAX", "128")]).await;
    let hall = Hall::furnished(&service).await;
    let mut daemon = start(&service);
    let Sitting { operators, supervisors, never, slow } = hall.sits_down(&service).await;
    let watcher = &supervisors[2];
    let load = Load::new(&lab, "55", 200, 1_500).await;
    let mut told = [0, 0];
    let story = async {
        watcher.wait("the first pop", |knows| knows.count("call.presented") > 0).await;
        for _ in 0..soak() {
            told[0] += falls_behind(&service, watcher, &supervisors[0], &never, false).await;
            told[1] += falls_behind(&service, watcher, &supervisors[1], &slow, true).await;
        }
        load.stop();
    };
    tokio::join!(load.run(ms(150), &service, watcher), story);
    load.all_ended().await;

    let figures = load.nothing_is_lost(&service, &supervisors).await;
    let everything = watcher.look(|knows| knows.of_calls.clone());
    for desktop in &supervisors {
        desktop.wait("it has every event of every call", |knows| knows.of_calls == everything).await;
        desktop
            .look(|knows| assert_eq!((knows.snapshots, knows.again), (1, 0), "what it has missed came once"));
    }
    each_operator_had_hers(&lab, &load, &operators).await;
    let ends = |desktop: &Desktop| desktop.look(|knows| knows.ends());
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
        told[0],
        told[1],
        others().count(),
        everything.len(),
        begun.elapsed()
    );
    daemon.kill().await.unwrap();
}

/// Everybody's sign-ins, one for each desktop.
struct Hall {
    /// With the extension.
    operators: Vec<(String, String)>,
    supervisors: Vec<String>,
}

/// Desktops that follow the events.
struct Sitting {
    operators: Vec<(String, Desktop)>,
    /// The first never reads, the second is slow.
    supervisors: Vec<Desktop>,
    never: Gate,
    slow: Gate,
}

impl Hall {
    async fn furnished(service: &Service) -> Self {
        let store = Store::open_at(&service.config.store.location().unwrap()).await.unwrap();
        let (mut operators, mut supervisors) = (Vec::new(), Vec::new());
        for n in 1..=OPERATORS {
            let extension = format!("{}", 1_100 + n);
            let name = format!("担当{n}");
            let user = add_person(&store, &name, Role::Operator, Some(&extension), Some("hall")).await;
            for _ in 0..SCREENS {
                operators.push((extension.clone(), add_token(&store, user).await));
            }
        }
        for n in 1..=SUPERVISORS {
            let name = format!("監督{n}");
            let user = add_person(&store, &name, Role::Supervisor, None, Some("hall")).await;
            supervisors.push(add_token(&store, user).await);
        }
        store.close().await;
        Self { operators, supervisors }
    }

    /// Every desktop follows the events, half of them over WebSocket; calls are for a company with much to read.
    async fn sits_down(self, service: &Service) -> Sitting {
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
        let operators: Vec<_> = operators.map(|(extension, seat)| (extension, Desktop::sit(seat))).collect();
        let mut supervisors = Vec::new();
        let mut gates = Vec::new();
        for (n, token) in self.supervisors.iter().enumerate() {
            let seat = Seat::new(service, token, if n < 2 { Over::NarrowSse } else { over(n) });
            gates.push(seat.gate());
            if n == 0 {
                // The state, and from then on nothing.
                seat.gate().shut();
                seat.gate().lets_one_through();
            }
            supervisors.push(Desktop::sit(seat));
        }
        for desktop in operators.iter().map(|(_, desktop)| desktop).chain(&supervisors) {
            desktop.wait("the link is up", |knows| knows.up).await;
        }
        so_many_streams(service, DESKTOPS).await;
        let [never, slow] = [gates[0].clone(), gates[1].clone()];
        Sitting { operators, supervisors, never, slow }
    }
}

/// Calls come, and this desktop reads nothing, or now and then an event, until it is cut off; then it reads, and comes
/// back for what it has missed. Returns how many events were told until it was cut off.
async fn falls_behind(
    service: &Service,
    watcher: &Desktop,
    desktop: &Desktop,
    gate: &Gate,
    reads_some: bool,
) -> usize {
    let (begun, before) = (watcher.look(|knows| knows.events()), desktop.look(|knows| knows.ends()));
    loop {
        gate.shut();
        let (cut, mut events) = (cut_off(service).await, watcher.look(|knows| knows.events()));
        while cut_off(service).await == cut {
            assert!(events < begun + EVENTS_MAX, "it is never cut off");
            events += EVENTS_TO_ONE;
            watcher.wait("calls go on", |knows| knows.events() >= events).await;
            if reads_some {
                gate.lets_one_through();
            }
        }
        let ended = watcher.count("call.ended");
        watcher.wait("calls that it misses", |knows| knows.count("call.ended") > ended + 3).await;
        gate.open();
        let told = watcher.look(|knows| knows.of_calls.len());
        desktop.wait("it has what it has missed", |knows| knows.of_calls.len() >= told).await;
        // Otherwise it was the other one, which had just come back.
        if desktop.look(|knows| knows.ends()) > before {
            desktop.wait("it goes on where it was", |knows| knows.resumes > before).await;
            return events - begun;
        }
    }
}

/// Each operator's desktops had the pops of her own phone, as the far end recorded them, once, and no other.
async fn each_operator_had_hers(lab: &Lab, load: &Load<'_>, operators: &[(String, Desktop)]) {
    let record = far_record(lab, &load.placed()).await;
    for (extension, desktop) in operators {
        desktop.wait("she sees every call of hers end", |knows| knows.open.is_empty()).await;
        let rang = record.iter().filter(|(_, call)| call.rang.contains(extension));
        let wanted: BTreeSet<_> = rang.map(|(caller, _)| (caller.clone(), extension.clone())).collect();
        desktop.look(|knows| {
            assert_eq!(knows.pops(), wanted, "pops at a desktop of {extension}");
            assert_eq!((knows.twice.len(), knows.snapshots, knows.again), (0, 1, 0), "{:?}", knows.twice);
        });
    }
}

async fn so_many_streams(service: &Service, wanted: usize) {
    ask_until("every stream is open", async || match metric(service, "event_streams").await {
        open if open == wanted => Ok(()),
        open => Err(format!("{open} of {wanted}")),
    })
    .await;
}

/// How many clients the daemon has given up for reading too slowly, at either limit.
async fn cut_off(service: &Service) -> usize {
    metric(service, "subscribers_cut_off_total").await + metric(service, "clients_stalled_total").await
}

async fn metric(service: &Service, name: &str) -> usize {
    usize::try_from(service.metric(&format!("toritsugi_{name}")).await.unwrap()).unwrap()
}
