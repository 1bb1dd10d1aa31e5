//! Errors as clients get them: `application/problem+json` (RFC 9457).
//!
//! Invariants: the `type` of a problem is one of [`Kind`], a stable kebab-case word that clients may compare. The title
//! is the same for every problem of a kind; the detail describes the one request. Neither contains internals: the
//! cause of an internal error is in the log.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::bus::SubscribeError;
use crate::contract::message::Message;
use crate::contract::operator::StateView;
use crate::contract::refusal::Refusal;
use crate::contract::script::ScriptRecord;
use crate::directory::EditError;
use crate::identity::printable;
use crate::script::{Finding, Missing};
use crate::store::StoreError;
use crate::store::drafts::Draft;

/// Longest detail, in characters. It may quote the request.
const DETAIL_CHARS_MAX: usize = 300;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident $type:literal $title:literal,)*) => {
        /// Every kind of error. Kinds are only ever added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind: its `type`, status and title.
            pub(crate) const TABLE: &[(Self, &'static str, StatusCode, &'static str)] =
                &[$((Self::$name, $type, StatusCode::$status, $title),)*];

            fn row(self) -> (&'static str, StatusCode, &'static str) {
                match self {
                    $(Self::$name => ($type, StatusCode::$status, $title),)*
                }
            }
        }
    };
}

