//! Orders about a PBX that another daemon leads for: they are carried out there and answered here.
//!
//! | request | goes to the daemon of |
//! |---|---|
//! | an order or question about a call, `/v1/calls/{call}/…` | the call's PBX |
//! | a supervision of a call or an operator | the PBX of the call, or of the call that the operator has |
//! | a transfer or supervision by its id, a repeated order about a call that is over | our own PBX; where that one is unknown, each other one in turn |
//! | an operator's state or after-call work | the PBX whose daemon keeps it; ours where none does yet |
//! | what there is to choose from for an operator | our own PBX |
//! | the list of supervisions | everybody, one deadline for all; `unanswered` names the PBXes that did not say theirs |
//! | everything else | us |
//!
//! The other daemon gets the request as it came, with who asks: it looks the person up in its own roster and decides
//! itself what she may. Repeated orders are found out there, too, whichever gateway they come through.
//!
//! Invariant: an order is carried out by one daemon at most; a gateway that does not know whether it was says so.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::auth::Caller;
use super::extract::record;
use super::problem::{Kind, Problem};
use super::routes::Gate;
use crate::bus::redis::{AskError, Incoming};
use crate::ids::{CallId, Extension, PbxId, RecordId};
use crate::operator::{Role, Viewer};
use crate::store::users::TokenKind;

/// Headers that go along.
const HEADERS: [&str; 2] = ["content-type", IDEMPOTENCY_KEY];
/// Marks an order that may be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest answer that comes back, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A request on its way to another daemon.
#[derive(Debug, Serialize, Deserialize)]
struct Forwarded {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    user: RecordId,
    token: RecordId,
    session: bool,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    status: u16,
    content_type: Option<String>,
    body: String,
}

/// Who asks, when another daemon says so; only [`carry_out`] makes one.
#[derive(Debug, Clone)]
pub(crate) struct OnBehalf {
    pub(crate) user: RecordId,
    pub(crate) token: RecordId,
    pub(crate) kind: TokenKind,
}

/// Sends what concerns another PBX to its daemon.
pub(crate) async fn forward(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let elsewhere = gate.app.bus.requests().is_some() && request.extensions().get::<OnBehalf>().is_none();
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let kind = if elsewhere { Place::of(&route, request.method()) } else { Place::Here };
    if kind == Place::Here {
        return next.run(request).await;
    }
    // /v1/calls/{call}/…
    let id = request.uri().path().split('/').nth(3).unwrap_or_default().to_owned();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, gate.app.settings.body_bytes_max).await else {
        return Problem::from(Kind::BodyTooLarge).into_response();
    };
    let caller = parts.extensions.get::<Caller>().cloned();
    let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
    let (Some(caller), Ok(text)) = (caller, std::str::from_utf8(&body)) else {
        return next.run(again()).await;
    };
    let headers = HEADERS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), parts.headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    let forwarded = Forwarded {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers,
        body: text.to_owned(),
        user: caller.person.id,
        token: caller.token,
        session: caller.kind == TokenKind::Session,
    };
    // A repeated order may be about a call that is over: whoever answered it first answers it again.
    let repeated = || parts.headers.contains_key(IDEMPOTENCY_KEY) && !is_live(&gate, &id);
    match kind {
        Place::Call if !repeated() => match pbx_of_call(&gate, CallId::parse(&id).ok()) {
            Some(pbx) => ask(&gate, &pbx, &forwarded).await,
            None => next.run(again()).await,
        },
        Place::Here => next.run(again()).await,
        Place::Wanted => match pbx_wanted(&gate, text) {
            Some(pbx) => ask(&gate, &pbx, &forwarded).await,
            None => next.run(again()).await,
        },
        Place::Operator => match keeper_of(&gate, record(&id)) {
            Some(pbx) => ask(&gate, &pbx, &forwarded).await,
            None => next.run(again()).await,
        },
        Place::Everywhere => {
            let own = if gate.app.bus.leads() {
                next.run(again()).await
            } else {
                ask(&gate, gate.app.bus.own_pbx(), &forwarded).await
            };
            everywhere(&gate, own, &forwarded).await
        }
        Place::Call | Place::Anywhere => {
            let leads = gate.app.bus.leads();
            let own = gate.app.bus.own_pbx().clone();
            let mut answer = if leads { next.run(again()).await } else { ask(&gate, &own, &forwarded).await };
            for pbx in other_pbxes(&gate) {
                if answer.status() != StatusCode::NOT_FOUND {
                    break;
                }
                answer = ask(&gate, &pbx, &forwarded).await;
            }
            answer
        }
    }
}

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    Call,
    Wanted,
    Anywhere,
    Everywhere,
    Operator,
}

impl Place {
    fn of(route: &str, method: &Method) -> Self {
        let reads = *method == Method::GET || *method == Method::HEAD;
        match route {
            "/v1/calls/{call}" => Self::Here,
            "/v1/operators/options" => Self::Operator,
            _ if route.starts_with("/v1/operators/{operator}/") && !reads => Self::Operator,
            "/v1/supervisions" if reads => Self::Everywhere,
            "/v1/supervisions" => Self::Wanted,
            _ if route.starts_with("/v1/calls/{call}/") => Self::Call,
            _ if route.starts_with("/v1/transfers/") || route.starts_with("/v1/supervisions/") => {
                Self::Anywhere
            }
            _ => Self::Here,
        }
    }
}

