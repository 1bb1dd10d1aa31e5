//! Requests about a PBX that another daemon leads: its gateway carries them out, ours returns the answer.
//!
//! | request | carried out by the daemon of |
//! |---|---|
//! | a command or question about a live call, `/v1/calls/{call}/…` | the call's PBX |
//! | a new supervision of a call or an operator | the PBX of the call, or of the operator's call; our own PBX where the operator has none |
//! | a transfer or supervision by its id; a repeated request about a call that is over | our own PBX; while the answer is 404, each other PBX in turn |
//! | an operator's state or wrap-up | the PBX whose daemon owns the operator's state; our own PBX where none does yet |
//! | the options of operators (reasons, dispositions, phones) | our own PBX |
//! | the list of supervisions | our own PBX, then all others at the same time; `unanswered` names the PBXes without an answer |
//! | everything else | this daemon |
//!
//! Where this daemon does not lead its own PBX, "our own PBX" is the daemon that does. Without
//! `[redis]` in the configuration nothing is forwarded.
//!
//! The other daemon gets the request with the id of its user ([`ForwardedIdentity`]). It takes role and visibility
//! from its own roster, and decides itself. It also recognises repeated requests (`idempotency.rs`), through
//! whichever gateway they come. Of its answer only status, content type and body come back.
//!
//! Invariants: of another daemon only such requests are carried out as are forwarded ([`RouteTarget`]): nothing that
//! changes records, people or tokens. At most one daemon carries a command out. A gateway that cannot know whether it was carried out answers
//! `pbx-no-answer`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::auth::{Caller, ForwardedIdentity};
use super::extract::record_id;
use super::problem::{Kind, Problem};
use super::state::AppState;
use crate::bus::redis::{RpcError, RpcRequest};
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::people::role::Role;
use crate::people::viewer::Viewer;
use crate::store::users::TokenKind;

/// Headers that are forwarded.
const FORWARDED_HEADERS: [&str; 2] = ["content-type", IDEMPOTENCY_KEY];
/// The header of a request that may be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Largest body of an answer from another daemon, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A request as another daemon gets it, in JSON.
#[derive(Debug, Serialize, Deserialize)]
struct ForwardedRequest {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    user: RecordId,
    token: RecordId,
    session: bool,
}

/// The answer of another daemon, in JSON.
#[derive(Debug, Serialize, Deserialize)]
struct ForwardedAnswer {
    status: u16,
    content_type: Option<String>,
    body: String,
}

/// Forwards a request about another PBX to its daemon, and passes every other request on.
pub(crate) async fn forward(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let may_forward =
        state.app.bus.cluster_rpc().is_some() && request.extensions().get::<ForwardedIdentity>().is_none();
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let target = if may_forward { RouteTarget::of(&route, request.method()) } else { RouteTarget::Local };
    if target == RouteTarget::Local {
        return next.run(request).await;
    }
    // The id in /v1/calls/{call}/… and the like.
    let id = request.uri().path().split('/').nth(3).unwrap_or_default().to_owned();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, state.app.settings.body_bytes_max).await else {
        return Problem::from(Kind::BodyTooLarge).into_response();
    };
    let caller = parts.extensions.get::<Caller>().cloned();
    let original = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    let (Some(caller), Ok(text)) = (caller, std::str::from_utf8(&body)) else {
        return next.run(original()).await;
    };
    let forwarded = forwarded_request(&parts, text, &caller);
    // A repeated request may be about a call that is over. The daemon that answered it first has kept the answer.
    let is_repeat_after_end = || parts.headers.contains_key(IDEMPOTENCY_KEY) && !is_live(&state, &id);
    match target {
        RouteTarget::CallOwner if !is_repeat_after_end() => {
            match pbx_of_call(&state, CallId::parse(&id).ok()) {
                Some(pbx) => call_leader(&state, &pbx, &forwarded).await,
                None => next.run(original()).await,
            }
        }
        RouteTarget::Local => next.run(original()).await,
        RouteTarget::FromBody => match pbx_in_body(&state, text) {
            Some(pbx) => call_leader(&state, &pbx, &forwarded).await,
            None => next.run(original()).await,
        },
        RouteTarget::OperatorOwner => match pbx_of_operator(&state, record_id(&id)) {
            Some(pbx) => call_leader(&state, &pbx, &forwarded).await,
            None => next.run(original()).await,
        },
        RouteTarget::FanOut => {
            let own = if state.app.bus.is_leader() {
                next.run(original()).await
            } else {
                call_leader(&state, state.app.bus.own_pbx(), &forwarded).await
            };
            fan_out(&state, own, &forwarded).await
        }
        RouteTarget::CallOwner | RouteTarget::FirstFound => {
            let leads = state.app.bus.is_leader();
            let own = state.app.bus.own_pbx().clone();
            let mut answer =
                if leads { next.run(original()).await } else { call_leader(&state, &own, &forwarded).await };
            for pbx in other_pbxes(&state) {
                if answer.status() != StatusCode::NOT_FOUND {
                    break;
                }
                answer = call_leader(&state, &pbx, &forwarded).await;
            }
            answer
        }
    }
}