kinds! {
    /// The body is not JSON.
    MalformedJson = BAD_REQUEST "malformed-json" "The body is not valid JSON",
    /// A key or value of the query is unknown or invalid.
    InvalidQuery = BAD_REQUEST "invalid-query" "A query parameter is unknown or invalid",
    /// More records match than are searched or written at once.
    TooManyMatches = BAD_REQUEST "too-many-matches" "Too many records match; ask for fewer",
    /// A header that this request needs is missing or invalid.
    InvalidHeader = BAD_REQUEST "invalid-header" "A header of the request is missing or invalid",
    /// The request has no token, or an unknown one.
    NotSignedIn = UNAUTHORIZED "not-signed-in" "A valid token is required; sign in",
    /// The token has expired.
    TokenExpired = UNAUTHORIZED "token-expired" "The token has expired; sign in again",
    /// The token or its user was revoked.
    TokenRevoked = UNAUTHORIZED "token-revoked" "The token was revoked; sign in again",
    /// The name or the password is wrong.
    WrongCredentials = UNAUTHORIZED "wrong-credentials" "Name or password is wrong",
    /// The user's role or team does not permit the request.
    NotPermitted = FORBIDDEN "not-permitted" "You are not permitted to do this",
    /// A page of another origin used the cookie.
    ForeignOrigin = FORBIDDEN "foreign-origin" "The origin of this page is not allowed; see gateway.allowed_origins",
    /// There is no such path.
    UnknownPath = NOT_FOUND "unknown-path" "There is no such path",
    /// There is no such call, or the user may not see it.
    UnknownCall = NOT_FOUND "unknown-call" "There is no such call, or you may not see it",
    /// There is no such transfer, it ended too long ago, or the user may not see it.
    UnknownTransfer = NOT_FOUND "unknown-transfer" "There is no such transfer, or you may not see it",
    /// There is no such operator, or the user may not see that operator.
    UnknownOperator = NOT_FOUND "unknown-operator" "There is no such operator, or you may not see that operator",
    /// There is no such record.
    UnknownRecord = NOT_FOUND "unknown-record" "There is no such record",
    /// The path does not support the method.
    WrongMethod = METHOD_NOT_ALLOWED "wrong-method" "This path does not support this method",
    /// The request was not answered in time.
    RequestTimeout = REQUEST_TIMEOUT "request-timeout" "The request was not answered in time; it may have been carried out",
    /// The current state of the call does not allow it.
    CallConflict = CONFLICT "call-conflict" "The current state of the call does not allow this",
    /// The message was acknowledged, or is being delivered: its text cannot change any more.
    MessageNotOpen = CONFLICT "message-not-open" "The message is no longer open; its text cannot be changed",
    /// The version in the request is not the current version of the message.
    MessageChanged = CONFLICT "message-changed" "The message has changed meanwhile; look at it and try again",
    /// The time in which a message can be withdrawn is over, or the account may have received it.
    AlreadySent = CONFLICT "already-sent" "The message may have been received; correct it instead",
    /// The call has neither a message nor a completed transfer, and the disposition is no reason for none.
    MessageOwed = CONFLICT "message-owed" "The call needs a message, a completed transfer or a reason for none",
    /// The version in the request is not the current version of the draft.
    DraftChanged = CONFLICT "draft-changed" "The draft has changed meanwhile; look at it and try again",
    /// The person has the largest number of drafts.
    TooManyDrafts = CONFLICT "too-many-drafts" "You have too many drafts; save or delete some",
    /// The person has the largest number of files that wait for their messages.
    TooManyFiles = CONFLICT "too-many-files" "Too many of your files wait for their messages",
    /// Another person is at the phone task, or it is over.
    TaskTaken = CONFLICT "task-taken" "Another person is at this task, or it is over",
    /// The version in the request is not the current version of the routes.
    RoutesChanged = CONFLICT "routes-changed" "The routes have changed meanwhile; look at them and try again",
    /// The version in the request is not the current version of the callflow.
    CallflowChanged = CONFLICT "callflow-changed" "The callflow has changed meanwhile; look at it and try again",
    /// Another recording than the one that was heard waits.
    GuidanceChanged = CONFLICT "guidance-changed" "Another recording waits now; hear it and try again",
    /// A callflow or a template names the sound.
    SoundInUse = CONFLICT "sound-in-use" "A callflow names this sound; change it first",
    /// Callflows follow the template.
    TemplateInUse = CONFLICT "template-in-use" "Callflows follow this template; change them first",
    /// The configuration names no directory of sounds.
    SoundsOff = CONFLICT "sounds-off" "No sound can be uploaded: set callflow.sounds_directory",
    /// The version in the request is not the newest version of the script.
    ScriptChanged = CONFLICT "script-changed" "The script has changed meanwhile; look at it and try again",
    /// The account has the largest number of scripts, or the script of versions.
    TooManyScripts = CONFLICT "too-many-scripts" "The account has too many scripts, or the script too many versions",
    /// The version in the request is not the current version of the operator's state.
    StateChanged = CONFLICT "state-changed" "The operator's state has changed meanwhile; look at it and try again",
    /// The operator's current state does not allow it.
    StateConflict = CONFLICT "state-conflict" "The operator's current state does not allow this",
    /// The configuration names no mail server.
    NotWaiting = CONFLICT "delivery-not-waiting" "The delivery does not wait any more",
    NoMailServer = CONFLICT "no-mail-server" "The configuration names no mail server",
    /// Another import is not over yet.
    ImportRunning = CONFLICT "import-running" "Another import is not over yet; wait for it, then send the file again",
    /// The month is not over, or its calls are no longer all there.
    BillConflict = CONFLICT "bill-conflict" "The bill of this month cannot be closed",
    /// The month is not over, or some of it is not counted yet.
    ReportConflict = CONFLICT "report-conflict" "The report of this month cannot be closed yet",
    /// The daemon has no font with Japanese characters.
    NoReportFont = CONFLICT "no-report-font" "The daemon finds no font for reports",
    /// Another person calls the caller back.
    CallbackTaken = CONFLICT "callback-taken" "Another person calls this caller back",
    /// The contact takes no calls.
    ContactTakesNoCalls = CONFLICT "contact-takes-no-calls" "This contact takes no calls; take a message",
    /// Another record already has the value.
    ValueTaken = CONFLICT "value-taken" "Another record already has this value",
    /// The record was changed since the version in `If-Match`.
    RecordChanged = CONFLICT "record-changed" "The record has changed meanwhile; look at it and try again",
    /// Nobody could administer the installation any more.
    LastAdministrator = CONFLICT "last-administrator" "The only administrator cannot be revoked or given another role",
    /// The same request is still being carried out.
    RequestInProgress = CONFLICT "request-in-progress" "The same request is still being carried out; wait for its answer",
    /// The body is larger than allowed.
    BodyTooLarge = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large",
    /// The body is not declared as JSON.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body must be sent as application/json",
    /// The body is JSON with a missing, unknown or invalid value.
    InvalidBody = UNPROCESSABLE_ENTITY "invalid-body" "The body has a missing, unknown or invalid value",
    /// The document of routes cannot be read.
    RoutesInvalid = UNPROCESSABLE_ENTITY "routes-invalid" "The document of routes is wrong at one place",
    /// The text of a script cannot work.
    ScriptInvalid = UNPROCESSABLE_ENTITY "script-invalid" "The script cannot work; findings has each line and reason",
    /// Questions of the script that must be answered are not.
    ScriptIncomplete = UNPROCESSABLE_ENTITY "script-incomplete" "Questions of the script must be answered first",
    /// The key was used for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency-key-reused" "The idempotency key was used for another request; use a new key",
    /// The head of the request is larger than allowed.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "head-too-large" "The headers of the request are too large",
    /// Too many failed attempts.
    TooManyFailures = TOO_MANY_REQUESTS "too-many-failures" "Too many failed attempts; try again later",
    /// An error inside the daemon.
    Internal = INTERNAL_SERVER_ERROR "internal-error" "The daemon failed; its log has the cause",
    /// The PBX rejected the action.
    PbxRefused = BAD_GATEWAY "pbx-refused" "The PBX rejected the action",
    /// The PBX did not answer; it may have carried the action out.
    OutcomeUnknown = GATEWAY_TIMEOUT "pbx-no-answer" "The PBX did not answer in time; the action may have been carried out",
    /// The phone did not carry the action out.
    PhoneDidNotFollow = GATEWAY_TIMEOUT "phone-did-not-follow" "The phone did not carry out the action; most phones can only be operated by hand",
    /// The link to the PBX is down.
    PbxUnreachable = SERVICE_UNAVAILABLE "pbx-unreachable" "The PBX cannot be reached; nothing was done",
    /// The store cannot be read or written.
    StoreUnavailable = SERVICE_UNAVAILABLE "store-unavailable" "The database is not available; try again later",
    /// A limit on concurrent work is reached.
    Overloaded = SERVICE_UNAVAILABLE "overloaded" "Too many requests at the same time; try again in a few seconds",
    /// The daemon shuts down.
    ShuttingDown = SERVICE_UNAVAILABLE "shutting-down" "The daemon is shutting down; try again in a few seconds",
}

