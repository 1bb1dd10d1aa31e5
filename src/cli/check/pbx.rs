//! The tests that need the PBX: both logins, what their users may do, filters, contexts of the dialplan.
//!
//! Asterisk tells no user which classes it has. Three things tell: `ListCommands` names only what the user may
//! send; a list that is refused lacks a class; FullyBooted comes only to readers of `system`. That `call`, `agent`
//! and `user` are read, too, shows with the first call, and is not claimed here.
//!
//! Invariant: asks only; no order is given, no call placed.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{ClientEvent, Events, Handle, ListError, ListResult, SessionRole, connect};
use toritsugi::ami::session::{ActionOutcome, AmiVersion};
use toritsugi::config::PbxConfig;

use super::Finding;

/// How long both logins and the lists may take.
const LOGIN_WAIT: Duration = Duration::from_secs(12);
/// How long to watch for events that the filters should keep away.
const NOISE_WAIT: Duration = Duration::from_secs(1);
/// Events that the daemon never uses and a busy PBX sends by the thousand.
const NOISE: [&str; 5] = ["VarSet", "Newexten", "RTCPSent", "RTCPReceived", "TestEvent"];
/// What the acting user must be able to send, and the class that allows it.
const ORDERS: [(&str, &str); 8] = [
    ("Originate", "originate"),
    ("Redirect", "call"),
    ("Atxfer", "call"),
    ("CancelAtxfer", "call"),
    ("BlindTransfer", "call"),
    ("Hangup", "call"),
    ("Setvar", "call"),
    ("QueuePause", "agent"),
];
/// Contexts of toritsugi-dialplan.conf, and what is missing without them.
const OWN_CONTEXTS: [(&str, &str); 3] = [
    ("toritsugi-identity", "calls are known by the dialled number and the caller ID alone"),
    ("toritsugi-transfer", "no transfer after answer"),
    ("toritsugi-spy", "no listening, whispering or barging in"),
];

/// What the two sessions said until both were up or refused.
#[derive(Debug, Default)]
struct Greeting {
    version: Option<AmiVersion>,
    events: Option<Result<(), String>>,
    actions: Option<Result<(), String>>,
    refused_lists: Vec<String>,
    lists_taken: bool,
    reads_system: bool,
    noise: Vec<String>,
}

/// All lines about the PBX.
pub(super) async fn findings(pbx: &PbxConfig, seeds: fn() -> u64) -> Vec<Finding> {
    let settings = match pbx.link(seeds) {
        Ok(settings) => settings,
        Err(error) => return vec![Finding::failed("secrets", error.to_string())],
    };
    let mut found = vec![Finding::ok("secrets", format!("of {} and {}", pbx.event_user, pbx.action_user))];
    let shutdown = CancellationToken::new();
    let (handle, mut events) = connect(settings, shutdown.clone());
    let mut greeting = Greeting::default();
    greeting.listen(&mut events, Instant::now() + LOGIN_WAIT, true).await;
    greeting.listen(&mut events, Instant::now() + NOISE_WAIT, false).await;
    found.extend(logins(pbx, &greeting));
    if let Some(Ok(())) = greeting.events {
        found.push(reading(&greeting));
        found.push(filters(&greeting));
        found.extend(dialplan(pbx, &handle).await);
    }
    if let Some(Ok(())) = greeting.actions {
        found.push(acting(&handle).await);
    }
    shutdown.cancel();
    // A PBX that answers nothing must not hold the report back.
    let _ = timeout_at(Instant::now() + NOISE_WAIT, handle.closed()).await;
    found
}

