//! Answers with a record and its `Location`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::{Kind, Problem};

/// 201 with the new `record`, whose path is `location`.
pub(super) fn created(location: String, record: impl Serialize) -> Result<Response, Problem> {
    with_location(StatusCode::CREATED, location, record)
}

/// `status` with `record`, whose path is `location`.
pub(super) fn with_location(
    status: StatusCode,
    location: String,
    record: impl Serialize,
) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(location).map_err(|_| Kind::Internal)?;
    Ok((status, [(header::LOCATION, location)], Json(record)).into_response())
}
