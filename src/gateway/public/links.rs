//! The links under which contacts confirm messages: made for a delivery, and known to the store by their hash alone.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::link_hash;
use crate::ids::RecordId;
use crate::store::answers::NewLink;

/// Random bytes of the token in a link.
const LINK_TOKEN_BYTES: usize = 16;

/// The links in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The address of the public pages, without a slash at its end.
    pub base: String,
    /// How long a link can be used.
    pub ttl: Duration,
}

impl Links {
    /// A link for a delivery, and what the store keeps of it. `None`: the system gives no random numbers; the message goes without.
    #[must_use]
    pub fn make(&self, delivery: RecordId) -> Option<(String, NewLink)> {
        let mut random = [0; LINK_TOKEN_BYTES];
        getrandom::fill(&mut random).ok()?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let expires_at = Timestamp::now().checked_add(self.ttl).ok()?;
        let kept = NewLink { hash: link_hash(&token), delivery, expires_at };
        Some((format!("{}/a/{token}", self.base), kept))
    }
}
