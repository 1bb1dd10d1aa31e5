//! Look-ups of callers: memory answers at once which account a call is for; the store says who calls, in a task of its own.
//!
//! | the caller | the pop has |
//! |---|---|
//! | calls no account, or has no number | the card from memory, at once |
//! | is in the store, or is not | the card from memory at once, and the whole card when the store has answered |
//! | comes while [`LOOKUPS_MAX`] look-ups run, or the store takes [`LOOKUP_TIMEOUT`] | the card from memory alone |
//!
//! Invariant: the loop does not wait for the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use smol_str::SmolStr;

use super::core::{Core, TaskResult};
use crate::call::Input;
use crate::contract::card::Card;
use crate::contract::url_template::UrlTemplate;
use crate::directory::{Directory, Resolution};
use crate::identity::Identity;
use crate::ids::CallId;

/// Maximum number of look-ups (store, PBX channel variables) that run at the same time.
pub const LOOKUPS_MAX: usize = 256;
/// Time limit of a caller look-up; after it the pop keeps the card from memory.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

impl Core {
    /// Memory answers at once which account a call is for. A spawned task looks the caller up in the store.
    pub(super) fn identify(&mut self, call: CallId, question: u32, identity: &Identity, trunk: &str) {
        let found = self.deps.directory.identify(identity, Some(trunk));
        let template = self.pop_url_template(&found);
        let now = self.clock.now();
        let mut bare = self.deps.directory.bare_card(&found, now);
        let caller = found.caller_number.as_ref().map(|number| SmolStr::new(number.key()));
        bare.link =
            template.as_ref().map(|(template, code)| template.fill(call, &bare, code, caller.as_deref()));
        let bare = Arc::new(bare);
        let permit = Arc::clone(&self.lookups).try_acquire_owned();
        let in_store = found.account.is_some() && found.caller_number.is_some();
        let complete = permit.is_err() || !in_store;
        self.model.handle(now, Input::CardFound { call, question, card: Arc::clone(&bare), complete });
        let (Ok(permit), false) = (permit, complete) else { return };
        let (directory, results) = (self.deps.directory.clone(), self.results.clone());
        let stats = self.deps.stats.clone();
        self.deps.tasks.spawn(async move {
            let begun = Instant::now();
            let card = look_up(&directory, &found, now).await;
            stats.lookup_seconds.observe(begun.elapsed().as_secs_f64());
            if card.is_none() {
                stats.lookups_failed.inc();
            }
            let card = card.map_or(bare, |mut card| {
                card.link =
                    template.map(|(template, code)| template.fill(call, &card, &code, caller.as_deref()));
                Arc::new(card)
            });
            let found = Input::CardFound { call, question, card, complete: true };
            // The receiver is gone only when the daemon ends.
            let _ = results.send(TaskResult::Input(Box::new(found))).await;
            drop(permit);
        });
    }

    /// The URL template of a pop (the account's own, else the installation's), and the account's code.
    fn pop_url_template(&self, found: &Resolution) -> Option<(UrlTemplate, String)> {
        let fields = found.account.as_ref().map(|account| &account.fields);
        let own = fields.and_then(|fields| fields.link.as_ref()?.parse().ok());
        let template = own.or_else(|| self.deps.url_template.clone())?;
        Some((template, fields.map(|fields| fields.code.clone()).unwrap_or_default()))
    }
}

async fn look_up(directory: &Directory, found: &Resolution, at: Timestamp) -> Option<Card> {
    match tokio::time::timeout(LOOKUP_TIMEOUT, directory.card(found, at)).await {
        Ok(Ok(card)) => Some(card),
        Ok(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot look up the caller; the pop shows the account alone"
            );
            None
        }
        Err(_) => {
            tracing::warn!(
                "the caller look-up took longer than {LOOKUP_TIMEOUT:?}; is the store's disk slow?"
            );
            None
        }
    }
}
