//! Authentication: a bearer token in the `Authorization` header, or a session token in a cookie.
//!
//! | request | answer |
//! |---|---|
//! | `Authorization: Bearer …` | the token is checked; a cookie in the same request is ignored |
//! | cookie, GET or HEAD without an upgrade | the token is checked |
//! | cookie, another method or a WebSocket upgrade, `Origin` ours or allowed | the token is checked |
//! | the same with another `Origin`, or none | 403 `foreign-origin`: a page of another origin may have sent it |
//! | no token, or an unknown one | 401 `not-signed-in`; 429 `too-many-failures` after many unknown tokens |
//! | token expired | 401 `token-expired` |
//! | token or user revoked | 401 `token-revoked` |
//! | the store does not answer | a cached token counts (see `active_tokens.rs`); without one 503 |
//! | [`ForwardedIdentity`] | the user whom the gateway of another daemon authenticated, without a token check here |
//!
//! A token whose last use is older than [`USE_RECORD_INTERVAL`] is recorded as used, and a session's expiry moves.
//!
//! Invariant: behind [`authenticate`] every request carries a [`Caller`]. A token in a URL is never read.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::connection::ClientConnection;
use super::problem::{Kind, Problem};
use super::proxies::{ClientAddress, client_address, is_ignored_proxy};
use super::state::AppState;
use crate::ids::RecordId;
use crate::people::actor::Actor;
use crate::people::role::Permission;
use crate::people::roster::Person;
use crate::people::token::Token;
use crate::people::viewer::Viewer;
use crate::store::users::{TokenKind, TokenRecord, TokenUse};

/// The session cookie.
const COOKIE: &str = "toritsugi_session";
/// The session cookie where it is marked Secure: browsers accept this prefix only from the same host over TLS.
const COOKIE_SECURE: &str = "__Host-toritsugi_session";
/// Least time between two recorded uses of a token.
const USE_RECORD_INTERVAL: SignedDuration = SignedDuration::from_secs(60);

/// The authenticated user of a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) person: Arc<Person>,
    /// What the user may see.
    pub(crate) viewer: Viewer,
    /// The token of the request.
    pub(crate) token: RecordId,
    /// Session or API token.
    pub(crate) kind: TokenKind,
    /// When the token expires.
    pub(crate) expires_at: Option<Timestamp>,
}

/// The user of a request that the gateway of another daemon has authenticated and forwarded. Only `forwarding.rs`
/// makes one; no request of a client can carry it.
#[derive(Debug, Clone)]
pub(crate) struct ForwardedIdentity {
    pub(crate) user: RecordId,
    pub(crate) token: RecordId,
    pub(crate) kind: TokenKind,
}

impl Caller {
    /// The caller as the actor of a command.
    pub(crate) fn actor(&self) -> Actor {
        Actor { user: self.person.id, name: self.person.name.as_str().into(), viewer: self.viewer.clone() }
    }

    /// Whether the caller's role has `permission`.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.person.role.may(permission)
    }

    /// An error unless the caller's role has `permission`.
    pub(crate) fn needs(&self, permission: Permission) -> Result<(), Problem> {
        if self.may(permission) {
            Ok(())
        } else {
            Err(Kind::NotPermitted.with(format!("your role is {}", self.person.role)))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Absent only on a route that is not behind `authenticate`.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Kind::NotSignedIn.into())
    }
}

