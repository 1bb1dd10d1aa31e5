//! Actions right after `pbx.up`: a client that sees calls again can act on them at once.
//!
//! The events session and the actions session reconnect independently, each with its own growing delays. The tests
//! hold both off until these delays are long, so that an action meets whichever session is still missing.
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::desktop::Desktop;
use super::soak;
use crate::ms;
use crate::support::pbx_lab::{AsteriskVersion, CallSpec, Lab};
use crate::support::service::Service;
use crate::support::wait::TEST_TIMEOUT;

const ROUNDS: usize = 3;
/// Refused connections before the port opens again: by then the reconnect delays are longer than a second.
const REFUSED: usize = 8;
/// Rings at 1101 alone.
const FOR_1101: &str = "0355502101";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_is_carried_out_as_soon_as_the_link_is_reported_up() {
    let lab = Lab::start().await;
    let door = Door::before(&lab).await;
    let mut service = Service::start_with(&lab, &[("PBX__PORT", &door.port)]).await;
    let desktop = Desktop::follow(&service, "admin").await;
    lab.phone("1101").answers_after(ms(100)).await;
    let mut took = Vec::new();
    for round in 1..=ROUNDS * soak() {
        let call = lab.place_call(CallSpec::new(&format!("0907700{round:04}"), FOR_1101)).await;
        desktop.wait("they talk", |model| model.count("call.answered") >= round).await;
        let id = desktop.look(|model| model.open.iter().next().cloned()).unwrap();
        door.shut();
        desktop.wait("the link is down", |model| !model.up).await;
        door.refuses(REFUSED).await;
        door.open();
        desktop.wait("the link is up", |model| model.up).await;
        took.push(hangs_up(&service, &id).await);
        call.ended().await;
        desktop.wait("the call is over", |model| model.open.is_empty()).await;
    }
    println!("{} actions right after pbx.up, each carried out, after {took:?}", took.len());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_call_after_a_restart_of_the_pbx_accepts_actions() {
    let mut lab = Lab::start_own(AsteriskVersion::Current).await;
    let mut service = Service::start_with(&lab, &[]).await;
    let desktop = Desktop::follow(&service, "admin").await;
    lab.kill_pbx().await;
    desktop.wait("the link is down", |model| !model.up).await;
    lab.revive_pbx().await;
    lab.phone("1101").rings_for_ever().await;
    desktop.wait("the link is up", |model| model.up).await;
    let call = lab.place_call(CallSpec::new("09077001000", FOR_1101)).await;
    desktop.wait("the phone rings", |model| model.count("call.presented") > 0).await;
    let id = desktop.look(|model| model.open.iter().next().cloned()).unwrap();
    let took = hangs_up(&service, &id).await;
    call.ended().await;
    desktop.wait("the call is over", |model| model.open.is_empty()).await;
    println!("the first call after a restart was ended by an action, which took {took:?}");
    service.stop().await;
}

/// One request, without a retry.
async fn hangs_up(service: &Service, call: &str) -> Duration {
    let begun = Instant::now();
    let (status, answer) =
        service.ask("admin", Method::POST, &format!("/v1/calls/{call}/hangup"), None).await;
    assert!(status.is_success(), "after {:?}: {status} {answer}", begun.elapsed());
    begun.elapsed()
}

/// A relay to the PBX's manager port that can refuse connections.
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

    /// Closes both sessions and refuses new ones.
    fn shut(&self) {
        self.is_open.send_replace(false);
    }

    /// Waits until this many more connections were refused.
    async fn refuses(&self, more: usize) {
        let mut refused = self.refused.clone();
        let wanted = *refused.borrow() + more;
        let counted = tokio::time::timeout(TEST_TIMEOUT, refused.wait_for(|count| *count >= wanted));
        counted.await.expect("the daemon tries again").unwrap();
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }
}
