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
//! Only `serve.rs` and `openapi.rs` import this file; what handlers share is in `state.rs`.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Kind, Problem};
use super::state::AppState;
use super::{
    account_clips, account_notices, accounts, alarms, audit, auth, billing, billing_file, callbacks,
    caller_rules, callflow, callflow_templates, calls, contacts, contracts, customer_changes, customers,
    deletions, deliveries, digests, directory_export, drafts, endpoints, explain, export, faxes, forwarding,
    guidance_drafts, guidance_pins, health, history, history_file, holidays, idempotency, imports,
    installation, mail, mail_templates, message_actions, message_answers, message_files, message_routes,
    message_timeline, messages, middleware, numbers, operators, page, passwords, queues, report_files,
    reports, script_forms, scripts, search, session, settings, sounds, sse, stats, stats_calls, stats_file,
    stats_live, stats_waits, supervisions, tasks, teams, tokens, transfers, users, webhooks, websocket,
    words,
};

/// The routes that need no token, each with its part of the OpenAPI document.
pub(super) fn open() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(session::create))
        .routes(routes!(passwords::use_link))
}

/// The routes that need a token, each with its part of the OpenAPI document. All begin with `/v1`.
pub(super) fn signed_in() -> OpenApiRouter<Arc<AppState>> {
    of_calls().merge(of_records())
}

/// Calls and who takes them, live and afterwards.
fn of_calls() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(session::show, session::end))
        .routes(routes!(sse::follow))
        .routes(routes!(websocket::upgrade))
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::acknowledge))
        .routes(routes!(supervisions::help, supervisions::withdraw_help))
        .routes(routes!(calls::control))
        .routes(routes!(supervisions::list, supervisions::begin))
        .routes(routes!(supervisions::switch, supervisions::stop))
        .routes(routes!(transfers::list, transfers::create))
        .routes(routes!(transfers::show))
        .routes(routes!(transfers::complete))
        .routes(routes!(transfers::cancel))
        .routes(routes!(operators::list))
        .routes(routes!(operators::options))
        .routes(routes!(operators::set_state))
        .routes(routes!(operators::history))
        .routes(routes!(operators::extend))
        .routes(routes!(operators::finish))
        .routes(routes!(operators::note))
        .routes(routes!(history::list))
        .routes(routes!(history::show))
        .routes(routes!(history_file::download))
        .routes(routes!(history::gaps))
        .routes(routes!(callbacks::list))
        .routes(routes!(callbacks::mark))
        .routes(routes!(callbacks::queue))
}

/// Records and their administration.
fn of_records() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(search::search))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::show, accounts::change, accounts::delete))
        .routes(routes!(account_clips::play, account_clips::write, account_clips::delete))
        .routes(routes!(scripts::list))
        .routes(routes!(scripts::check))
        .routes(routes!(scripts::show, scripts::write, scripts::retire))
        .routes(routes!(scripts::versions))
        .routes(routes!(scripts::publish))
        .routes(routes!(scripts::offers))
        .routes(routes!(script_forms::evaluate))
        .merge(of_callflows())
        .routes(routes!(holidays::list))
        .routes(routes!(holidays::import_table))
        .routes(routes!(holidays::write, holidays::delete))
        .routes(routes!(deletions::list))
        .routes(routes!(deletions::undo))
        .routes(routes!(customers::list, customers::create))
        .routes(routes!(customers::show, customers::change, customers::delete))
        .routes(routes!(customer_changes::list))
        .routes(routes!(customer_changes::sent))
        .routes(routes!(customer_changes::merge))
        .routes(routes!(contacts::list, contacts::create))
        .routes(routes!(contacts::show, contacts::change, contacts::delete))
        .routes(routes!(contacts::set_presence))
        .routes(routes!(account_notices::list, account_notices::create))
        .routes(routes!(account_notices::show, account_notices::change, account_notices::end))
        .routes(routes!(endpoints::list, endpoints::create))
        .routes(routes!(endpoints::show, endpoints::change, endpoints::delete))
        .routes(routes!(endpoints::test))
        .merge(of_messages())
        .routes(routes!(numbers::list))
        .routes(routes!(numbers::unknown))
        .routes(routes!(installation::show))
        .routes(routes!(queues::list))
        .routes(routes!(settings::settings))
        .routes(routes!(settings::retention))
        .routes(routes!(settings::receivers))
        .routes(routes!(settings::test))
        .routes(routes!(imports::list, imports::start))
        .routes(routes!(imports::show))
        .routes(routes!(directory_export::download))
        .routes(routes!(teams::list))
        .routes(routes!(words::list))
        .routes(routes!(words::write))
        .routes(routes!(teams::rename))
        .routes(routes!(passwords::create_link))
        .routes(routes!(passwords::change_own))
        .routes(routes!(explain::explain))
        .routes(routes!(audit::list))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::retry))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::show, users::change, users::revoke))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .merge(figures())
}

