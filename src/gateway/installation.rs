//! What administrators are to know about the installation, in one list: what works, and what to do where it does not.
//!
//! It is for people, who read it in the page; programs ask `/readyz` and `/metrics`. Each line has a code, by which the page
//! finds its words, values, and an English sentence with what to do.
//!
//! Invariant: a line says the same as the part that it is about says elsewhere (`/readyz`, `/v1/callflow`, `/v1/pbx/gaps`);
//! nothing is measured twice.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{NoQuery, QueryParams};
use super::health::mail_fault;
use super::page::page_is_built;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use super::watched::{Watched, certificate_end, disk_space, waiting_in};
use crate::callflow::{CLOCK_OFF_MAX_S, PLANS_LEFT_DAYS_MIN, PlanState};
use crate::people::role::{Permission, Role};
use crate::people::viewer::Viewer;
use crate::report::ReportFont;
use crate::store::PAGE_RECORDS_MAX;
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::pbx_links::GAPS_PAGE_MAX;

/// Gaps of this time are counted.
const GAPS_WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Numbers that rang in this time and belong to nobody are counted.
const UNKNOWN_NUMBERS_WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A mail that waits for longer is worth a line.
const MAIL_WAIT_MAX: SignedDuration = SignedDuration::from_mins(15);

/// A disk with less free is full soon, in per cent.
const DISK_FREE_PERCENT_LOW: u64 = 15;
/// A disk with less free is as good as full.
const DISK_FREE_PERCENT_LEAST: u64 = 3;
/// Files that wait longer in a spool are worth a line: the daemon takes them within seconds.
const SPOOL_AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// A database that takes longer for a small write makes pops and answers slow.
const STORE_LATENCY_MAX: Duration = Duration::from_millis(250);
/// The PBX takes calls as without a daemon when its last heartbeat is older, in seconds; one comes each two.
const HEARTBEAT_AGE_MAX_S: i64 = 6;
/// Sounds that a line names.
const SOUNDS_NAMED_MAX: usize = 5;
/// A certificate that ends sooner is worth a line, in days.
const CERTIFICATE_DAYS_LOW: i64 = 30;
/// Plans at the PBX that end sooner are worth a line: a daemon writes them each day for weeks ahead.
const PLANS_LEFT_MIN: SignedDuration = SignedDuration::from_hours(24 * PLANS_LEFT_DAYS_MIN);
/// Clocks further apart put events and records out of order.
const CLOCK_DIFFERENCE_MAX: SignedDuration = SignedDuration::from_secs(5);

/// How well a part works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthOutcome {
    /// It works.
    Ok,
    /// It works, but less well than it could.
    Note,
    /// It does not work.
    Failed,
}

/// A line of the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthLine {
    /// The part, as a code.
    #[schema(examples(
        "daemon",
        "page",
        "pbx",
        "heartbeat",
        "sounds",
        "store",
        "redis",
        "queues",
        "mail",
        "plans",
        "gaps",
        "numbers",
        "accounts",
        "users",
        "report_font",
        "disk",
        "spool",
        "certificate",
        "clock"
    ))]
    what: &'static str,
    /// How well it works.
    outcome: HealthOutcome,
    /// What is the case and what to do, in English.
    detail: String,
    /// What stands in the sentence, for clients that have words of their own.
    values: Value,
}

/// The list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// The version of this daemon.
    version: &'static str,
    /// The worst outcome.
    outcome: HealthOutcome,
    /// The daemon's time, for clients that compare it with their own.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    at: Timestamp,
    /// The lines.
    items: Vec<HealthLine>,
}

fn line(what: &'static str, outcome: HealthOutcome, detail: impl Into<String>, values: Value) -> HealthLine {
    HealthLine { what, outcome, detail: detail.into(), values }
}

