//! Orders right after the link is told to be up: whoever sees calls again can do something with them at once.
//!
//! Two sessions come back by themselves, each after its own pauses. Here they are kept away until these pauses are
//! long, so that an order meets whatever one of them still lacks.
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::desktop::Desktop;
use super::soak;
use crate::lab::{AsteriskVersion, CallSpec, Lab, PATIENCE};
use crate::ms;
use crate::service::Service;

const ROUNDS: usize = 3;
/// So many connections find nobody before the way is free again: by then the pauses are longer than a second.
const REFUSED: usize = 8;
/// Rings at 1101 alone.
const FOR_1101: &str = "0355502101";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_carried_out_as_soon_as_the_link_is_told_to_be_up() {
    let lab = Lab::start().await;
    let door = Door::before(&lab).await;
    let mut service = Service::start_with(&lab, &[("PBX__PORT", &door.port)]).await;
    let desktop = Desktop::follow(&service, "admin").await;
    lab.phone("1101").answers_after(ms(100)).await;
    let mut took = Vec::new();
    for round in 1..=ROUNDS * soak() {
        let call = lab.place_call(CallSpec::new(&format!("0907700{round:04}"), FOR_1101)).await;
        desktop.wait("they talk", |knows| knows.count("call.answered") >= round).await;
        let id = desktop.look(|knows| knows.open.iter().next().cloned()).unwrap();
        door.shut();
        desktop.wait("the link is down", |knows| !knows.up).await;
        door.refuses(REFUSED).await;
        door.open();
        desktop.wait("the link is up", |knows| knows.up).await;
        took.push(hangs_up(&service, &id).await);
        call.ended().await;
        desktop.wait("the call is over", |knows| knows.open.is_empty()).await;
    }
    println!("{} orders as the link was told to be up, each carried out, after {took:?}", took.len());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_call_after_a_restart_of_the_pbx_takes_orders() {
    let mut lab = Lab::start_own(AsteriskVersion::Current).await;
    let mut service = Service::start_with(&lab, &[]).await;
    let desktop = Desktop::follow(&service, "admin").await;
    lab.kill_pbx().await;
    desktop.wait("the link is down", |knows| !knows.up).await;
    lab.revive_pbx().await;
    lab.phone("1101").rings_for_ever().await;
    desktop.wait("the link is up", |knows| knows.up).await;
    let call = lab.place_call(CallSpec::new("09077001000", FOR_1101)).await;
    desktop.wait("her phone rings", |knows| knows.count("call.presented") > 0).await;
    let id = desktop.look(|knows| knows.open.iter().next().cloned()).unwrap();
    let took = hangs_up(&service, &id).await;
    call.ended().await;
    desktop.wait("the call is over", |knows| knows.open.is_empty()).await;
    println!("the first call after a restart was ended by an order, which took {took:?}");
    service.stop().await;
}

/// Asked once: no desktop tries again by itself.
async fn hangs_up(service: &Service, call: &str) -> Duration {
    let begun = Instant::now();
    let (status, answer) =
        service.ask("admin", Method::POST, &format!("/v1/calls/{call}/hangup"), None).await;
    assert!(status.is_success(), "after {:?}: {status} {answer}", begun.elapsed());
    begun.elapsed()
}

/// The way to the PBX's manager, which can be shut.
struct Door {
    port: String,
    is_open: watch::Sender<bool>,
    refused: watch::Receiver<usize>,
}

impl Door {
    async fn before(lab: &Lab) -> Self {
        let access = lab.manager_access();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let (is_open, open) = watch::channel(true);
        let (count, refused) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((mut daemon, _)) = listener.accept().await {
                let mut open = open.clone();
                if !*open.borrow() {
                    count.send_modify(|refused| *refused += 1);
                    continue;
                }
                let Ok(mut pbx) = TcpStream::connect((access.host.as_str(), access.port)).await else {
                    continue;
                };
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut daemon, &mut pbx) => {}
                        _ = open.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        Self { port, is_open, refused }
    }

    /// Both sessions are cut.
    fn shut(&self) {
        self.is_open.send_replace(false);
    }

    /// Waits until so many more connections have found nobody.
    async fn refuses(&self, more: usize) {
        let mut refused = self.refused.clone();
        let wanted = *refused.borrow() + more;
        let counted = tokio::time::timeout(PATIENCE, refused.wait_for(|count| *count >= wanted));
        counted.await.expect("the daemon tries again").unwrap();
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }
}
