//! One search over what people look for: accounts, contacts, customers, messages and finished calls.
//!
//! | part | compared | reader |
//! |---|---|---|
//! | accounts | name, reading, code, dialled and forwarding numbers | who reads the directory |
//! | contacts | name, reading, role, the number unless it is `do_not_tell` | the same |
//! | customers | name, reading, company, department, code, numbers | the same |
//! | messages of the last 90 days | number, names, subject, text, telephone numbers | who takes messages |
//! | finished calls | the caller's number, and the customers who have the text | as `GET /v1/history` |
//!
//! Each text is compared in its folded form ([`crate::contract::records::search`]); a text in romaji also as the kana that it
//! stands for.
//!
//! Invariants: a search opens nothing, it chooses among what the reader may read anyway. Each part is found by an index of the
//! store and is given [`PART_TIMEOUT`]; a part that takes longer is left out and named, and the others are answered.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{QueryParams, restore_plus};
use super::history::{self, FinishedCallView};
use super::messages;
use super::problem::{Kind, Problem, ProblemBody};
use super::query::SearchQuery;
use super::state::AppState;
use crate::contract::message::Message;
use crate::contract::records::{Account, Contact, Customer};
use crate::people::role::Permission;
use crate::store::CustomerFilter;
use crate::store::history::HistoryFilter;
use crate::store::messages::MessageFilter;
use crate::text::romaji;

/// Longest wait for one part.
const PART_TIMEOUT: Duration = Duration::from_millis(800);
/// Records of each part when the request names no limit.
const RECORDS_DEFAULT: u32 = 5;
/// Most records of each part.
const RECORDS_MAX: u32 = 20;

/// A part of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SearchPart {
    /// Accounts.
    Accounts,
    /// Contacts.
    Contacts,
    /// Customers.
    Customers,
    /// Messages.
    Messages,
    /// Finished calls.
    Calls,
}

/// What a text finds; of each part up to `limit` records.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResults {
    /// Accounts, in the order of their creation.
    accounts: Vec<Account>,
    /// Contacts, in the order of their creation.
    contacts: Vec<Contact>,
    /// Customers, in the order of their creation.
    customers: Vec<Customer>,
    /// Messages, newest first.
    messages: Vec<Message>,
    /// Finished calls, newest first, without their segments.
    calls: Vec<FinishedCallView>,
    /// The parts that are missing because they took too long, or, for calls, because too many customers have the text.
    incomplete: Vec<SearchPart>,
}

/// Finds accounts, contacts, customers, messages and finished calls by a text: a name in kanji, kana or romaji, a part of a
/// number in any writing, or words of a message.
#[utoipa::path(get, path = "/v1/search", tag = "search", params(SearchQuery), responses(
    (status = 200, description = "What was found", body = SearchResults),
    (status = 400, description = "invalid-query", body = ProblemBody),
))]
pub(crate) async fn search(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<SearchQuery>,
) -> Result<Json<SearchResults>, Problem> {
    for right in [Permission::ReadDirectory, Permission::TakeMessages, Permission::FollowCalls] {
        caller.needs(right)?;
    }
    let limit = query.limit.unwrap_or(RECORDS_DEFAULT);
    if !(1..=RECORDS_MAX).contains(&limit) {
        return Err(Kind::InvalidQuery.with(format!("limit must be between 1 and {RECORDS_MAX}")));
    }
    if query.q.trim().is_empty() {
        return Err(Kind::InvalidQuery.with("q: write what is searched for"));
    }
    let text = restore_plus(&query.q).trim().to_owned();
    let kana = romaji::hiragana(&text);
    let search =
        Search { state: &state, caller: &caller, texts: [text].into_iter().chain(kana).collect(), limit };
    let (accounts, contacts, customers, messages, calls) = tokio::join!(
        within(search.accounts()),
        within(search.contacts()),
        within(search.customers()),
        within(search.messages()),
        within(search.calls()),
    );
    let mut incomplete = Vec::new();
    Ok(Json(SearchResults {
        accounts: part(accounts?, SearchPart::Accounts, &mut incomplete),
        contacts: part(contacts?, SearchPart::Contacts, &mut incomplete),
        customers: part(customers?, SearchPart::Customers, &mut incomplete),
        messages: part(messages?, SearchPart::Messages, &mut incomplete),
        calls: part(calls?, SearchPart::Calls, &mut incomplete),
        incomplete,
    }))
}