/// Says what works, and what to do where something does not.
#[utoipa::path(get, path = "/v1/health", tag = "operations", operation_id = "show_health", responses(
    (status = 200, description = "The lines", body = Health),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Health>, Problem> {
    caller.needs(Permission::ManageSettings)?;
    let now = state.app.clock.now();
    let mut items = of_this_daemon();
    items.extend(of_the_pbx(&state, now));
    let store = state.store_probe.is_up(&state.app.store).await;
    items.push(of_the_store(store, state.store_probe.latency().await));
    items.extend(of_redis(&state));
    if store {
        items.extend(of_clock(&state).await?);
        items.push(of_mail(&state, now).await?);
        items.push(of_gaps(&state, now).await?);
        items.extend(of_records(&state, now).await?);
    }
    items.push(of_report_font(&state));
    items.extend(of_this_machine(&state, now).await?);
    let outcome = items.iter().map(|line| line.outcome).max().unwrap_or(HealthOutcome::Ok);
    Ok(Json(Health { version: env!("CARGO_PKG_VERSION"), outcome, at: now, items }))
}

fn of_this_daemon() -> Vec<HealthLine> {
    let version = env!("CARGO_PKG_VERSION");
    let daemon =
        line("daemon", HealthOutcome::Ok, format!("version {version} runs"), json!({ "version": version }));
    let page = if page_is_built() {
        line("page", HealthOutcome::Ok, "the operators' page is built in", json!({}))
    } else {
        let detail =
            "this program was built without the operators' page: run `make page`, then build it again";
        line("page", HealthOutcome::Note, detail, json!({}))
    };
    vec![daemon, page]
}

fn of_the_pbx(state: &AppState, now: Timestamp) -> Vec<HealthLine> {
    let mut items = Vec::new();
    let links = state.app.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx;
    for link in &links {
        let is_up = link.up && (link.id != *state.app.bus.own_pbx() || state.app.following.is_up());
        let values = json!({ "pbx": link.id });
        items.push(if is_up {
            line("pbx", HealthOutcome::Ok, format!("the link to {} is up", link.id), values)
        } else {
            let detail = format!(
                "the link to {} is down: is Asterisk running, and do its manager users fit? `toritsugi check` says more",
                link.id
            );
            line("pbx", HealthOutcome::Failed, detail, values)
        });
    }
    if links.is_empty() {
        let detail = "the PBX was not reached yet: `toritsugi check` says why";
        let values = json!({ "pbx": state.app.bus.own_pbx() });
        items.push(line("pbx", HealthOutcome::Failed, detail, values));
    }
    let faults = state.app.queue_faults.present();
    items.push(if faults.is_empty() {
        line("queues", HealthOutcome::Ok, "the PBX has each queue that the configuration names", json!({}))
    } else {
        let detail =
            format!("{} faults of queues: /readyz names them; correct the configuration", faults.len());
        line("queues", HealthOutcome::Failed, detail, json!({ "count": faults.len() }))
    });
    let plan = state.app.plan_status.get();
    items.extend(plan.ends_at.filter(|at| at.duration_since(now) < PLANS_LEFT_MIN).map(|at| {
        let detail = format!("a plan at the PBX ends at {at:.0}; from then on the account counts as open: `toritsugi callflow sync`");
        line("plan_ends", HealthOutcome::Failed, detail, json!({ "at": at.to_string() }))
    }));
    items.push(match plan.state {
        PlanState::Level | PlanState::Writing => {
            let detail = format!("the PBX has what was set of callflows ({} keys)", plan.wanted);
            line("plans", HealthOutcome::Ok, detail, json!({ "count": plan.wanted }))
        }
        PlanState::Offline | PlanState::Unread => {
            line("plans", HealthOutcome::Note, "the PBX's callflows were not read yet", json!({}))
        }
        PlanState::Behind => {
            let why = plan.problem.unwrap_or_default();
            let detail = format!(
                "the PBX lacks {} keys of callflows ({why}): `toritsugi callflow sync`",
                plan.missing
            );
            line(
                "plans",
                HealthOutcome::Failed,
                detail,
                json!({ "count": plan.missing, "at": now.to_string() }),
            )
        }
    });
    if let Some(ahead) = state.app.plan_status.get().clock_ahead_s {
        let is_right = ahead.abs() <= CLOCK_OFF_MAX_S;
        let outcome = if is_right { HealthOutcome::Ok } else { HealthOutcome::Failed };
        let detail = if is_right {
            "the PBX's clock is the daemon's".to_owned()
        } else {
            format!(
                "the PBX's clock is {ahead} s ahead of the daemon's: accounts open and close at wrong times"
            )
        };
        items.push(line("pbx_clock", outcome, detail, json!({ "ahead_s": ahead })));
    }
    items.extend(of_heartbeat(state, now));
    items.push(of_sounds(state));
    items
}

