//! What a form of a public page was made for, and when: signed, so that an answer belongs to a page that was shown, long enough for a
//! person to read it.
//!
//! A nonce is `{milliseconds}.{HMAC-SHA-256 of the link, the revision and that time, 32 hex digits}`.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::store::answers::LinkHash;

/// The shortest time between a page and its answer.
pub(crate) const AGE_MIN: Duration = Duration::from_secs(2);
/// The longest.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(2 * 3600);
/// Separates this use of the daemons' key from others.
const LABEL: &[u8] = b"toritsugi acknowledgement page";

/// The key that signs forms.
pub(super) struct NonceKey(Hmac<Sha256>);

impl NonceKey {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(LABEL);
        Self(mac)
    }

    pub(super) fn make(&self, link: &LinkHash, revision: u32, now: Timestamp) -> String {
        let at = now.as_millisecond();
        format!("{at}.{}", self.sign(link, revision, at))
    }

    pub(super) fn is_valid(&self, nonce: &str, link: &LinkHash, revision: u32, now: Timestamp) -> bool {
        let Some((at, signature)) = nonce.split_once('.') else { return false };
        let Ok(at) = at.parse::<i64>() else { return false };
        let age = now.as_millisecond().saturating_sub(at);
        let is_signed: bool = self.sign(link, revision, at).as_bytes().ct_eq(signature.as_bytes()).into();
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        is_signed && (millis(AGE_MIN)..=millis(AGE_MAX)).contains(&age)
    }

    fn sign(&self, link: &LinkHash, revision: u32, at: i64) -> String {
        let mut mac = self.0.clone();
        mac.update(link);
        mac.update(&revision.to_be_bytes());
        mac.update(&at.to_be_bytes());
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_for_one_link_one_revision_and_the_time_in_which_a_person_reads() {
        let (key, link) = (NonceKey::new(&[7; 32]), [1; 32]);
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let nonce = key.make(&link, 1, at(0));
        for (link, revision, now, expected) in [
            (link, 1, at(2), true),
            (link, 1, at(7_200), true),
            (link, 1, at(1), false),
            (link, 1, at(-1), false),
            (link, 1, at(7_201), false),
            (link, 2, at(9), false),
            ([2; 32], 1, at(9), false),
        ] {
            assert_eq!(key.is_valid(&nonce, &link, revision, now), expected, "{revision} {now}");
        }
        assert!(!NonceKey::new(&[8; 32]).is_valid(&nonce, &link, 1, at(9)));
        for forged in ["", ".", "1700000000000.", "x.y", &nonce[1..]] {
            assert!(!key.is_valid(forged, &link, 1, at(9)), "{forged}");
        }
    }
}