fn is_live(gate: &Gate, call: &str) -> bool {
    let call = CallId::parse(call).ok();
    call.is_some_and(|call| gate.app.bus.call(&Viewer::all_seeing(Role::System), call).is_some())
}

/// The PBX of a live call, if another daemon leads for it. What the caller may see of it is decided there.
fn pbx_of_call(gate: &Gate, call: Option<CallId>) -> Option<PbxId> {
    let view = gate.app.bus.call(&Viewer::all_seeing(Role::System), call?)?;
    led_elsewhere(gate, &view.pbx)
}

/// The PBX whose daemon keeps a person's state, if that is another daemon.
fn keeper_of(gate: &Gate, user: Option<RecordId>) -> Option<PbxId> {
    let operators = gate.app.bus.snapshot(&Viewer::all_seeing(Role::System)).operators;
    let view = operators.iter().find(|view| Some(view.id) == user);
    let pbx = view.and_then(|view| view.pbx.as_ref()).unwrap_or_else(|| gate.app.bus.own_pbx());
    led_elsewhere(gate, pbx)
}

fn pbx_wanted(gate: &Gate, body: &str) -> Option<PbxId> {
    let body: Value = serde_json::from_str(body).ok()?;
    if let Some(call) = body.get("call").and_then(Value::as_str) {
        return pbx_of_call(gate, CallId::parse(call).ok());
    }
    let operator = Extension::parse(body.get("operator")?.as_str()?).ok()?;
    let calls = gate.app.bus.snapshot(&Viewer::all_seeing(Role::System)).calls;
    let own = gate.app.bus.own_pbx();
    let with_operator = |own_only: bool| {
        calls.iter().find(|call| (call.pbx == *own) == own_only && call.operators().any(|o| *o == operator))
    };
    let pbx = with_operator(true).or_else(|| with_operator(false)).map_or(own, |call| &call.pbx);
    led_elsewhere(gate, pbx)
}

fn led_elsewhere(gate: &Gate, pbx: &PbxId) -> Option<PbxId> {
    let here = pbx == gate.app.bus.own_pbx() && gate.app.bus.leads();
    (!here).then(|| pbx.clone())
}

fn other_pbxes(gate: &Gate) -> Vec<PbxId> {
    let own = gate.app.bus.own_pbx();
    let links = gate.app.bus.snapshot(&Viewer::all_seeing(Role::System)).pbx;
    links.into_iter().map(|link| link.id).filter(|id| id != own).collect()
}

async fn ask(gate: &Gate, pbx: &PbxId, forwarded: &Forwarded) -> Response {
    let Some(requests) = gate.app.bus.requests() else {
        return Problem::from(Kind::Internal).into_response();
    };
    let body = serde_json::to_string(forwarded).unwrap_or_default();
    let answered = requests.ask(pbx, &body).await.map(|answer| serde_json::from_str::<Answered>(&answer));
    match answered {
        Ok(Ok(answered)) => answered.into_response(),
        Ok(Err(_)) => Problem::from(Kind::Internal).into_response(),
        Err(error @ AskError::NotDelivered) => {
            Kind::PbxUnreachable.with(format!("{pbx}: {error}")).into_response()
        }
        Err(error @ AskError::FateUnknown) => {
            Kind::FateUnknown.with(format!("{pbx}: {error}")).into_response()
        }
    }
}

/// Our own list with those of the other PBXes behind it, oldest first.
async fn everywhere(gate: &Gate, own: Response, forwarded: &Forwarded) -> Response {
    let pbxes = other_pbxes(gate);
    let asked = futures_util::future::join_all(pbxes.iter().map(|pbx| ask(gate, pbx, forwarded)));
    let ((parts, own), others) = (own.into_parts(), asked.await);
    let Some(Value::Object(mut list)) = json(own).await else {
        // Whoever may not ask is told so.
        return Kind::Internal.with("the list could not be read").into_response();
    };
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
    // Times are written so that they may be compared as text.
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

impl IntoResponse for Answered {
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

/// Carries out what other daemons ask, each request on its own.
pub(crate) async fn serve(gate: Arc<Gate>, router: Router, tasks: TaskTracker, shutdown: CancellationToken) {
    let Some(mut incoming) = gate.app.bus.requests().and_then(|requests| requests.take_incoming()) else {
        return;
    };
    loop {
        let Incoming { body, reply } = tokio::select! {
            () = shutdown.cancelled() => return,
            request = incoming.recv() => match request {
                Some(request) => request,
                None => return,
            },
        };
        let router = router.clone();
        tasks.spawn(async move {
            if let Some(answered) = carry_out(router, &body).await {
                // The one who asked may have given up.
                let _ = reply.send(serde_json::to_string(&answered).unwrap_or_default());
            }
        });
    }
}

async fn carry_out(mut router: Router, body: &str) -> Option<Answered> {
    let forwarded: Forwarded = serde_json::from_str(body).ok()?;
    let mut request = axum::http::Request::builder().method(forwarded.method.as_str()).uri(forwarded.path);
    for (name, value) in forwarded.headers.iter().filter(|(name, _)| HEADERS.contains(&name.as_str())) {
        request = request.header(name, value);
    }
    let kind = if forwarded.session { TokenKind::Session } else { TokenKind::Token };
    let behalf = OnBehalf { user: forwarded.user, token: forwarded.token, kind };
    let request = request.extension(behalf).body(Body::from(forwarded.body)).ok()?;
    let response = router.call(request).await.ok()?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned);
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.ok()?;
    Some(Answered { status, content_type, body: String::from_utf8_lossy(&body).into_owned() })
}
