//! The task that reads the mailbox of returned mails.
//!
//! | the mail | goes to the folder |
//! |---|---|
//! | is about a delivery of this installation, or answers it | `Done` |
//! | is about none, or is no report | `Odd`, and is listed as not matched |
//!
//! Invariant: a mail is moved after the store has it; one that is read twice is known by what it says. Several daemons may read one
//! mailbox.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::imap::{ImapConnection, ImapError, Mailbox};
use super::stats::Stats;
use crate::contract::bounce::BounceOutcome;
use crate::mail::{FaxGateway, ReturnPath};
use crate::messages::{MessageRelay, ReturnAddresses, take_returned};
use crate::store::Store;

/// Most mails that are read in one round.
const MAILS_PER_ROUND_MAX: usize = 100;
/// Where mails go that were understood.
const DONE: &str = "Done";
/// Where the others go.
const ODD: &str = "Odd";

/// What the task uses.
pub(super) struct Reader {
    pub(super) mailbox: Mailbox,
    pub(super) return_path: Option<ReturnPath>,
    /// The addresses of people's answers.
    pub(super) reply_path: Option<ReturnPath>,
    /// The gateways of faxes, whose results come here.
    pub(super) fax: Vec<FaxGateway>,
    pub(super) store: Store,
    pub(super) relay: MessageRelay,
    pub(super) stats: Arc<Stats>,
}

impl Reader {
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut is_failing = false;
        loop {
            let round = tokio::select! {
                () = shutdown.cancelled() => return,
                round = self.round() => round,
            };
            let wait = match round {
                Ok(MAILS_PER_ROUND_MAX) => Duration::ZERO,
                Ok(_) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("the mailbox of returned mails can be read again");
                    }
                    self.mailbox.poll_interval
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(host = %self.mailbox.host, %error, "cannot read the mailbox of returned mails");
                    }
                    self.mailbox.poll_interval
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads what is there; returns how many mails.
    async fn round(&self) -> Result<usize, ImapError> {
        let mut connection = ImapConnection::open(&self.mailbox).await?;
        let uids = connection.uids(MAILS_PER_ROUND_MAX).await?;
        for uid in &uids {
            let Some(mail) = connection.fetch(*uid).await? else { continue };
            let of_store = (&self.store, &self.relay);
            let of_ours = ReturnAddresses {
                return_path: self.return_path.as_ref(),
                reply_path: self.reply_path.as_ref(),
                fax: &self.fax,
            };
            let taken = take_returned(of_store, of_ours, &mail, "imap", Timestamp::now()).await;
            let taken = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    // The mail stays, and is read in the next round.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot keep a returned mail; trying again"
                    );
                    break;
                }
            };
            taken.iter().for_each(|report| self.stats.came_back(report.kind));
            let is_odd = taken.iter().all(|report| report.outcome == BounceOutcome::Unmatched);
            connection.move_to(*uid, if is_odd { ODD } else { DONE }).await?;
        }
        connection.close().await;
        Ok(uids.len())
    }
}
