//! Signing in and out with a password: what a page does.
//!
//! Invariant: at most [`SIGN_INS_AT_ONCE`] passwords are checked at the same time (each takes 19 MiB and a
//! core), and at most [`SIGN_INS_WAITING_MAX`] wait; wrong name and wrong password look the same and take the
//! same work.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::RequestExt;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::auth::{Caller, cookie_name, is_own_origin, peer};
use super::extract::Body;
use super::problem::{Kind, Problem, ProblemBody};
use super::routes::Gate;
use super::throttle::Source;
use crate::bus::event::wire_time;
use crate::ids::RecordId;
use crate::operator::{PasswordHash, Person, Role, Token};
use crate::store::users::{TokenDraft, TokenKind, UserRecord};

/// Passwords checked at the same time.
const SIGN_INS_AT_ONCE: usize = 2;
/// Sign-ins that may wait for that.
const SIGN_INS_WAITING_MAX: usize = 64;
/// Longest login taken, in characters.
const LOGIN_CHARS_MAX: usize = 120;

/// The two limits on checking passwords.
#[derive(Debug)]
pub(crate) struct SignIns {
    checking: Semaphore,
    waiting: Semaphore,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { checking: Semaphore::new(SIGN_INS_AT_ONCE), waiting: Semaphore::new(SIGN_INS_WAITING_MAX) }
    }
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// Name or extension.
    login: String,
    /// The password.
    password: String,
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// The person's record.
    #[schema(value_type = uuid::Uuid)]
    user: RecordId,
    /// This sign-in; events name it where it acted.
    #[schema(value_type = uuid::Uuid)]
    session: RecordId,
    /// The person's name.
    name: String,
    /// Its reading.
    kana: String,
    /// What they are.
    role: Role,
    /// Where they answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<String>,
    /// Their team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// The country whose national numbers are meant, as two letters (ISO 3166).
    country: String,
    /// When the sign-in ends unless it is used (never, for a token without an end).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

impl SessionView {
    fn of(
        gate: &Gate,
        person: &Person,
        session: RecordId,
        team: Option<String>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self {
            user: person.id,
            session,
            name: person.name.clone(),
            kana: person.kana.clone(),
            role: person.role,
            extension: person.extension.as_ref().map(ToString::to_string),
            team,
            country: gate.app.directory.plan().country(),
            expires_at: expires_at.map(wire_time),
        }
    }
}

/// Signs in with a password; the answer sets a cookie.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = SignIn, security(()), responses(
    (status = 201, description = "Signed in; the cookie is HttpOnly and SameSite=Strict", body = SessionView),
    (status = 401, description = "wrong-credentials", body = ProblemBody),
    (status = 403, description = "foreign-origin", body = ProblemBody),
    (status = 429, description = "too-many-failures", body = ProblemBody),
))]
pub(crate) async fn create(State(gate): State<Arc<Gate>>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers();
    // A page elsewhere could sign its visitor in as somebody else.
    if headers.contains_key(header::ORIGIN) && !is_own_origin(&gate, headers) {
        return Err(Kind::ForeignOrigin.into());
    }
    let peer = peer(&request);
    let Body(sign_in): Body<SignIn> = request.extract().await?;
    if sign_in.login.chars().count() > LOGIN_CHARS_MAX {
        return Err(Kind::WrongCredentials.into());
    }
    let sources = peer.map(|peer| [Source::network(peer), Source::login(peer, &sign_in.login)]);
    let now = gate.app.clock.now();
    for source in sources.iter().flatten() {
        let throttle = gate.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle
            .check(*source, now)
            .map_err(|pause| Problem::from(Kind::TooManyFailures).retry_after(pause))?;
    }
    let Some(user) = check(&gate, sign_in).await? else {
        gate.app.metrics.sign_in_failed();
        let mut throttle = gate.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().flatten().for_each(|source| throttle.failed(*source, now));
        return Err(Kind::WrongCredentials.into());
    };
    if let Some([_, login]) = sources {
        gate.throttle.lock().unwrap_or_else(PoisonError::into_inner).succeeded(login);
    }
    begin(&gate, &user, now).await
}

/// The user, if the password is right.
async fn check(gate: &Gate, sign_in: SignIn) -> Result<Option<UserRecord>, Problem> {
    let _waiting = gate.sign_ins.waiting.try_acquire().map_err(|_| {
        Kind::Overloaded
            .with("too many sign-ins at the same time")
            .retry_after(std::time::Duration::from_secs(2))
    })?;
    let found = gate.app.store.user_by_login(&sign_in.login).await?;
    let (user, hash) = found.unzip();
    let _checking = gate.sign_ins.checking.acquire().await.map_err(|_| Kind::ShuttingDown)?;
    let right = tokio::task::spawn_blocking(move || match hash.flatten() {
        Some(hash) => hash.verify(&sign_in.password),
        None => PasswordHash::verify_nobody(&sign_in.password),
    });
    let right = right.await.map_err(|error| {
        tracing::error!(%error, "checking a password failed");
        Kind::Internal
    })?;
    Ok(user.filter(|_| right))
}

async fn begin(gate: &Gate, user: &UserRecord, now: Timestamp) -> Result<Response, Problem> {
    let token = fresh_token()?;
    let expires_at = now + gate.app.settings.session;
    let draft = TokenDraft {
        user: user.person.id,
        hash: token.hash(),
        kind: TokenKind::Session,
        label: String::new(),
        expires_at: Some(expires_at),
    };
    let session = gate.app.store.add_token(&draft, now).await?;
    let view = SessionView::of(gate, &user.person, session, user.team.clone(), Some(expires_at));
    // Without Max-Age: the browser forgets it when it closes. Its real end is on our side.
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    set_cookie(gate, &mut response, &token.expose(), "");
    Ok(response)
}

/// A new token from the system's random source.
pub(crate) fn fresh_token() -> Result<Token, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        Kind::Internal
    })?;
    Ok(Token::from_random(bytes))
}

fn set_cookie(gate: &Gate, response: &mut Response, value: &str, more: &str) {
    let secure = if gate.app.settings.secure_cookie { "; Secure" } else { "" };
    let cookie = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}", cookie_name(gate));
    if let Ok(mut value) = HeaderValue::try_from(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Says who is signed in.
#[utoipa::path(get, path = "/v1/session", tag = "session", responses(
    (status = 200, description = "Who asks", body = SessionView),
    (status = 401, description = "not-signed-in, token-expired, token-revoked", body = ProblemBody),
))]
pub(crate) async fn show(State(gate): State<Arc<Gate>>, caller: Caller) -> Json<SessionView> {
    let roster = gate.app.people.current();
    let team = caller.person.team.and_then(|id| roster.team(id)).map(|team| team.name.clone());
    Json(SessionView::of(&gate, &caller.person, caller.token, team, caller.expires_at))
}

/// Signs out: the token that is shown is revoked, and its streams end.
#[utoipa::path(delete, path = "/v1/session", tag = "session", responses(
    (status = 204, description = "Signed out"),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn end(State(gate): State<Arc<Gate>>, caller: Caller) -> Result<Response, Problem> {
    gate.app.store.revoke_token(caller.token, gate.app.clock.now()).await?;
    gate.bearers.token_revoked(caller.token);
    let mut response = StatusCode::NO_CONTENT.into_response();
    if caller.kind == TokenKind::Session {
        set_cookie(&gate, &mut response, "", "; Max-Age=0");
    }
    Ok(response)
}
