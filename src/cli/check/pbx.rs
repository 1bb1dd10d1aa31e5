//! The tests that need the PBX: both logins, the permissions of both users, event filters, and what `installation.rs`
//! compares.
//!
//! A manager user cannot query its own classes. The checks infer them:
//!
//! | observation | conclusion |
//! |---|---|
//! | `ListCommands` of the actions user names an action | the user may send it |
//! | a list is refused to the events user | `write = reporting` is missing |
//! | no FullyBooted arrives | `read = system` is missing, or the PBX is still starting |
//!
//! Whether the events user reads `call` and `user` is known only after a call: `check --call` (`call.rs`) tests it.
//!
//! Invariant: the checks only read. They send no action that changes the PBX, and place no call.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{ClientEvent, Events, Handle, ListResult, SessionRole, connect};
use toritsugi::ami::frame::Frame;
use toritsugi::ami::session::{ActionOutcome, AmiVersion};
use toritsugi::config::{Config, PbxConfig};

use super::{Finding, installation};

/// How long both logins and the lists may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(12);
/// How long the check watches for events that the filters should exclude.
const FILTER_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Events that the daemon does not use and that a busy PBX sends in large numbers.
const FILTERED_EVENTS: [&str; 5] = ["VarSet", "Newexten", "RTCPSent", "RTCPReceived", "TestEvent"];
/// Actions that the actions user must be allowed to send, and the class that allows each.
const REQUIRED_ACTIONS: [(&str, &str); 8] = [
    ("Originate", "originate"),
    ("Redirect", "call"),
    ("Atxfer", "call"),
    ("CancelAtxfer", "call"),
    ("BlindTransfer", "call"),
    ("Hangup", "call"),
    ("Setvar", "call"),
    ("QueuePause", "agent"),
];

/// What both sessions reported until each was up or refused.
#[derive(Debug, Default)]
struct LoginReport {
    version: Option<AmiVersion>,
    events: Option<Result<(), String>>,
    actions: Option<Result<(), String>>,
    refused_lists: Vec<String>,
    lists_ended: bool,
    reads_system: bool,
    unfiltered: Vec<String>,
}

/// Tests the PBX; returns all findings about it.
pub(super) async fn check(config: &Config, seeds: fn() -> u64) -> Vec<Finding> {
    let pbx = &config.pbx;
    let settings = match pbx.connection_settings(seeds) {
        Ok(settings) => settings,
        Err(error) => return vec![Finding::failed("secrets", error.to_string())],
    };
    let mut findings = vec![Finding::ok("secrets", format!("of {} and {}", pbx.event_user, pbx.action_user))];
    let shutdown = CancellationToken::new();
    let (handle, mut events) = connect(settings, shutdown.clone());
    let mut report = LoginReport::default();
    report.collect(&mut events, Instant::now() + LOGIN_TIMEOUT, true).await;
    report.collect(&mut events, Instant::now() + FILTER_CHECK_INTERVAL, false).await;
    findings.extend(logins(pbx, &report));
    if let Some(Ok(())) = report.events {
        findings.push(read_permissions(&report));
        findings.push(filters(&report));
    }
    if let Some(Ok(())) = report.actions {
        findings.push(action_permissions(&handle).await);
    }
    if let (Some(Ok(())), Some(Ok(()))) = (&report.events, &report.actions) {
        findings.extend(installation::check(config, &handle).await);
    }
    shutdown.cancel();
    // A PBX that answers nothing must not delay the report.
    let _ = timeout_at(Instant::now() + FILTER_CHECK_INTERVAL, handle.closed()).await;
    findings
}

