//! The endpoints of messages at which nobody has confirmed anything yet: perhaps nothing arrives there.

use toritsugi::config::Config;
use toritsugi::store::{SchemaStatus, Store, StoreError};

use super::Finding;

const WHAT: &str = "endpoints";
/// Endpoints that are read at once.
const PAGE: u32 = 500;

/// How many endpoints were never confirmed. `None`: messages have no links, or there is no database of this version.
pub(super) async fn check(config: &Config) -> Option<Finding> {
    config.links().ok()??;
    let location = config.store.location().ok()?;
    let Ok(SchemaStatus::Current { .. }) = Store::inspect_at(&location).await else { return None };
    let store = Store::open_at(&location).await.ok()?;
    let counted = count(&store).await;
    store.close().await;
    Some(match counted {
        Ok((_, 0)) => return None,
        Ok((all, unverified)) => Finding::note(
            WHAT,
            format!(
                "at {unverified} of {all} of them nobody has confirmed anything yet: `toritsugi routes test` of their accounts"
            ),
        ),
        Err(error) => Finding::failed(WHAT, format!("they cannot be read: {error}")),
    })
}

/// All endpoints with a link, and those of them that were never confirmed.
async fn count(store: &Store) -> Result<(usize, usize), StoreError> {
    let (mut after, mut all, mut unverified) = (None, 0, 0);
    loop {
        let page = store.message_endpoints(None, after, PAGE).await?;
        let linked = page.items.iter().filter(|endpoint| endpoint.fields.ack_link);
        for endpoint in linked {
            all += 1;
            unverified += usize::from(endpoint.verified_at.is_none());
        }
        let Some(next) = page.next else { return Ok((all, unverified)) };
        after = Some(next);
    }
}
