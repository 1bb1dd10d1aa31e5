//! Errors as every client gets them: `application/problem+json` (RFC 9457).
//!
//! Invariant: the `type` of a problem is one of [`Kind`], a stable kebab-case word that clients may compare;
//! titles never change with the request, details may. Nothing internal is in them: what went wrong inside is
//! in the log, next to the request.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::bus::SubscribeError;
use crate::command::Refusal;
use crate::directory::EditError;
use crate::identity::printable;
use crate::operator::StateView;
use crate::store::StoreError;

/// Longest detail, in characters; it may quote the client's own words.
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
    MalformedJson = BAD_REQUEST "malformed-json" "The body is not JSON",
    /// A key or value of the query does not fit.
    InvalidQuery = BAD_REQUEST "invalid-query" "The query does not fit",
    /// A header that matters here does not fit.
    InvalidHeader = BAD_REQUEST "invalid-header" "A header does not fit",
    /// No token, or none that is known.
    NotSignedIn = UNAUTHORIZED "not-signed-in" "A valid token is needed",
    /// The token was valid once.
    TokenExpired = UNAUTHORIZED "token-expired" "The token has expired",
    /// The token or its user was revoked.
    TokenRevoked = UNAUTHORIZED "token-revoked" "The token was revoked",
    /// Wrong name or password.
    WrongCredentials = UNAUTHORIZED "wrong-credentials" "Name or password is wrong",
    /// The role does not permit it.
    NotPermitted = FORBIDDEN "not-permitted" "This role may not do that",
    /// A page of another origin used the cookie.
    ForeignOrigin = FORBIDDEN "foreign-origin" "Pages of this origin may not use the sign-in",
    /// There is no such path.
    UnknownPath = NOT_FOUND "unknown-path" "There is nothing at this path",
    /// There is no such live call, or it is out of sight.
    UnknownCall = NOT_FOUND "unknown-call" "There is no such call",
    /// There is no such transfer, it is forgotten, or it is out of sight.
    UnknownTransfer = NOT_FOUND "unknown-transfer" "There is no such transfer",
    /// There is no such operator, or she is out of sight.
    UnknownOperator = NOT_FOUND "unknown-operator" "There is no such operator",
    /// There is no such record.
    UnknownRecord = NOT_FOUND "unknown-record" "There is no such record",
    /// The path exists, the method does not.
    WrongMethod = METHOD_NOT_ALLOWED "wrong-method" "This path does not take this method",
    /// The request took too long to arrive.
    RequestTimeout = REQUEST_TIMEOUT "request-timeout" "The request took too long",
    /// It does not fit what is going on with the call.
    CallConflict = CONFLICT "call-conflict" "That does not fit the call now",
    /// The account has had the message, or it is on its way: its text stays.
    MessageNotOpen = CONFLICT "message-not-open" "The text of this message is final",
    /// The operator's state is no longer the one that was seen.
    StateChanged = CONFLICT "state-changed" "The state has changed meanwhile",
    /// It does not fit what the operator is doing now.
    StateConflict = CONFLICT "state-conflict" "That does not fit what the operator is doing now",
    /// Another record has the value already.
    ValueTaken = CONFLICT "value-taken" "The value belongs to another record",
    /// The same request is under way.
    RequestInProgress = CONFLICT "request-in-progress" "The same request is being answered already",
    /// The body is larger than allowed.
    BodyTooLarge = PAYLOAD_TOO_LARGE "body-too-large" "The body is too large",
    /// The body is not declared as JSON.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body must be application/json",
    /// The body is JSON, but not what is wanted.
    InvalidBody = UNPROCESSABLE_ENTITY "invalid-body" "The body does not fit",
    /// The key was used for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency-key-reused" "The idempotency key belongs to another request",
    /// Too many failed attempts.
    TooManyFailures = TOO_MANY_REQUESTS "too-many-failures" "Too many failed attempts",
    /// A fault of the daemon.
    Internal = INTERNAL_SERVER_ERROR "internal-error" "The daemon failed; its log says why",
    /// The PBX said no.
    PbxRefused = BAD_GATEWAY "pbx-refused" "The PBX refused the order",
    /// The PBX did not answer; it may have done it.
    FateUnknown = GATEWAY_TIMEOUT "pbx-no-answer" "The PBX did not answer the order; it may have been done",
    /// The phone did not do what it was asked.
    PhoneIgnores = GATEWAY_TIMEOUT "phone-did-not-follow" "The phone did not do it; most can only be operated by hand",
    /// The link to the PBX is down.
    PbxUnreachable = SERVICE_UNAVAILABLE "pbx-unreachable" "The PBX cannot be reached; nothing was done",
    /// Records cannot be read or written now.
    StoreUnavailable = SERVICE_UNAVAILABLE "store-unavailable" "Records are not available now",
    /// As much as may go on at the same time does.
    Overloaded = SERVICE_UNAVAILABLE "overloaded" "Too much is going on at the same time",
    /// The daemon is going down.
    ShuttingDown = SERVICE_UNAVAILABLE "shutting-down" "The daemon is going down",
}

impl Kind {
    /// A problem of this kind.
    pub(crate) fn with(self, detail: impl AsRef<str>) -> Problem {
        let detail = printable(detail.as_ref(), DETAIL_CHARS_MAX).map(|text| text.to_string());
        Problem { kind: self, detail, retry_after: None, current: None }
    }
}

/// An error as a client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Option<String>,
    retry_after: Option<Duration>,
    current: Option<Box<StateView>>,
}

impl Problem {
    /// The client may try again after this.
    pub(crate) fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self { kind, detail: None, retry_after: None, current: None }
    }
}

/// The JSON of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// What kind of error it is; compare this.
    #[serde(rename = "type")]
    #[schema(schema_with = types)]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What it was this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// How the operator is now (`state-changed`).
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Box<StateView>>,
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
        let body =
            ProblemBody { kind, title, status: status.as_u16(), detail: self.detail, current: self.current };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"toritsugi\""));
        }
        if let Some(pause) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Taken { .. } => Kind::ValueTaken.with(error.to_string()),
            StoreError::Missing { .. } => Kind::UnknownRecord.with(error.to_string()),
            _ => {
                let passing = error.is_passing();
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed a request");
                let problem = Self::from(Kind::StoreUnavailable);
                if passing { problem.retry_after(Duration::from_secs(1)) } else { problem }
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
            Refusal::PhoneIgnores(_) => Kind::PhoneIgnores,
            Refusal::PbxUnreachable => return Kind::PbxUnreachable.into(),
            Refusal::FateUnknown => return Kind::FateUnknown.into(),
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
