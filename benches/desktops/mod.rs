//! Desktops for benches: users with tokens, and a gateway that accepts them.
#![allow(dead_code, reason = "each bench uses its own part")]
#![allow(clippy::unwrap_used, reason = "a bench stops on failure")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use toritsugi::bus::Bus;
use toritsugi::command::Commands;
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::gateway::{App, Clock, Metrics, Settings};
use toritsugi::ids::{Extension, PbxId};
use toritsugi::people::presence::Presence;
use toritsugi::people::role::Role;
use toritsugi::people::roster::People;
use toritsugi::people::token::Token;
use toritsugi::store::Store;
use toritsugi::store::users::{TokenDraft, TokenKind, UserDraft};

/// The PBX of a bench.
pub(crate) fn pbx() -> PbxId {
    PbxId::parse("bench").unwrap()
}

/// Adds a user, with `team` if the user has an extension; returns a token for the user.
pub(crate) async fn add_user(
    store: &Store,
    name: String,
    role: Role,
    extension: Option<Extension>,
    team: &str,
) -> String {
    let now = Timestamp::now();
    let team = extension.is_some().then(|| team.to_owned());
    let draft = UserDraft { name, kana: String::new(), role, extension, team, password: None };
    let user = store.add_user(&draft, now).await.unwrap();
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    let token = Token::from_random(bytes);
    let kind = TokenKind::Token;
    let draft = TokenDraft { user, hash: token.hash(), kind, label: String::new(), expires_at: None };
    store.add_token(&draft, now).await.unwrap();
    token.expose()
}

/// A gateway application over `store` and `bus`.
pub(crate) async fn app(store: Store, bus: Bus, connections_max: usize) -> App {
    App {
        settings: Settings {
            allowed_origins: Vec::new(),
            secure_cookie: true,
            trusted_proxies: Vec::new(),
            session_ttl: Duration::from_secs(3600),
            connections_max,
            body_bytes_max: 65_536,
            history_file_calls_max: 1_000,
            history_whole_for: None,
            supervisors_switch: false,
            brings_sounds: false,
            report_font: None,
            drain_timeout: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(15),
            messages: toritsugi::messages::Settings::default(),
        },
        bus,
        presence: Presence::default(),
        people: People::new(store.roster().await.unwrap()),
        directory: Directory::load(store.clone(), DirectoryOptions::default()).await.unwrap(),
        store,
        commands: Commands::channel().0,
        message_relay: toritsugi::messages::MessageRelay::default(),
        transfers: toritsugi::directory::transfer_targets::Settings::default(),
        queue_faults: toritsugi::operators::SharedQueueFaults::default(),
        following: toritsugi::pbx_link::Following::default(),
        plan_status: toritsugi::callflow::SharedPlanStatus::default(),
        words: toritsugi::operators::SharedWords::default(),
        setup: Arc::default(),
        metrics: Arc::new(Metrics::default()),
        clock: Clock::new(Timestamp::now),
    }
}
