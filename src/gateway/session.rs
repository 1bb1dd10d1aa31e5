//! Sign-in with a password, and sign-out: sessions of the operators' page.
//!
//! Invariants: a wrong name and a wrong password get the same answer after the same work. A session is opened only if
//! the password that was checked is still the person's when the session is stored: a password that is changed
//! meanwhile opens none. The limits on attempts and on passwords that are checked at the same time are in `throttle.rs`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, RequestExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::{Caller, client_of, cookie_name, is_own_origin};
use super::extract::Body;
use super::problem::{Kind, Problem, ProblemBody};
use super::proxies::ClientAddress;
use super::state::AppState;
use super::throttle::Throttle;
use crate::contract::time::time as wire_time;
use crate::ids::RecordId;
use crate::people::password::{self, PasswordHash};
use crate::people::role::Role;
use crate::people::roster::Person;
use crate::people::token::Token;
use crate::store::StoreError;
use crate::store::users::{TokenDraft, TokenKind, UserRecord};

/// Longest login, in characters.
const LOGIN_CHARS_MAX: usize = 120;

/// Name and password of a sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// Name or extension.
    login: String,
    /// The password.
    password: String,
}

/// The signed-in user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// The person's record.
    #[schema(value_type = uuid::Uuid)]
    user: RecordId,
    /// The record of this session's token. Events of changes made in this session name it.
    #[schema(value_type = uuid::Uuid)]
    session: RecordId,
    /// The person's name.
    name: String,
    /// The reading of the name.
    kana: String,
    /// The role.
    role: Role,
    /// The extension at which the person answers calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    extension: Option<String>,
    /// The person's team.
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// The country of numbers written without a country code, as two letters (ISO 3166).
    country: String,
    /// When the session ends unless it is used; absent for a token that does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

impl SessionView {
    fn new(
        state: &AppState,
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
            country: state.app.directory.plan().country(),
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
pub(crate) async fn create(
    State(state): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    // A page of another origin could sign its visitor in as another user.
    if headers.contains_key(header::ORIGIN) && !is_own_origin(&state, headers) {
        return Err(Kind::ForeignOrigin.into());
    }
    let client = client_of(&state, &request);
    let address = client.map(ClientAddress::address);
    let Body(sign_in): Body<SignIn> = request.extract().await?;
    let login = sign_in.login.clone();
    let counted = throttle(&state, |throttle, now| throttle.count(client, &login, now));
    let (attempt, wait) = match counted {
        Ok(counted) => counted,
        Err(pause) => {
            audit_trail::record_refused_sign_in(&state, &login, address, "too-many-failures").await;
            return Err(Problem::from(Kind::TooManyFailures).retry_after(pause));
        }
    };
    tokio::time::sleep(wait).await;
    match sign_in_with(&state, sign_in, address).await {
        Ok(Some(response)) => {
            throttle(&state, |throttle, now| throttle.succeed(attempt, now));
            Ok(response)
        }
        Ok(None) => {
            state.app.metrics.count_failed_sign_in();
            audit_trail::record_refused_sign_in(&state, &login, address, "wrong-credentials").await;
            Err(Kind::WrongCredentials.into())
        }
        Err(problem) => {
            throttle(&state, |throttle, _| throttle.take_back(attempt));
            Err(problem)
        }
    }
}

fn throttle<T>(state: &AppState, with: impl FnOnce(&mut Throttle, Duration) -> T) -> T {
    let mut throttle = state.throttle.lock();
    with(&mut throttle, state.app.clock.elapsed())
}

/// The answer with the new session; `None` if the login or the password is wrong.
async fn sign_in_with(
    state: &AppState,
    sign_in: SignIn,
    address: Option<IpAddr>,
) -> Result<Option<Response>, Problem> {
    // Nobody has such a login or such a password. Neither is looked up, so that all logins take the same time.
    let is_possible = sign_in.login.chars().count() <= LOGIN_CHARS_MAX
        && !sign_in.login.chars().any(char::is_control)
        && password::is_possible(&sign_in.password);
    if !is_possible {
        return Ok(None);
    }
    match verify(state, sign_in).await? {
        Some((user, checked)) => open_session(state, &user, &checked, address).await,
        None => Ok(None),
    }
}

/// The user and the hash of the password, if the password is right.
async fn verify(state: &AppState, sign_in: SignIn) -> Result<Option<(UserRecord, PasswordHash)>, Problem> {
    let _sign_in = state.password_checks.sign_ins.try_acquire().map_err(|_| {
        Kind::Overloaded
            .with("too many people are signing in at the same time; try again in a few seconds")
            .retry_after(Duration::from_secs(2))
    })?;
    let found = state.app.store.user_by_login(&sign_in.login).await?;
    let (user, hash) = found.unzip();
    let hash = hash.flatten();
    let _check = state.password_checks.checks.acquire().await.map_err(|_| Kind::ShuttingDown)?;
    let checked = hash.clone();
    let verified = tokio::task::spawn_blocking(move || match checked {
        Some(hash) => hash.verify(&sign_in.password),
        None => PasswordHash::verify_nobody(&sign_in.password),
    });
    let verified = verified.await.map_err(|error| {
        tracing::error!(%error, "the task that checks a password failed");
        Kind::Internal
    })?;
    Ok(user.zip(hash).filter(|_| verified))
}

/// Checks the caller's own password. A wrong one counts as a failed sign-in.
pub(crate) async fn verify_own(state: &AppState, caller: &Caller, password: String) -> Result<(), Problem> {
    let login = caller.person.name.clone();
    let counted = throttle(state, |throttle, now| throttle.count(None, &login, now));
    let (attempt, wait) = counted.map_err(|pause| Problem::from(Kind::TooManyFailures).retry_after(pause))?;
    tokio::time::sleep(wait).await;
    let verified = match password::is_possible(&password) {
        true => verify(state, SignIn { login, password }).await,
        false => Ok(None),
    };
    match verified {
        Ok(Some((user, _))) if user.person.id == caller.person.id => {
            throttle(state, |throttle, now| throttle.succeed(attempt, now));
            Ok(())
        }
        Ok(_) => {
            state.app.metrics.count_failed_sign_in();
            Err(Kind::InvalidBody.with("current: this is not your present password"))
        }
        Err(problem) => {
            throttle(state, |throttle, _| throttle.take_back(attempt));
            Err(problem)
        }
    }
}

/// Adds a session token to the store, and answers with its cookie; `None` if `checked` is no longer the user's password,
/// or the user was revoked.
async fn open_session(
    state: &AppState,
    user: &UserRecord,
    checked: &PasswordHash,
    address: Option<IpAddr>,
) -> Result<Option<Response>, Problem> {
    let now = state.app.clock.now();
    let token = fresh_token()?;
    let expires_at = now + state.app.settings.session_ttl;
    let draft = TokenDraft {
        user: user.person.id,
        hash: token.hash(),
        kind: TokenKind::Session,
        label: String::new(),
        expires_at: Some(expires_at),
    };
    let session = match state.app.store.open_session(&draft, checked, now).await {
        Ok(session) => session,
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    audit_trail::record_sign_in(state, &user.person, session, address).await;
    let view = SessionView::new(state, &user.person, session, user.team.clone(), Some(expires_at));
    // Without Max-Age the browser drops the cookie when it closes; the store holds the expiry of the session.
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    set_cookie(state, &mut response, &token.expose(), "");
    Ok(Some(response))
}

/// A new token from the system's random source.
pub(crate) fn fresh_token() -> Result<Token, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "cannot read random numbers from the operating system");
        Kind::Internal
    })?;
    Ok(Token::from_random(bytes))
}

