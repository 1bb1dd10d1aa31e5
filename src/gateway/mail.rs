//! Mails that came back, and the addresses to which nothing is sent.
//!
//! A mail system, a script behind its alias (`toritsugi mail bounce`) or another program posts what came back: the mail itself, or
//! JSON. The answer says what became of each report.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body as RequestBody, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::audit_trail;
use super::auth::Caller;
use super::extract::{Body, NoQuery, QueryParams};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::bounce::{Bounce, BounceKind, BounceOutcome, SuspendedAddress};
use crate::contract::time::as_optional_time;
use crate::ids::RecordId;
use crate::mail::{MailAddress, RETURNED_BYTES_MAX};
use crate::messages::{ReturnAddresses, TakenReport, take_bounce, take_returned};
use crate::people::role::Permission;
use crate::store::deliveries::NewBounce;

/// A report in JSON, for programs that have read the mail themselves.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MailBounceReport)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportFields {
    /// The delivery.
    #[schema(value_type = Option<uuid::Uuid>)]
    delivery: Option<RecordId>,
    /// Or the `Message-ID` of the mail.
    message_id: Option<String>,
    /// What it says.
    kind: BounceKind,
    /// The status code (RFC 3463).
    status: Option<String>,
    /// The words of the mail system.
    #[serde(default)]
    text: String,
}

/// What became of one report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailBounceResult)]
pub(crate) struct TakenBounce {
    /// What it says.
    kind: BounceKind,
    /// What became of it.
    outcome: BounceOutcome,
    /// The delivery that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    delivery: Option<RecordId>,
}

/// What became of each report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailBounceResults)]
pub(crate) struct TakenBounces {
    /// One for each report of the mail.
    items: Vec<TakenBounce>,
}

impl From<TakenReport> for TakenBounce {
    fn from(taken: TakenReport) -> Self {
        Self { kind: taken.kind, outcome: taken.outcome, delivery: taken.delivery }
    }
}

/// Mails that came back, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MailBounces)]
pub(crate) struct Bounces {
    /// At most 500.
    items: Vec<Bounce>,
}

/// Addresses to which nothing is sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SuspendedAddresses)]
pub(crate) struct Suspended {
    /// At most 1000, the latest first.
    items: Vec<SuspendedAddress>,
}

/// Which mails that came back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BouncesQuery {
    /// Only those that are about no delivery of this installation.
    #[serde(default)]
    unmatched: bool,
}

/// The address to send to again.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResumedAddress)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeFields {
    /// The address.
    address: String,
}

/// Whether an address was suspended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddressResumption)]
pub(crate) struct Resumed {
    /// True: its suspension has ended. False: there was none.
    resumed: bool,
}

/// Takes a mail that came back: `message/rfc822`, or a report in JSON. A repeated one is known by what it says.
#[utoipa::path(post, path = "/v1/mail/bounces", tag = "mail",
    request_body(content((ReportFields = "application/json"), (String = "message/rfc822"))),
    responses(
        (status = 200, description = "What became of each report", body = TakenBounces),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 413, description = "body-too-large: more than 1 MiB", body = ProblemBody),
        (status = 415, description = "unsupported-media-type", body = ProblemBody),
        (status = 422, description = "invalid-body", body = ProblemBody),
    )
)]
pub(crate) async fn report(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<Json<TakenBounces>, Problem> {
    caller.needs(Permission::ReportBounces)?;
    let (app, now) = (&state.app, state.app.clock.now());
    let body = to_bytes(body, RETURNED_BYTES_MAX).await.map_err(|_| Problem::from(Kind::BodyTooLarge))?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let of_store = (&app.store, &app.message_relay);
    let taken = if kind.starts_with("message/rfc822") {
        let settings = &app.settings.messages;
        let of_ours = ReturnAddresses {
            return_path: settings.return_path.as_ref(),
            reply_path: settings.reply_path.as_ref(),
            fax: &settings.fax,
        };
        take_returned(of_store, of_ours, &body, "http", now).await?
    } else if kind.starts_with("application/json") {
        vec![take_bounce(of_store, &from_json(&body)?, now).await?]
    } else {
        return Err(Kind::UnsupportedMediaType
            .with("send the mail as message/rfc822, or a report as application/json"));
    };
    Ok(Json(TakenBounces { items: taken.into_iter().map(Into::into).collect() }))
}

fn from_json(body: &[u8]) -> Result<NewBounce, Problem> {
    let fields: ReportFields =
        serde_json::from_slice(body).map_err(|error| Kind::InvalidBody.with(error.to_string()))?;
    let of_message = || {
        let id = fields.message_id.as_deref()?.trim().trim_start_matches('<');
        let id = id.strip_prefix("d.")?.split_once('@')?.0;
        uuid::Uuid::try_parse(id).ok().map(RecordId)
    };
    if fields.kind == BounceKind::Answer {
        return Err(Kind::InvalidBody.with("kind: send the answer of a person as message/rfc822"));
    }
    if fields.delivery.is_none() && fields.message_id.is_none() {
        return Err(Kind::InvalidBody.with("delivery or message_id: name the mail that the report is about"));
    }
    Ok(NewBounce {
        delivery: fields.delivery.or_else(of_message),
        kind: fields.kind,
        status: fields.status,
        recipient: None,
        text: fields.text,
        source: "http",
        fingerprint: Sha256::digest(body).into(),
    })
}

/// Lists the mails that came back, and the refusals of the mail server, newest first.
#[utoipa::path(get, path = "/v1/mail/bounces", tag = "mail", params(BouncesQuery), responses(
    (status = 200, description = "Newest first", body = Bounces),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn bounces(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<BouncesQuery>,
) -> Result<Json<Bounces>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    Ok(Json(Bounces { items: state.app.store.bounces(query.unmatched).await? }))
}