/// The form of a request in which another daemon receives it.
fn forwarded_request(parts: &Parts, body: &str, caller: &Caller) -> ForwardedRequest {
    let headers = FORWARDED_HEADERS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), parts.headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    ForwardedRequest {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers,
        body: body.to_owned(),
        user: caller.person.id,
        token: caller.token,
        session: caller.kind == TokenKind::Session,
    }
}

/// Which daemon carries a request out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteTarget {
    /// This daemon.
    Local,
    /// The leader of the PBX of the call in the path.
    CallOwner,
    /// The leader of the PBX of the call or operator in the body.
    FromBody,
    /// The first daemon that does not answer 404.
    FirstFound,
    /// Every daemon.
    FanOut,
    /// The daemon that owns the state of the operator in the path.
    OperatorOwner,
}

impl RouteTarget {
    fn of(route: &str, method: &Method) -> Self {
        let is_read = *method == Method::GET || *method == Method::HEAD;
        match route {
            "/v1/calls/{call}" => Self::Local,
            "/v1/operators/options" => Self::OperatorOwner,
            _ if route.starts_with("/v1/operators/{operator}/") && !is_read => Self::OperatorOwner,
            "/v1/supervisions" if is_read => Self::FanOut,
            "/v1/supervisions" => Self::FromBody,
            _ if route.starts_with("/v1/calls/{call}/") => Self::CallOwner,
            _ if route.starts_with("/v1/transfers/") || route.starts_with("/v1/supervisions/") => {
                Self::FirstFound
            }
            _ => Self::Local,
        }
    }
}

fn is_live(state: &AppState, call: &str) -> bool {
    let call = CallId::parse(call).ok();
    call.is_some_and(|call| state.app.bus.call(&Viewer::unrestricted(Role::System), call).is_some())
}

/// The PBX of a live call, if another daemon leads it. That daemon decides what the caller may see of the call.
fn pbx_of_call(state: &AppState, call: Option<CallId>) -> Option<PbxId> {
    let view = state.app.bus.call(&Viewer::unrestricted(Role::System), call?)?;
    unless_led_here(state, &view.pbx)
}

/// The PBX whose daemon owns an operator's state, if that is another daemon.
fn pbx_of_operator(state: &AppState, user: Option<RecordId>) -> Option<PbxId> {
    let operators = state.app.bus.snapshot(&Viewer::unrestricted(Role::System)).operators;
    let view = operators.iter().find(|view| Some(view.id) == user);
    let pbx = view.and_then(|view| view.pbx.as_ref()).unwrap_or_else(|| state.app.bus.own_pbx());
    unless_led_here(state, pbx)
}

/// The PBX of the call or operator in the body, if another daemon leads it.
fn pbx_in_body(state: &AppState, body: &str) -> Option<PbxId> {
    let body: Value = serde_json::from_str(body).ok()?;
    if let Some(call) = body.get("call").and_then(Value::as_str) {
        return pbx_of_call(state, CallId::parse(call).ok());
    }
    let operator = Extension::parse(body.get("operator")?.as_str()?).ok()?;
    let calls = state.app.bus.snapshot(&Viewer::unrestricted(Role::System)).calls;
    let own = state.app.bus.own_pbx();
    let with_operator = |own_only: bool| {
        calls.iter().find(|call| (call.pbx == *own) == own_only && call.operators().any(|o| *o == operator))
    };
    let pbx = with_operator(true).or_else(|| with_operator(false)).map_or(own, |call| &call.pbx);
    unless_led_here(state, pbx)
}

