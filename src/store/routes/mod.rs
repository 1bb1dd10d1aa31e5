//! The documents of routes, every version of them; and what a route needs of an account.
//!
//! A document is for one account, or without an account for all those that have none of their own. The newest version counts; an
//! older one comes back by being saved again.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Store, StoreError};
use crate::ids::RecordId;
use crate::route::{Document, World};

/// Most versions in a list.
pub const ROUTE_VERSIONS_MAX: u32 = 100;
/// The setting that holds the installation's time zone.
pub const TIME_ZONE: &str = "time_zone";

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RouteVersion {
    /// Its number, from 1.
    pub version: u64,
    /// The person who saved it.
    #[schema(value_type = Option<uuid::Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<RecordId>,
    /// The name of that person.
    pub by_name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub at: Timestamp,
}

/// A version with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoutes {
    /// Its number, and who saved it.
    pub version: RouteVersion,
    /// The document.
    pub body: String,
}

/// A document that a person saves.
#[derive(Debug, Clone, Copy)]
pub struct NewRoutes<'a> {
    /// The account, or all accounts without a document.
    pub account: Option<RecordId>,
    /// The document, which was read before.
    pub body: &'a str,
    /// The person.
    pub by: Option<RecordId>,
    /// The name of that person.
    pub by_name: &'a str,
    /// The version that the person saw last; another one is not replaced. 0: there is none.
    pub version: Option<u64>,
}

/// What became of a document that was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedRoutes {
    /// It is this version.
    Saved(u64),
    /// This version is there meanwhile.
    Stale(u64),
}

/// What decides who gets the messages of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountRoutes {
    /// The account's hours and people.
    pub world: World,
    /// The account's document, if it has one.
    pub own: Option<Document>,
    /// The document of the accounts that have none.
    pub common: Option<Document>,
}

impl AccountRoutes {
    /// The documents, in the order in which they count.
    #[must_use]
    pub fn documents(&self) -> Vec<&Document> {
        self.own.iter().chain(&self.common).collect()
    }
}

impl Store {
    /// Keeps the installation's time zone for routes.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn set_route_time_zone(&self, name: &str) -> Result<(), StoreError> {
        each!(self, db => db.set_route_setting(TIME_ZONE, name).await)
    }

    /// What decides who gets the messages of an account.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such account; or the store cannot be read.
    pub async fn account_routes(&self, account: RecordId) -> Result<AccountRoutes, StoreError> {
        each!(self, db => db.account_routes(account).await)
    }

    /// A version of a document; `None` as the version: the newest.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn routes(
        &self,
        account: Option<RecordId>,
        version: Option<u64>,
    ) -> Result<Option<StoredRoutes>, StoreError> {
        each!(self, db => db.routes(account, version).await)
    }

    /// The versions of a document, the newest first; at most [`ROUTE_VERSIONS_MAX`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn route_versions(&self, account: Option<RecordId>) -> Result<Vec<RouteVersion>, StoreError> {
        each!(self, db => db.route_versions(account).await)
    }

    /// Saves the next version of a document.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no such account; or the store cannot be written.
    pub async fn save_routes(&self, routes: NewRoutes<'_>, at: Timestamp) -> Result<SavedRoutes, StoreError> {
        each!(self, db => db.save_routes(routes, at).await)
    }
}
