//! Readiness of callflows: what in the records would treat calls in another way than somebody expects, in the next 35 days; and until
//! when the plans at the PBX reach.

use jiff::{SignedDuration, Timestamp};
use toritsugi::ami::action::Action;
use toritsugi::ami::client::Handle;
use toritsugi::callflow::{Entries, FAMILY, Key, PLANS_LEFT_DAYS_MIN, SeenAtPbx, Value, plans_end_at};
use toritsugi::config::Config;
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::store::{SchemaStatus, Store, StoreError};

use super::Finding;

const WHAT: &str = "callflow";
/// Most findings that are named.
const FINDINGS_SHOWN_MAX: usize = 20;

/// All findings; none if the store cannot be read without a change, which another test says, and none without callflows.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Ok(location) = config.store.location() else { return Vec::new() };
    if !matches!(Store::inspect_at(&location).await, Ok(SchemaStatus::Current { .. })) {
        return Vec::new();
    }
    let read = async {
        let store = Store::open_at(&location).await?;
        let found = read(config, &store).await;
        store.close().await;
        found
    };
    match read.await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::failed(WHAT, error.to_string())],
    }
}

/// Until when the PBX's plans reach; nothing where it has none, or does not list its database.
pub(super) async fn plans(handle: &Handle) -> Option<Finding> {
    let frames = handle.list_frames(Action::read_plan(None).ok()?).await.ok()?;
    let entry = |key: &str, value: &str| {
        let key = key.strip_prefix('/')?.strip_prefix(FAMILY)?.strip_prefix('/')?;
        Some((Key::new(key)?, Value::found(value)))
    };
    let entries: Entries =
        frames.iter().filter_map(|frame| entry(&frame.text("Key")?, &frame.text("Val")?)).collect();
    let at = plans_end_at(&entries)?;
    let left = at.duration_since(Timestamp::now());
    let days = left.as_hours() / 24;
    Some(if left < SignedDuration::from_hours(24 * PLANS_LEFT_DAYS_MIN) {
        Finding::failed(
            WHAT,
            format!(
                "a plan at the PBX ends at {at:.0}, and from then on the account counts as open: no daemon has written it for weeks; see toritsugi callflow sync"
            ),
        )
    } else {
        Finding::ok(
            WHAT,
            format!("the PBX treats calls by its plans for {days} more days, also without a daemon"),
        )
    })
}

async fn read(config: &Config, store: &Store) -> Result<Vec<Finding>, StoreError> {
    let callflows = store.callflows().await?.len();
    let directory = Directory::load(store.clone(), DirectoryOptions::from(&config.directory)).await?;
    // Whether there is space is the daemon's to say.
    directory.set_takes_voice(config.voice.directory.is_some());
    let found = directory.callflow_findings(SeenAtPbx::default(), Timestamp::now()).await?;
    if callflows == 0 && found.iter().all(|one| one.account.is_none()) {
        return Ok(Vec::new());
    }
    if found.is_empty() {
        let detail = format!("calls of {callflows} accounts are treated as their records say, for 35 days");
        return Ok(vec![Finding::ok(WHAT, detail)]);
    }
    let mut findings: Vec<Finding> = found
        .iter()
        .take(FINDINGS_SHOWN_MAX)
        .map(|one| {
            let whose = if one.account_name.is_empty() { "the service" } else { &one.account_name };
            Finding::note(WHAT, format!("{whose}: {}", one.detail))
        })
        .collect();
    if let Some(more) = found.len().checked_sub(FINDINGS_SHOWN_MAX).filter(|more| *more > 0) {
        findings.push(Finding::note(WHAT, format!("{more} more; see toritsugi callflow check")));
    }
    Ok(findings)
}