/// Passes a request on with its [`Caller`], or answers with a problem.
pub(crate) async fn authenticate(
    State(state): State<Arc<AppState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let client = client_of(&state, &request);
    let forwarded = request.extensions().get::<ForwardedIdentity>().cloned();
    let caller = match (forwarded, presented_token(&state, &request)) {
        (Some(identity), _) => forwarded_caller(&state, &identity).await,
        (None, Ok(token)) => caller_by_token(&state, &token, client).await,
        (None, Err(problem)) => Err(problem),
    };
    match caller {
        Ok(caller) => {
            if let Some(connection) = request.extensions().get::<ClientConnection>() {
                connection.prove(caller.person.id);
            }
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The caller of a forwarded request, with role and visibility from our own roster.
async fn forwarded_caller(state: &AppState, identity: &ForwardedIdentity) -> Result<Caller, Problem> {
    if state.app.people.current().person(identity.user).is_none() {
        state.app.refresh_people().await?;
    }
    let roster = state.app.people.current();
    let (Some(person), Some(viewer)) = (roster.person(identity.user), roster.viewer(identity.user)) else {
        return Err(Kind::TokenRevoked.into());
    };
    Ok(Caller {
        person: Arc::clone(person),
        viewer: viewer.clone(),
        token: identity.token,
        kind: identity.kind,
        expires_at: None,
    })
}

async fn caller_by_token(
    state: &AppState,
    text: &str,
    client: Option<ClientAddress>,
) -> Result<Caller, Problem> {
    let now = state.app.clock.now();
    let Ok(token) = Token::parse(text) else { return Err(reject_unknown_token(state, client)) };
    let find = async || state.active_tokens.find(&state.app.store, &token.hash()).await;
    let mut record = find().await?;
    // A use that was written after the store had answered is neither in the answer nor among those that wait.
    let is_expired = |record: &TokenRecord| {
        record.revoked_at.is_none() && !state.token_uses.apply_to(record.clone()).is_valid(now)
    };
    if record.as_ref().is_some_and(is_expired) {
        record = find().await?;
    }
    let Some(record) = record else { return Err(reject_unknown_token(state, client)) };
    admit(state, record, now).await
}

/// The caller of a known token, if the token is valid; records the use.
async fn admit(state: &AppState, record: TokenRecord, now: Timestamp) -> Result<Caller, Problem> {
    let record = state.token_uses.apply_to(record);
    if record.revoked_at.is_some() {
        return Err(Kind::TokenRevoked.into());
    }
    if !record.is_valid(now) {
        return Err(Kind::TokenExpired.into());
    }
    let mut roster = state.app.people.current();
    if roster.person(record.user).is_none() {
        // Another process may have added the user since the last refresh.
        state.app.refresh_people().await?;
        roster = state.app.people.current();
    }
    let (Some(person), Some(viewer)) = (roster.person(record.user), roster.viewer(record.user)) else {
        return Err(Kind::TokenRevoked.into());
    };
    let expires_at = record_use(state, &record, now);
    Ok(Caller {
        person: Arc::clone(person),
        viewer: viewer.clone(),
        token: record.id,
        kind: record.kind,
        expires_at,
    })
}

/// Records a use of the token unless the last one is recent, and returns the token's expiry.
fn record_use(state: &AppState, record: &TokenRecord, now: Timestamp) -> Option<Timestamp> {
    let last = record.last_used_at.unwrap_or(record.created_at);
    let is_recent = record.last_used_at.is_some() && now.duration_since(last) < USE_RECORD_INTERVAL;
    if is_recent {
        return record.expires_at;
    }
    let expires_at = match record.kind {
        TokenKind::Session => Some(now + state.app.settings.session_ttl),
        TokenKind::Token => None,
    };
    state.token_uses.record(TokenUse { token: record.id, at: now, expires_at });
    expires_at.or(record.expires_at)
}

/// The text of the token in the header or cookie of a request.
fn presented_token(state: &AppState, request: &Request) -> Result<String, Problem> {
    let headers = request.headers();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        return token
            .ok_or_else(|| Kind::NotSignedIn.with("the header must be `Authorization: Bearer` and a token"));
    }
    let cookie = cookie(state, headers).ok_or(Kind::NotSignedIn)?;
    let is_upgrade = headers.contains_key(header::UPGRADE);
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if (!is_safe || is_upgrade) && !is_own_origin(state, headers) {
        return Err(Kind::ForeignOrigin.into());
    }
    Ok(cookie)
}

fn cookie(state: &AppState, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(state);
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// Whether `Origin` is the page of this gateway, or one of `allowed_origins`. The page of this gateway has the host of the
/// request, over https. Over http it counts on this machine, or when the session cookie is not marked Secure; anybody
/// between the browser and the gateway could have written it otherwise.
pub(crate) fn is_own_origin(state: &AppState, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    if state.app.settings.allowed_origins.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    is_own_page(origin, host, state.app.settings.secure_cookie)
}

fn is_own_page(origin: &str, host: &str, secure_cookie: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let may_be_plain = !secure_cookie || is_this_machine(host);
    let is_page = scheme == "https" || scheme == "http" && may_be_plain;
    is_page && !host.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// Whether a `Host` names the browser's own machine, to which nobody can come between.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The name of the session cookie under the gateway's settings.
pub(crate) fn cookie_name(state: &AppState) -> &'static str {
    if state.app.settings.secure_cookie { COOKIE_SECURE } else { COOKIE }
}

/// Who sent the request; `None` for a request that came over no connection of ours.
pub(crate) fn client_of(state: &AppState, request: &Request) -> Option<ClientAddress> {
    let peer = request.extensions().get::<ClientConnection>().map(|connection| connection.peer.ip())?;
    let trusted = &state.app.settings.trusted_proxies;
    if is_ignored_proxy(peer, request.headers(), trusted)
        && !state.is_ignored_proxy_logged.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(
            %peer,
            "ignoring X-Forwarded-For of a peer that is not in gateway.trusted_proxies: if it is your reverse proxy, \
             add it there, or else all people behind it share one limit on sign-ins"
        );
    }
    Some(client_address(peer, request.headers(), trusted))
}

/// Counts a request with an unknown token, and returns its answer. A token of 256 bits cannot be guessed; after many
/// failures the client gets 429 instead of 401.
fn reject_unknown_token(state: &AppState, client: Option<ClientAddress>) -> Problem {
    state.app.metrics.count_failed_sign_in();
    let mut throttle = state.throttle.lock();
    match throttle.count_unknown_token(client, state.app.clock.elapsed()) {
        Ok(()) => Kind::NotSignedIn.into(),
        Err(wait) => Problem::from(Kind::TooManyFailures).retry_after(wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_page_is_the_host_of_the_request_over_https() {
        for (origin, host, own_if_secure, own_if_plain) in [
            ("https://desk.example.jp", "desk.example.jp", true, true),
            ("https://Desk.example.jp", "desk.example.JP", true, true),
            ("https://desk.example.jp:8443", "desk.example.jp:8443", true, true),
            ("http://desk.example.jp", "desk.example.jp", false, true),
            ("http://192.0.2.1:8470", "192.0.2.1:8470", false, true),
            ("http://127.0.0.1:8470", "127.0.0.1:8470", true, true),
            ("http://localhost:8470", "localhost:8470", true, true),
            ("http://[::1]:8470", "[::1]:8470", true, true),
            ("http://localhost.evil.example", "localhost.evil.example", false, true),
            ("https://desk.example.jp", "desk.example.jp:8443", false, false),
            ("https://evil.example", "desk.example.jp", false, false),
            ("ftp://desk.example.jp", "desk.example.jp", false, false),
            ("http://", "", false, false),
            ("https://", "", false, false),
            ("null", "null", false, false),
            ("", "", false, false),
        ] {
            assert_eq!(is_own_page(origin, host, true), own_if_secure, "{origin} {host}");
            assert_eq!(is_own_page(origin, host, false), own_if_plain, "{origin} {host}");
        }
    }
}
