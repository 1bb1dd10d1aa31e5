//! Tells callers who wait with music at which place they are, and how long it may take, where their account says so.
//!
//! The dialplan reports such a caller (`ToritsugiWaits`). From then on the daemon asks the PBX for the queue's callers, and
//! whispers into the caller's channel over the music; operators ring on meanwhile. Asterisk's own announcements would be spoken by
//! the thread that also looks for an operator.
//!
//! | time | the caller hears |
//! |---|---|
//! | after [`FIRST_AFTER`], then each [`EVERY`] | the place |
//! | with it, if the queue has answered [`ANSWERED_MIN`] calls, and the caller has not waited so long already | the minutes that others waited, less those that this one has |
//! | the caller is no longer in the queue | nothing more |
//!
//! Invariant: the loop waits for nothing here; without the daemon callers hear music, and nothing else changes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::core::Core;
use crate::ami::action::Action;
use crate::ami::client::Handle;
use crate::ami::event::{Event, user_text};
use crate::ami::frame::Frame;
use crate::ids::{ChannelId, QueueName};
use crate::pbx_link::Following;

/// The event by which the dialplan reports a caller who is to hear the place.
const EVENT: &str = "ToritsugiWaits";
/// How long a caller has waited when the place is spoken first.
const FIRST_AFTER: Duration = Duration::from_secs(10);
/// How long afterwards it is spoken again.
const EVERY: Duration = Duration::from_secs(30);
/// How often a task looks whether the PBX is still followed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Most callers who hear their place at a time; further ones hear music.
const LISTENERS_MAX: usize = 500;
/// The last place that has a sound of its own.
const PLACE_MAX: u64 = 9;
/// The longest wait that is spoken, in minutes.
const MINUTES_MAX: u64 = 10;
/// With fewer answered calls, a queue's mean wait says little.
const ANSWERED_MIN: u64 = 5;

/// The callers who hear their place.
#[derive(Debug)]
pub(super) struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LISTENERS_MAX)))
    }
}

impl Core {
    /// Begins to tell a caller the place, if `event` says that one waits.
    pub(super) fn note_listener(&mut self, event: &Event) {
        let Event::User { name, channel, fields } = event else { return };
        if name != EVENT || !self.deps.bus.is_leader() {
            return;
        }
        let Some(queue) = user_text(fields, "Queue").and_then(|name| QueueName::parse(name).ok()) else {
            return;
        };
        let Ok(place) = Arc::clone(&self.listeners.0).try_acquire_owned() else { return };
        let (pbx, following, caller) =
            (self.deps.pbx.clone(), self.deps.following.clone(), channel.id.clone());
        self.deps.tasks.spawn(async move {
            tell(&pbx, &following, &caller, &queue).await;
            drop(place);
        });
    }
}

/// Speaks until the caller is no longer in the queue, or the PBX is not followed.
async fn tell(pbx: &Handle, following: &Following, caller: &ChannelId, queue: &QueueName) {
    let mut pause = FIRST_AFTER;
    loop {
        let mut waited = Duration::ZERO;
        while waited < pause {
            tokio::time::sleep(LOOK_INTERVAL).await;
            waited += LOOK_INTERVAL;
            if !following.is_up() {
                return;
            }
        }
        pause = EVERY;
        let Ok(action) = Action::queue_callers(queue) else { return };
        let Ok(frames) = pbx.list_frames(action).await else { return };
        let Some(sounds) = sounds_of(&frames, caller) else { return };
        let Ok(action) = Action::whisper(caller, &sounds) else { return };
        pbx.send(action).await;
    }
}

/// What this caller hears, joined by `&`; `None` if the caller does not wait there.
fn sounds_of(frames: &[Frame], caller: &ChannelId) -> Option<String> {
    let number = |frame: &Frame, key: &str| frame.text(key).and_then(|text| text.parse::<u64>().ok());
    let is_the_caller = |frame: &&Frame| {
        frame.text("Event").as_deref() == Some("QueueEntry")
            && frame.text("Uniqueid").as_deref() == Some(caller.as_str())
    };
    let entry = frames.iter().find(is_the_caller)?;
    let place = number(entry, "Position")?;
    let mut sounds = if place > PLACE_MAX {
        "toritsugi/place/many".to_owned()
    } else {
        format!("toritsugi/place/{place}")
    };
    let queue = frames.iter().find(|frame| frame.text("Event").as_deref() == Some("QueueParams"));
    let answered = queue.and_then(|queue| number(queue, "Completed")).unwrap_or(0);
    let mean_s = queue.and_then(|queue| number(queue, "Holdtime")).unwrap_or(0);
    let left_s = mean_s.saturating_sub(number(entry, "Wait").unwrap_or(0));
    let minutes = left_s.div_ceil(60);
    if answered >= ANSWERED_MIN && (1..=MINUTES_MAX).contains(&minutes) {
        sounds.push_str(&format!("&toritsugi/minutes/{minutes}"));
    }
    Some(sounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_spoken_and_the_wait_where_others_tell_it() {
        let frame = |text: String| {
            Frame::parse(format!("{}\r\n\r\n", text.replace(' ', "\r\n").replace('=', ": "))).unwrap()
        };
        let queue = |answered: u64, mean_s: u64| {
            frame(format!("Event=QueueParams Queue=q Completed={answered} Holdtime={mean_s}"))
        };
        let entry = |place: u64, waits_s: u64| {
            frame(format!("Event=QueueEntry Queue=q Position={place} Uniqueid=1.7 Wait={waits_s}"))
        };
        let caller = ChannelId::parse("1.7").unwrap();
        for (frames, expected) in [
            (vec![queue(5, 130), entry(2, 20)], Some("toritsugi/place/2&toritsugi/minutes/2")),
            (vec![queue(5, 130), entry(2, 130)], Some("toritsugi/place/2")),
            (vec![queue(4, 130), entry(2, 20)], Some("toritsugi/place/2")),
            (vec![queue(5, 700), entry(12, 0)], Some("toritsugi/place/many")),
            (vec![entry(1, 0)], Some("toritsugi/place/1")),
            (vec![queue(5, 130)], None),
        ] {
            assert_eq!(sounds_of(&frames, &caller).as_deref(), expected);
        }
        assert_eq!(sounds_of(&[entry(1, 0)], &ChannelId::parse("1.8").unwrap()), None);
    }
}
