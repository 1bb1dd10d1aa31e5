//! The answer to a request that makes a record: the record, and where it is.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::{Kind, Problem};

/// `status`, the record `made`, and its `place` as `Location`.
pub(super) fn located(status: StatusCode, place: String, made: impl Serialize) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(place).map_err(|_| Kind::Internal)?;
    Ok((status, [(header::LOCATION, location)], Json(made)).into_response())
}
