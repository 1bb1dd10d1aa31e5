//! Reading records by page, in the order of their ids, which is the order of their creation.

use serde::Serialize;
use utoipa::ToSchema;

use crate::ids::RecordId;

/// Most records of a page.
pub const PAGE_RECORDS_MAX: u32 = 500;

/// Some records, in the order they were created, and the cursor of the next page.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// Pass it as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub next: Option<RecordId>,
}

impl<T> Page<T> {
    /// The page of `items`, of which the statement read up to `limit + 1`: the one too many proves a next page.
    pub(super) fn of(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> RecordId) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| is_more).map(id);
        Self { items, next }
    }
}

/// `limit` between 1 and [`PAGE_RECORDS_MAX`].
pub(super) fn clamp_limit(limit: u32) -> u32 {
    limit.clamp(1, PAGE_RECORDS_MAX)
}