impl Kind {
    /// A problem of this kind.
    pub(crate) fn with(self, detail: impl AsRef<str>) -> Problem {
        let detail = printable(detail.as_ref(), DETAIL_CHARS_MAX).map(|text| text.to_string());
        Problem { detail, ..Problem::from(self) }
    }
}

/// An error, ready to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Option<String>,
    retry_after: Option<Duration>,
    current: Option<Box<StateView>>,
    message: Option<Box<Message>>,
    draft: Option<Box<Draft>>,
    script: Option<Box<ScriptProblem>>,
    record: Option<Box<serde_json::Value>>,
}

/// What a problem with a script has besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ScriptProblem {
    script: Option<ScriptRecord>,
    findings: Vec<Finding>,
    missing: Vec<Missing>,
}

impl Problem {
    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// Adds the message as it is.
    pub(crate) fn message(mut self, message: Message) -> Self {
        self.message = Some(Box::new(message));
        self
    }

    /// Adds the draft as it is.
    pub(crate) fn draft(mut self, draft: Option<Draft>) -> Self {
        self.draft = draft.map(Box::new);
        self
    }

    /// Adds the newest version of the script.
    pub(crate) fn script(mut self, script: Option<ScriptRecord>) -> Self {
        self.script.get_or_insert_default().script = script;
        self
    }

    /// Adds what was found in the text of a script.
    pub(crate) fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.script.get_or_insert_default().findings = findings;
        self
    }

    /// Adds the questions that must be answered.
    pub(crate) fn missing(mut self, missing: Vec<Missing>) -> Self {
        self.script.get_or_insert_default().missing = missing;
        self
    }

    /// Adds the record as it is.
    pub(crate) fn record(mut self, record: &impl Serialize) -> Self {
        self.record = serde_json::to_value(record).ok().map(Box::new);
        self
    }

    /// Adds `Retry-After`.
    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            detail: None,
            retry_after: None,
            current: None,
            message: None,
            draft: None,
            script: None,
            record: None,
        }
    }
}

