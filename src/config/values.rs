//! Deserialisation of single values, with their ranges. For an optional value `""` means "not set".
//!
//! Invariant: every error message names the allowed values.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use smol_str::SmolStr;

use crate::contract::url_template::UrlTemplate;
use crate::gateway::AddressRange;
use crate::messages::RequiredMessages;
use crate::store::PostgresAddress;

/// A whole number between two limits.
struct IntegerRange {
    min: u64,
    max: u64,
}

impl Visitor<'_> for IntegerRange {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.min, self.max)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        if (self.min..=self.max).contains(&value) {
            Ok(value)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(value), &self))
        }
    }
}

fn integer<'de, D: Deserializer<'de>>(d: D, min: u64, max: u64) -> Result<u64, D::Error> {
    d.deserialize_u64(IntegerRange { min, max })
}

/// A TCP port.
pub(super) fn port<'de, D: Deserializer<'de>>(d: D) -> Result<u16, D::Error> {
    let port = integer(d, 1, u64::from(u16::MAX))?;
    u16::try_from(port).map_err(D::Error::custom)
}

/// A count from `MIN` to `MAX`.
pub(super) fn count<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<usize, D::Error> {
    usize::try_from(integer(d, MIN, MAX)?).map_err(D::Error::custom)
}

/// `MIN` to `MAX` KiB, as bytes.
pub(super) fn kib<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<usize, D::Error> {
    usize::try_from(integer(d, MIN, MAX)? * 1024).map_err(D::Error::custom)
}

/// `MIN` to `MAX` milliseconds.
pub(super) fn millis<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Duration, D::Error> {
    integer(d, MIN, MAX).map(Duration::from_millis)
}

/// `MIN` to `MAX` seconds.
pub(super) fn seconds<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Duration, D::Error> {
    integer(d, MIN, MAX).map(Duration::from_secs)
}

/// 1 to `MAX` seconds; `None` for 0, which means never.
pub(super) fn seconds_or_never<'de, D: Deserializer<'de>, const MAX: u64>(
    d: D,
) -> Result<Option<Duration>, D::Error> {
    integer(d, 0, MAX).map(|seconds| (seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// 1 to `MAX` days; `None` for 0, which means never.
pub(super) fn days_or_never<'de, D: Deserializer<'de>, const MAX: u64>(
    d: D,
) -> Result<Option<Duration>, D::Error> {
    integer(d, 0, MAX).map(|days| (days > 0).then(|| Duration::from_secs(days * 86_400)))
}

/// `MIN` to `MAX` days.
pub(super) fn days<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Duration, D::Error> {
    integer(d, MIN, MAX).map(|days| Duration::from_secs(days * 86_400))
}

/// `MIN` to `MAX` hours.
pub(super) fn hours<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    d: D,
) -> Result<Duration, D::Error> {
    integer(d, MIN, MAX).map(|hours| Duration::from_secs(hours * 3600))
}

/// Printable ASCII without spaces: a host, a user, an endpoint, a context.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "SmolStr")]
pub(super) struct AsciiWord(SmolStr);

impl TryFrom<SmolStr> for AsciiWord {
    type Error = &'static str;

    fn try_from(text: SmolStr) -> Result<Self, Self::Error> {
        /// Longest name of a channel or context in Asterisk.
        const WORD_BYTES_MAX: usize = 79;
        if !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err("must be 1 to 79 characters of printable ASCII without spaces")
        }
    }
}

/// One word.
pub(super) fn word<'de, D: Deserializer<'de>>(d: D) -> Result<SmolStr, D::Error> {
    AsciiWord::deserialize(d).map(|word| word.0)
}

/// A list of words; it may be empty.
pub(super) fn words<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<SmolStr>, D::Error> {
    Ok(Vec::<AsciiWord>::deserialize(d)?.into_iter().map(|word| word.0).collect())
}

/// A file, or `None` for "".
pub(super) fn optional_path<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(d)?;
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

/// A file.
pub(super) fn path<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    optional_path(d)?.ok_or_else(|| D::Error::custom("must name a file"))
}

/// The address of a PostgreSQL database, or `None` for "".
pub(super) fn optional_postgres<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<PostgresAddress>, D::Error> {
    let text = String::deserialize(d)?;
    if text.is_empty() { Ok(None) } else { PostgresAddress::parse(&text).map(Some).map_err(D::Error::custom) }
}

/// A word, or `None` for "".
pub(super) fn optional_word<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SmolStr>, D::Error> {
    let text = SmolStr::deserialize(d)?;
    if text.is_empty() {
        Ok(None)
    } else {
        AsciiWord::try_from(text).map(|w| Some(w.0)).map_err(D::Error::custom)
    }
}

/// A URL template, or `None` for "".
pub(super) fn optional_url_template<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<UrlTemplate>, D::Error> {
    let text = String::deserialize(d)?;
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
}

/// A country as two capital letters.
pub(super) fn country<'de, D: Deserializer<'de>>(d: D) -> Result<SmolStr, D::Error> {
    let text = SmolStr::deserialize(d)?;
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        Ok(text)
    } else {
        Err(D::Error::custom("must be a country as two capital letters, for instance JP"))
    }
}

/// An IANA time zone.
pub(super) fn time_zone<'de, D: Deserializer<'de>>(d: D) -> Result<TimeZone, D::Error> {
    let name = SmolStr::deserialize(d)?;
    TimeZone::get(&name).map_err(|_| {
        D::Error::custom(format_args!(
            "unknown time zone \"{name}\": use an IANA name such as Asia/Tokyo (is the package tzdata installed?)"
        ))
    })
}

/// The directives of a log filter.
pub(super) fn log_filter<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_) if !text.trim().is_empty() => Ok(text),
        _ => Err(D::Error::custom(
            "must be error, warn, info, debug or trace, for instance info,toritsugi::ami=debug",
        )),
    }
}

/// Origins of web pages: scheme, host and port, no path.
pub(super) fn origins<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<SmolStr>, D::Error> {
    let origins = Vec::<SmolStr>::deserialize(d)?;
    for origin in &origins {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let is_host = |host: &str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
        };
        if !host.is_some_and(is_host) {
            return Err(D::Error::custom(format_args!(
                "\"{origin}\" is not an origin: write https:// and the host, without a path"
            )));
        }
    }
    Ok(origins)
}

/// Which calls need a message. `true` and `false` are the words of earlier versions.
pub(super) fn required_messages<'de, D: Deserializer<'de>>(d: D) -> Result<RequiredMessages, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Earlier(bool),
        Word(String),
    }
    match Written::deserialize(d)? {
        Written::Earlier(true) => Ok(RequiredMessages::Answered),
        Written::Earlier(false) => Ok(RequiredMessages::Off),
        Written::Word(word) => match word.trim() {
            "off" | "false" => Ok(RequiredMessages::Off),
            "script" => Ok(RequiredMessages::Script),
            "answered" | "true" => Ok(RequiredMessages::Answered),
            _ => Err(D::Error::custom("must be \"off\", \"script\" or \"answered\"")),
        },
    }
}

/// Addresses and networks.
pub(super) fn address_ranges<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<AddressRange>, D::Error> {
    let ranges = Vec::<SmolStr>::deserialize(d)?;
    let parse =
        |text: SmolStr| text.parse().map_err(|error| D::Error::custom(format_args!("\"{text}\" {error}")));
    ranges.into_iter().map(parse).collect()
}
