//! The name of a fax's file, which the dialplan makes: `CHANNEL_NUMBER.tif`.
//!
//! Invariant: a name has no path and no hidden file in it, whatever the PBX reports.

use std::fmt;

use smol_str::SmolStr;

use crate::spool::{SpoolName, is_channel_part};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// Longest number in a name.
const NUMBER_CHARS_MAX: usize = 20;
/// How a name ends.
const ENDING: &str = ".tif";

/// The name of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FaxFileName(SmolStr);

/// The text is no name of a fax's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a fax is CHANNEL_NUMBER.tif, as toritsugi-fax of the dialplan makes it")]
pub struct FaxFileNameError;

impl FaxFileName {
    /// Reads a name.
    ///
    /// # Errors
    /// It is no name that the dialplan makes.
    pub fn parse(text: &str) -> Result<Self, FaxFileNameError> {
        let stem = text.strip_suffix(ENDING).filter(|_| text.len() <= NAME_BYTES_MAX);
        let (channel, number) = stem.and_then(|stem| stem.rsplit_once('_')).ok_or(FaxFileNameError)?;
        let is_number =
            number.len() <= NUMBER_CHARS_MAX && number.bytes().all(|b| b.is_ascii_digit() || b == b'+');
        if is_channel_part(channel) && is_number { Ok(Self(text.into())) } else { Err(FaxFileNameError) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number that was dialled, if the PBX knew it.
    #[must_use]
    pub fn dialled(&self) -> Option<&str> {
        self.parts().1
    }

    /// The channel, as [`channel_part`](crate::spool::channel_part) writes it.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.parts().0
    }

    fn parts(&self) -> (&str, Option<&str>) {
        let stem = self.0.strip_suffix(ENDING).unwrap_or(&self.0);
        let (channel, number) = stem.rsplit_once('_').unwrap_or((stem, ""));
        (channel, Some(number).filter(|number| !number.is_empty()))
    }
}

impl SpoolName for FaxFileName {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for FaxFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::channel_part;

    #[test]
    fn a_name_says_channel_and_number() {
        let name = FaxFileName::parse("PBX-1795970044.0_0355501091.tif").unwrap();
        assert_eq!((name.channel(), name.dialled()), ("PBX-1795970044.0", Some("0355501091")));
        let name = FaxFileName::parse("1795970044.0_.tif").unwrap();
        assert_eq!((name.channel(), name.dialled()), ("1795970044.0", None));
        for id in ["本社 PBX-1795970044.0", "PBX-1795970044.0", "P,B/X-1795970044.0"] {
            assert_eq!(channel_part(id), "PBX-1795970044.0", "{id}");
        }
    }

    #[test]
    fn a_path_is_no_name() {
        for text in [
            "",
            ".tif",
            "_1.tif",
            "1.2_03.pdf",
            "1.2.tif",
            "../1.2_03.tif",
            "..\\1.2_03.tif",
            "/etc/passwd",
            "/spool/1.2_03.tif",
            "a/1.2_03.tif",
            ".1.2_03.tif",
            "..1_03.tif",
            "-rf_03.tif",
            "1.2_03.tif\0",
            "1.2_03;.tif",
            "1.2_0x3.tif",
            "1.2_03.tif/..",
            "１.2_03.tif",
            "1.2_012345678901234567890.tif",
            &format!("{}_03.tif", "1".repeat(NAME_BYTES_MAX)),
        ] {
            assert!(FaxFileName::parse(text).is_err(), "{text:?}");
        }
    }
}
