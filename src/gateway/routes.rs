//! The table of routes, and what stands before and behind each of them.
//!
//! | layer, from the outside | what it does |
//! |---|---|
//! | `measure` | counts and times |
//! | `harden` | headers that keep browsers from doing what nobody asked for |
//! | `in_time` | 408 when a request is not answered within [`REQUEST_MAX`]; streams are not held by it |
//! | body limit | 413 |
//! | `authenticate` (all of `/v1` but the sign-in) | 401, 403; see `auth.rs` |
//! | `forward` | orders about a PBX of another daemon go there; see `elsewhere.rs` |
//! | `once` | a repeated order gets the first answer |

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use tokio_util::sync::CancellationToken;

use super::bearers::Bearers;
use super::idempotency::Answers;
use super::problem::{Kind, Problem};
use super::session::SignIns;
use super::throttle::Throttle;
use super::uses::Uses;
use super::{
    App, accounts, audit, auth, calls, contacts, customers, elsewhere, explain, health, history, idempotency,
    messages, metrics, openapi, operators, page, session, sse, supervisions, tokens, transfers, users,
    webhooks, websocket,
};

/// How long a request may take, its body included; the head of a stream's answer, too.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// The gateway at work: the app and what only the gateway keeps.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) app: App,
    pub(crate) bearers: Bearers,
    pub(crate) uses: Uses,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) sign_ins: SignIns,
    pub(crate) answers: Answers,
    pub(crate) shutdown: CancellationToken,
}

impl Gate {
    pub(crate) fn new(app: App, shutdown: CancellationToken) -> Self {
        Self {
            app,
            bearers: Bearers::default(),
            uses: Uses::default(),
            throttle: Mutex::default(),
            sign_ins: SignIns::default(),
            answers: Answers::default(),
            shutdown,
        }
    }
}

/// Everything that is served.
pub(crate) fn router(gate: Arc<Gate>) -> Router {
    let open = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::show));
    let signed_in = Router::new()
        .route("/v1/session", get(session::show).delete(session::end))
        .route("/v1/events", get(sse::follow))
        .route("/v1/events/ws", get(websocket::upgrade))
        .route("/v1/calls", get(calls::list))
        .route("/v1/calls/{call}", get(calls::show))
        .route("/v1/calls/{call}/ack", post(calls::acknowledge))
        .route("/v1/calls/{call}/help", post(supervisions::help))
        .route("/v1/calls/{call}/{verb}", post(calls::control))
        .route("/v1/supervisions", get(supervisions::list).post(supervisions::begin))
        .route("/v1/supervisions/{supervision}", patch(supervisions::switch).delete(supervisions::stop))
        .route("/v1/calls/{call}/transfers", get(transfers::list).post(transfers::create))
        .route("/v1/transfers/{transfer}", get(transfers::show))
        .route("/v1/transfers/{transfer}/complete", post(transfers::complete))
        .route("/v1/transfers/{transfer}/cancel", post(transfers::cancel))
        .route("/v1/operators", get(operators::list))
        .route("/v1/operators/options", get(operators::options))
        .route("/v1/operators/{operator}/state", put(operators::set_state))
        .route("/v1/operators/{operator}/history", get(operators::history))
        .route("/v1/operators/{operator}/wrap-up/extend", post(operators::extend))
        .route("/v1/operators/{operator}/wrap-up/finish", post(operators::finish))
        .route("/v1/history", get(history::list))
        .route("/v1/history/{call}", get(history::show))
        .route("/v1/pbx/gaps", get(history::gaps))
        .route("/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/v1/accounts/{account}", get(accounts::show).patch(accounts::change).delete(accounts::delete))
        .route("/v1/customers", get(customers::list).post(customers::create))
        .route(
            "/v1/customers/{customer}",
            get(customers::show).patch(customers::change).delete(customers::delete),
        )
        .route("/v1/contacts", get(contacts::list).post(contacts::create))
        .route("/v1/contacts/{contact}", get(contacts::show).patch(contacts::change).delete(contacts::delete))
        .route("/v1/messages", get(messages::list).post(messages::take))
        .route("/v1/messages/{message}", get(messages::show).patch(messages::change).delete(messages::delete))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/audit", get(audit::list))
        .route("/v1/webhooks/deliveries", get(webhooks::list))
        .route("/v1/webhooks/deliveries/{delivery}/retry", post(webhooks::retry))
        .route("/v1/users", get(users::list).post(users::create))
        .route("/v1/users/{user}", get(users::show).patch(users::change).delete(users::revoke))
        .route("/v1/users/{user}/tokens", get(tokens::list).post(tokens::create))
        .route("/v1/users/{user}/tokens/{token}", delete(tokens::revoke))
        .route_layer(from_fn_with_state(Arc::clone(&gate), idempotency::once))
        .route_layer(from_fn_with_state(Arc::clone(&gate), elsewhere::forward))
        .route_layer(from_fn_with_state(Arc::clone(&gate), auth::authenticate));
    let sign_in = Router::new().route("/v1/session", post(session::create));
    open.merge(page::routes())
        .merge(signed_in)
        .merge(sign_in)
        .method_not_allowed_fallback(|| async { Problem::from(Kind::WrongMethod) })
        .fallback(|| async { Problem::from(Kind::UnknownPath) })
        .layer(DefaultBodyLimit::max(gate.app.settings.body_bytes_max))
        .layer(from_fn(in_time))
        .layer(from_fn(harden))
        .layer(from_fn_with_state(Arc::clone(&gate), metrics::measure))
        .with_state(gate)
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(Kind::RequestTimeout).into_response(),
    }
}

/// What holds for every answer unless it says otherwise.
async fn harden(request: Request, next: Next) -> Response {
    static HEADERS: [(header::HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
