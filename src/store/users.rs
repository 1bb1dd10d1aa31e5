//! People, teams and tokens, as they are kept.
//!
//! Invariant: a token is known by its SHA-256 alone and a password by its Argon2 hash alone. Nobody is ever
//! deleted: who leaves is revoked, with every token, in one transaction, and records that name them stay true;
//! name and extension are free again. A team exists as long as somebody names it.
//!
//! Read next: `sqlite/users.rs` for the SQL, [`crate::operator`] for what the roles mean.

use jiff::Timestamp;

use super::page::{Page, bounded};
use super::{Store, StoreError};
use crate::ids::{Extension, RecordId};
use crate::operator::{PasswordHash, Person, Role, Roster, Team, TokenHash};

/// Most tokens a user may have at a time, sessions included; the oldest session gives way.
pub const TOKENS_PER_USER_MAX: u32 = 50;

/// What makes a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDraft {
    /// The name to sign in with.
    pub name: String,
    /// Its reading.
    pub kana: String,
    /// What they are.
    pub role: Role,
    /// Where they answer.
    pub extension: Option<Extension>,
    /// The team's name; a new one is made.
    pub team: Option<String>,
    /// Hash of the password, for those who sign in at a page.
    pub password: Option<PasswordHash>,
}

/// What changes about a user: `None` leaves it as it is.
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
    /// Another password, or none any more.
    pub password: Option<Option<PasswordHash>>,
}

/// A user as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Who it is.
    pub person: Person,
    /// The team's name.
    pub team: Option<String>,
    /// Whether there is a password.
    pub has_password: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Since when it is no longer valid.
    pub revoked_at: Option<Timestamp>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A program's or the command line's, in the `Authorization` header.
    Token,
    /// A page's, in a cookie; it lives on while it is used.
    Session,
}

/// What makes a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDraft {
    /// Whose it is.
    pub user: RecordId,
    /// Its hash.
    pub hash: TokenHash,
    /// What it is for.
    pub kind: TokenKind,
    /// What its owner calls it.
    pub label: String,
    /// From when on it is no longer valid.
    pub expires_at: Option<Timestamp>,
}

/// A token as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The record.
    pub id: RecordId,
    /// Whose it is.
    pub user: RecordId,
    /// Its hash.
    pub hash: TokenHash,
    /// What it is for.
    pub kind: TokenKind,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no longer valid.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is revoked.
    pub revoked_at: Option<Timestamp>,
}

/// That a token was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// Which.
    pub token: RecordId,
    /// When.
    pub at: Timestamp,
    /// Where a session's end moves to.
    pub expires_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether it opens anything at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }
}

impl Store {
    /// Keeps a new user.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another user has the name or the extension; or the store failed.
    pub async fn add_user(&self, draft: &UserDraft, at: Timestamp) -> Result<RecordId, StoreError> {
        each!(self, db => db.add_user(draft, at).await)
    }

    /// Changes a user who is not revoked. A new password or none ends all of the user's sessions.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Taken`], or the store failed.
    pub async fn change_user(
        &self,
        user: RecordId,
        change: &UserChange,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        each!(self, db => db.change_user(user, change, at).await)
    }

    /// Revokes a user and all tokens of the user. False: revoked before.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or the store failed.
    pub async fn revoke_user(&self, user: RecordId, at: Timestamp) -> Result<bool, StoreError> {
        each!(self, db => db.revoke_user(user, at).await)
    }

    /// The users after `after`, revoked ones included, in the order they were made.
    ///
    /// # Errors
    /// The store failed.
    pub async fn users(&self, after: Option<RecordId>, limit: u32) -> Result<Page<UserRecord>, StoreError> {
        let limit = bounded(limit);
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

    /// The user who signs in as `login`, a name or an extension, with the password's hash.
    ///
    /// # Errors
    /// The store failed.
    pub async fn user_by_login(
        &self,
        login: &str,
    ) -> Result<Option<(UserRecord, Option<PasswordHash>)>, StoreError> {
        each!(self, db => db.user_by_login(login).await)
    }

    /// Everybody who is not revoked, with their teams.
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

    /// Keeps a new token. Sessions beyond [`TOKENS_PER_USER_MAX`] give way, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such user or the user is revoked, [`StoreError::Taken`] when the user has as many tokens as
    /// may be; or the store failed.
    pub async fn add_token(&self, draft: &TokenDraft, at: Timestamp) -> Result<RecordId, StoreError> {
        each!(self, db => db.add_token(draft, at).await)
    }

    /// The token with this hash, valid or not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<TokenRecord>, StoreError> {
        // The index finds it by its hash; the comparison that decides takes the same time for any value.
        each!(self, db => db.token(hash).await.map(|found| found.filter(|t| t.hash == *hash)))
    }

    /// The token with this record, valid or not.
    ///
    /// # Errors
    /// The store failed.
    pub async fn token_by_id(&self, id: RecordId) -> Result<Option<TokenRecord>, StoreError> {
        each!(self, db => db.token_by_id(id).await)
    }

    /// A user's tokens that are not revoked, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tokens_of(&self, user: RecordId) -> Result<Vec<TokenRecord>, StoreError> {
        each!(self, db => db.tokens_of(user).await)
    }

    /// Notes that tokens were used, all in one transaction.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tokens_used(&self, uses: &[TokenUse]) -> Result<(), StoreError> {
        each!(self, db => db.tokens_used(uses).await)
    }

    /// Revokes a token. False: there is none, or it was revoked before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn revoke_token(&self, id: RecordId, at: Timestamp) -> Result<bool, StoreError> {
        each!(self, db => db.revoke_token(id, at).await)
    }
}
