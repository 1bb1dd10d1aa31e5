//! The routes of messages: times in the next two weeks at which a message reaches nobody.

use jiff::Timestamp;
use toritsugi::config::Config;
use toritsugi::route::{CHECK_DAYS, Finding as RouteFinding, check as check_routes};
use toritsugi::store::{SchemaStatus, Store};

use super::Finding;

const WHAT: &str = "routes";
/// Accounts that are read at once.
const PAGE: u32 = 500;
/// Accounts that are named.
const NAMED_MAX: usize = 5;

/// What the routes of all accounts reach. `None`: there is no database yet, or it is not of this version.
pub(super) async fn check(config: &Config) -> Option<Finding> {
    let location = config.store.location().ok()?;
    match Store::inspect_at(&location).await {
        Ok(SchemaStatus::Current { .. }) => {}
        _ => return None,
    }
    let store = Store::open_at(&location).await.ok()?;
    let checked = look(&store).await;
    store.close().await;
    Some(match checked {
        Ok((0, _)) => Finding::ok(WHAT, "there are no accounts".into()),
        Ok((accounts, holes)) if holes.is_empty() => Finding::ok(
            WHAT,
            format!("messages of {accounts} accounts reach somebody at all times of {CHECK_DAYS} days"),
        ),
        Ok((accounts, holes)) => {
            let named: Vec<&str> = holes.iter().take(NAMED_MAX).map(String::as_str).collect();
            let detail = format!(
                "of {accounts} accounts, {} have times in the next {CHECK_DAYS} days at which a message reaches nobody: {}; \
                 see toritsugi routes check CODE",
                holes.len(),
                named.join(", ")
            );
            Finding::note(WHAT, detail)
        }
        Err(error) => Finding::failed(WHAT, format!("the accounts cannot be read: {error}")),
    })
}

/// The number of accounts, and the codes of those with holes.
async fn look(store: &Store) -> Result<(usize, Vec<String>), toritsugi::store::StoreError> {
    let (mut after, mut accounts, mut holes) = (None, 0, Vec::new());
    let now = Timestamp::now();
    loop {
        let page = store.accounts(after, PAGE).await?;
        after = page.items.last().map(|account| account.id);
        accounts += page.items.len();
        for account in &page.items {
            let routes = store.account_routes(account.id).await?;
            let findings = check_routes(&routes.documents(), &routes.world, now);
            if findings.iter().any(|finding| matches!(finding, RouteFinding::NobodyReached { .. })) {
                holes.push(account.fields.code.to_string());
            }
        }
        if page.items.len() < PAGE as usize {
            return Ok((accounts, holes));
        }
    }
}