/// The JSON of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The kind of error; clients compare this.
    #[serde(rename = "type")]
    #[schema(schema_with = types)]
    kind: &'static str,
    /// The kind in English.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The operator's current state (with `state-changed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Box<StateView>>,
    /// The message as it is (with `message-changed`, `message-not-open`, `already-sent`, `idempotency-key-reused`).
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Box<Message>>,
    /// The draft as it is (with `draft-changed`); absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<Box<Draft>>,
    /// The newest version of the script (with `script-changed`); absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<ScriptRecord>,
    /// What was found in the text (with `script-invalid`), in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    /// The questions that must be answered (with `script-incomplete`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
    /// The record as it is (with `record-changed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    record: Option<Box<serde_json::Value>>,
}

fn types() -> utoipa::openapi::schema::Object {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .examples(Kind::TABLE.iter().map(|(_, word, _, _)| serde_json::Value::from(*word)))
        .build()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (kind, status, title) = self.kind.row();
        let Self { detail, current, message, draft, script, record, retry_after, .. } = self;
        let ScriptProblem { script, findings, missing } = script.map(|script| *script).unwrap_or_default();
        let status_code = status.as_u16();
        let body = ProblemBody {
            kind,
            title,
            status: status_code,
            detail,
            current,
            message,
            draft,
            script,
            findings,
            missing,
            record,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"toritsugi\""));
        }
        if let Some(delay) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs().max(1)));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Taken { .. } => Kind::ValueTaken.with(error.to_string()),
            StoreError::Changed { .. } => Kind::RecordChanged.with(error.to_string()),
            StoreError::LastAdministrator => Kind::LastAdministrator.with(error.to_string()),
            StoreError::Missing { .. } => Kind::UnknownRecord.with(error.to_string()),
            StoreError::TooSlow => {
                tracing::warn!("a question took too long for the store and was ended");
                Kind::StoreUnavailable.with(error.to_string())
            }
            _ => {
                let is_transient = error.is_transient();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store failed to answer a request"
                );
                let problem = Self::from(Kind::StoreUnavailable);
                if is_transient { problem.retry_after(Duration::from_secs(1)) } else { problem }
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::UnknownCall => return Kind::UnknownCall.into(),
            Refusal::UnknownSupervision => Kind::UnknownRecord,
            Refusal::UnknownOperator => return Kind::UnknownOperator.into(),
            Refusal::Stale(view) => {
                return Self { current: Some(view.clone()), ..Kind::StateChanged.with(refusal.to_string()) };
            }
            Refusal::UnknownTransfer => return Kind::UnknownTransfer.into(),
            Refusal::NotPermitted(_) => Kind::NotPermitted,
            Refusal::StateConflict(_) => Kind::StateConflict,
            Refusal::Conflict(_) => Kind::CallConflict,
            Refusal::Invalid(_) => Kind::InvalidBody,
            Refusal::PbxRefused(_) => Kind::PbxRefused,
            Refusal::PhoneIgnores(_) => Kind::PhoneDidNotFollow,
            Refusal::PbxUnreachable => return Kind::PbxUnreachable.into(),
            Refusal::OutcomeUnknown => return Kind::OutcomeUnknown.into(),
            Refusal::Unavailable => return Self::from(Kind::Overloaded).retry_after(Duration::from_secs(1)),
        };
        kind.with(refusal.to_string())
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Record(error) => Kind::InvalidBody.with(error.to_string()),
            EditError::Store(error) => error.into(),
        }
    }
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Full(_) => {
                Kind::Overloaded.with(error.to_string()).retry_after(Duration::from_secs(5))
            }
            SubscribeError::Closed => Kind::ShuttingDown.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_stable_words_and_distinct() {
        let mut seen = std::collections::HashSet::new();
        for (kind, word, status, title) in Kind::TABLE {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{word}");
            assert!(seen.insert(word), "{word} twice");
            assert!(status.is_client_error() || status.is_server_error());
            assert_eq!(kind.row(), (*word, *status, *title));
        }
    }

    #[test]
    fn a_detail_is_short_and_printable() {
        let problem = Kind::InvalidBody.with(format!("a\r\n\u{202E}{}", "x".repeat(10_000)));
        let detail = problem.detail.unwrap();
        assert!(detail.starts_with("ax") && detail.chars().count() == DETAIL_CHARS_MAX);
    }
}
