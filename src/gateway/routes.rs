//! The table of routes, and the middleware around them.
//!
//! | layer, from the outside | what it does |
//! |---|---|
//! | `middleware::record_metrics` | counts and times every request |
//! | `middleware::security_headers` | adds headers that restrict what a browser may do with the answer |
//! | `middleware::timeout` | 408 when the answer does not begin in time; the events of an open stream have no limit |
//! | body limit | 413 |
//! | `auth::authenticate` (all of `/v1` but the sign-in) | 401, 403, 429; see `auth.rs` |
//! | `forwarding::forward` (same) | sends requests about the PBX of another daemon there; see `forwarding.rs` |
//! | `idempotency::idempotent` (same) | a repeated request gets the first answer; see `idempotency.rs` |
//!
//! Only `serve.rs` imports this file; what handlers share is in `state.rs`.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post, put};

use super::problem::{Kind, Problem};
use super::state::AppState;
use super::{
    accounts, audit, auth, calls, contacts, customers, explain, forwarding, health, history, idempotency,
    messages, middleware, openapi, operators, page, session, sse, supervisions, tokens, transfers, users,
    webhooks, websocket,
};

/// Every route of the gateway.
pub(crate) fn router(state: Arc<AppState>) -> Router {
    let open = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
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
        .route("/v1/operators/{operator}/wrap-up/notes", post(operators::note))
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
        .route_layer(from_fn_with_state(Arc::clone(&state), idempotency::idempotent))
        .route_layer(from_fn_with_state(Arc::clone(&state), forwarding::forward))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::authenticate));
    let sign_in = Router::new().route("/v1/session", post(session::create));
    open.merge(page::routes())
        .merge(signed_in)
        .merge(sign_in)
        .method_not_allowed_fallback(|| async { Problem::from(Kind::WrongMethod) })
        .fallback(|| async { Problem::from(Kind::UnknownPath) })
        .layer(DefaultBodyLimit::max(state.app.settings.body_bytes_max))
        .layer(from_fn(middleware::timeout))
        .layer(from_fn(middleware::security_headers))
        .layer(from_fn_with_state(Arc::clone(&state), middleware::record_metrics))
        .with_state(state)
}
