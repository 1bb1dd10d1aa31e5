//! A mail address that every part of the daemon can write into a header or an SMTP command.
//!
//! | written as | taken |
//! |---|---|
//! | `name@example.jp`, dots between words | yes |
//! | `name@日本語.jp` | yes; the domain is stored as `xn--…` |
//! | `a..b@docomo.ne.jp`, `a.@ezweb.ne.jp` | yes: these carriers gave such addresses out until 2009; sent as `"a..b"@…` |
//! | `a..b@example.jp` | no: no other provider has such an address |
//! | spaces, control characters, several `@`, a name outside ASCII | no |
//!
//! Invariant: the text is ASCII without CR, LF, NUL, space, quotes and angle brackets, so it can end neither a header line
//! nor an SMTP command.

use std::fmt;
use std::str::FromStr;

/// Longest address (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;
/// Longest part before the `@` (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Longest label of a domain (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;
/// Carriers whose old addresses have dots where RFC 5322 allows none.
const LOOSE_DOTS: [&str; 4] = ["docomo.ne.jp", "ezweb.ne.jp", "au.com", "disney.ne.jp"];

/// A mail address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MailAddress {
    /// Without quotes.
    local: Box<str>,
    /// In lower case and ASCII.
    domain: Box<str>,
}

/// Why a text is not a mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailAddressError {
    /// No `@`, or nothing on one of its sides.
    #[error("write it as name@example.com")]
    Shape,
    /// A character that no address has before its `@`.
    #[error("the part before the @ has a character that mail addresses do not have")]
    Local,
    /// A dot at an end, or two together.
    #[error("a dot may stand neither first nor last before the @, nor beside another dot")]
    Dots,
    /// The domain is none.
    #[error("the part after the @ is not a domain such as example.com")]
    Domain,
    /// Too long.
    #[error("it is longer than a mail address may be")]
    Length,
}

impl MailAddress {
    /// The part before the `@`, without quotes.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain, in lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether the part before the `@` has dots that RFC 5322 does not allow, so that it must be quoted. Some relays refuse
    /// such an address.
    #[must_use]
    pub fn is_quoted(&self) -> bool {
        has_loose_dots(&self.local)
    }

    /// The part before the `@` as it is sent: in quotes where it needs them.
    #[must_use]
    pub fn wire_local(&self) -> String {
        if self.is_quoted() { format!("\"{}\"", self.local) } else { self.local.to_string() }
    }

    /// The address as it stands in a header and in SMTP.
    #[must_use]
    pub fn wire(&self) -> String {
        format!("{}@{}", self.wire_local(), self.domain)
    }

    /// An address that nobody has (RFC 2606).
    #[must_use]
    pub fn example() -> Self {
        Self { local: "report".into(), domain: "example.jp".into() }
    }

    /// The plus-address of this one: `name+tag@domain`.
    pub(super) fn tagged(&self, tag: &str) -> Self {
        let at = self.local.len();
        let mut local = String::with_capacity(at + 1 + tag.len());
        local.push_str(&self.local);
        local.push('+');
        local.push_str(tag);
        Self { local: local.into(), domain: self.domain.clone() }
    }

    /// The address for a log or an event: the first character and the domain.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{}…@{}", self.local.chars().next().unwrap_or_default(), self.domain)
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl FromStr for MailAddress {
    type Err = MailAddressError;

    fn from_str(text: &str) -> Result<Self, MailAddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(MailAddressError::Shape)?;
        if local.is_empty() || domain.is_empty() {
            return Err(MailAddressError::Shape);
        }
        let domain = domain_of(domain)?;
        let is_loose = LOOSE_DOTS.contains(&domain.as_str());
        // A person may have copied the quoted form.
        let local = local
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .filter(|_| is_loose)
            .unwrap_or(local);
        if local.is_empty() || !local.bytes().all(is_local_byte) {
            return Err(MailAddressError::Local);
        }
        if has_loose_dots(local) && !is_loose {
            return Err(MailAddressError::Dots);
        }
        if local.len() > LOCAL_BYTES_MAX || local.len() + 1 + domain.len() > ADDRESS_BYTES_MAX {
            return Err(MailAddressError::Length);
        }
        Ok(Self { local: local.into(), domain: domain.into() })
    }
}