impl LoginReport {
    /// Records events until `deadline`, or, with `until_complete`, until both sessions are up or refused and the lists
    /// have ended.
    async fn collect(&mut self, events: &mut Events, deadline: Instant, until_complete: bool) {
        while !(until_complete && self.is_complete()) {
            match timeout_at(deadline, events.next_frames()).await {
                Ok(Some(batch)) => batch.into_iter().for_each(|event| self.on_event(event)),
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn is_complete(&self) -> bool {
        let events = match &self.events {
            Some(Ok(())) => self.lists_ended,
            other => other.is_some(),
        };
        events && self.actions.is_some()
    }

    fn on_event(&mut self, event: ClientEvent<Frame>) {
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
            ClientEvent::ResyncEnded { .. } => self.lists_ended = true,
            ClientEvent::Pbx(frame) => {
                let name = String::from_utf8_lossy(frame.event_name().unwrap_or_default()).into_owned();
                self.reads_system |= name == "FullyBooted";
                if FILTERED_EVENTS.contains(&name.as_str()) && !self.unfiltered.contains(&name) {
                    self.unfiltered.push(name);
                }
            }
            _ => {}
        }
    }

    fn fail(&mut self, session: SessionRole, reason: String) {
        match session {
            SessionRole::Events => self.events = Some(Err(reason)),
            SessionRole::Actions => self.actions = Some(Err(reason)),
        }
    }
}

fn logins(pbx: &PbxConfig, report: &LoginReport) -> [Finding; 2] {
    let address = format!("{}:{}", pbx.host, pbx.port);
    let of = |what, user: &str, result: &Option<Result<(), String>>| match result {
        Some(Ok(())) => {
            let asterisk = report.version.and_then(AmiVersion::asterisk_major);
            let asterisk = asterisk.map_or_else(String::new, |major| format!(", Asterisk {major}"));
            Finding::ok(what, format!("{user} at {address}{asterisk}"))
        }
        Some(Err(why)) => Finding::failed(what, format!("{user} at {address}: {why}")),
        None => Finding::failed(
            what,
            format!("{user} at {address}: no answer within {} s", LOGIN_TIMEOUT.as_secs()),
        ),
    };
    [
        of("login, events", &pbx.event_user, &report.events),
        of("login, actions", &pbx.action_user, &report.actions),
    ]
}

fn read_permissions(report: &LoginReport) -> Finding {
    const WHAT: &str = "may read";
    if !report.refused_lists.is_empty() {
        let lists = report.refused_lists.join("; ");
        return Finding::failed(
            WHAT,
            format!("lists are refused: add reporting to write of this user ({lists})"),
        );
    }
    if !report.lists_ended {
        return Finding::failed(WHAT, "the PBX did not send its lists in time".into());
    }
    if !report.reads_system {
        return Finding::failed(
            WHAT,
            "no FullyBooted arrived: add system to read of this user, or wait until the PBX has started"
                .into(),
        );
    }
    Finding::ok(WHAT, "lists and system events; `toritsugi check --call` tests whether calls are read".into())
}

fn filters(report: &LoginReport) -> Finding {
    if report.unfiltered.is_empty() {
        Finding::ok(
            "filters",
            format!(
                "none of the events that should be filtered arrived within {} s",
                FILTER_CHECK_INTERVAL.as_secs()
            ),
        )
    } else {
        let names = report.unfiltered.join(", ");
        Finding::note(
            "filters",
            format!("{names} arrive: copy the eventfilter lines of asterisk-conf/manager.conf"),
        )
    }
}

async fn action_permissions(handle: &Handle) -> Finding {
    const WHAT: &str = "may act";
    let ActionOutcome::Response(commands) = handle.send(Action::list_commands()).await else {
        return Finding::failed(WHAT, "the PBX did not list the actions that this user may send".into());
    };
    let missing: Vec<_> =
        REQUIRED_ACTIONS.iter().filter(|(action, _)| commands.get(action).is_none()).collect();
    if missing.is_empty() {
        return Finding::ok(WHAT, REQUIRED_ACTIONS.map(|(action, _)| action).join(", "));
    }
    let mut classes: Vec<_> = missing.iter().map(|(_, class)| *class).collect();
    classes.dedup();
    let actions: Vec<_> = missing.iter().map(|(action, _)| *action).collect();
    Finding::failed(
        WHAT,
        format!("not {}: add {} to write of this user", actions.join(", "), classes.join(",")),
    )
}
