//! `toritsugi check --call`: follows one real call from outside, from the trunk to the pop.
//!
//! It runs the daemon's own call model and directory on a manager session of its own, beside a daemon that may be running,
//! and says how far the call came.
//!
//! | line | proves |
//! |---|---|
//! | call | the events user reads `call`, and the channel counts as a trunk's |
//! | identity | the call passed `toritsugi-identity`, and the events user reads `user`; else a note |
//! | account | an account has one of the call's numbers |
//! | pop | the call rang at an operator's phone |
//!
//! Invariant: it only reads. The caller's number is not printed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use toritsugi::ami::action::Action;
use toritsugi::ami::client::{ClientEvent, Handle, ListKind, ListResult, connect};
use toritsugi::ami::event::{Event, PbxEvent};
use toritsugi::call::{Input, Model, NoticeKind, Output};
use toritsugi::config::Config;
use toritsugi::contract::card::{Card, MatchedBy};
use toritsugi::daemon::{read_headers, read_presentation};
use toritsugi::directory::{Directory, DirectoryOptions};
use toritsugi::ids::{CallId, ChannelId};
use toritsugi::store::{SchemaStatus, Store};

use super::{Finding, print_line};

/// How often the channels are listed, to find a call of which no event arrives.
const LIST_INTERVAL: Duration = Duration::from_secs(2);

/// What was seen of the call.
#[derive(Debug, Default)]
struct Seen {
    /// The first call that began while this test watched.
    call: Option<CallId>,
    /// The calls whose first channel was created meanwhile: of another one the identity may have passed before.
    began: BTreeSet<CallId>,
    card: Option<Arc<Card>>,
    /// The calls that passed the identity context.
    identified: BTreeSet<CallId>,
    has_channel_event: bool,
    operator: Option<String>,
    ended: bool,
    /// The channels at the start, once they are listed.
    before: Option<BTreeSet<String>>,
    /// A list has a channel of which no event arrived.
    unreported: bool,
    /// Why the PBX cannot be watched.
    no_link: Option<String>,
}

/// Waits for one call, and reports how far it came. With `prompts`, prints when it begins to wait.
pub(super) async fn check(
    config: &Config,
    seeds: fn() -> u64,
    limit: Duration,
    prompts: bool,
) -> anyhow::Result<Vec<Finding>> {
    const WHAT: &str = "call";
    let directory = match directory(config).await {
        Ok(directory) => directory,
        Err(why) => return Ok(vec![Finding::failed(WHAT, why)]),
    };
    let settings = match config.pbx.connection_settings(seeds) {
        Ok(settings) => settings,
        Err(error) => return Ok(vec![Finding::failed(WHAT, error.to_string())]),
    };
    let shutdown = CancellationToken::new();
    let (handle, mut events) = connect(settings, shutdown.clone());
    let mut watch = Watch {
        model: Model::new(config.endpoint_rules()),
        directory,
        reads: Vec::new(),
        seen: Seen::default(),
    };
    if prompts {
        print_line(&format!("call one of your numbers from outside now; waiting {} s", limit.as_secs()))?;
    }
    let (until, mut list_at) = (Instant::now() + limit, Instant::now() + LIST_INTERVAL);
    while Instant::now() < until && !watch.is_over() {
        watch.model.handle_timeout(Timestamp::now());
        watch.drain();
        watch.answer_reads(&handle).await;
        let due =
            watch.model.poll_timeout().map(|at| Duration::try_from(at.duration_since(Timestamp::now())));
        let due = due.map_or(LIST_INTERVAL, |due| due.unwrap_or_default().min(LIST_INTERVAL));
        match timeout(due, events.next_batch()).await {
            Ok(Some(batch)) => batch.into_iter().for_each(|event| watch.on_client_event(event)),
            Ok(None) => break,
            Err(_) => {}
        }
        if Instant::now() >= list_at && watch.seen.call.is_none() {
            watch.compare_with_list(&handle).await;
            list_at = Instant::now() + LIST_INTERVAL;
        }
    }
    shutdown.cancel();
    let _ = timeout(LIST_INTERVAL, handle.closed()).await;
    watch.directory.store().close().await;
    Ok(watch.seen.findings(limit))
}

async fn directory(config: &Config) -> Result<Directory, String> {
    let location = config.store.location().map_err(|error| error.to_string())?;
    match Store::inspect_at(&location).await {
        Ok(SchemaStatus::Current { .. }) => {}
        Ok(_) => return Err("there are no accounts yet, or `serve` has not migrated them: import them and start the daemon first".into()),
        Err(error) => return Err(error.to_string()),
    }
    let store = Store::open_at(&location).await.map_err(|error| error.to_string())?;
    let options = DirectoryOptions::from(&config.directory);
    Directory::load(store, options).await.map_err(|error| error.to_string())
}

