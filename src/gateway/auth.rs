//! Who asks: a bearer token in the `Authorization` header, or a page's session in a cookie.
//!
//! | request | answer |
//! |---|---|
//! | `Authorization: Bearer …` | counts; a cookie beside it is not looked at |
//! | cookie, safe method | counts |
//! | cookie, unsafe method or WebSocket, `Origin` ours or allowed | counts |
//! | the same with another `Origin`, or none | `foreign-origin`: another page may have sent it |
//! | token unknown, expired, revoked, user revoked | a 401 that says which |
//! | records not readable | a token seen lately counts on; another gets 503 |
//!
//! Invariant: behind [`authenticate`] every request carries a [`Caller`]; a token in a URL is never read.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};

use super::connection::Link;
use super::elsewhere::OnBehalf;
use super::problem::{Kind, Problem};
use super::routes::Gate;
use super::throttle::Source;
use crate::command::Actor;
use crate::ids::RecordId;
use crate::operator::{Permission, Person, Token, Viewer};
use crate::store::users::{TokenKind, TokenRecord, TokenUse};

/// The cookie, and its name where it is marked Secure (the prefix makes browsers refuse a forged one).
const COOKIE: &str = "toritsugi_session";
const COOKIE_SECURE: &str = "__Host-toritsugi_session";
/// Where a proxy says whom it serves.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// How old a token's last use may be before it is noted again.
const USE_NOTED_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Somebody whose token is valid.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who.
    pub(crate) person: Arc<Person>,
    /// What they see.
    pub(crate) viewer: Viewer,
    /// The token they showed.
    pub(crate) token: RecordId,
    /// What it is for.
    pub(crate) kind: TokenKind,
    /// When it ends.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Caller {
    /// The caller as one who gives commands.
    pub(crate) fn actor(&self) -> Actor {
        Actor { user: self.person.id, name: self.person.name.as_str().into(), viewer: self.viewer.clone() }
    }

    /// Refuses unless the caller's role permits it.
    pub(crate) fn needs(&self, permission: Permission) -> Result<(), Problem> {
        if self.person.role.may(permission) {
            Ok(())
        } else {
            Err(Kind::NotPermitted.with(format!("your role is {}", self.person.role)))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Only a route outside the guarded part of the table could come here without one.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Kind::NotSignedIn.into())
    }
}

/// Lets a request pass whose token is valid, and says with it who asks.
pub(crate) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = peer(&request);
    let behalf = request.extensions().get::<OnBehalf>().cloned();
    let caller = match (behalf, shown(&gate, &request)) {
        (Some(behalf), _) => caller_of(&gate, &behalf).await,
        (None, Ok(shown)) => caller(&gate, &shown, peer).await,
        (None, Err(problem)) => Err(problem),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The person whom another daemon has let in, as our own roster knows her.
async fn caller_of(gate: &Gate, behalf: &OnBehalf) -> Result<Caller, Problem> {
    if gate.app.people.current().person(behalf.user).is_none() {
        gate.app.refresh_people().await?;
    }
    let roster = gate.app.people.current();
    let (Some(person), Some(viewer)) = (roster.person(behalf.user), roster.viewer(behalf.user)) else {
        return Err(Kind::TokenRevoked.into());
    };
    Ok(Caller {
        person: Arc::clone(person),
        viewer: viewer.clone(),
        token: behalf.token,
        kind: behalf.kind,
        expires_at: None,
    })
}

async fn caller(gate: &Gate, shown: &str, peer: Option<IpAddr>) -> Result<Caller, Problem> {
    let now = gate.app.clock.now();
    let record = match Token::parse(shown) {
        Ok(token) => gate.bearers.find(&gate.app.store, &token.hash()).await?,
        Err(_) => None,
    };
    let Some(record) = record else { return Err(unknown(gate, peer, now)) };
    admit(gate, record, now).await
}

/// The caller of a token that is known, if it is valid.
pub(crate) async fn admit(gate: &Gate, record: TokenRecord, now: Timestamp) -> Result<Caller, Problem> {
    let record = gate.uses.applied(record);
    if record.revoked_at.is_some() {
        return Err(Kind::TokenRevoked.into());
    }
    if !record.is_valid(now) {
        return Err(Kind::TokenExpired.into());
    }
    let mut roster = gate.app.people.current();
    if roster.person(record.user).is_none() {
        // Perhaps the command line has just added them.
        gate.app.refresh_people().await?;
        roster = gate.app.people.current();
    }
    let (Some(person), Some(viewer)) = (roster.person(record.user), roster.viewer(record.user)) else {
        return Err(Kind::TokenRevoked.into());
    };
    let expires_at = note_use(gate, &record, now);
    Ok(Caller {
        person: Arc::clone(person),
        viewer: viewer.clone(),
        token: record.id,
        kind: record.kind,
        expires_at,
    })
}

/// Moves a session's end, now and then.
fn note_use(gate: &Gate, record: &TokenRecord, now: Timestamp) -> Option<Timestamp> {
    let last = record.last_used_at.unwrap_or(record.created_at);
    let fresh = record.last_used_at.is_some() && now.duration_since(last) < USE_NOTED_EVERY;
    if fresh {
        return record.expires_at;
    }
    let expires_at = match record.kind {
        TokenKind::Session => Some(now + gate.app.settings.session),
        TokenKind::Token => None,
    };
    gate.uses.note(TokenUse { token: record.id, at: now, expires_at });
    expires_at.or(record.expires_at)
}

/// The text of the token a request shows.
fn shown(gate: &Gate, request: &Request) -> Result<String, Problem> {
    let headers = request.headers();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        return token.ok_or_else(|| Kind::NotSignedIn.with("write Authorization: Bearer and the token"));
    }
    let cookie = cookie(gate, headers).ok_or(Kind::NotSignedIn)?;
    let upgrade = headers.contains_key(header::UPGRADE);
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if (!safe || upgrade) && !is_own_origin(gate, headers) {
        return Err(Kind::ForeignOrigin.into());
    }
    Ok(cookie)
}

fn cookie(gate: &Gate, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(gate);
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// Whether the page that sent this is ours: its origin is the host it asks, or one that is allowed.
pub(crate) fn is_own_origin(gate: &Gate, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    if gate.app.settings.allowed_origins.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    authority.is_some() && authority == host
}

/// The cookie's name under these settings.
pub(crate) fn cookie_name(gate: &Gate) -> &'static str {
    if gate.app.settings.secure_cookie { COOKIE_SECURE } else { COOKIE }
}

/// The client's address. A proxy on this machine is believed about whom it serves: the last address of
/// `X-Forwarded-For` is the one that it has seen itself.
pub(crate) fn peer(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<Link>().map(|link| link.peer.ip())?;
    if !peer.to_canonical().is_loopback() {
        return Some(peer);
    }
    let forwarded = request.headers().get_all(FORWARDED_FOR).into_iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    Some(last.unwrap_or(peer))
}

/// Nobody guesses 256 bits; but who tries for long gets a shorter answer.
fn unknown(gate: &Gate, peer: Option<IpAddr>, now: Timestamp) -> Problem {
    gate.app.metrics.sign_in_failed();
    let Some(source) = peer.map(Source::network) else { return Kind::NotSignedIn.into() };
    let mut throttle = gate.throttle.lock().unwrap_or_else(PoisonError::into_inner);
    throttle.failed(source, now);
    match throttle.check(source, now) {
        Ok(()) => Kind::NotSignedIn.into(),
        Err(pause) => Problem::from(Kind::TooManyFailures).retry_after(pause),
    }
}
