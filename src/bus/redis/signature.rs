//! Signatures of requests and answers between daemons (HMAC-SHA256).
//!
//! A request is signed with its id, its sender, its PBX, its time and its body; an answer with the id of its request and its
//! body. So nobody who can write to Redis, but has not the key, makes a request or an answer, or sends one under another id
//! or to another PBX. The time bounds how long a request can be sent again; `rpc.rs` remembers the ids of that time.
//!
//! Invariant: each field goes into the signature with its length, so that two different messages never have the same bytes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The key that all daemons of a group share.
#[derive(Clone)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// The key of these bytes, which came from the system's random source.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn sign(&self, message: &Message<'_>) -> String {
        let code = self.mac(message).finalize().into_bytes();
        code.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `signature` is that of `message`; compares in constant time.
    pub(super) fn is_signature_of(&self, message: &Message<'_>, signature: &str) -> bool {
        let digits = signature.as_bytes();
        let Some(bytes) = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<Vec<u8>>>()
        else {
            return false;
        };
        self.mac(message).verify_slice(&bytes).is_ok()
    }

    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    fn mac(&self, message: &Message<'_>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key fits");
        let fields = match *message {
            Message::Request { pbx, id, from, at_ms, body } => ["request", pbx, id, from, at_ms, body],
            Message::Answer { id, to, body } => ["answer", "", id, to, "", body],
        };
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field.as_bytes());
        }
        mac
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Message<'a> {
    /// A request to the leader of `pbx`.
    Request { pbx: &'a str, id: &'a str, from: &'a str, at_ms: &'a str, body: &'a str },
    /// The answer to request `id` of the daemon `to`.
    Answer { id: &'a str, to: &'a str, body: &'a str },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_one_message_and_one_key() {
        let key = SigningKey::new([7; 32]);
        let request = Message::Request { pbx: "tokyo", id: "a-1", from: "a", at_ms: "12", body: "hang up" };
        let signature = key.sign(&request);
        assert!(key.is_signature_of(&request, &signature));
        assert!(!SigningKey::new([8; 32]).is_signature_of(&request, &signature));
        for other in [
            Message::Request { pbx: "osaka", id: "a-1", from: "a", at_ms: "12", body: "hang up" },
            Message::Request { pbx: "tokyo", id: "a-2", from: "a", at_ms: "12", body: "hang up" },
            Message::Request { pbx: "tokyo", id: "a-1", from: "b", at_ms: "12", body: "hang up" },
            Message::Request { pbx: "tokyo", id: "a-1", from: "a", at_ms: "13", body: "hang up" },
            Message::Request { pbx: "tokyo", id: "a-1", from: "a", at_ms: "12", body: "hang up " },
            Message::Request { pbx: "tokyo", id: "a-", from: "1a", at_ms: "12", body: "hang up" },
            Message::Answer { id: "a-1", to: "a", body: "hang up" },
        ] {
            assert!(!key.is_signature_of(&other, &signature), "{other:?}");
        }
        for text in ["", "zz", "あ", &signature[1..], &signature[2..], &format!("{signature}00")] {
            assert!(!key.is_signature_of(&request, text), "{text}");
        }
    }
}
