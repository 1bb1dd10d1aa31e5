//! A fake PBX: speaks the manager protocol on a loopback port, sends what a test scripts, and records the actions
//! that it receives.
//!
//! Invariant: it is as strict as Asterisk where a client could be wrong (line length, header count, order of
//! greeting, login and actions) and fails the test there. Without a script it behaves well: it accepts both logins
//! and answers pings, lists and actions with success.

mod connection;
mod script;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use toritsugi::ami::client::{Login, Settings};
use toritsugi::ami::reconnect::Schedule;
use toritsugi::ami::tls::Tls;
use toritsugi::secret::Secret;

use script::Script;
pub(crate) use script::{ReceivedAction, Reply};

/// The secret of both users.
pub(crate) const SECRET: &str = "correct horse";
/// The user whose session gets events.
pub(crate) const EVENT_USER: &str = "toritsugi-events";
/// The user whose session sends actions.
pub(crate) const ACTION_USER: &str = "toritsugi-actions";

/// Number of logged-in sessions of each kind, and of all logins of events sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    pub(crate) events: usize,
    pub(crate) actions: usize,
    pub(crate) events_ever: usize,
}

/// The fake PBX.
pub(crate) struct FakePbx {
    port: u16,
    script: Arc<Script>,
    asked: mpsc::UnboundedReceiver<ReceivedAction>,
    sessions: watch::Receiver<Sessions>,
    accepting: tokio::task::JoinHandle<()>,
    tls: Option<Tls>,
}

impl FakePbx {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts one that speaks TLS with a throw-away certificate, which its [`FakePbx::settings`] trust.
    pub(crate) async fn start_tls() -> Self {
        let own = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
        let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der())
            .unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let tls = Tls::new(own.cert.pem().as_bytes(), "pbx.example").unwrap();
        Self::start_with(Some((TlsAcceptor::from(Arc::new(config)), tls))).await
    }

    async fn start_with(tls: Option<(TlsAcceptor, Tls)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked_sender, asked) = mpsc::unbounded_channel();
        let (sessions_sender, sessions) = watch::channel(Sessions::default());
        let script = Arc::new(Script::new(asked_sender, sessions_sender));
        let (acceptor, tls) = tls.unzip();
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&script)));
        Self { port, script, asked, sessions, accepting, tls }
    }

    /// The port on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Client settings for it, with short reconnect delays.
    pub(crate) fn settings(&self) -> Settings {
        let login = |username: &str| Login { username: username.to_owned(), secret: Secret::new(SECRET) };
        let mut settings =
            Settings::new("127.0.0.1", self.port, login(EVENT_USER), login(ACTION_USER), || {
                0x5eed_5eed_5eed_5eed
            });
        let millis = Duration::from_millis;
        settings.schedule = Schedule { first: millis(10), max: millis(50), refused: millis(30) };
        settings.tls = self.tls.clone();
        settings
    }

    /// Sends `text` on every events session; lines may end in a bare LF and the closing empty line may be missing.
    pub(crate) fn emit(&self, text: &str) {
        let mut frame = text.trim_end().replace("\r\n", "\n").replace('\n', "\r\n");
        frame.push_str("\r\n\r\n");
        self.script.say_to_all(frame.into_bytes());
    }

    /// Sends exactly these bytes on every events session.
    pub(crate) fn emit_bytes(&self, bytes: impl Into<Vec<u8>>) {
        self.script.say_to_all(bytes.into());
    }

    /// Closes every connection, after sending `last_bytes`, for instance half a frame.
    pub(crate) fn cut(&self, last_bytes: &str) {
        self.script.cut_all(last_bytes.as_bytes().to_vec());
    }

    /// Sets the items of the list action `name`, as (event, lines), each line ended by LF.
    pub(crate) fn set_list(&self, name: &str, items: &[(&str, &str)]) {
        let items = items.iter().map(|(event, lines)| ((*event).to_owned(), (*lines).to_owned())).collect();
        self.script.set_list(name, items);
    }

    /// Sets how the action `name` is answered from now on.
    pub(crate) fn set_reply(&self, name: &str, reply: Reply) {
        self.script.set_reply(name, reply);
    }

    /// Sets its start time: a different time means a restart.
    pub(crate) fn set_started(&self, date: &str, time: &str) {
        let lines = format!("CoreStartupDate: {date}\nCoreStartupTime: {time}\n");
        self.script.set_reply("CoreStatus", Reply::Success(lines));
    }

    /// Refuses logins with this message; accepts them again with `None`.
    pub(crate) fn refuse_logins(&self, message: Option<&str>) {
        self.script.refuse_logins(message);
    }

    /// Waits for the next action that is neither login, ping nor list.
    pub(crate) async fn next_action(&mut self) -> ReceivedAction {
        self.asked.recv().await.unwrap()
    }

    /// Waits until this number of sessions is logged in.
    pub(crate) async fn wait_for(&mut self, events: usize, actions: usize) {
        self.sessions.wait_for(|now| (now.events, now.actions) == (events, actions)).await.unwrap();
    }

    /// Waits until an events session has logged in `times` times in all.
    pub(crate) async fn wait_for_logins(&mut self, times: usize) {
        self.sessions.wait_for(|now| now.events_ever >= times && now.events > 0).await.unwrap();
    }
}

impl Drop for FakePbx {
    fn drop(&mut self) {
        self.accepting.abort();
        self.script.cut_all(Vec::new());
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, script: Arc<Script>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let script = Arc::clone(&script);
        match tls.clone() {
            None => drop(tokio::spawn(connection::serve(stream, script))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    connection::serve(stream, script).await;
                }
            })),
        }
    }
}
