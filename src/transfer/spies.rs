//! Who hears whom with ChanSpy: a channel that is spied on may not be moved, since Asterisk can then refuse to bridge it
//! again (asterisk#2134). Supervision detaches before a transfer; here it is seen whether that has happened.
//!
//! Invariant: only what events and lists said; at most [`SPIES_MAX`] are remembered.

use std::collections::HashMap;

use crate::ami::event::Event;
use crate::ids::ChannelId;

/// Most channels that spy at the same time.
pub(super) const SPIES_MAX: usize = 4_096;
/// The application as lists of channels name it.
const APPLICATION: &str = "ChanSpy";

/// By the spying channel: the one it hears.
#[derive(Debug, Default)]
pub(super) struct Spies(HashMap<ChannelId, ChannelId>);

impl Spies {
    /// Whether an event is about spying.
    pub(super) fn wants(&self, event: &Event) -> bool {
        match event {
            Event::SpyStarted { .. } | Event::SpyStopped { .. } => true,
            Event::ChannelListed { application, .. } => application == APPLICATION,
            Event::ChannelGone { channel, .. } => self.0.contains_key(&channel.id),
            _ => false,
        }
    }

    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::SpyStarted { spyer, spyee } => self.hears(&spyer.id, spyee.id.clone()),
            Event::ChannelListed { channel, application, arguments, .. } if application == APPLICATION => {
                let spyee = arguments.split(',').next().unwrap_or_default();
                if let Ok(spyee) = ChannelId::parse(spyee) {
                    self.hears(&channel.id, spyee);
                }
            }
            Event::SpyStopped { spyer, .. } => drop(self.0.remove(&spyer.id)),
            Event::ChannelGone { channel, .. } => drop(self.0.remove(&channel.id)),
            _ => {}
        }
    }

    /// Before a list, which names all of them.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Whether somebody hears one of these channels.
    pub(super) fn on(&self, channels: [&ChannelId; 2]) -> bool {
        self.0.values().any(|spyee| channels.contains(&spyee))
    }

    fn hears(&mut self, spyer: &ChannelId, spyee: ChannelId) {
        if self.0.len() < SPIES_MAX || self.0.contains_key(spyer) {
            self.0.insert(spyer.clone(), spyee);
        }
    }
}
