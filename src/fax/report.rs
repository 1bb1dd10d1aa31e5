//! What the PBX says about a fax (the event `ToritsugiFax`), and what that makes of the pages in its file.
//!
//! Invariant: pure. A report is other people's text: each field is checked, and one that is not understood counts as absent.

use smol_str::SmolStr;

use super::name::{FaxFileName, FaxFileNameError};
use crate::contract::fax::{FaxMode, FaxState};
use crate::ids::{CallId, RecordId};

/// Longest number that a sender's machine can name (T.30).
const STATION_CHARS_MAX: usize = 20;

/// The call in which a fax came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaxCall {
    /// The call.
    pub id: CallId,
    /// The account that the call is for.
    pub account: Option<RecordId>,
    /// The number that was dialled.
    pub dialled: Option<String>,
    /// The caller's number in normalised form.
    pub caller: Option<String>,
    /// The caller withholds the number.
    pub is_withheld: bool,
}

/// The report of a fax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaxReport {
    /// The file.
    pub file: FaxFileName,
    /// Both machines agreed that everything arrived.
    pub is_success: bool,
    /// The pages that arrived.
    pub pages: u32,
    /// How it was carried.
    pub mode: FaxMode,
    /// The number that the sender's machine names.
    pub station: Option<SmolStr>,
    /// The call; absent when the daemon does not know the channel.
    pub call: Option<FaxCall>,
}

impl FaxReport {
    /// Reads the fields of `Step: received`.
    ///
    /// # Errors
    /// The report names no file of a fax.
    pub fn read<'a>(
        field: impl Fn(&str) -> Option<&'a [u8]>,
        call: Option<FaxCall>,
    ) -> Result<Self, FaxFileNameError> {
        let text = |name| field(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        let station = text("Remote");
        let is_number = !station.is_empty()
            && station.len() <= STATION_CHARS_MAX
            && station.bytes().all(|byte| byte.is_ascii_digit() || byte == b'+');
        // Without the caller's identity nobody knows whether the caller withholds the number.
        let may_name = call.as_ref().is_some_and(|call| !call.is_withheld);
        Ok(Self {
            file: FaxFileName::parse(text("File"))?,
            is_success: text("Status") == "SUCCESS",
            pages: text("Pages").parse().unwrap_or(0),
            mode: match text("Mode") {
                "T38" => FaxMode::T38,
                "audio" => FaxMode::Audio,
                _ => FaxMode::Unknown,
            },
            station: (is_number && may_name).then(|| station.into()),
            call,
        })
    }
}

/// What was found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoundPages {
    /// Pages that were read.
    pub pages: u32,
    /// A page lacks rows, or the file breaks off behind these pages.
    pub is_damaged: bool,
    /// The file is none that can be read.
    pub is_foreign: bool,
}

/// How much of a fax arrived; `None`: nothing, there is no fax.
#[must_use]
pub fn state_of(report: Option<&FaxReport>, found: FoundPages) -> Option<FaxState> {
    let FoundPages { pages, is_damaged, is_foreign } = found;
    match report {
        _ if pages == 0 && is_foreign => Some(FaxState::Unreadable),
        _ if pages == 0 => None,
        None => Some(FaxState::Unconfirmed),
        Some(report) if report.is_success && pages >= report.pages && !is_damaged => Some(FaxState::Complete),
        Some(_) => Some(FaxState::Partial),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ChannelId, PbxId};

    fn call(is_withheld: bool) -> FaxCall {
        let id = CallId::derive(&PbxId::parse("lab").unwrap(), &ChannelId::parse("1.2").unwrap());
        FaxCall { id, account: None, dialled: None, caller: None, is_withheld }
    }

    fn read(fields: &[(&str, &str)], call: Option<FaxCall>) -> Result<FaxReport, FaxFileNameError> {
        let field =
            |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes());
        FaxReport::read(field, call)
    }

    const WHOLE: [(&str, &str); 5] = [
        ("File", "1.2_0355501091.tif"),
        ("Status", "SUCCESS"),
        ("Pages", "2"),
        ("Mode", "T38"),
        ("Remote", "+81312345678"),
    ];

    #[test]
    fn a_report_is_read() {
        let report = read(&WHOLE, Some(call(false))).unwrap();
        assert_eq!((report.is_success, report.pages, report.mode), (true, 2, FaxMode::T38));
        assert_eq!(report.station.as_deref(), Some("+81312345678"));
    }

    #[test]
    fn the_machine_of_a_caller_who_withholds_the_number_does_not_name_it() {
        assert_eq!(read(&WHOLE, Some(call(true))).unwrap().station, None);
        assert_eq!(read(&WHOLE, None).unwrap().station, None, "nobody knows");
    }

    #[test]
    fn hostile_fields_count_as_absent() {
        for file in ["../../etc/passwd", "/etc/shadow", "", "x"] {
            assert!(read(&[("File", file)], None).is_err(), "{file}");
        }
        let odd = [
            ("File", "1.2_.tif"),
            ("Status", "SUCCESS\r\nx"),
            ("Pages", "-1"),
            ("Mode", "t.38"),
            ("Remote", "<script>"),
        ];
        let report = read(&odd, Some(call(false))).unwrap();
        assert_eq!((report.is_success, report.pages, report.mode), (false, 0, FaxMode::Unknown));
        assert_eq!(report.station, None);
        let long = [("File", "1.2_.tif"), ("Remote", "123456789012345678901")];
        assert_eq!(read(&long, Some(call(false))).unwrap().station, None);
    }

    #[test]
    fn every_combination_has_a_state() {
        let success = read(&WHOLE, None).unwrap();
        let failure = FaxReport { is_success: false, pages: 1, ..success.clone() };
        let found = |pages, is_damaged, is_foreign| FoundPages { pages, is_damaged, is_foreign };
        for (report, found, state) in [
            (Some(&success), found(2, false, false), Some(FaxState::Complete)),
            (Some(&success), found(1, false, false), Some(FaxState::Partial)),
            (Some(&success), found(2, true, false), Some(FaxState::Partial)),
            (Some(&failure), found(1, false, false), Some(FaxState::Partial)),
            (Some(&failure), found(0, true, false), None),
            (None, found(1, false, false), Some(FaxState::Unconfirmed)),
            (None, found(2, true, false), Some(FaxState::Unconfirmed)),
            (None, found(0, false, false), None),
            (None, found(0, false, true), Some(FaxState::Unreadable)),
            (Some(&success), found(0, false, true), Some(FaxState::Unreadable)),
        ] {
            assert_eq!(state_of(report, found), state, "{report:?} {found:?}");
        }
    }
}