fn set_cookie(state: &AppState, response: &mut Response, value: &str, attributes: &str) {
    let secure = if state.app.settings.secure_cookie { "; Secure" } else { "" };
    let cookie =
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{attributes}", cookie_name(state));
    if let Ok(mut value) = HeaderValue::try_from(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Returns the signed-in user.
#[utoipa::path(get, path = "/v1/session", tag = "session", responses(
    (status = 200, description = "The user of the session or token", body = SessionView),
    (status = 401, description = "not-signed-in, token-expired, token-revoked", body = ProblemBody),
))]
pub(crate) async fn show(State(state): State<Arc<AppState>>, caller: Caller) -> Json<SessionView> {
    let roster = state.app.people.current();
    let team = caller.person.team.and_then(|id| roster.team(id)).map(|team| team.name.clone());
    Json(SessionView::new(&state, &caller.person, caller.token, team, caller.expires_at))
}

/// Signs out: revokes the token of this request and ends its event streams.
#[utoipa::path(delete, path = "/v1/session", tag = "session", responses(
    (status = 204, description = "Signed out"),
    (status = 401, description = "not-signed-in", body = ProblemBody),
))]
pub(crate) async fn end(State(state): State<Arc<AppState>>, caller: Caller) -> Result<Response, Problem> {
    state.app.store.revoke_token(caller.token, state.app.clock.now()).await?;
    state.active_tokens.revoke_token(caller.token);
    let action = if caller.kind == TokenKind::Session { "session.closed" } else { "token.revoked" };
    let about = (caller.person.name.as_str(), Some(caller.person.id));
    audit_trail::record(&state, &caller, action, about, json!({ "token": caller.token })).await;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if caller.kind == TokenKind::Session {
        set_cookie(&state, &mut response, "", "; Max-Age=0");
    }
    Ok(response)
}