struct Watch {
    model: Model,
    directory: Directory,
    /// What the model wants to know of a channel.
    reads: Vec<Read>,
    seen: Seen,
}

enum Read {
    Presentation(CallId, ChannelId),
    Headers(CallId, ChannelId, SmolStr),
}

impl Watch {
    fn is_over(&self) -> bool {
        self.seen.operator.is_some() || self.seen.ended || self.seen.no_link.is_some()
    }

    fn on_client_event(&mut self, event: ClientEvent) {
        let now = Timestamp::now();
        match event {
            ClientEvent::Pbx(PbxEvent::Call(event)) => {
                self.seen.has_channel_event |= matches!(event, Event::ChannelCreated(_));
                self.on_event(now, event);
            }
            ClientEvent::ListBegin(ListKind::Channels) => self.model.handle(now, Input::ListBegan),
            ClientEvent::ListItem(ListKind::Channels, PbxEvent::Call(event)) => {
                self.model.handle(now, Input::Pbx(event));
            }
            ClientEvent::ListEnd(ListKind::Channels, ListResult::Complete) => {
                self.model.handle(now, Input::ListEnded);
            }
            ClientEvent::ListEnd(ListKind::Channels, _) => self.model.handle(now, Input::ListFailed),
            ClientEvent::LoginRefused { refusal, .. } => self.seen.no_link = Some(refusal.to_string()),
            ClientEvent::Unreachable { reason, .. } | ClientEvent::Down { reason, .. } => {
                self.seen.no_link = Some(reason.to_string());
            }
            _ => {}
        }
        self.drain();
    }

    fn on_event(&mut self, now: Timestamp, event: Event) {
        let identified = match &event {
            Event::User { name, channel, .. } if name == "ToritsugiIdentity" => Some(channel.id.clone()),
            _ => None,
        };
        let created = match &event {
            Event::ChannelCreated(channel) if channel.id == channel.linked => Some(channel.id.clone()),
            _ => None,
        };
        self.model.handle(now, Input::Pbx(event));
        self.seen.began.extend(created.and_then(|channel| self.model.call_of(&channel)));
        self.drain();
        self.seen.identified.extend(identified.and_then(|channel| self.model.call_of(&channel)));
    }

    /// Asks the PBX what the daemon asks it. The events of the meantime wait in the client.
    async fn answer_reads(&mut self, handle: &Handle) {
        for read in std::mem::take(&mut self.reads) {
            let input = match read {
                Read::Presentation(call, channel) => read_presentation(handle, call, &channel).await,
                Read::Headers(call, channel, technology) => {
                    read_headers(handle, call, &channel, &technology).await
                }
            };
            self.model.handle(Timestamp::now(), input);
            self.drain();
        }
    }

    fn drain(&mut self) {
        let now = Timestamp::now();
        while let Some(output) = self.model.poll_output() {
            match output {
                Output::Identify { call, question, identity, trunk } => {
                    let found = self.directory.identify(&identity, Some(&trunk));
                    let card = Arc::new(self.directory.bare_card(&found, now));
                    self.model.handle(now, Input::CardFound { call, question, card, complete: true });
                }
                Output::ReadChannel { call, channel } => self.reads.push(Read::Presentation(call, channel)),
                Output::ReadHeaders { call, channel, technology } => {
                    self.reads.push(Read::Headers(call, channel, technology));
                }
                Output::OutboundEnded(_) | Output::UnknownEndpoint { .. } | Output::UnreportedRing { .. } => {
                }
                Output::Notice(notice) => {
                    let view = &notice.view;
                    let began = self.seen.began.contains(&view.id);
                    if matches!(notice.kind, NoticeKind::Offered) && began && !view.inferred {
                        self.seen.call.get_or_insert(view.id);
                    }
                    if self.seen.call != Some(view.id) {
                        continue;
                    }
                    self.seen.card = view.card.clone().or_else(|| self.seen.card.take());
                    match notice.kind {
                        NoticeKind::Presented { operator } => self.seen.operator = Some(operator.to_string()),
                        NoticeKind::Ended { .. } => self.seen.ended = true,
                        _ => {}
                    }
                }
            }
        }
    }