/// `pbx`, unless this daemon leads it.
fn unless_led_here(state: &AppState, pbx: &PbxId) -> Option<PbxId> {
    let led_here = pbx == state.app.bus.own_pbx() && state.app.bus.is_leader();
    (!led_here).then(|| pbx.clone())
}

fn other_pbxes(state: &AppState) -> Vec<PbxId> {
    let own = state.app.bus.own_pbx();
    let links = state.app.bus.snapshot(&Viewer::unrestricted(Role::System)).pbx;
    links.into_iter().map(|link| link.id).filter(|id| id != own).collect()
}

/// Sends a request to the leader of `pbx`, and returns its answer.
async fn call_leader(state: &AppState, pbx: &PbxId, forwarded: &ForwardedRequest) -> Response {
    let Some(requests) = state.app.bus.cluster_rpc() else {
        return Problem::from(Kind::Internal).into_response();
    };
    let body = serde_json::to_string(forwarded).unwrap_or_default();
    let answer = requests.call(pbx, &body).await.map(|text| serde_json::from_str::<ForwardedAnswer>(&text));
    match answer {
        Ok(Ok(answer)) => answer.into_response(),
        Ok(Err(_)) => Problem::from(Kind::Internal).into_response(),
        Err(error @ RpcError::NotDelivered) => {
            Kind::PbxUnreachable.with(format!("{pbx}: {error}")).into_response()
        }
        Err(error @ RpcError::OutcomeUnknown) => {
            Kind::OutcomeUnknown.with(format!("{pbx}: {error}")).into_response()
        }
    }
}

/// Merges our own list with the lists of all other PBXes, oldest first.
async fn fan_out(state: &AppState, own: Response, forwarded: &ForwardedRequest) -> Response {
    let pbxes = other_pbxes(state);
    let answers = futures_util::future::join_all(pbxes.iter().map(|pbx| call_leader(state, pbx, forwarded)));
    let ((parts, own), others) = (own.into_parts(), answers.await);
    let Some(Value::Object(mut list)) = json(own).await else {
        return Kind::Internal
            .with("this daemon could not read its own list of supervisions")
            .into_response();
    };
    // Our own refusal, for instance 403, is the answer.
    if !parts.status.is_success() {
        return Response::from_parts(parts, Body::from(Value::Object(list).to_string()));
    }
    let mut items = take_items(&mut list);
    let mut unanswered = Vec::new();
    for (pbx, answer) in pbxes.iter().zip(others) {
        let (head, body) = answer.into_parts();
        match json(body).await {
            Some(Value::Object(mut other)) if head.status.is_success() => {
                items.extend(take_items(&mut other))
            }
            _ => unanswered.push(Value::from(pbx.as_str())),
        }
    }
    // All times have the same format, so their text sorts by time.
    items.sort_by_key(|item| item["started_at"].as_str().unwrap_or_default().to_owned());
    list.insert("items".into(), items.into());
    if !unanswered.is_empty() {
        list.insert("unanswered".into(), unanswered.into());
    }
    axum::Json(list).into_response()
}

fn take_items(list: &mut serde_json::Map<String, Value>) -> Vec<Value> {
    match list.remove("items") {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

async fn json(body: Body) -> Option<Value> {
    serde_json::from_slice(&to_bytes(body, ANSWER_BYTES_MAX).await.ok()?).ok()
}

impl IntoResponse for ForwardedAnswer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = status;
        if let Some(kind) = self.content_type.and_then(|kind| HeaderValue::from_str(&kind).ok()) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        response
    }
}

/// Carries out the requests of other daemons until `shutdown`, each in its own task.
pub(crate) async fn serve(
    state: Arc<AppState>,
    router: Router,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let Some(mut incoming) = state.app.bus.cluster_rpc().and_then(|requests| requests.take_incoming()) else {
        return;
    };
    loop {
        let RpcRequest { body, reply } = tokio::select! {
            () = shutdown.cancelled() => return,
            request = incoming.recv() => match request {
                Some(request) => request,
                None => return,
            },
        };
        let router = router.clone();
        tasks.spawn(async move {
            if let Some(answer) = carry_out(router, &body).await {
                // The other gateway may have stopped waiting.
                let _ = reply.send(serde_json::to_string(&answer).unwrap_or_default());
            }
        });
    }
}

