//! The public pages: where a contact confirms a message, under the link in the mail. They have a listener of their own; nothing of
//! the operators' gateway is reachable there.
//!
//! | request | answer |
//! |---|---|
//! | `GET`, `HEAD /a/{token}` | the message and a form; nothing changes but a count of openings |
//! | `POST /a/{token}` | takes the answer, and shows what was answered |
//! | `POST` within three seconds after the mail was handed on | takes a note that confirms nothing; the form again, with a sentence |
//! | `POST` without a name, sooner than [`nonce::AGE_MIN`], or with a form older than [`nonce::AGE_MAX`] | the form again, with a sentence |
//! | `POST` about a message that stays in the house, with the last digits of the contact's number | takes the answer, and shows the message this once |
//! | the same with wrong digits | the form again; after five times never |
//! | a token that is unknown, over or guessed, or whose message was withdrawn | 404, one page for all of these |
//! | too many requests from one network (`limits.rs`) | 429 |
//! | `GET /public.css`, `/robots.txt` | the style; nothing is to be indexed |
//!
//! Mail systems open links before people do, follow them, run scripts and press lone buttons. So opening changes nothing, the form
//! has a choice without a default, and an answer needs the time in which a person reads.
//!
//! Invariants: no script, no cookie, nothing of another host. What `privacy` keeps in the house is on the page for nobody but who knows
//! the last digits of the contact's number; sensitive answers are not on it. A token is in no log.

mod limits;
mod links;
mod nonce;
mod page;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use self::limits::{Limits, Use};
pub use self::links::Links;
use self::nonce::NonceKey;
use self::page::{Language, Notice, Shown};
use super::connection::ClientConnection;
use super::middleware;
use super::proxies::{AddressRange, client_address};
use super::state::Clock;
use super::throttle::network;
use crate::contract::answer::{ANSWER_NAME_CHARS_MAX, ANSWER_NOTE_CHARS_MAX, AnswerKind};
use crate::contract::message::Privacy;
use crate::identity::printable;
use crate::messages::MessageRelay;
use crate::numbers::NumberPlan;
use crate::store::answers::{AnswerOrigin, AnswerOutcome, LinkHash, LinkedMessage, NewAnswer};
use crate::store::{Store, StoreError};

/// Largest body of an answer.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 64;
/// Connections at the same time.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// How long open requests may take to finish when the daemon stops.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What the public pages serve.
#[derive(Clone)]
pub struct PublicApp {
    /// Messages and their links.
    pub store: Store,
    /// Publishes what changed.
    pub relay: MessageRelay,
    /// The key that the daemons share in the store; forms are signed with it.
    pub key: [u8; 32],
    /// Reverse proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<AddressRange>,
    /// The time zone of the times on the page.
    pub time_zone: TimeZone,
    /// How telephone numbers are written.
    pub plan: NumberPlan,
    /// The name of the service.
    pub service_name: String,
    /// The current time.
    pub clock: Clock,
}

struct PublicState {
    app: PublicApp,
    nonces: NonceKey,
    limits: Mutex<Limits>,
}

#[derive(Debug, Deserialize)]
struct PageQuery {
    lang: Option<String>,
}

/// The hash under which the store knows a token.
#[must_use]
pub fn link_hash(token: &str) -> LinkHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Every route of the public listener.
pub(super) fn router(app: PublicApp) -> Router {
    let state =
        Arc::new(PublicState { nonces: NonceKey::new(&app.key), limits: Mutex::new(Limits::default()), app });
    Router::new()
        .route("/a/{token}", get(show).post(answer))
        .route("/public.css", get(style))
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /\n"))
        .fallback(async |headers: HeaderMap| page::gone(Language::of(None, &headers)))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(middleware::timeout))
        .layer(from_fn(headers))
        .with_state(state)
}

/// Adds the headers of every page.
async fn headers(request: Request, next: Next) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn style() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=86400")];
    (headers, include_str!("public.css"))
}

async fn show(
    State(state): State<Arc<PublicState>>,
    Path(token): Path<String>,
    Query(query): Query<PageQuery>,
    request: Request,
) -> Response {
    let language = Language::of(query.lang.as_deref(), request.headers());
    let Some(hash) = hash_of(&token) else { return page::gone(language) };
    if let Err(wait) = state.admit(&request, hash, Use::Read) {
        return page::busy(language, wait);
    }
    let shown = match state.linked(&hash).await {
        Ok(Some(linked)) => state.page(&linked, &hash, (language, false), None),
        Ok(None) => return page::gone(language),
        Err(error) => return unavailable(&error, language),
    };
    if let Err(error) = state.app.store.count_opened(&hash, state.app.clock.now()).await {
        tracing::debug!(%error, "an opened link was not counted");
    }
    shown
}