/// The characters of an atom (RFC 5322, 3.2.3), and the dot.
fn is_local_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte)
}

fn has_loose_dots(local: &str) -> bool {
    local.starts_with('.') || local.ends_with('.') || local.contains("..")
}

fn domain_of(text: &str) -> Result<String, MailAddressError> {
    let domain = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::STD3)
        .map_err(|_| MailAddressError::Domain)?
        .into_owned();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_BYTES_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    let is_address = last.bytes().all(|byte| byte.is_ascii_digit());
    if domain.contains('.') && !is_address && domain.split('.').all(is_label) {
        Ok(domain)
    } else {
        Err(MailAddressError::Domain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_read() {
        for (text, wire) in [
            ("sasaki@sakura.example.jp", "sasaki@sakura.example.jp"),
            ("a.b+tag@Example.COM", "a.b+tag@example.com"),
            ("o'neil_1@x-y.example", "o'neil_1@x-y.example"),
            ("a@日本語.jp", "a@xn--wgv71a119e.jp"),
            ("midori..dr@docomo.ne.jp", "\"midori..dr\"@docomo.ne.jp"),
            ("dr.@ezweb.ne.jp", "\"dr.\"@ezweb.ne.jp"),
            (".dr@docomo.ne.jp", "\".dr\"@docomo.ne.jp"),
            ("\"a..b\"@docomo.ne.jp", "\"a..b\"@docomo.ne.jp"),
        ] {
            let address: MailAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.wire(), wire);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn what_no_server_takes_is_refused_with_the_reason() {
        use MailAddressError::{Domain, Dots, Length, Local, Shape};
        for (text, error) in [
            ("sasaki", Shape),
            ("@example.jp", Shape),
            ("a@", Shape),
            ("a b@example.jp", Local),
            ("a@b@example.jp", Local),
            ("佐々木@example.jp", Local),
            ("a\r\nRCPT TO:<b@example.jp", Local),
            ("a\0@example.jp", Local),
            ("\"a b\"@docomo.ne.jp", Local),
            ("\"a..b\"@example.jp", Local),
            ("a..b@example.jp", Dots),
            (".a@example.jp", Dots),
            ("a.@example.jp", Dots),
            ("a@b.c d", Domain),
            ("a@example", Domain),
            ("a@-x.jp", Domain),
            ("a@x..jp", Domain),
            ("a@x.jp.", Domain),
            ("a@192.0.2.1", Domain),
            ("a@[192.0.2.1]", Domain),
            ("a@x.jp>\r\nDATA", Domain),
            (&format!("{}@example.jp", "a".repeat(65)), Length),
            (&format!("a@{}jp", "abcdefgh.".repeat(30)), Length),
        ] {
            assert_eq!(text.parse::<MailAddress>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_masked_address_names_nobody() {
        let address: MailAddress = "sasaki@example.jp".parse().unwrap();
        assert_eq!(address.masked(), "s…@example.jp");
    }

    proptest! {
        /// Whatever is accepted can stand between angle brackets of an SMTP command.
        #[test]
        fn an_address_holds_nothing_that_ends_a_command(text in "[ -~\r\n\0あ]{0,20}@[ -~\r\n日]{0,20}") {
            if let Ok(address) = text.parse::<MailAddress>() {
                let wire = address.wire();
                prop_assert!(wire.bytes().all(|b| b.is_ascii_graphic() && !b"<>\\".contains(&b)), "{wire:?}");
                prop_assert_eq!(address.to_string().parse::<MailAddress>(), Ok(address));
            }
        }
    }
}
