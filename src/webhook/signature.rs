//! The signature that a receiver verifies: Standard Webhooks (standardwebhooks.com), for which libraries exist.
//!
//! `webhook-signature: v1,` and the base64 of HMAC-SHA256 over `webhook-id`, `.`, `webhook-timestamp`, `.` and the
//! body. A receiver compares it in constant time, rejects a timestamp (Unix seconds) that differs by minutes from its
//! own clock, and ignores an id that it has already processed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Prefix of a secret in the scheme's format; base64 follows.
const PREFIX: &str = "whsec_";

/// The value of `webhook-signature`. A secret `whsec_…` is decoded; any other secret is used as the key directly.
#[must_use]
pub fn sign(secret: &Secret, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let text = secret.expose();
    let decoded = text.strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
    let key = decoded.unwrap_or_else(|| text.as_bytes().to_vec());
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key fits");
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac and base64.
    #[test]
    fn the_signature_is_that_of_the_scheme() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        let plain = Secret::new("合言葉");
        assert_ne!(sign(&plain, "a-1", 1, b"x"), sign(&plain, "a-1", 2, b"x"));
        assert_ne!(sign(&plain, "a-1", 1, b"x"), sign(&plain, "a-2", 1, b"x"));
    }
}