/// What happens to calls before an operator.
fn of_callflows() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(callflow::sync))
        .routes(routes!(callflow::readiness))
        .routes(routes!(callflow::show, callflow::write, callflow::remove))
        .routes(routes!(callflow::preview))
        .routes(routes!(callflow::overrides, callflow::set_override))
        .routes(routes!(callflow::end_override))
        .routes(routes!(callflow_templates::list))
        .routes(routes!(callflow_templates::write, callflow_templates::delete))
        .routes(routes!(caller_rules::list, caller_rules::set))
        .routes(routes!(caller_rules::delete))
        .routes(routes!(sounds::list, sounds::upload))
        .routes(routes!(sounds::play))
        .routes(routes!(sounds::delete))
        .routes(routes!(guidance_pins::show, guidance_pins::set, guidance_pins::remove))
        .routes(routes!(guidance_drafts::list))
        .routes(routes!(guidance_drafts::confirm))
        .routes(routes!(guidance_drafts::discard))
}

/// Figures, and what is made of them.
fn figures() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(stats::list))
        .routes(routes!(stats_calls::calls))
        .routes(routes!(stats_live::live))
        .routes(routes!(stats_waits::waits))
        .routes(routes!(stats_file::download))
        .routes(routes!(billing::show_plan, billing::write_plan, billing::remove_plan))
        .routes(routes!(billing::show))
        .routes(routes!(billing::close))
        .routes(routes!(billing::list))
        .routes(routes!(billing_file::download))
        .routes(routes!(contracts::show, contracts::write, contracts::remove))
        .routes(routes!(contracts::list))
        .routes(routes!(alarms::list_rules, alarms::create_rule))
        .routes(routes!(alarms::write_rule, alarms::remove_rule))
        .routes(routes!(alarms::list))
        .routes(routes!(reports::show_plan, reports::write_plan, reports::remove_plan))
        .routes(routes!(reports::show))
        .routes(routes!(reports::close))
        .routes(routes!(report_files::pdf))
        .routes(routes!(report_files::csv))
}

/// Those about messages: what they are, where they go and what comes back.
fn of_messages() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(messages::list, messages::take))
        .routes(routes!(message_actions::options))
        .routes(routes!(message_actions::attention))
        .routes(routes!(messages::show, messages::change, messages::delete))
        .routes(routes!(message_actions::correct))
        .routes(routes!(message_actions::undo))
        .routes(routes!(message_actions::revisions))
        .routes(routes!(message_timeline::timeline))
        .routes(routes!(message_actions::hold))
        .routes(routes!(message_actions::release))
        .routes(routes!(message_answers::answers, message_answers::answer))
        .routes(routes!(message_answers::reveal))
        .routes(routes!(message_files::content))
        .routes(routes!(message_files::upload))
        .routes(routes!(message_files::discard))
        .routes(routes!(drafts::list))
        .routes(routes!(drafts::show, drafts::write, drafts::delete))
        .routes(routes!(export::messages))
        .routes(routes!(faxes::list))
        .routes(routes!(faxes::show, faxes::delete))
        .routes(routes!(faxes::document))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::cancel))
        .routes(routes!(deliveries::resend))
        .routes(routes!(message_routes::show, message_routes::save))
        .routes(routes!(message_routes::explain))
        .routes(routes!(message_routes::check_account))
        .routes(routes!(message_routes::week_of_account))
        .routes(routes!(digests::list))
        .routes(routes!(digests::run))
        .routes(routes!(tasks::list, tasks::make))
        .routes(routes!(tasks::claim))
        .routes(routes!(tasks::release))
        .routes(routes!(tasks::report))
        .routes(routes!(mail::bounces, mail::report))
        .routes(routes!(mail_templates::list))
        .routes(routes!(mail_templates::write, mail_templates::reset))
        .routes(routes!(mail_templates::versions))
        .routes(routes!(mail::servers))
        .routes(routes!(mail::resume_server))
        .routes(routes!(mail::suspended))
        .routes(routes!(mail::resume))
}

/// Every route of the gateway.
pub(crate) fn router(state: Arc<AppState>) -> Router {
    let (open, _) = open().split_for_parts();
    let (signed_in, _) = signed_in().split_for_parts();
    let signed_in = signed_in
        .route_layer(from_fn_with_state(Arc::clone(&state), idempotency::idempotent))
        .route_layer(from_fn_with_state(Arc::clone(&state), forwarding::forward))
        .route_layer(from_fn_with_state(Arc::clone(&state), auth::authenticate));
    open.route("/openapi.json", get(document))
        .merge(page::routes())
        .merge(signed_in)
        .method_not_allowed_fallback(|| async { Problem::from(Kind::WrongMethod) })
        .fallback(|| async { Problem::from(Kind::UnknownPath) })
        .layer(DefaultBodyLimit::max(state.app.settings.body_bytes_max))
        .layer(from_fn(middleware::timeout))
        .layer(from_fn(middleware::security_headers))
        .layer(from_fn_with_state(Arc::clone(&state), middleware::record_metrics))
        .with_state(state)
}

/// Serves the OpenAPI document that is checked in.
async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}
