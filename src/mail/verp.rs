//! The envelope sender of each mail, by which a returned mail says which delivery it is about (VERP).
//!
//! `bounce+TOKEN@domain`: the token is the delivery's id and the first bytes of an HMAC of it, in letters and digits of one case,
//! which no mail system changes. Nobody without the installation's key makes a token, so nobody outside can mark a mail as
//! returned by guessing its id.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::MailAddress;

/// Bytes of the proof.
const PROOF_BYTES: usize = 6;
/// Characters of a token.
const TOKEN_CHARS: usize = (16 + PROOF_BYTES) * 2;

/// Where mails come back, and the key that proves it.
#[derive(Clone)]
pub struct ReturnPath {
    address: MailAddress,
    key: [u8; 32],
}

impl std::fmt::Debug for ReturnPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReturnPath").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What an address says about the delivery that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It is no return address of this installation.
    None,
    /// It looks like one, and its proof is wrong.
    Forged,
    /// This delivery.
    Of(Uuid),
}

impl ReturnPath {
    /// Mails come back to plus-addresses of `address`; `group_key` is the installation's.
    #[must_use]
    pub fn new(address: MailAddress, group_key: &[u8; 32]) -> Self {
        Self { address, key: digest(group_key, b"toritsugi return path") }
    }

    /// The same for the answers of people, with a key of its own: who may answer a mail cannot return it.
    #[must_use]
    pub fn of_answers(address: MailAddress, group_key: &[u8; 32]) -> Self {
        Self { address, key: digest(group_key, b"toritsugi answers by mail") }
    }

    /// The same at another address, of which this one reads what comes back if the part before the `@` is the same.
    #[must_use]
    pub fn at(&self, address: MailAddress) -> Self {
        Self { address, key: self.key }
    }

    /// The envelope sender of a delivery.
    #[must_use]
    pub fn of(&self, delivery: Uuid) -> MailAddress {
        let mut token = delivery.simple().to_string();
        for byte in self.proof(delivery) {
            // Writing to a text does not fail.
            let _ = write!(token, "{byte:02x}");
        }
        self.address.tagged(&token)
    }

    /// What an address says: an envelope recipient, in any case.
    #[must_use]
    pub fn read(&self, address: &str) -> Proof {
        let Some((local, _)) = address.rsplit_once('@') else { return Proof::None };
        let local = local.to_ascii_lowercase();
        let token =
            local.rsplit_once('+').filter(|(name, _)| *name == self.address.local().to_ascii_lowercase());
        let Some((_, token)) = token else { return Proof::None };
        if token.len() != TOKEN_CHARS || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Proof::Forged;
        }
        let (id, proof) = token.split_at(32);
        let Ok(id) = Uuid::try_parse(id) else { return Proof::Forged };
        let expected: String = self.proof(id).iter().map(|byte| format!("{byte:02x}")).collect();
        if bool::from(expected.as_bytes().ct_eq(proof.as_bytes())) { Proof::Of(id) } else { Proof::Forged }
    }

    fn proof(&self, delivery: Uuid) -> [u8; PROOF_BYTES] {
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(&digest(&self.key, delivery.as_bytes())[..PROOF_BYTES]);
        proof
    }
}

fn digest(key: &[u8], of: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(of);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: u8) -> ReturnPath {
        ReturnPath::new("bounce@report.example.jp".parse().unwrap(), &[key; 32])
    }

    #[test]
    fn a_return_address_names_its_delivery_in_any_case() {
        let id = Uuid::from_u128(0x019a_0b1c_0000_7000_8000_0000_0000_0007);
        let address = path(1).of(id);
        let text = address.to_string();
        assert!(address.local().len() <= 64 && text.ends_with("@report.example.jp"), "{text}");
        assert_eq!(text.parse::<MailAddress>().unwrap(), address);
        for text in [text.clone(), text.to_uppercase()] {
            assert_eq!(path(1).read(&text), Proof::Of(id));
        }
        let elsewhere = path(1).at("bounce@clinic.example.jp".parse().unwrap()).of(id).to_string();
        assert!(elsewhere.ends_with("@clinic.example.jp"), "{elsewhere}");
        assert_eq!(path(1).read(&elsewhere), Proof::Of(id));
        // Another installation's key, another delivery's proof.
        assert_eq!(path(2).read(&text), Proof::Forged);
        let other = path(1).of(Uuid::from_u128(8)).to_string();
        let mixed = format!("{}{}", &text[..text.len() - 31], &other[other.len() - 31..]);
        assert_eq!(path(1).read(&mixed), Proof::Forged);
        for text in
            ["bounce@report.example.jp", "sasaki@example.jp", "x", "", "+@", "other+0@report.example.jp"]
        {
            assert_eq!(path(1).read(text), Proof::None, "{text}");
        }
        assert_eq!(path(1).read("bounce+0123@report.example.jp"), Proof::Forged);
    }
}
