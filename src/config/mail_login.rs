//! How the daemon signs in at the servers of `[mail]`, `[mail.backup]`, `[mail.hosts]` and `[mail.imap]`: with a password, or with an access
//! token of OAuth 2.0.
//!
//! Invariant: of a password, a token file and a token command, a section has at most one.

use std::path::{Path, PathBuf};

use smol_str::SmolStr;

use super::ConfigError;
use super::sections::read_secret;
use crate::outbox::{Credential, Login, TokenSource};
use crate::secret::Secret;

/// What a section says about the sign-in.
pub(super) struct LoginKeys<'a> {
    /// `mail`, `mail.backup`, `mail.hosts.NAME` or `mail.imap`.
    pub(super) section: &'a str,
    pub(super) user: Option<&'a SmolStr>,
    pub(super) password: Option<&'a Secret>,
    pub(super) password_file: Option<&'a Path>,
    pub(super) token_file: Option<&'a PathBuf>,
    pub(super) token_command: &'a [SmolStr],
}

impl LoginKeys<'_> {
    /// Who signs in; `None`: nobody.
    pub(super) fn login(&self) -> Result<Option<Login>, ConfigError> {
        let section = self.section;
        let password = match (self.password, self.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => Some(read_secret(file, &format!("{section}.password_file"))?),
            (None, None) => None,
        };
        let of_file = self.token_file.map(|file| TokenSource::File(file.clone()));
        let of_command =
            (!self.token_command.is_empty()).then(|| TokenSource::Command(self.token_command.to_vec()));
        let tokens = of_file.into_iter().chain(of_command).map(Credential::Token);
        let mut credentials = password.map(Credential::Password).into_iter().chain(tokens);
        let (credential, second) = (credentials.next(), credentials.next());
        if second.is_some() {
            let reason = "keep one of a password, token_file and token_command";
            return Err(self.error("token_file", reason.into()));
        }
        match (self.user, credential) {
            (Some(user), Some(credential)) => Ok(Some(Login { user: user.clone(), credential })),
            (None, None) => Ok(None),
            (Some(_), None) => {
                let variable = section.to_uppercase().replace('.', "__");
                let reason = format!(
                    "name the file that holds the user's password, or set TORITSUGI__{variable}__PASSWORD; a server of OAuth 2.0 \
                     needs token_file or token_command"
                );
                Err(self.error("password_file", reason))
            }
            (None, Some(Credential::Password(_))) => {
                let reason = "a password is set, so write the user, or remove the password";
                Err(self.error("user", reason.into()))
            }
            (None, Some(Credential::Token(_))) => {
                Err(self.error("user", "a token is set, so write the user, or remove the token".into()))
            }
        }
    }

    fn error(&self, key: &str, reason: String) -> ConfigError {
        let section = self.section;
        ConfigError::Key { origin: section.into(), key: format!("{section}.{key}"), reason }
    }
}