/// Lists the addresses to which nothing is sent, the latest first.
#[utoipa::path(get, path = "/v1/mail/suspended", tag = "mail", responses(
    (status = 200, description = "The addresses", body = Suspended),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn suspended(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<Suspended>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    Ok(Json(Suspended { items: state.app.store.suspended_addresses().await? }))
}

/// Sends to an address again, from now on. Messages that went elsewhere meanwhile stay there.
#[utoipa::path(post, path = "/v1/mail/suspended/resume", tag = "mail", request_body = ResumeFields, responses(
    (status = 200, description = "Whether it was suspended", body = Resumed),
    (status = 403, description = "not-permitted", body = ProblemBody),
    (status = 422, description = "invalid-body", body = ProblemBody),
))]
pub(crate) async fn resume(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Body(fields): Body<ResumeFields>,
) -> Result<Json<Resumed>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let address: MailAddress = fields.address.parse().map_err(|error: crate::mail::MailAddressError| {
        Kind::InvalidBody.with(format!("address: {error}"))
    })?;
    let resumed = state.app.store.resume_address(&address.to_string()).await?;
    if resumed {
        let details = serde_json::json!({ "address": address.masked() });
        audit_trail::record(&state, &caller, "address.resumed", ("", None), details).await;
    }
    Ok(Json(Resumed { resumed }))
}

/// A server that mails go over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailServer {
    /// Its name.
    name: String,
    /// How many deliveries are not settled.
    waiting: u64,
    /// Since when the oldest of them waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_time")]
    oldest_at: Option<Timestamp>,
    /// Since when it refuses all mails; absent: it takes them.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_time")]
    paused_since: Option<Timestamp>,
    /// When it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_time")]
    next_at: Option<Timestamp>,
    /// What it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// The servers that mails go over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MailServers {
    /// None if the configuration names none: `main`, those of accounts (`mail_host`) by name, and `backup`.
    items: Vec<MailServer>,
}

/// Says how much waits for the mail servers, and whether they refuse all mails. Urgent messages go over the backup while
/// their server does.
#[utoipa::path(get, path = "/v1/mail/servers", tag = "mail", responses(
    (status = 200, description = "The servers", body = MailServers),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn servers(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<MailServers>, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let store = &state.app.store;
    let mut items = Vec::new();
    for name in store.mail_servers().await? {
        let (load, pause) = (store.outbox_load(&name).await?, store.mail_server_pause(&name).await?);
        items.push(MailServer {
            name,
            waiting: load.waiting,
            oldest_at: load.oldest,
            paused_since: pause.as_ref().map(|pause| pause.since),
            next_at: pause.as_ref().map(|pause| pause.until),
            why: pause.map(|pause| pause.why),
        });
    }
    Ok(Json(MailServers { items }))
}

/// Tries a mail server that refuses all mails again at once.
#[utoipa::path(post, path = "/v1/mail/servers/{server}/resume", tag = "mail",
    params(("server" = String, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is tried"),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: there is no such server", body = ProblemBody),
    )
)]
pub(crate) async fn resume_server(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.needs(Permission::ResendMessages)?;
    let store = &state.app.store;
    if !store.has_mail_server(&name).await? {
        return Err(Kind::UnknownRecord.with("there is no such mail server"));
    }
    store.pause_mail_server(&name, None).await?;
    state.app.message_relay.wake();
    audit_trail::record(&state, &caller, "mail.server_resumed", (&name, None), serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}
