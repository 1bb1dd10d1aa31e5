//! 1コール報告: a call that ended without a message becomes one of the kind `report`, where its account wants that
//! (`report_calls` of the account).
//!
//! | what happens | the report |
//! |---|---|
//! | an operator finishes a call with a disposition | is made [`REPORT_DELAY`] later, so that a message that is written meanwhile comes first |
//! | the after-call work ends by its time, and nobody says how the call ended | is made after [`UNDISPOSED_DELAY`] |
//! | several daemons look, or one dies in it | is one: its id follows from the call |
//! | the daemon was down | is made for what ended within [`REPORT_PERIOD`] |
//!
//! Invariant: a call with a message has no report. A report says how the call ended, and from which number it came unless that was
//! withheld.

use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{MessageRelay, Settings};
use crate::contract::message::{Action, MessageFields, MessageKind, NewMessage, NumberSource, Urgency};
use crate::contract::words::WordKind;
use crate::ids::{CallId, PbxId, RecordId};
use crate::numbers::{Number, NumberPlan};
use crate::operators::SharedWords;
use crate::store::call_reports::{CallReport, CallReportQuery};
use crate::store::{Store, StoreError};

/// How often calls are looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long after its after-call work a call is reported.
const REPORT_DELAY: Duration = Duration::from_secs(10);
/// The same, if nobody said how the call ended.
const UNDISPOSED_DELAY: Duration = Duration::from_secs(600);
/// How far back calls are looked at.
const REPORT_PERIOD: Duration = Duration::from_secs(24 * 3_600);
/// The ids of reports are derived from those of their calls, in this name space.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d0f_b0c5_53d4_4c0b_9a0e_6c1f_7d55_2e10);

/// What a report is made of, besides the call.
#[derive(Debug, Clone)]
pub struct CallReporting {
    /// The settings of messages.
    pub settings: Settings,
    /// The words, for the labels of dispositions.
    pub words: SharedWords,
    /// How numbers are read.
    pub plan: NumberPlan,
}

/// Makes reports until `shutdown`.
pub async fn run(
    reporting: CallReporting,
    store: Store,
    relay: MessageRelay,
    pbx: PbxId,
    shutdown: CancellationToken,
) {
    loop {
        match reporting.round(&store, &pbx, Timestamp::now()).await {
            Ok(false) => {}
            Ok(true) => relay.wake(),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the reports of calls wait for the store; trying again");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

impl CallReporting {
    /// Makes the reports that are due; whether there was one.
    async fn round(&self, store: &Store, pbx: &PbxId, now: Timestamp) -> Result<bool, StoreError> {
        let ago = |delay: Duration| now.checked_sub(delay).unwrap_or(now);
        let query = CallReportQuery {
            no_message_reasons: &self.words.current().no_message_reasons(),
            from: ago(REPORT_PERIOD),
            until: ago(REPORT_DELAY),
            until_undisposed: ago(UNDISPOSED_DELAY),
        };
        let mut is_made = false;
        for call in store.call_reports(query).await? {
            let Some(message) = self.report(&call, now) else { continue };
            match store.create_message(&message, pbx, now).await {
                Ok((_, is_new)) => is_made |= is_new,
                // The account was deleted meanwhile, or the caller's data.
                Err(StoreError::Missing { .. } | StoreError::Erased) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(is_made)
    }

    /// The report of a call.
    fn report(&self, call: &CallReport, now: Timestamp) -> Option<NewMessage> {
        let number = call.caller.as_deref().and_then(|key| Number::read(key, &self.plan));
        let mut fields = MessageFields {
            text: self.text(call.disposition.as_deref()),
            action: Action::None,
            urgency: Urgency::Low,
            ..MessageFields::default()
        };
        if let Some(number) = &number {
            fields.from.number = Some(number.display());
            fields.from.number_is = Some(NumberSource::Call);
        }
        Some(NewMessage {
            id: report_id(call.call),
            account: call.account,
            call: Some(call.call),
            customer: call.customer,
            kind: MessageKind::Report,
            taken_by: Some(call.by),
            taken_by_name: call.by_name.clone(),
            caller: call.caller.clone(),
            // A text of ours with a label of the configuration: it is short and has no control character.
            content: fields.checked(&self.plan).ok()?,
            day: self.settings.day(now),
            not_before: now,
        })
    }

    /// What the account reads.
    fn text(&self, disposition: Option<&str>) -> String {
        let label = |code: &str| {
            let known = self.words.current().labels(WordKind::Disposition);
            let choice = known.into_iter().find(|choice| choice.code == code);
            choice.map_or_else(|| SmolStr::new(code), |choice| choice.label)
        };
        match disposition {
            Some("sales") => "営業のお電話のため、お断りしました。".to_owned(),
            Some("wrong_number") => "間違い電話でした。".to_owned(),
            Some("silent") => "無言のお電話でした。".to_owned(),
            Some("informed") => "お問い合わせにご案内し、ご伝言はありませんでした。".to_owned(),
            Some("transferred") => "お電話をおつなぎしました。ご伝言はありませんでした。".to_owned(),
            Some(code) => format!("お電話を承りました（{}）。ご伝言はありませんでした。", label(code)),
            None => "お電話を承りました。ご伝言はありませんでした。".to_owned(),
        }
    }
}

/// The id of the report of a call.
fn report_id(call: CallId) -> RecordId {
    RecordId(Uuid::new_v5(&NAMESPACE, call.uuid().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::words::WordList;

    fn reporting() -> CallReporting {
        let words = SharedWords::default();
        let quote = crate::contract::words::Word::of(&"quote:お見積もり".parse().unwrap());
        let list = WordList { kind: WordKind::Disposition, version: 1, words: vec![quote] };
        words.replace(vec![list]);
        CallReporting { settings: Settings::default(), words, plan: NumberPlan::default() }
    }

    fn call(disposition: Option<&str>, caller: Option<&str>) -> CallReport {
        CallReport {
            call: CallId::derive(
                &PbxId::parse("osaka-1").unwrap(),
                &crate::ids::ChannelId::parse("1.1").unwrap(),
            ),
            account: RecordId(Uuid::from_u128(1)),
            reporting: crate::contract::records::ReportCalls::All,
            customer: None,
            caller: caller.map(str::to_owned),
            by: RecordId(Uuid::from_u128(2)),
            by_name: "佐藤".into(),
            disposition: disposition.map(str::to_owned),
        }
    }

    #[test]
    fn a_report_says_how_the_call_ended_and_who_called_unless_it_was_withheld() {
        for (disposition, caller, text, number) in [
            (
                Some("sales"),
                Some("+81355501000"),
                "営業のお電話のため、お断りしました。",
                Some("03-5550-1000"),
            ),
            (Some("quote"), None, "お電話を承りました（お見積もり）。ご伝言はありませんでした。", None),
            (Some("gone"), None, "お電話を承りました（gone）。ご伝言はありませんでした。", None),
            (None, None, "お電話を承りました。ご伝言はありませんでした。", None),
        ] {
            let made = reporting().report(&call(disposition, caller), Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((made.kind, made.content.fields.urgency), (MessageKind::Report, Urgency::Low));
            assert_eq!(made.content.fields.text, text);
            assert_eq!(made.content.fields.from.number.as_deref(), number);
            assert_eq!(made.id, report_id(made.call.unwrap()), "one call has one report");
        }
    }
}
