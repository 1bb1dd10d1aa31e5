//! What the list of health looks at on this machine: disks, spools, certificates.
//!
//! Invariant: nothing here is written, and a file that cannot be read is a line of its own and no error. The calls block; the
//! list makes them on a thread for such work.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// Files of a spool that are looked at.
const SPOOL_FILES_MAX: usize = 10_000;

/// Directories and certificates of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Directories whose disk fills up: that of the database, the spools.
    pub disks: Vec<PathBuf>,
    /// Directories into which the PBX writes, each with its name.
    pub spools: Vec<(&'static str, PathBuf)>,
    /// Files of certificates, each with the key that names it.
    pub certificates: Vec<(&'static str, PathBuf)>,
}

/// How full the disk of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskSpace {
    /// What is free for the daemon, in bytes.
    pub(crate) free: u64,
    /// All of it.
    pub(crate) total: u64,
}

/// The space on the disk of `directory`; `None` where the system does not say.
pub(crate) fn disk_space(directory: &Path) -> Option<DiskSpace> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(DiskSpace { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

/// How many files wait in a spool, and how old the oldest is; `None` where it cannot be read.
pub(crate) fn waiting_in(directory: &Path, now: SystemTime) -> Option<(usize, Duration)> {
    let mut oldest = Duration::ZERO;
    let mut files = 0;
    for entry in std::fs::read_dir(directory).ok()?.take(SPOOL_FILES_MAX) {
        let Ok(metadata) = entry.and_then(|entry| entry.metadata()) else { continue };
        if !metadata.is_file() {
            continue;
        }
        files += 1;
        let age = metadata.modified().ok().and_then(|at| now.duration_since(at).ok());
        oldest = oldest.max(age.unwrap_or_default());
    }
    Some((files, oldest))
}

/// When the first certificate of a PEM file to end ends; `None` where the file holds none that can be read.
pub(crate) fn certificate_end(file: &Path) -> Option<Timestamp> {
    let pem = std::fs::read(file).ok()?;
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    certificates.filter_map(|certificate| not_after(&certificate)).min()
}

/// `notAfter` of an X.509 certificate (RFC 5280, 4.1): TBSCertificate is the first element, and its validity follows an
/// optional version, the serial number, the algorithm and the issuer.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (tag, certificate, _) = element(der)?;
    let (inner, tbs, _) = element(certificate).filter(|_| tag == SEQUENCE)?;
    let mut rest = Some(tbs).filter(|_| inner == SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in ["serialNumber", "signature", "issuer"] {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, behind) = element(validity)?;
    let (kind, text, _) = element(behind)?;
    time_of(kind, std::str::from_utf8(text).ok()?)
}

/// `UTCTime` (two digits of a year, up to 2049) or `GeneralizedTime`, in UTC.
fn time_of(kind: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    let text = text.strip_suffix('Z')?;
    let whole = if kind == UTC_TIME {
        let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
        format!("{century}{text}")
    } else {
        text.to_owned()
    };
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", &whole).ok()?;
    at.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let bytes = usize::from(first & 0x7f);
        let (digits, behind) = rest.split_at_checked(bytes).filter(|_| (1..=4).contains(&bytes))?;
        rest = behind;
        digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit))
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((tag, content, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["pbx.example.jp".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let early = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        params.not_after = rcgen::date_time_ymd(2062, 5, 6);
        let late = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let end_of = |pem: &str| {
            let file = dir.path().join("a.pem");
            std::fs::write(&file, pem).unwrap();
            certificate_end(&file).map(|at| at.to_string())
        };
        assert_eq!(end_of(&early).as_deref(), Some("2031-02-03T00:00:00Z"));
        assert_eq!(
            end_of(&late).as_deref(),
            Some("2062-05-06T00:00:00Z"),
            "behind 2049 the time is written out"
        );
        assert_eq!(
            end_of(&format!("{late}{early}")).as_deref(),
            Some("2031-02-03T00:00:00Z"),
            "the first to end"
        );
        assert_eq!(end_of("nothing"), None);
        let cut = &early.as_bytes()[..early.len() / 2];
        assert_eq!(end_of(&String::from_utf8_lossy(cut)), None);
        assert_eq!(certificate_end(&dir.path().join("missing")), None);
    }

    #[test]
    fn any_bytes_are_a_certificate_or_none() {
        for bytes in
            [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x80, 0], &[0x30, 2, 0x30, 0]]
        {
            assert_eq!(not_after(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_spool_says_how_many_files_wait_and_for_how_long() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        assert_eq!(waiting_in(dir.path(), now), Some((0, Duration::ZERO)));
        std::fs::write(dir.path().join("a.wav"), "x").unwrap();
        std::fs::create_dir(dir.path().join("unreadable")).unwrap();
        let (files, age) = waiting_in(dir.path(), now + Duration::from_secs(3600)).unwrap();
        assert_eq!((files, age >= Duration::from_secs(3590)), (1, true));
        assert_eq!(waiting_in(&dir.path().join("missing"), now), None);
        let space = disk_space(dir.path()).unwrap();
        assert!(space.free <= space.total && space.total > 0, "{space:?}");
    }
}
