//! Replay: a recorded manager session through the decoder and the call model, with the same result each time.
//!
//! A transcript is the bytes as they came from the PBX. Recorded frames bear no time unless manager.conf has
//! `timestampevents = yes`; without it each frame counts as [`FRAME_STEP`] after the one before, so waits of the
//! model (a pop waits for its card) run on that clock.
//!
//! Invariant: pure but for reading the bytes it is given; nothing of the host's time or randomness gets in.

use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::codec::Decoder;

use crate::ami::event::Event;
use crate::ami::frame::{Decoded, Frame, FrameCodec, FrameError};
use crate::announce::announce;
use crate::bus::Draft;
use crate::call::{Census, Input, Model, Output, Plan};
use crate::identity::Identity;
use crate::ids::CallId;

/// Time between two frames that do not tell theirs.
pub const FRAME_STEP: Duration = Duration::from_millis(1);
/// How far the clock runs on after the last frame, so that every wait ends.
const TAIL: Duration = Duration::from_secs(30);

/// What a transcript made.
#[derive(Debug)]
pub struct Replay {
    /// The events of the public contract, each with the number of the frame that caused it (from 1).
    pub told: Vec<(u64, Draft)>,
    /// What the directory was asked.
    pub asked: Vec<(CallId, Identity)>,
    /// How much of what there was.
    pub counts: Counts,
    /// What the model still holds at the end.
    pub left: Census,
}

/// Frames by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All frames.
    pub frames: u64,
    /// Those that the model used.
    pub used: u64,
    /// Those that lacked a field.
    pub incomplete: u64,
    /// Those set aside because no code in Asterisk writes such a frame.
    pub quarantined: u64,
}

/// Runs a transcript from its greeting (or, without one, from its first frame) to its end.
///
/// # Errors
/// When the bytes are no manager session.
pub fn replay(bytes: &[u8], plan: Plan) -> Result<Replay, FrameError> {
    let mut codec = match bytes.starts_with(b"Asterisk Call Manager/") {
        true => FrameCodec::new(),
        false => FrameCodec::without_banner(),
    };
    let mut run = Run {
        model: Model::new(plan),
        now: Timestamp::UNIX_EPOCH,
        told: Vec::new(),
        asked: Vec::new(),
        counts: Counts::default(),
        listing: false,
    };
    let mut rest = BytesMut::from(bytes);
    while let Some(decoded) = codec.decode_eof(&mut rest)? {
        match decoded {
            Decoded::Banner(_) => {}
            Decoded::Frame(frame) => run.frame(&frame),
            Decoded::Quarantined(_) => {
                run.counts.frames += 1;
                run.counts.quarantined += 1;
            }
        }
    }
    let end = later(run.now, TAIL);
    run.pass_until(end);
    let left = run.model.census();
    Ok(Replay { told: run.told, asked: run.asked, counts: run.counts, left })
}

struct Run {
    model: Model,
    now: Timestamp,
    told: Vec<(u64, Draft)>,
    asked: Vec<(CallId, Identity)>,
    counts: Counts,
    /// The lines of a list of channels are passing.
    listing: bool,
}

impl Run {
    fn frame(&mut self, frame: &Frame) {
        self.counts.frames += 1;
        let at = time_of(frame).unwrap_or_else(|| later(self.now, FRAME_STEP)).max(self.now);
        self.pass_until(at);
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

    fn pass_until(&mut self, at: Timestamp) {
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
                Output::Notice(notice) => self.told.push((self.counts.frames, announce(&notice))),
                Output::AskChannel { .. } => {}
                Output::Identify { call, identity, .. } => self.asked.push((call, identity)),
            }
        }
    }
}

/// `Timestamp: 1795285819.123456` (seconds), where the PBX is told to add it.
fn time_of(frame: &Frame) -> Option<Timestamp> {
    let seconds: f64 = std::str::from_utf8(frame.get("Timestamp")?).ok()?.parse().ok()?;
    Timestamp::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?).ok()
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
