//! What the snapshots of event streams have of the store: open phone tasks, and how many messages a person must see to.
//!
//! After a restart all desktops connect at once. One read serves all streams that began before it; those that began while it ran
//! share the next one.
//!
//! Invariant: what a stream gets was read after the stream began.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::state::App;
use super::stream::SNAPSHOT_TASKS_MAX;
use crate::contract::task::Task;
use crate::store::StoreError;
use crate::store::messages::MessageCounts;
use crate::store::tasks::TaskFilter;

/// What a snapshot has of the store.
#[derive(Debug)]
pub(crate) struct Attention {
    /// The messages that a person must see to.
    pub(crate) messages: MessageCounts,
    /// The phone tasks that are to be done, in the order in which they are due.
    pub(crate) tasks: Vec<Task>,
}

/// The last read.
#[derive(Debug, Default)]
pub(crate) struct LastAttention(Mutex<Option<(Instant, Arc<Attention>)>>);

impl LastAttention {
    /// What the store has since `since`; `None` if it cannot be read.
    pub(crate) async fn since(&self, since: Instant, app: &App) -> Option<Arc<Attention>> {
        let mut last = self.0.lock().await;
        if let Some((_, known)) = last.as_ref().filter(|(begun, _)| *begun > since) {
            return Some(Arc::clone(known));
        }
        let begun = Instant::now();
        match read(app).await {
            Ok(attention) => {
                let attention = Arc::new(attention);
                *last = Some((begun, Arc::clone(&attention)));
                Some(attention)
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(
                    error,
                    "a snapshot has no phone tasks and no counts of messages: the store failed"
                );
                None
            }
        }
    }
}

async fn read(app: &App) -> Result<Attention, StoreError> {
    let messages = app.store.messages_to_see_to(app.clock.now()).await?;
    let mut tasks = app.store.tasks(TaskFilter::default()).await?;
    tasks.truncate(SNAPSHOT_TASKS_MAX);
    Ok(Attention { messages, tasks })
}