/// One search: who asks for which texts.
struct Search<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    /// As it was written, and as kana where that is another text.
    texts: Vec<String>,
    limit: u32,
}

impl Search<'_> {
    async fn accounts(&self) -> Result<Option<Vec<Account>>, Problem> {
        let mut found = Vec::new();
        for text in &self.texts {
            found.extend(self.state.app.store.find_accounts(text, self.limit).await?);
        }
        Ok(Some(self.once(found, |account| account.id)))
    }

    async fn contacts(&self) -> Result<Option<Vec<Contact>>, Problem> {
        let mut found = Vec::new();
        for text in &self.texts {
            found.extend(self.state.app.store.find_contacts(text, self.limit).await?);
        }
        Ok(Some(self.once(found, |contact| contact.id)))
    }

    async fn customers(&self) -> Result<Option<Vec<Customer>>, Problem> {
        let mut found = Vec::new();
        for text in &self.texts {
            let filter = CustomerFilter { text: Some(text.clone()), ..CustomerFilter::default() };
            found.extend(self.state.app.store.customers(&filter, None, self.limit).await?.items);
        }
        Ok(Some(self.once(found, |customer| customer.id)))
    }

    async fn messages(&self) -> Result<Option<Vec<Message>>, Problem> {
        let mut found = Vec::new();
        for text in &self.texts {
            let filter = MessageFilter {
                text: Some(text.clone()),
                from: messages::search_begins(self.state),
                ..MessageFilter::default()
            };
            found.extend(self.state.app.store.messages(&filter, None, self.limit).await?);
        }
        found.sort_by_key(|message| std::cmp::Reverse(message.created_at));
        let found = self.once(found, |message| message.id);
        Ok(Some(found.into_iter().map(|message| messages::shown(self.state, self.caller, message)).collect()))
    }

    /// Nothing when more customers have the text than calls are looked up for.
    async fn calls(&self) -> Result<Option<Vec<FinishedCallView>>, Problem> {
        let visibility = history::visibility_filter(self.state, &self.caller.viewer);
        let mut found = Vec::new();
        for text in &self.texts {
            let party = match history::party_of(self.state, self.caller, None, text).await {
                Err(problem) if problem.is(Kind::TooManyMatches) => return Ok(None),
                party => party?,
            };
            let filter = HistoryFilter {
                party: Some(party),
                visibility: visibility.clone(),
                ..HistoryFilter::default()
            };
            found.extend(self.state.app.store.history(&filter, None, self.limit).await?);
        }
        found.sort_by_key(|call| std::cmp::Reverse(call.offered_at));
        Ok(Some(history::views_of(self.state, self.once(found, |call| call.id)).await?))
    }

    /// Each record once, up to the limit.
    fn once<T, K: Eq + Hash>(&self, mut records: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
        let mut seen = HashSet::new();
        records.retain(|record| seen.insert(key(record)));
        records.truncate(self.limit as usize);
        records
    }
}

/// What was found in time.
async fn within<T>(part: impl Future<Output = Result<Option<T>, Problem>>) -> Result<Option<T>, Problem> {
    tokio::time::timeout(PART_TIMEOUT, part).await.unwrap_or(Ok(None))
}

/// The records of a part; a part that is missing is noted.
fn part<T>(found: Option<Vec<T>>, part: SearchPart, incomplete: &mut Vec<SearchPart>) -> Vec<T> {
    found.unwrap_or_else(|| {
        incomplete.push(part);
        Vec::new()
    })
}