async fn answer(
    State(state): State<Arc<PublicState>>,
    Path(token): Path<String>,
    Query(query): Query<PageQuery>,
    request: Request,
) -> Response {
    let language = Language::of(query.lang.as_deref(), request.headers());
    let Some(hash) = hash_of(&token) else { return page::gone(language) };
    if let Err(wait) = state.admit(&request, hash, Use::Answer) {
        return page::busy(language, wait);
    }
    let origin = state.origin(&request);
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.unwrap_or_default();
    let linked = match state.linked(&hash).await {
        Ok(Some(linked)) => linked,
        Ok(None) => return page::gone(language),
        Err(error) => return unavailable(&error, language),
    };
    let new = match state.read(&body, &linked, &hash) {
        Ok(new) => new,
        Err(notice) => return state.page(&linked, &hash, (language, false), Some(notice)),
    };
    let is_revealed = match digits_of(&body) {
        Some(digits) if linked.facts.message.fields.privacy == Privacy::Notice => {
            if linked.digits.as_deref() != Some(digits.as_str()) {
                if let Err(error) = state.app.store.count_wrong_digits(&hash).await {
                    return unavailable(&error, language);
                }
                return state.page(&linked, &hash, (language, false), Some(Notice::Digits));
            }
            true
        }
        _ => false,
    };
    let outcome = state.app.store.answer_by_link(&hash, (&new, &origin), state.app.clock.now()).await;
    let notice = match outcome {
        Ok(AnswerOutcome::Taken | AnswerOutcome::Repeated) => None,
        // A person presses once more.
        Ok(AnswerOutcome::Early) => Some(Notice::Again),
        Ok(AnswerOutcome::Changed) => Some(Notice::Changed),
        Ok(AnswerOutcome::TooMany) => Some(Notice::TooMany),
        Ok(AnswerOutcome::Gone) => return page::gone(language),
        Err(error) => return unavailable(&error, language),
    };
    state.app.relay.wake();
    match state.linked(&hash).await {
        Ok(Some(linked)) => state.page(&linked, &hash, (language, is_revealed), notice),
        Ok(None) => page::gone(language),
        Err(error) => unavailable(&error, language),
    }
}

impl PublicState {
    async fn linked(&self, hash: &LinkHash) -> Result<Option<LinkedMessage>, StoreError> {
        self.app.store.linked_message(hash, self.app.clock.now()).await
    }

    fn admit(&self, request: &Request, hash: LinkHash, what: Use) -> Result<(), Duration> {
        self.limits.lock().admit(network(self.client(request)), hash, what, self.app.clock.elapsed())
    }

    fn client(&self, request: &Request) -> IpAddr {
        let peer = request.extensions().get::<ClientConnection>().map(|connection| connection.peer.ip());
        let peer = peer.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        client_address(peer, request.headers(), &self.app.trusted_proxies).address()
    }

    /// From where an answer comes: kept with it, for the case that somebody doubts it.
    fn origin(&self, request: &Request) -> AnswerOrigin {
        let agent = request.headers().get(header::USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let hash = Sha256::digest(agent);
        let agent_hash = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        AnswerOrigin { address: self.client(request).to_string(), agent_hash }
    }

    fn page(
        &self,
        linked: &LinkedMessage,
        hash: &LinkHash,
        (language, is_revealed): (Language, bool),
        notice: Option<Notice>,
    ) -> Response {
        let revision = linked.facts.message.revision;
        let nonce = self.nonces.make(hash, revision, self.app.clock.now());
        let app = &self.app;
        page::message(&Shown { linked, app, language, is_revealed, notice, nonce: &nonce })
    }

    /// Reads the form of an answer.
    fn read(&self, body: &Bytes, linked: &LinkedMessage, hash: &LinkHash) -> Result<NewAnswer, Notice> {
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
        let field =
            |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let revision = linked.facts.message.revision;
        if !self.nonces.is_valid(field("nonce"), hash, revision, self.app.clock.now()) {
            return Err(Notice::Again);
        }
        // No button makes a note.
        let kind = AnswerKind::parse(field("answer")).filter(|kind| *kind != AnswerKind::Note);
        let kind = kind.ok_or(Notice::Again)?;
        let text = |text: &str, chars: usize| {
            let text = printable(text, usize::MAX).map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty() && text.chars().count() <= chars)
        };
        let other_name = match field("who") {
            "contact" if linked.facts.recipient_name.is_some() => None,
            "other" => Some(text(field("name"), ANSWER_NAME_CHARS_MAX).ok_or(Notice::Who)?),
            _ => return Err(Notice::Who),
        };
        let note = match field("note").trim() {
            "" => None,
            note => Some(text(note, ANSWER_NOTE_CHARS_MAX).ok_or(Notice::LongNote)?),
        };
        Ok(NewAnswer { kind, other_name, note, revision })
    }
}

/// The digits in a form, if it has any: in any width.
fn digits_of(body: &Bytes) -> Option<String> {
    let fields = url::form_urlencoded::parse(body);
    let (_, text) = fields.into_iter().find(|(key, _)| key == "digits")?;
    let digit = |c: char| match c {
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10),
        c => c.is_ascii_digit().then_some(c),
    };
    let digits: String = text.chars().filter_map(digit).collect();
    (!text.trim().is_empty()).then_some(digits)
}

fn hash_of(token: &str) -> Option<LinkHash> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (token.len() <= TOKEN_BYTES_MAX && token.bytes().all(is_token)).then(|| link_hash(token))
}

fn unavailable(error: &StoreError, language: Language) -> Response {
    tracing::warn!(%error, "a public page cannot use the store");
    page::unavailable(language)
}

#[cfg(test)]
mod tests;
