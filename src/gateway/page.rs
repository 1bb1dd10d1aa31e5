//! Lists come in pages: `?limit=` and `?cursor=`, answered with `items` and, where there is more, `next`.
//!
//! Invariant: following `next` yields every record once, in the order of the ids, whatever is added meanwhile.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::record;
use super::problem::{Kind, Problem};
use crate::ids::RecordId;

/// Records of a page when the client does not say.
const PAGE_RECORDS: u32 = 50;
/// Most records of a page.
const PAGE_RECORDS_MAX: u32 = 200;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many, 1 to 200; 50 when not given.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// After this record.
    pub(crate) after: Option<RecordId>,
    /// At most so many.
    pub(crate) limit: u32,
}

impl PageQuery {
    pub(crate) fn read(&self) -> Result<Wanted, Problem> {
        wanted(self.limit, self.cursor.as_deref())
    }
}

/// Reads the two keys of a page, for queries that have more.
pub(crate) fn wanted(limit: Option<u32>, cursor: Option<&str>) -> Result<Wanted, Problem> {
    let limit = limit.unwrap_or(PAGE_RECORDS);
    if !(1..=PAGE_RECORDS_MAX).contains(&limit) {
        return Err(Kind::InvalidQuery.with(format!("limit must be 1 to {PAGE_RECORDS_MAX}")));
    }
    let after = cursor
        .map(|text| {
            record(text)
                .ok_or_else(|| Kind::InvalidQuery.with("cursor must be the `next` of the page before"))
        })
        .transpose()?;
    Ok(Wanted { after, limit })
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The records.
    pub(crate) items: Vec<T>,
    /// Give it as `cursor` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// `found` was read with a limit of one more than wanted.
    pub(crate) fn of<R>(
        mut found: Vec<R>,
        wanted: Wanted,
        id: impl Fn(&R) -> RecordId,
        view: impl Fn(R) -> T,
    ) -> Self {
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|last| id(last).to_string()) } else { None };
        Self { items: found.into_iter().map(view).collect(), next }
    }
}
