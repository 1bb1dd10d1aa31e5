//! People, teams and tokens in the store.
//!
//! Invariant: of a token only the SHA-256 is stored, of a password only the Argon2 hash. A user is never deleted but
//! revoked, with all tokens, in one transaction: records that name the user stay true, and the name and the extension
//! are free for another user. A team is created with the first user who names it; a change of any user deletes the
//! teams that no user names.
//!
//! Read next: `sql.rs` beside this file, [`crate::people`] for what the roles mean.

use jiff::Timestamp;

use super::page::{Page, clamp_limit};
use super::{Store, StoreError};
use crate::ids::{Extension, RecordId};
use crate::people::password::PasswordHash;
use crate::people::role::Role;
use crate::people::roster::{Person, Roster, Team};
use crate::people::token::TokenHash;

/// Most tokens of a user, sessions included; a new one replaces the session that was unused for longest.
pub const TOKENS_PER_USER_MAX: u32 = 50;

/// A user to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDraft {
    /// The name to sign in with.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// The role.
    pub role: Role,
    /// The extension of the user's phone.
    pub extension: Option<Extension>,
    /// The team's name; a team that does not exist is created.
    pub team: Option<String>,
    /// Hash of the password, for users who sign in on a page.
    pub password: Option<PasswordHash>,
}

/// A change of a user: a field that is `None` stays unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// Another name.
    pub name: Option<String>,
    /// Another reading.
    pub kana: Option<String>,
    /// Another role.
    pub role: Option<Role>,
    /// Another extension, or none.
    pub extension: Option<Option<Extension>>,
    /// Another team, or none.
    pub team: Option<Option<String>>,
    /// Another password, or none.
    pub password: Option<Option<PasswordHash>>,
    /// Only if the user has not been changed since this time.
    pub seen: Option<Timestamp>,
}

/// A user in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The person.
    pub person: Person,
    /// The team's name.
    pub team: Option<String>,
    /// Whether there is a password.
    pub has_password: bool,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub changed_at: Timestamp,
    /// When the user was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The two kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// For a program or the command line, in the `Authorization` header.
    Token,
    /// For a page, in a cookie; each use moves its end.
    Session,
}

/// A token to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDraft {
    /// The user.
    pub user: RecordId,
    /// Its hash.
    pub hash: TokenHash,
    /// Its kind.
    pub kind: TokenKind,
    /// The label that its owner gave it.
    pub label: String,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// A token in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The record.
    pub id: RecordId,
    /// The user.
    pub user: RecordId,
    /// Its hash.
    pub hash: TokenHash,
    /// Its kind.
    pub kind: TokenKind,
    /// The label that its owner gave it.
    pub label: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A use of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// The token.
    pub token: RecordId,
    /// When.
    pub at: Timestamp,
    /// The new end of a session.
    pub expires_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether it is neither revoked nor expired at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }
}

impl Store {
    /// Adds a user.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another user has the name or the extension; or the store failed.
    pub async fn add_user(&self, draft: &UserDraft, at: Timestamp) -> Result<RecordId, StoreError> {
        each!(self, db => db.add_user(draft, at).await)
    }

