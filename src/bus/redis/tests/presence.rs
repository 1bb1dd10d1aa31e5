//! Desktops at other gateways.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn desktops_at_other_gateways_count_while_their_daemon_reports_them() {
    let backends = tokio::task::spawn_blocking(Backends::start).await.unwrap();
    let prefix = backends.empty_prefix();
    let [osaka, tokyo, kobe] = ["osaka", "tokyo", "kobe"].map(|pbx| node(&backends, &prefix, pbx));
    let user = crate::ids::RecordId(uuid::Uuid::from_u128(7));
    let _at_osaka = osaka.presence.connect(user);
    let at_tokyo = (tokyo.presence.connect(user), tokyo.presence.connect(user));
    let at_kobe = kobe.presence.connect(user);
    for node in [&osaka, &tokyo, &kobe] {
        node.until("all four are counted", |node| node.presence.total(user) == 4).await;
    }
    drop(at_kobe);
    osaka.until("one has disconnected", |node| node.presence.total(user) == 3).await;
    // The daemon shuts down while they are connected; then Redis does.
    tokyo.stop().await;
    osaka.until("Tokyo's are gone", |node| node.presence.total(user) == 1).await;
    drop(at_tokyo);
    let _at_kobe = kobe.presence.connect(user);
    osaka.until("it has reconnected", |node| node.presence.total(user) == 2).await;
    backends.stop(Server::Redis);
    for node in [&osaka, &kobe] {
        node.until("each counts its own", |node| node.presence.total(user) == 1).await;
    }
    backends.revive(Server::Redis);
    for node in [&osaka, &kobe] {
        node.until("both again", |node| node.presence.total(user) == 2).await;
    }
    osaka.stop().await;
    kobe.stop().await;
}