    /// Looks for a channel of which no event arrived.
    async fn compare_with_list(&mut self, handle: &Handle) {
        let Ok(frames) = handle.list_frames(Action::core_show_channels()).await else { return };
        let channels = frames.iter().filter_map(|frame| frame.text("Uniqueid"));
        let channels: BTreeSet<String> = channels.map(|id| id.into_owned()).collect();
        match &self.seen.before {
            None => self.seen.before = Some(channels),
            Some(before) => {
                self.seen.unreported |= !self.seen.has_channel_event && !channels.is_subset(before);
            }
        }
    }
}

impl Seen {
    fn findings(&self, limit: Duration) -> Vec<Finding> {
        let (Some(call), seconds) = (self.call, limit.as_secs()) else {
            return vec![Finding::failed("call", self.why_no_call(limit.as_secs()))];
        };
        let card = self.card.as_deref();
        let dialled = card.and_then(|card| card.dialled.as_deref()).unwrap_or("an unknown number");
        let mut findings = vec![Finding::ok("call", format!("came in for {dialled}"))];
        findings.push(if self.identified.contains(&call) {
            Finding::ok("identity", "the dialplan handed over the SIP headers".into())
        } else {
            Finding::note(
                "identity",
                "the dialplan handed over no SIP headers; on a SIP trunk they are read from the channel, a moment later. If it has the step toritsugi-identity, add user to read of the events user".into(),
            )
        });
        findings.push(match card.filter(|card| card.account.id.is_some()) {
            Some(card) => {
                let by = match card.account.matched_by {
                    MatchedBy::Diversion | MatchedBy::HistoryInfo => "the forwarding number",
                    MatchedBy::Dialled => "the dialled number",
                    MatchedBy::Trunk | MatchedBy::None => "the trunk's default",
                };
                Finding::ok("account", format!("{}, by {by}", card.account.name))
            }
            None => Finding::note(
                "account",
                format!("no account has {dialled} or the forwarding number: `toritsugi explain --dialled NUMBER` shows what is compared"),
            ),
        });
        findings.push(match &self.operator {
            Some(operator) => Finding::ok("pop", format!("rang at {operator}")),
            None if self.ended => Finding::failed(
                "pop",
                "the call ended without ringing at an operator's phone: compare pbx.operator_extensions with the endpoints of the phones that rang".into(),
            ),
            None => Finding::failed(
                "pop",
                format!("the call rang at no operator's phone within {seconds} s: compare pbx.operator_extensions with the endpoints of the phones, and the queue's members"),
            ),
        });
        findings
    }

    fn why_no_call(&self, seconds: u64) -> String {
        if let Some(why) = &self.no_link {
            return format!("the PBX could not be watched: {why}");
        }
        if self.unreported {
            return "the PBX has a new channel, and no event of it arrived: add call to read of the events user".into();
        }
        if self.has_channel_event {
            return format!(
                "channels came and went within {seconds} s, and none was a call from outside: compare pbx.trunks with `pjsip show endpoints`"
            );
        }
        format!("no call reached this PBX within {seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fail_says_what_to_do() {
        let lines = |seen: Seen| -> Vec<String> {
            seen.findings(Duration::from_secs(9)).iter().map(Finding::line).collect()
        };
        let nothing = lines(Seen::default());
        assert!(nothing[0].starts_with("FAILED") && nothing[0].contains("within 9 s"), "{nothing:?}");
        let unread = lines(Seen { unreported: true, ..Seen::default() });
        assert!(unread[0].contains("add call to read"), "{unread:?}");
        let no_link = lines(Seen { no_link: Some("wrong secret".into()), ..Seen::default() });
        assert!(no_link[0].starts_with("FAILED") && no_link[0].contains("wrong secret"), "{no_link:?}");
        let other = lines(Seen { has_channel_event: true, ..Seen::default() });
        assert!(other[0].contains("pbx.trunks"), "{other:?}");
        let call = CallId::parse("0199d5a0-0000-7000-8000-000000000001").ok();
        let rang = lines(Seen { call, operator: Some("1001".into()), ..Seen::default() });
        assert!(rang.last().unwrap().starts_with("ok") && rang.last().unwrap().contains("1001"), "{rang:?}");
        let ended = lines(Seen { call, ended: true, ..Seen::default() });
        assert!(ended.last().unwrap().starts_with("FAILED"), "{ended:?}");
        assert!(ended[1].starts_with("note") && ended[1].contains("no SIP headers"), "{ended:?}");
        let passed = lines(Seen { call, identified: call.into_iter().collect(), ..Seen::default() });
        assert!(passed[1].starts_with("ok"), "{passed:?}");
    }
}
