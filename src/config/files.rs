//! The files that the configuration names: reading them, and who else may read them.
//!
//! Invariant: reading never waits. A FIFO without a writer would hold up the start, and the daemon would not even answer a
//! signal meanwhile.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Config;

/// Largest file of certificates, in bytes.
pub(crate) const PEM_BYTES_MAX: u64 = 1 << 20;
/// How much of the file of the gateways is read, in bytes.
const GATEWAYS_BYTES_MAX: u64 = 1 << 20;
/// The rights of those who are neither the file's owner nor in its group.
const OTHERS: u32 = 0o007;

/// The first `bytes_max` bytes of a file.
///
/// # Errors
/// It cannot be read at once, or it is a FIFO, a socket or a directory.
pub(crate) fn read(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(file)?;
    let kind = opened.metadata()?.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a FIFO, a socket or a directory; name a regular file",
        ));
    }
    let mut bytes = Vec::new();
    opened.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Config {
    /// Each file with a secret: the key that names it, and its path.
    #[must_use]
    pub fn secret_files(&self) -> Vec<(String, PathBuf)> {
        let single = [
            ("pbx.event_secret_file", &self.pbx.event_secret_file),
            ("pbx.action_secret_file", &self.pbx.action_secret_file),
            ("store.password_file", &self.store.password_file),
            ("bus.redis_password_file", &self.bus.redis_password_file),
            ("mail.password_file", &self.mail.password_file),
            ("mail.token_file", &self.mail.token_file),
            ("mail.backup.password_file", &self.mail.backup.password_file),
            ("mail.backup.token_file", &self.mail.backup.token_file),
            ("mail.imap.password_file", &self.mail.imap.password_file),
            ("mail.imap.token_file", &self.mail.imap.token_file),
            ("chat.chatwork_token_file", &self.chat.chatwork_token_file),
        ];
        let single = single.into_iter().filter_map(|(key, file)| Some((key.to_owned(), file.clone()?)));
        let of_webhooks = self.webhooks.secret_files.iter();
        let of_webhooks =
            of_webhooks.map(|(name, file)| (format!("webhooks.secret_files.{name}"), file.clone()));
        let of_gateways = self.chat.gateways_file.as_deref().map(secrets_of_gateways).unwrap_or_default();
        let of_hosts = self.mail.hosts.iter().flat_map(|(name, host)| {
            [("password_file", &host.password_file), ("token_file", &host.token_file)]
                .map(|(key, file)| Some((format!("mail.hosts.{name}.{key}"), file.clone()?)))
        });
        single.chain(of_webhooks).chain(of_gateways).chain(of_hosts.flatten()).collect()
    }

    /// The secret files that everybody on this machine may read or write, and their modes.
    #[must_use]
    pub fn secrets_open_to_others(&self) -> Vec<(PathBuf, u32)> {
        let files = self.secret_files().into_iter();
        let mut open: Vec<(PathBuf, u32)> = files
            .filter_map(|(_, file)| {
                let mode = std::fs::metadata(&file).ok()?.permissions().mode() & 0o7777;
                (mode & OTHERS != 0).then_some((file, mode))
            })
            .collect();
        open.dedup();
        open
    }
}

/// The files with secrets that the file of the gateways names; none if it cannot be read.
fn secrets_of_gateways(file: &Path) -> Vec<(String, PathBuf)> {
    let text = read(file, GATEWAYS_BYTES_MAX).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let kinds =
        text.and_then(|text| toml::from_str::<BTreeMap<String, BTreeMap<String, toml::Table>>>(&text).ok());
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for (kind, gateways) in kinds.unwrap_or_default() {
        for (name, gateway) in gateways {
            let of_gateway = gateway.iter().filter(|(key, _)| key.ends_with("_file"));
            files.extend(of_gateway.filter_map(|(key, path)| {
                Some((format!("{kind}.{name}.{key}"), directory.join(path.as_str()?)))
            }));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_fifo_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("secret");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let file = directory.path().join("t.toml");
        fs::write(
            &file,
            "[pbx]\nevent_secret_file = 'secret'\naction_secret_file = 'secret'\n[webhooks]\nca_file = 'secret'\n\
             [pbx.tls]\nenabled = true\nca_file = 'secret'",
        )
        .unwrap();
        let config = Config::from_layers(Some(&file), []).unwrap();
        let error = config.pbx.credentials().unwrap_err().to_string();
        assert!(error.contains("pbx.event_secret_file: cannot be read: it is a FIFO"), "{error}");
        assert!(read(&fifo, PEM_BYTES_MAX).is_err());
        assert!(read(directory.path(), PEM_BYTES_MAX).is_err());
        assert_eq!(read(&file, 5).unwrap(), b"[pbx]");
    }

    #[test]
    fn secrets_that_everybody_may_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        for (name, mode) in [("open", 0o644), ("group", 0o640), ("key", 0o604)] {
            let secret = directory.path().join(name);
            fs::write(&secret, "0123456789abcdef\n").unwrap();
            fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
        }
        let file = directory.path().join("t.toml");
        fs::write(
            &file,
            "[pbx]\nevent_secret_file = 'open'\naction_secret_file = 'group'\n[chat]\ngateways_file = 'gateways'",
        )
        .unwrap();
        let gateways =
            "[line_works_bot.main]\nbot_id = 1\nclient_secret_file = 'group'\nprivate_key_file = 'key'";
        fs::write(directory.path().join("gateways"), gateways).unwrap();
        let open = Config::from_layers(Some(&file), []).unwrap().secrets_open_to_others();
        assert_eq!(open, [(directory.path().join("open"), 0o644), (directory.path().join("key"), 0o604)]);
    }
}