impl Greeting {
    /// Takes what comes until `deadline`, or until both sessions have said all they have to say.
    async fn listen(&mut self, events: &mut Events, deadline: Instant, until_settled: bool) {
        while !(until_settled && self.is_settled()) {
            match timeout_at(deadline, events.next_batch()).await {
                Ok(Some(batch)) => batch.into_iter().for_each(|event| self.take(event)),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn is_settled(&self) -> bool {
        let events = match &self.events {
            Some(Ok(())) => self.lists_taken,
            other => other.is_some(),
        };
        events && self.actions.is_some()
    }

    fn take(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Up { version, .. } => {
                self.version = Some(version);
                self.events = Some(Ok(()));
            }
            ClientEvent::ActionsUp => self.actions = Some(Ok(())),
            ClientEvent::LoginRefused { session, refusal, .. } => self.fail(session, refusal.to_string()),
            ClientEvent::Unreachable { session, reason, .. } => self.fail(session, reason.to_string()),
            ClientEvent::Down { reason, .. } => self.fail(SessionRole::Events, reason.to_string()),
            ClientEvent::ActionsDown { reason } => self.fail(SessionRole::Actions, reason.to_string()),
            ClientEvent::ListEnd(kind, ListResult::Refused(words)) => {
                self.refused_lists.push(format!("{kind:?}: {words}"));
            }
            ClientEvent::ListsTaken { .. } => self.lists_taken = true,
            ClientEvent::Frame(frame) => {
                let name = String::from_utf8_lossy(frame.event_name().unwrap_or_default()).into_owned();
                self.reads_system |= name == "FullyBooted";
                if NOISE.contains(&name.as_str()) && !self.noise.contains(&name) {
                    self.noise.push(name);
                }
            }
            _ => {}
        }
    }

    fn fail(&mut self, session: SessionRole, why: String) {
        match session {
            SessionRole::Events => self.events = Some(Err(why)),
            SessionRole::Actions => self.actions = Some(Err(why)),
        }
    }
}

fn logins(pbx: &PbxConfig, greeting: &Greeting) -> [Finding; 2] {
    let place = format!("{}:{}", pbx.host, pbx.port);
    let of = |what, user: &str, result: &Option<Result<(), String>>| match result {
        Some(Ok(())) => {
            let asterisk = greeting.version.and_then(AmiVersion::asterisk_major);
            let asterisk = asterisk.map_or_else(String::new, |major| format!(", Asterisk {major}"));
            Finding::ok(what, format!("{user} at {place}{asterisk}"))
        }
        Some(Err(why)) => Finding::failed(what, format!("{user} at {place}: {why}")),
        None => {
            Finding::failed(what, format!("{user} at {place}: no answer within {} s", LOGIN_WAIT.as_secs()))
        }
    };
    [
        of("login, events", &pbx.event_user, &greeting.events),
        of("login, actions", &pbx.action_user, &greeting.actions),
    ]
}

fn reading(greeting: &Greeting) -> Finding {
    const WHAT: &str = "may read";
    if !greeting.refused_lists.is_empty() {
        let lists = greeting.refused_lists.join("; ");
        return Finding::failed(WHAT, format!("lists are refused: write = reporting is missing ({lists})"));
    }
    if !greeting.lists_taken {
        return Finding::failed(WHAT, "the PBX did not give its lists in time".into());
    }
    if !greeting.reads_system {
        return Finding::failed(
            WHAT,
            "no FullyBooted came: read = system is missing, or the PBX is still starting".into(),
        );
    }
    Finding::ok(WHAT, "lists and system events; that call, agent and user are read shows with a call".into())
}

fn filters(greeting: &Greeting) -> Finding {
    if greeting.noise.is_empty() {
        Finding::ok(
            "filters",
            format!("none of the events to be filtered came within {} s", NOISE_WAIT.as_secs()),
        )
    } else {
        let names = greeting.noise.join(", ");
        Finding::note(
            "filters",
            format!("{names} come in: copy the eventfilter lines of asterisk-conf/manager.conf"),
        )
    }
}

async fn acting(handle: &Handle) -> Finding {
    const WHAT: &str = "may act";
    let ActionOutcome::Response(commands) = handle.send(Action::list_commands()).await else {
        return Finding::failed(WHAT, "the PBX did not say what this user may send".into());
    };
    let lacking: Vec<_> = ORDERS.iter().filter(|(order, _)| commands.get(order).is_none()).collect();
    if lacking.is_empty() {
        return Finding::ok(WHAT, ORDERS.map(|(order, _)| order).join(", "));
    }
    let mut classes: Vec<_> = lacking.iter().map(|(_, class)| *class).collect();
    classes.dedup();
    let orders: Vec<_> = lacking.iter().map(|(order, _)| *order).collect();
    Finding::failed(WHAT, format!("not {}: write = {} is missing", orders.join(", "), classes.join(",")))
}

async fn dialplan(pbx: &PbxConfig, handle: &Handle) -> Vec<Finding> {
    const WHAT: &str = "dialplan";
    let mut found = Vec::new();
    for context in &pbx.trunk_contexts {
        found.push(match has_context(handle, context).await {
            Ok(()) => Finding::ok(WHAT, format!("calls from outside enter {context}")),
            Err(why) => Finding::failed(WHAT, format!("pbx.trunk_contexts names {context}: {why}")),
        });
    }
    let mut lacking = Vec::new();
    for (context, without) in OWN_CONTEXTS {
        match has_context(handle, context).await {
            Ok(()) => {}
            Err(_) => lacking.push(format!("no {context} ({without})")),
        }
    }
    found.push(if lacking.is_empty() {
        Finding::ok(WHAT, "toritsugi-dialplan.conf is there".into())
    } else {
        Finding::note(WHAT, format!("{}: include toritsugi-dialplan.conf", lacking.join("; ")))
    });
    found
}

async fn has_context(handle: &Handle, context: &str) -> Result<(), String> {
    let action = Action::show_dialplan(context).map_err(|e| e.to_string())?;
    match handle.list(action).await {
        Ok(_) => Ok(()),
        Err(ListError::Refused(words)) => Err(format!("the PBX says: {words}")),
        Err(other) => Err(other.to_string()),
    }
}
