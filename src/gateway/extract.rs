//! Extractors for JSON bodies, queries and ids. Each error becomes a problem that names the mistake.
//!
//! Invariant: handlers get parsed values. An unknown key of a query or body is an error, since a mistyped filter that
//! is ignored would show too many records.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use crate::directory::Directory;
use crate::ids::{CallId, RecordId};

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match <Json<T> as FromRequest<S>>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(body_problem(&rejection)),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = Problem;

    /// A request without `Content-Type` has no body.
    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        if request.headers().contains_key(header::CONTENT_TYPE) {
            <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
        } else {
            Ok(None)
        }
    }
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Kind::UnsupportedMediaType.into(),
        JsonRejection::JsonSyntaxError(_) => Kind::MalformedJson.with(parser_message(rejection)),
        JsonRejection::JsonDataError(_) => Kind::InvalidBody.with(parser_message(rejection)),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => Kind::BodyTooLarge.into(),
        _ => Kind::MalformedJson.with("the body ended before its declared length"),
    }
}

/// The message of the JSON parser, without the prefix that axum adds.
fn parser_message(rejection: &JsonRejection) -> String {
    let text = rejection.body_text();
    text.split_once("target type: ")
        .or_else(|| text.split_once("as JSON: "))
        .map_or(text.clone(), |(_, c)| c.into())
}

/// The parsed query of a URL.
#[derive(Debug)]
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                Err(Kind::InvalidQuery.with(text.split_once("string: ").map_or(text.as_str(), |(_, c)| c)))
            }
        }
    }
}

/// The query of a path that takes none.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// The id of a call in a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallPath(pub(crate) CallId);

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id = id.ok().and_then(|Path(text)| CallId::parse(&text).ok());
        id.map(Self).ok_or_else(|| Kind::UnknownCall.with("the id of a call must be a UUID"))
    }
}

/// The id of a record in a path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordPath(pub(crate) RecordId);

impl<S: Send + Sync> FromRequestParts<S> for RecordPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id = id.ok().and_then(|Path(text)| record_id(&text));
        id.map(Self).ok_or_else(|| Kind::UnknownRecord.with("the id of a record must be a UUID"))
    }
}

/// The version of a record that a client has seen, from `If-Match`: its `changed_at` in quotes. Absent where the client
/// does not mind what somebody else changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IfMatch(pub(crate) Option<Timestamp>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let seen = quoted.and_then(|text| text.parse().ok());
        let wrong = || Kind::InvalidHeader.with("If-Match: must be the changed_at of the record, in quotes");
        seen.map(|seen| Self(Some(seen))).ok_or_else(wrong)
    }
}

/// Parses the id of a record.
pub(crate) fn record_id(text: &str) -> Option<RecordId> {
    Uuid::try_parse(text).ok().map(RecordId)
}

/// Restores the `+` of a telephone number in a query: an unescaped `+81…` arrives as a space and digits.
pub(crate) fn restore_plus(number: &str) -> String {
    number.strip_prefix(' ').map_or_else(|| number.to_owned(), |digits| format!("+{digits}"))
}

/// Parses the telephone number `text` of the query key `key`, and returns the key under which it is stored.
pub(crate) fn number_key(directory: &Directory, key: &str, text: &str) -> Result<String, Problem> {
    let number = directory.number(&restore_plus(text));
    number
        .map(|n| n.key().to_owned())
        .ok_or_else(|| Kind::InvalidQuery.with(format!("{key}: not a telephone number")))
}