fn of_the_store(is_up: bool, latency: Option<Duration>) -> HealthLine {
    let ms = latency.map_or(0, |latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
    let values = json!({ "ms": ms });
    if !is_up {
        let detail = "the database cannot be written: look at its disk and at the daemon's log";
        return line("store", HealthOutcome::Failed, detail, values);
    }
    if latency.is_some_and(|latency| latency > STORE_LATENCY_MAX) {
        let detail = format!(
            "the database took {ms} ms to write: look at the load of its disk, and at what else writes there (imports, backups)"
        );
        return line("store", HealthOutcome::Note, detail, values);
    }
    line("store", HealthOutcome::Ok, format!("the database can be written, in {ms} ms"), values)
}

/// How old the heartbeat is that the PBX took last, where this daemon is the one that writes it.
fn of_heartbeat(state: &AppState, now: Timestamp) -> Option<HealthLine> {
    if !state.app.bus.is_leader() || !state.app.following.is_up() {
        return None;
    }
    let Some(at) = state.app.following.heartbeat() else {
        let detail = "the PBX took no heartbeat yet, so it treats calls as without a daemon: give the manager user of actions the right `call` (Setvar); `toritsugi check` says more";
        return Some(line("heartbeat", HealthOutcome::Note, detail, json!({ "state": "none" })));
    };
    let seconds = now.duration_since(at).as_secs().max(0);
    let values = json!({ "seconds": seconds, "state": "taken" });
    Some(if seconds > HEARTBEAT_AGE_MAX_S {
        let detail = format!(
            "the PBX took no heartbeat for {seconds} s, so it treats calls as without a daemon: look at the load of the PBX, and at the rights of the manager user of actions"
        );
        line("heartbeat", HealthOutcome::Failed, detail, values)
    } else {
        line("heartbeat", HealthOutcome::Ok, format!("the PBX took a heartbeat {seconds} s ago"), values)
    })
}

/// Which sounds of callflows the PBX lacks; nothing where no callflow plays one.
fn of_sounds(state: &AppState) -> HealthLine {
    let missing = state.app.plan_status.get().seen.sounds_missing;
    if missing.is_empty() {
        return line("sounds", HealthOutcome::Ok, "the PBX lacks no sound that callflows play", json!({}));
    }
    let names: Vec<&str> = missing.iter().map(String::as_str).take(SOUNDS_NAMED_MAX).collect();
    let more = if missing.len() > names.len() { ", …" } else { "" };
    let names = format!("{}{more}", names.join(", "));
    let detail = format!(
        "the PBX has no file of {} sounds, so callers hear the shipped ones or nothing: {names}. Copy asterisk-conf/sounds/toritsugi to the PBX, let callflow.sounds_directory be its directory of sounds, or name other sounds",
        missing.len()
    );
    line("sounds", HealthOutcome::Failed, detail, json!({ "count": missing.len(), "names": names }))
}

fn of_redis(state: &AppState) -> Option<HealthLine> {
    let cluster = state.app.bus.cluster_stats()?;
    Some(if cluster.connected {
        line("redis", HealthOutcome::Ok, "Redis answers", json!({}))
    } else {
        let detail = "Redis does not answer, so this daemon serves its own PBX alone: start Redis";
        line("redis", HealthOutcome::Failed, detail, json!({}))
    })
}

async fn of_mail(state: &AppState, now: Timestamp) -> Result<HealthLine, Problem> {
    if !state.app.store.has_mail_server(MAIL_SERVER).await? {
        let detail = "no mail server: messages are saved and not sent; set mail.host and mail.from";
        return Ok(line("mail", HealthOutcome::Note, detail, json!({ "state": "none", "count": 0 })));
    }
    if let Some(why) = mail_fault(state).await.map(|fault| fault.why().to_owned()) {
        let detail =
            format!("the mail server refuses all mails ({why}): `toritsugi check` says what to correct");
        return Ok(line("mail", HealthOutcome::Failed, detail, json!({ "state": "refused", "why": why })));
    }
    let (mut waiting, mut oldest) = (0, None);
    for server in state.app.store.mail_servers().await? {
        let load = state.app.store.outbox_load(&server).await?;
        waiting += load.waiting;
        oldest = oldest.into_iter().chain(load.oldest).min();
    }
    let values = json!({ "state": "sending", "count": waiting });
    Ok(match oldest {
        Some(oldest) if now.duration_since(oldest) > MAIL_WAIT_MAX => {
            let detail = format!("{waiting} mails wait, the oldest since {oldest}");
            line("mail", HealthOutcome::Note, detail, values)
        }
        _ => line("mail", HealthOutcome::Ok, "the mail server takes mails", values),
    })
}

async fn of_gaps(state: &AppState, now: Timestamp) -> Result<HealthLine, Problem> {
    let gaps = state.app.store.gaps(Some(now - GAPS_WINDOW), None, GAPS_PAGE_MAX).await?;
    let seconds: i64 = gaps.iter().map(|gap| gap.to.duration_since(gap.from).as_secs()).sum();
    Ok(if gaps.is_empty() {
        line("gaps", HealthOutcome::Ok, "the PBX was followed without a gap for 30 days", json!({}))
    } else {
        let detail = format!(
            "the PBX was not followed {} times in 30 days, for {seconds} s together: GET /v1/pbx/gaps has each with its cause",
            gaps.len()
        );
        line("gaps", HealthOutcome::Note, detail, json!({ "count": gaps.len(), "seconds": seconds }))
    })
}

async fn of_records(state: &AppState, now: Timestamp) -> Result<Vec<HealthLine>, Problem> {
    let accounts = state.app.directory.accounts_in_memory();
    let accounts = if accounts == 0 {
        let detail = "there are no accounts, so every call pops without a company: add one, or import a file";
        line("accounts", HealthOutcome::Note, detail, json!({ "count": 0 }))
    } else {
        line(
            "accounts",
            HealthOutcome::Ok,
            format!("there are {accounts} accounts"),
            json!({ "count": accounts }),
        )
    };
    let unknown = state.app.store.unknown_numbers(now - UNKNOWN_NUMBERS_WINDOW).await?.len();
    let numbers = if unknown == 0 {
        line(
            "numbers",
            HealthOutcome::Ok,
            "each number that rang in 30 days belongs to an account",
            json!({}),
        )
    } else {
        let detail = format!(
            "{unknown} numbers that rang in 30 days belong to no account: GET /v1/numbers/unknown has them"
        );
        line("numbers", HealthOutcome::Note, detail, json!({ "count": unknown }))
    };
    Ok(vec![accounts, numbers, of_users(state).await?])
}

async fn of_users(state: &AppState) -> Result<HealthLine, Problem> {
    let (mut after, mut can_sign_in) = (None, 0_usize);
    loop {
        let page = state.app.store.users(after, PAGE_RECORDS_MAX).await?;
        let active = page.items.iter().filter(|user| user.revoked_at.is_none() && user.has_password);
        can_sign_in += active.count();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let values = json!({ "count": can_sign_in });
    Ok(if can_sign_in == 0 {
        let detail = "no user has a password, so nobody can sign in at the page";
        line("users", HealthOutcome::Note, detail, values)
    } else {
        line("users", HealthOutcome::Ok, format!("{can_sign_in} users can sign in at the page"), values)
    })
}

fn of_report_font(state: &AppState) -> HealthLine {
    match ReportFont::load(state.app.settings.report_font.as_deref()) {
        Ok(font) => line("report_font", HealthOutcome::Ok, font.file().display().to_string(), json!({})),
        Err(error) => line("report_font", HealthOutcome::Note, error.to_string(), json!({})),
    }
}

/// How far the clock of the database's server is from the daemon's; nothing where the database is a file.
async fn of_clock(state: &AppState) -> Result<Option<HealthLine>, Problem> {
    let Some(server) = state.app.store.server_time().await? else { return Ok(None) };
    let difference = state.app.clock.now().duration_since(server).abs();
    let values = json!({ "seconds": difference.as_secs() });
    Ok(Some(if difference > CLOCK_DIFFERENCE_MAX {
        let detail = format!(
            "the clocks of the daemon and of the database differ by {} s: let both machines follow a time server",
            difference.as_secs()
        );
        line("clock", HealthOutcome::Failed, detail, values)
    } else {
        line("clock", HealthOutcome::Ok, "the clocks of the daemon and of the database agree", values)
    }))
}

/// Disks, spools and certificates; read on a thread for such work.
async fn of_this_machine(state: &Arc<AppState>, now: Timestamp) -> Result<Vec<HealthLine>, Problem> {
    let setup = Arc::clone(&state.app.setup);
    let read = tokio::task::spawn_blocking(move || {
        let Watched { disks, spools, certificates } = &setup.watched;
        let mut items: Vec<HealthLine> = disks.iter().filter_map(|path| of_disk(path)).collect();
        items.extend(spools.iter().map(|(name, path)| of_spool(name, path)));
        items.extend(certificates.iter().map(|(key, file)| of_certificate(key, file, now)));
        items
    });
    read.await.map_err(|error| {
        tracing::error!(%error, "the task that looks at disks and spools failed");
        Kind::Internal.into()
    })
}

fn of_disk(path: &Path) -> Option<HealthLine> {
    let space = disk_space(path)?;
    let percent = space.free.saturating_mul(100) / space.total.max(1);
    let values = json!({ "path": path, "percent": percent, "gib": space.free >> 30 });
    let free = format!("{percent} % of the disk of {} are free ({} GiB)", path.display(), space.free >> 30);
    let advice = "make room, or the database stops: `toritsugi backup` and [retention] say what can go";
    Some(if percent < DISK_FREE_PERCENT_LEAST {
        line("disk", HealthOutcome::Failed, format!("{free}: {advice}"), values)
    } else if percent < DISK_FREE_PERCENT_LOW {
        line("disk", HealthOutcome::Note, format!("{free}: {advice}"), values)
    } else {
        line("disk", HealthOutcome::Ok, free, values)
    })
}

fn of_spool(name: &str, path: &Path) -> HealthLine {
    let Some((files, age)) = waiting_in(path, SystemTime::now()) else {
        let detail = format!("{} cannot be read: see {name}.directory in the configuration", path.display());
        return line("spool", HealthOutcome::Failed, detail, json!({ "spool": name, "state": "unreadable" }));
    };
    let minutes = age.as_secs() / 60;
    let values = json!({ "spool": name, "count": files, "minutes": minutes });
    if age > SPOOL_AGE_MAX {
        let detail = format!(
            "{files} files wait in {}, the oldest for {minutes} min: the daemon's log says why it does not take them",
            path.display()
        );
        line("spool", HealthOutcome::Note, detail, values)
    } else {
        line("spool", HealthOutcome::Ok, format!("{files} files wait in {}", path.display()), values)
    }
}

fn of_certificate(key: &str, file: &Path, now: Timestamp) -> HealthLine {
    let Some(end) = certificate_end(file) else {
        let detail =
            format!("{}: no certificate can be read; see {key} in the configuration", file.display());
        return line(
            "certificate",
            HealthOutcome::Failed,
            detail,
            json!({ "key": key, "state": "unreadable" }),
        );
    };
    let days = end.duration_since(now).as_hours() / 24;
    let values = json!({ "key": key, "days": days });
    let outcome = if days < 0 {
        HealthOutcome::Failed
    } else if days < CERTIFICATE_DAYS_LOW {
        HealthOutcome::Note
    } else {
        HealthOutcome::Ok
    };
    let advice = if outcome == HealthOutcome::Ok { "" } else { ": put a new one there" };
    line("certificate", outcome, format!("the certificate of {key} ends in {days} days{advice}"), values)
}
