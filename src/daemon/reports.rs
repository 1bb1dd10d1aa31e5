//! Closes and mails the monthly reports of accounts on their day of the month ([`crate::report`]).
//!
//! | what the daemon was doing when it died | what happens |
//! |---|---|
//! | counting a report | nothing was written: the next daemon counts it |
//! | closing it | the report is there or not, as a whole |
//! | making its mails | the mails and the note that they were made are one transaction |
//!
//! Invariant: the mails of a month are made once, also by several daemons of one store, and only for a month that is closed. A
//! day on which no daemon ran is made up for by the next one.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::billing::BillingMonth;
use crate::config::{Config, RetentionConfig};
use crate::contract::words::WordKind;
use crate::directory::Directory;
use crate::ids::RecordId;
use crate::messages::MessageRelay;
use crate::operators::SharedWords;
use crate::report::{CloseError, Sources, close, letter_of};
use crate::store::reports::{DUE_PLANS_MAX, StoredReportPlan};
use crate::store::service_mails::NewServiceMail;
use crate::store::{Store, StoreError};

/// How often plans are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// The name under which the daemon closes reports.
const BY_NAME: &str = "toritsugi";

/// Starts closing and mailing monthly reports, where this daemon sends mails.
pub(super) fn start(
    config: &Config,
    (store, words): (&Store, &SharedWords),
    directory: &Directory,
    relay: &MessageRelay,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    if config.mail.host.is_none() {
        return;
    }
    let mailer = ReportMailer {
        store: store.clone(),
        directory: directory.clone(),
        words: words.clone(),
        retention: config.retention.clone(),
        from_name: config.mail.from_name().to_owned(),
        relay: relay.clone(),
    };
    tasks.spawn(mailer.run(shutdown.clone()));
}

/// What mails reports.
struct ReportMailer {
    store: Store,
    directory: Directory,
    words: SharedWords,
    retention: RetentionConfig,
    /// The sender's name, which ends the text.
    from_name: String,
    /// Wakes the outbox.
    relay: MessageRelay,
}

impl ReportMailer {
    /// Closes and mails until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                done = self.mail_due(Timestamp::now()) => match done {
                    Ok(_) => is_failing = false,
                    // One line for each failure of the store.
                    Err(error) if !is_failing => {
                        is_failing = true;
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "monthly reports cannot be mailed; they are when the store answers");
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// Makes the mails that are due; returns of how many accounts.
    async fn mail_due(&self, now: Timestamp) -> Result<u32, StoreError> {
        let today = now.to_zoned(self.directory.time_zone().clone()).date();
        let month = BillingMonth::of(today).before();
        let day = u8::try_from(today.day()).unwrap_or_default();
        let (mut made, mut after) = (0, None);
        loop {
            let plans = self.store.due_report_plans(&month.to_string(), day, after).await?;
            for plan in &plans {
                made += u32::from(self.mail(plan, month, now).await?);
            }
            match plans.last() {
                Some(last) if plans.len() == DUE_PLANS_MAX as usize => after = Some(last.account),
                _ => return Ok(made),
            }
        }
    }

    /// Closes the report of an account and makes its mails; false if it cannot be closed yet.
    async fn mail(
        &self,
        StoredReportPlan { account, plan, .. }: &StoredReportPlan,
        month: BillingMonth,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let dispositions = self.words.current().labels(WordKind::Disposition);
        let sources = Sources {
            store: &self.store,
            directory: &self.directory,
            dispositions: &dispositions,
            whole_from: self.retention.history_whole_from(now),
        };
        let closed = match close(sources, *account, month, (now, BY_NAME)).await {
            Ok((closed, _)) => closed,
            Err(CloseError::NotOver { .. } | CloseError::Pending { .. }) => return Ok(false),
            Err(CloseError::Gather(crate::report::GatherError::Store(error))) => return Err(error),
            Err(CloseError::Gather(error)) => {
                tracing::error!(%account, %month, error = &error as &dyn std::error::Error, "there is no report to mail");
                return Ok(false);
            }
        };
        let letter = letter_of(&closed.report, &self.from_name);
        let mail = |address: &String| NewServiceMail {
            id: RecordId(Uuid::now_v7()),
            report: Some((*account, month.to_string())),
            address: address.clone(),
            subject: letter.subject.clone(),
            body: letter.text.clone(),
            created_at: now,
        };
        let mails: Vec<NewServiceMail> = plan.to.iter().map(mail).collect();
        let is_made = self.store.make_report_mails(*account, &month.to_string(), &mails).await?;
        if is_made {
            tracing::info!(%account, %month, mails = mails.len(), "a monthly report goes out");
            self.relay.outbox().wake();
        }
        Ok(is_made)
    }
}
