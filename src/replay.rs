//! Replay: runs a recorded manager session through the decoder and the call model, with the same result each time.
//!
//! A transcript holds the bytes as received from the PBX. Recorded frames carry no time unless manager.conf has
//! `timestampevents = yes`; without it each frame counts as [`FRAME_INTERVAL`] after the one before. The timers of the
//! model (a pop waits for its card) run on that clock. There is no PBX to ask: no card is found, no header is read, and
//! whether a number may be shown is answered from the strictest caller id event that the transcript has for the channel.
//!
//! Invariant: the result depends on the transcript and the endpoint rules only, never on the host's time or randomness.

use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::codec::Decoder;

use crate::ami::event::Event;
use crate::ami::frame::{Decoded, Frame, FrameCodec, FrameError};
use crate::call::{EndpointRules, Input, Model, ModelStats, Output};
use crate::contract::event::NewEvent;
use crate::identity::Identity;
use crate::ids::{CallId, ChannelId};
use crate::publish;
use crate::sip;

/// Time between two frames without a timestamp.
pub const FRAME_INTERVAL: Duration = Duration::from_millis(1);
/// How long the clock runs on after the last frame, so that every timer ends.
const TAIL_DURATION: Duration = Duration::from_secs(30);

/// The result of a transcript.
#[derive(Debug)]
pub struct Replay {
    /// The events of the public contract, each with the number of the frame that caused it (from 1).
    pub published: Vec<(u64, NewEvent)>,
    /// The calls that the model asked the directory about.
    pub lookups: Vec<(CallId, Identity)>,
    /// How many frames there were, by outcome.
    pub counts: Counts,
    /// What the model still holds at the end.
    pub remaining: ModelStats,
}

/// Numbers of frames, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All frames.
    pub frames: u64,
    /// Frames that the model used.
    pub used: u64,
    /// Frames that lack a required field.
    pub incomplete: u64,
    /// Frames that were set aside (see [`crate::ami::quarantine`]).
    pub quarantined: u64,
}

/// Replays a transcript from its greeting (or, without one, from its first frame) to its end.
///
/// # Errors
/// [`FrameError`] when the bytes are not a manager session.
pub fn replay(bytes: &[u8], plan: EndpointRules) -> Result<Replay, FrameError> {
    let mut codec = codec_for(bytes);
    let mut replayer = Replayer {
        model: Model::new(plan),
        now: Timestamp::UNIX_EPOCH,
        published: Vec::new(),
        lookups: Vec::new(),
        counts: Counts::default(),
        listing: false,
        presentations: recorded_presentations(bytes)?,
    };
    let mut rest = BytesMut::from(bytes);
    while let Some(decoded) = codec.decode_eof(&mut rest)? {
        match decoded {
            Decoded::Banner(_) => {}
            Decoded::Frame(frame) => replayer.on_frame(&frame),
            Decoded::Quarantined(_) => {
                replayer.counts.frames += 1;
                replayer.counts.quarantined += 1;
            }
        }
    }
    let end = later(replayer.now, TAIL_DURATION);
    replayer.advance_to(end);
    let remaining = replayer.model.stats();
    Ok(Replay {
        published: replayer.published,
        lookups: replayer.lookups,
        counts: replayer.counts,
        remaining,
    })
}

struct Replayer {
    model: Model,
    now: Timestamp,
    published: Vec<(u64, NewEvent)>,
    lookups: Vec<(CallId, Identity)>,
    counts: Counts,
    /// Whether a list of channels is open.
    listing: bool,
    /// Each channel's strictest presentation.
    presentations: HashMap<ChannelId, String>,
}

impl Replayer {
    fn on_frame(&mut self, frame: &Frame) {
        self.counts.frames += 1;
        let at = time_of(frame).unwrap_or_else(|| later(self.now, FRAME_INTERVAL)).max(self.now);
        self.advance_to(at);
        match Event::decode(frame) {
            Ok(Some(event)) => {
                self.counts.used += 1;
                let listed = matches!(event, Event::ChannelListed { .. });
                if listed && !std::mem::replace(&mut self.listing, true) {
                    self.model.handle(at, Input::ListBegan);
                }
                self.model.handle(at, Input::Pbx(event));
                self.drain();
            }
            Ok(None) if frame.event_name() == Some(b"CoreShowChannelsComplete") => {
                self.listing = false;
                self.model.handle(at, Input::ListEnded);
                self.drain();
            }
            Ok(None) => {}
            Err(_) => self.counts.incomplete += 1,
        }
    }

    fn advance_to(&mut self, at: Timestamp) {
        while let Some(due) = self.model.poll_timeout().filter(|due| *due <= at) {
            self.now = due.max(self.now);
            self.model.handle_timeout(self.now);
            self.drain();
        }
        self.now = at;
        self.model.handle_timeout(at);
    }

    fn drain(&mut self) {
        while let Some(output) = self.model.poll_output() {
            match output {
                Output::Notice(notice) => {
                    self.published.push((self.counts.frames, publish::from_notice(&notice)))
                }
                Output::ReadChannel { call, channel } => {
                    // There is no PBX to ask: what the recording says of the channel answers for it.
                    let presentation = self.presentations.get(&channel).cloned();
                    self.model.handle(self.now, Input::ChannelRead { call, presentation });
                }
                Output::ReadHeaders { call, .. } => {
                    let read = Input::HeadersRead { call, by_dialplan: false, headers: Vec::new() };
                    self.model.handle(self.now, read);
                }
                Output::Identify { call, identity, .. } => self.lookups.push((call, identity)),
            }
        }
    }
}

fn codec_for(bytes: &[u8]) -> FrameCodec {
    match bytes.starts_with(b"Asterisk Call Manager/") {
        true => FrameCodec::new(),
        false => FrameCodec::without_banner(),
    }
}

/// What the caller id events say of each channel's number: the strictest word, as a live PBX is asked for it.
fn recorded_presentations(bytes: &[u8]) -> Result<HashMap<ChannelId, String>, FrameError> {
    let (mut codec, mut rest) = (codec_for(bytes), BytesMut::from(bytes));
    let mut presentations = HashMap::new();
    while let Some(decoded) = codec.decode_eof(&mut rest)? {
        let Decoded::Frame(frame) = decoded else { continue };
        let Ok(Some(Event::CallerIdChanged { channel, presentation })) = Event::decode(&frame) else {
            continue;
        };
        let known = presentations.get(&channel.id).map(String::as_str);
        let strictest = sip::strictest(Some(&presentation), known, None).map(str::to_owned);
        presentations.extend(strictest.map(|presentation| (channel.id, presentation)));
    }
    Ok(presentations)
}

/// The `Timestamp` of a frame in seconds, for instance `1795285819.123456`; only with `timestampevents = yes`.
fn time_of(frame: &Frame) -> Option<Timestamp> {
    let seconds: f64 = std::str::from_utf8(frame.get("Timestamp")?).ok()?.parse().ok()?;
    Timestamp::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?).ok()
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