/// Whether requests with this method and path are forwarded, so that another daemon may have sent one.
fn is_forwarded(method: &str, path: &str) -> bool {
    let Ok(method) = method.parse::<Method>() else { return false };
    let path = path.split('?').next().unwrap_or_default();
    let Some(rest) = path.strip_prefix("/v1/") else { return false };
    // The table of routes is about the first id of a path by its name.
    let route = match rest.split_once('/') {
        Some(("operators", "options")) | None => path.to_owned(),
        Some((topic, rest)) => {
            let tail = rest.split_once('/').map_or(String::new(), |(_, tail)| format!("/{tail}"));
            let name = match topic {
                "calls" => "{call}",
                "operators" => "{operator}",
                _ => "{id}",
            };
            format!("/v1/{topic}/{name}{tail}")
        }
    };
    RouteTarget::of(&route, &method) != RouteTarget::Local
}

async fn carry_out(mut router: Router, body: &str) -> Option<ForwardedAnswer> {
    let forwarded: ForwardedRequest = serde_json::from_str(body).ok()?;
    if !is_forwarded(&forwarded.method, &forwarded.path) {
        tracing::error!(
            method = %printable_word(&forwarded.method),
            "refused a request of another daemon that no daemon forwards; is everything that writes to Redis yours?"
        );
        let problem =
            Kind::NotPermitted.with("another daemon does not carry this request out").into_response();
        return answer_of(problem).await;
    }
    let mut request = axum::http::Request::builder().method(forwarded.method.as_str()).uri(forwarded.path);
    for (name, value) in
        forwarded.headers.iter().filter(|(name, _)| FORWARDED_HEADERS.contains(&name.as_str()))
    {
        request = request.header(name, value);
    }
    let kind = if forwarded.session { TokenKind::Session } else { TokenKind::Token };
    let identity = ForwardedIdentity { user: forwarded.user, token: forwarded.token, kind };
    let request = request.extension(identity).body(Body::from(forwarded.body)).ok()?;
    answer_of(router.call(request).await.ok()?).await
}

/// A method for the log; whatever else stands in its place is not logged.
fn printable_word(method: &str) -> &str {
    if method.len() <= 16 && method.bytes().all(|b| b.is_ascii_alphabetic()) { method } else { "?" }
}

async fn answer_of(response: Response) -> Option<ForwardedAnswer> {
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned);
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.ok()?;
    Some(ForwardedAnswer { status, content_type, body: String::from_utf8_lossy(&body).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation of the API: what this gateway would forward is what it carries out for another one.
    #[test]
    fn only_what_is_forwarded_is_carried_out_for_another_daemon() {
        let document: Value = serde_json::from_str(&super::super::openapi::document()).unwrap();
        let (mut forwarded, mut refused) = (0, 0);
        for (route, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
                let path: Vec<&str> =
                    route.split('/').map(|p| if p.starts_with('{') { "7" } else { p }).collect();
                let expected = RouteTarget::of(route, &method.parse().unwrap()) != RouteTarget::Local;
                let path = path.join("/");
                assert_eq!(is_forwarded(&method, &path), expected, "{method} {path}");
                assert_eq!(is_forwarded(&method, &format!("{path}?a=/b")), expected, "{method} {path}");
                *(if expected { &mut forwarded } else { &mut refused }) += 1;
            }
        }
        assert!(forwarded > 10 && refused > 40, "{forwarded} {refused}");
        for (method, path) in [
            ("POST", "/v1/users/7/tokens"),
            ("POST", "/v1/users"),
            ("POST", "/v1/session"),
            ("GET", "/metrics"),
            ("GET", ""),
            ("POST", "/v1/users/7/tokens?x=/v1/calls/7/ack"),
            ("POST", "//v1/calls/7/ack"),
            ("POST", "http://h/v1/calls/7/ack"),
            ("GET", "/v1/operators/7/history"),
            ("GET", "/v1/calls/7"),
            ("a b", "/v1/calls/7/ack"),
        ] {
            assert!(!is_forwarded(method, path), "{method} {path}");
        }
    }
}
