//! The AMI client over TLS, to a real Asterisk: its TLS reader stalls on long records and ends the session on split
//! ones, which no fake server reproduces.
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{ClientEvent, Events, Handle, Login, Settings, connect};
use toritsugi::ami::frame::Frame;
use toritsugi::ami::tls::Tls;
use toritsugi::secret::Secret;

use crate::support::pbx_lab::{CallSpec, Lab};
use crate::support::wait::TEST_TIMEOUT;
use crate::{KNOWN_CALLER, SAKURA};

#[tokio::test]
async fn the_link_works_over_tls_with_the_one_certificate_it_trusts() {
    let lab = Lab::start().await;
    let shown = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
    let port = lab.listen_with_tls(&shown.cert.pem(), &shown.signing_key.serialize_pem()).await;

    let shutdown = CancellationToken::new();
    let mut seen = Vec::new();
    let (handle, mut events) = link(&lab, port, &shown.cert.pem(), &shutdown);
    until(&mut events, &mut seen, |event| matches!(event, ClientEvent::ActionsUp)).await;
    until(&mut events, &mut seen, |event| matches!(event, ClientEvent::ResyncEnded { complete: true })).await;

    // The longest line that Asterisk reads, and many actions at once.
    let call = lab.place_call(CallSpec::new(KNOWN_CALLER, SAKURA)).await;
    let caller = call.at_pbx().await;
    let caller = caller.header("Channel").unwrap().to_owned();
    let long = "x".repeat(900);
    let mut orders = Vec::new();
    for number in 0..20 {
        let order = Action::setvar(&caller, &format!("TORITSUGI_LONG_{number}"), &long).unwrap();
        let handle = handle.clone();
        orders.push(tokio::spawn(async move { handle.send(order).await }));
    }
    for order in orders {
        let outcome = order.await.unwrap();
        assert!(outcome.is_accepted(), "{outcome:?}");
    }
    let stored = lab.pbx.channel_value(&caller, "TORITSUGI_LONG_19").await;
    assert_eq!(stored.as_deref(), Some(long.as_str()));
    let is_identity = |event: &ClientEvent<Frame>| matches!(event, ClientEvent::Pbx(frame) if frame.get("UserEvent") == Some(b"ToritsugiIdentity"));
    until(&mut events, &mut seen, is_identity).await;
    shutdown.cancel();
    handle.closed().await;
}

#[tokio::test]
async fn another_certificate_is_refused() {
    let lab = Lab::start().await;
    let shown = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
    let port = lab.listen_with_tls(&shown.cert.pem(), &shown.signing_key.serialize_pem()).await;
    let other = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();

    let shutdown = CancellationToken::new();
    let mut seen = Vec::new();
    let (handle, mut events) = link(&lab, port, &other.cert.pem(), &shutdown);
    until(&mut events, &mut seen, |event| matches!(event, ClientEvent::Unreachable { .. })).await;
    shutdown.cancel();
    handle.closed().await;
}

fn link(lab: &Lab, port: u16, trusted: &str, shutdown: &CancellationToken) -> (Handle, Events) {
    let access = lab.manager_access();
    let login = |(username, secret): (String, String)| Login { username, secret: Secret::new(secret) };
    let mut settings =
        Settings::new(&access.host, port, login(access.events), login(access.actions), rand_seed);
    settings.tls = Some(Tls::new(trusted.as_bytes(), "pbx.example").unwrap());
    connect(settings, shutdown.clone())
}

fn rand_seed() -> u64 {
    getrandom::u64().unwrap()
}

/// Reads until an event of this connection matches; earlier events count, too.
async fn until(
    events: &mut Events,
    seen: &mut Vec<ClientEvent<Frame>>,
    matches: impl Fn(&ClientEvent<Frame>) -> bool,
) {
    let found = timeout(TEST_TIMEOUT, async {
        while !seen.iter().any(&matches) {
            seen.extend(events.next_frames().await.expect("the link goes on"));
        }
    });
    assert!(found.await.is_ok(), "the link never said so: {seen:?}");
}
