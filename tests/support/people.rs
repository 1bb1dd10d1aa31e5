//! Users and their tokens, written to the store without the gateway.
use jiff::Timestamp;
use toritsugi::ids::{Extension, RecordId};
use toritsugi::people::password::PasswordHash;
use toritsugi::people::role::Role;
use toritsugi::people::token::Token;
use toritsugi::store::Store;
use toritsugi::store::users::{TokenDraft, TokenKind, UserDraft};

/// A user as a test names one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestUser<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: Role,
    pub(crate) extension: Option<&'a str>,
    pub(crate) team: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
}

impl<'a> TestUser<'a> {
    /// A user without a password.
    pub(crate) const fn new(
        name: &'a str,
        role: Role,
        extension: Option<&'a str>,
        team: Option<&'a str>,
    ) -> Self {
        Self { name, role, extension, team, password: None }
    }
}

/// Adds a user.
pub(crate) async fn add_user(store: &Store, user: &TestUser<'_>, at: Timestamp) -> RecordId {
    let draft = UserDraft {
        name: user.name.to_owned(),
        kana: String::new(),
        role: user.role,
        extension: user.extension.map(|digits| Extension::parse(digits).unwrap()),
        team: user.team.map(str::to_owned),
        password: user.password.map(|password| PasswordHash::of(password).unwrap()),
    };
    store.add_user(&draft, at).await.unwrap()
}

/// Adds a token of this user; returns it as a client sends it.
pub(crate) async fn add_token(
    store: &Store,
    user: RecordId,
    expires_at: Option<Timestamp>,
    at: Timestamp,
) -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    let token = Token::from_random(bytes);
    let draft =
        TokenDraft { user, hash: token.hash(), kind: TokenKind::Token, label: "test".into(), expires_at };
    store.add_token(&draft, at).await.unwrap();
    token.expose()
}
