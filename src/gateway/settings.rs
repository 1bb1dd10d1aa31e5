//! How the installation is set up, for administrators to read: settings, receivers of webhooks, retention.
//!
//! Invariant: nothing here changes a setting, and no secret is
//! in an answer; of a receiver's URL the host alone is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::setup::ReceiverSetup;
use super::state::AppState;
use crate::contract::setting::Setting;
use crate::people::role::Permission;
use crate::store::retention::{COUNTED_MAX, PurgeTarget};
use crate::store::webhooks::{DeliveryState, NewDelivery};

/// The kind of an event that only says that the receiver can be reached.
const TEST_KIND: &str = "webhook.test";

/// The settings.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingList {
    /// Every setting, by key.
    items: Vec<Setting>,
}

/// A receiver of webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookReceiver {
    /// Its name in the configuration.
    name: String,
    /// The host of its URL.
    host: String,
    /// The event kinds that it receives; empty: all.
    kinds: Vec<String>,
    /// Events that wait to be posted; counted up to 500.
    waiting: usize,
    /// Events whose attempts all failed; counted up to 500.
    failed: usize,
    /// What the receiver answered to the last attempt that failed, of those that are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// The receivers of webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookReceivers {
    /// In the order of the configuration.
    items: Vec<WebhookReceiver>,
}

/// A test event that waits to be posted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookTest {
    /// The event's id, which is the `webhook-id` of the request.
    event: String,
}

/// Records that are removed with age.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetentionLine {
    /// What is deleted or cleared.
    what: PurgeTarget,
    /// After how many days; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u64>,
    /// How many rows are due at the end of the day; at most 10,000 are counted.
    due: u64,
    /// Whether there are more than were counted.
    more: bool,
}

/// What is removed with age.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Retention {
    /// Until when what becomes due is counted: the end of today in the installation's time zone. The purge runs each hour.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    until: Timestamp,
    /// Each kind of records.
    items: Vec<RetentionLine>,
}

/// Lists every setting with its value, its default and where it comes from. Of a secret only whether it is set.
#[utoipa::path(get, path = "/v1/settings", tag = "operations", operation_id = "list_settings", responses(
    (status = 200, description = "The settings", body = SettingList),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn settings(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<SettingList>, Problem> {
    caller.needs(Permission::ManageSettings)?;
    Ok(Json(SettingList { items: state.app.setup.settings.clone() }))
}

/// Lists the receivers of webhooks, with what waits for each.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", operation_id = "list_receivers", responses(
    (status = 200, description = "The receivers", body = WebhookReceivers),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn receivers(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<WebhookReceivers>, Problem> {
    caller.needs(Permission::ManageWebhooks)?;
    let deliveries = state.app.store.deliveries(None).await?;
    let receiver = |setup: &ReceiverSetup| {
        let of = || deliveries.iter().filter(|delivery| delivery.receiver == setup.name.as_str());
        let count = |wanted| of().filter(|delivery| delivery.state == wanted).count();
        WebhookReceiver {
            name: setup.name.to_string(),
            host: setup.host.clone(),
            kinds: setup.kinds.clone(),
            waiting: count(DeliveryState::Waiting),
            failed: count(DeliveryState::Failed),
            last_error: of().filter_map(|delivery| delivery.error.clone()).next_back(),
        }
    };
    Ok(Json(WebhookReceivers { items: state.app.setup.receivers.iter().map(receiver).collect() }))
}

/// Posts a test event of the kind `webhook.test` to a receiver, signed as any event and with no more in it than its time.
#[utoipa::path(post, path = "/v1/webhooks/{receiver}/test", tag = "webhooks", operation_id = "test_receiver",
    params(("receiver" = String, Path, description = "The receiver's name")),
    responses(
        (status = 202, description = "It will be posted", body = WebhookTest),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: the configuration has no such receiver", body = ProblemBody),
    )
)]
pub(crate) async fn test(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(receiver): Path<String>,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<(StatusCode, Json<WebhookTest>), Problem> {
    caller.needs(Permission::ManageWebhooks)?;
    if !state.app.setup.receivers.iter().any(|one| one.name == receiver) {
        return Err(Kind::UnknownRecord.with("the configuration has no such receiver under [webhooks.urls]"));
    }
    let now = state.app.clock.now();
    let event = format!("test-{}", Uuid::now_v7());
    let body = json!({
        "id": event, "kind": TEST_KIND, "at": crate::contract::time::time(now),
        "pbx": state.app.bus.own_pbx(), "data": {},
    });
    let delivery = NewDelivery {
        receiver: receiver.clone(),
        event: event.clone(),
        kind: TEST_KIND,
        body: body.to_string(),
    };
    state.app.store.add_delivery(&delivery, now).await?;
    audit_trail::record(&state, &caller, "webhook.tested", (&receiver, None), json!({})).await;
    Ok((StatusCode::ACCEPTED, Json(WebhookTest { event })))
}

/// Says what is deleted or cleared with age, and how much of it is due by the end of today.
#[utoipa::path(get, path = "/v1/retention", tag = "operations", operation_id = "show_retention", responses(
    (status = 200, description = "Each kind of records", body = Retention),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn retention(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Retention>, Problem> {
    caller.needs(Permission::ManageSettings)?;
    let now = state.app.clock.now();
    let until = crate::contract::notice::end_of_day(now, state.app.directory.time_zone()).unwrap_or(now);
    let mut items = Vec::new();
    for (what, age) in &state.app.setup.retention {
        let before = age.and_then(|age| until.checked_sub(age).ok());
        let due = match before {
            Some(before) => state.app.store.count_due(*what, before).await?,
            None => 0,
        };
        items.push(RetentionLine {
            what: *what,
            days: age.map(|age| age.as_secs() / 86_400),
            due: due.min(u64::from(COUNTED_MAX)),
            more: due > u64::from(COUNTED_MAX),
        });
    }
    Ok(Json(Retention { until, items }))
}