    /// Changes a user who is not revoked. A change of the password, also to none, ends all of the user's sessions.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Taken`], [`StoreError::LastAdministrator`], or the store failed.
    pub async fn change_user(
        &self,
        user: RecordId,
        change: &UserChange,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.change_user(user, change, at).await)
    }

    /// Revokes a user and all of the user's tokens. False: the user was revoked before.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::LastAdministrator`], or the store failed.
    pub async fn revoke_user(&self, user: RecordId, at: Timestamp) -> Result<bool, StoreError> {
        each!(self, db => db.revoke_user(user, at).await)
    }

    /// The users after `after`, revoked ones included, in the order of their creation.
    ///
    /// # Errors
    /// The store failed.
    pub async fn users(&self, after: Option<RecordId>, limit: u32) -> Result<Page<UserRecord>, StoreError> {
        let limit = clamp_limit(limit);
        let users = each!(self, db => db.users(after, limit + 1).await?);
        Ok(Page::of(users, limit, |user| user.person.id))
    }

    /// One user, revoked or not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn user(&self, user: RecordId) -> Result<Option<UserRecord>, StoreError> {
        each!(self, db => db.user(user).await)
    }

    /// The user who signs in as `login` (a name or an extension), with the hash of the password. A name goes before an
    /// extension.
    ///
    /// # Errors
    /// The store failed.
    pub async fn user_by_login(
        &self,
        login: &str,
    ) -> Result<Option<(UserRecord, Option<PasswordHash>)>, StoreError> {
        each!(self, db => db.user_by_login(login).await)
    }

    /// All users who are not revoked, and all teams.
    ///
    /// # Errors
    /// The store failed.
    pub async fn roster(&self) -> Result<Roster, StoreError> {
        each!(self, db => db.roster().await.map(|(people, teams)| Roster::new(people, teams)))
    }

    /// All teams.
    ///
    /// # Errors
    /// The store failed.
    pub async fn teams(&self) -> Result<Vec<Team>, StoreError> {
        each!(self, db => db.roster().await.map(|(_, teams)| teams))
    }

    /// Gives a team another name.
    ///
    /// # Errors
    /// [`StoreError::Taken`]: another team has it; [`StoreError::Missing`]; or the store failed.
    pub async fn rename_team(&self, team: RecordId, name: &str) -> Result<(), StoreError> {
        each!(self, db => db.rename_team(team, name).await)
    }

    /// Adds a token. If the user has [`TOKENS_PER_USER_MAX`] of them, the session that was unused for longest is deleted.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the user does not exist or is revoked, [`StoreError::Taken`] when the limit is
    /// reached without a session; or the store failed.
    pub async fn add_token(&self, draft: &TokenDraft, at: Timestamp) -> Result<RecordId, StoreError> {
        each!(self, db => db.add_token(draft, None, at).await)
    }

    /// Adds a session for a person who has just signed in with the password `checked`, as [`Store::add_token`] does. A password
    /// that was changed since it was checked opens no session.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the user does not exist, is revoked, or has another password by now; else as
    /// [`Store::add_token`].
    pub async fn open_session(
        &self,
        draft: &TokenDraft,
        checked: &PasswordHash,
        at: Timestamp,
    ) -> Result<RecordId, StoreError> {
        each!(self, db => db.add_token(draft, Some(checked), at).await)
    }

    /// The token with this hash, valid or not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        // The index finds the token by its hash; the comparison that decides runs in constant time.
        each!(self, db => db.token(hash).await.map(|found| found.filter(|t| t.hash == *hash)))
    }

    /// The token with this id, valid or not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn token_by_id(&self, id: RecordId) -> Result<Option<TokenRecord>, StoreError> {
        each!(self, db => db.token_by_id(id).await)
    }

    /// The tokens with these ids, in no order; one that does not exist is left out.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tokens_by_id(&self, ids: &[RecordId]) -> Result<Vec<TokenRecord>, StoreError> {
        each!(self, db => db.tokens_by_id(ids).await)
    }

    /// A user's tokens that are not revoked, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tokens_of(&self, user: RecordId) -> Result<Vec<TokenRecord>, StoreError> {
        each!(self, db => db.tokens_of(user).await)
    }

    /// Stores the uses of tokens in one transaction.
    ///
    /// # Errors
    /// The store failed.
    pub async fn record_token_uses(&self, uses: &[TokenUse]) -> Result<(), StoreError> {
        each!(self, db => db.record_token_uses(uses).await)
    }

    /// Revokes a token. False: it does not exist, or was revoked before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn revoke_token(&self, id: RecordId, at: Timestamp) -> Result<bool, StoreError> {
        each!(self, db => db.revoke_token(id, at).await)
    }
}
