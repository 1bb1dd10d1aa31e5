//! Every number of every account, and the numbers that rang and belong to nobody.
//!
//! The second list is what finds mistakes: a number that was typed wrongly, or that nobody entered.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{NoQuery, QueryParams};
use super::problem::{Problem, ProblemBody};
use super::query::PageQuery;
use super::state::AppState;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::Page;

/// How long a number that rang is shown as unknown.
const UNKNOWN_TTL: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a number of an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccountNumberUse {
    /// A number of the service that belongs to this account alone.
    Dialled,
    /// A number of the company that forwards to the service.
    Forwarding,
}

/// A number of an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountNumber {
    /// The number, as the account's record writes it.
    number: String,
    /// What it is.
    #[serde(rename = "use")]
    kind: AccountNumberUse,
    /// The account.
    #[schema(value_type = uuid::Uuid)]
    account: RecordId,
    /// The account's code.
    account_code: String,
    /// The account's name.
    account_name: String,
    /// When the last call for the account came; absent if none did.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    last_call_at: Option<Timestamp>,
}

/// A number that rang and belongs to no account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnknownNumber {
    /// The number that was dialled; absent where the trunk does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dialled: Option<String>,
    /// The number that forwarded the calls; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    diverted_by: Option<String>,
    /// How many calls.
    calls: u64,
    /// When the last of them came.
    #[serde(serialize_with = "crate::contract::time::as_time")]
    #[schema(value_type = String, format = DateTime)]
    last_call_at: Timestamp,
}

/// The numbers that rang and belong to nobody.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnknownNumbers {
    /// The numbers, the latest first; at most 500.
    items: Vec<UnknownNumber>,
}

/// Lists the numbers of the accounts, in the order in which the accounts were created. A page has all numbers of up to
/// `limit` accounts.
#[utoipa::path(get, path = "/v1/numbers", tag = "numbers", params(PageQuery), responses(
    (status = 200, description = "A page", body = Page<AccountNumber>),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<Page<AccountNumber>>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let page = query.read()?;
    let accounts = state.app.store.accounts(page.after, page.limit).await?;
    let last: HashMap<RecordId, Timestamp> =
        state.app.store.last_calls(page.after, page.limit).await?.into_iter().collect();
    let mut items = Vec::new();
    for account in accounts.items {
        let fields = &account.fields;
        let kinds = [
            (&fields.dialled, AccountNumberUse::Dialled),
            (&fields.forwarding, AccountNumberUse::Forwarding),
        ];
        for (numbers, kind) in kinds {
            items.extend(numbers.iter().map(|number| AccountNumber {
                number: number.to_string(),
                kind,
                account: account.id,
                account_code: fields.code.to_string(),
                account_name: fields.name.to_string(),
                last_call_at: last.get(&account.id).copied(),
            }));
        }
    }
    Ok(Json(Page { items, next: accounts.next }))
}

/// Lists the numbers that rang in the last 30 days and belong to no account, the latest first.
#[utoipa::path(get, path = "/v1/numbers/unknown", tag = "numbers", responses(
    (status = 200, description = "The numbers", body = UnknownNumbers),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn unknown(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<UnknownNumbers>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let found = state.app.store.unknown_numbers(state.app.clock.now() - UNKNOWN_TTL).await?;
    let items = found
        .into_iter()
        .map(|number| UnknownNumber {
            dialled: number.dialled,
            diverted_by: number.diverted_by,
            calls: number.calls,
            last_call_at: number.last,
        })
        .collect();
    Ok(Json(UnknownNumbers { items }))
}
