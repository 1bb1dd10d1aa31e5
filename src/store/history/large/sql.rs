//! The statements about callers and customers with very many calls.
//!
//! A reader who sees few calls, and asks for a caller with tens of thousands, would have each of these looked up. So what a
//! call must be in is intersected: the calls of the caller, those that the reader had, those of an operator, those with a
//! rare outcome. Each is an index in one order, time and call, and walking two of them side by side costs a tenth of looking
//! each entry of one up in the other. Of few calls looking up is cheaper, so [`find_large`] counts first, up to
//! [`LARGE_CALLS_MIN`].
//!
//! The other way round, of an account with few calls each is looked up, instead of all that an operator had for one of the
//! account ([`find_many_of_account`]).
//!
//! Invariant: the intersection lets through every call of the page; a look at its row decides.

use sqlx::QueryBuilder;

use super::Db;
use super::dialect::INTERSECTED_WITH;
use super::history::outcome_as_str;
use super::history_page::{
    OWNERS_BEFORE_OTHERS_MAX, direction_literal, owners_of, push_conditions, push_listed, push_times,
};
use crate::contract::call::{Direction, Outcome};
use crate::ids::RecordId;
use crate::store::history::{HistoryCursor, HistoryFilter};

/// From how many calls on a caller or customer has many; a generated month of the tests has some, too.
const LARGE_CALLS_MIN: u32 = if cfg!(test) { 30 } else { 1_000 };

/// From how many calls on an account has so many that an operator who is asked for had some of them.
const ACCOUNT_CALLS_MIN: u32 = if cfg!(test) { 100 } else { 4_000 };

const BY_NUMBER: &str = concat!("calls AS c", indexed_by!("calls_by_number"));
const BY_CALLED_NUMBER: &str = concat!("calls AS c", indexed_by!("calls_by_called_number"));
const BY_CUSTOMER: &str = concat!("calls AS c", indexed_by!("calls_of_customer"));

/// Whose calls are many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Large {
    /// A number, where it is a customer's: of calls for this account.
    Number(String, Option<RecordId>),
    Customer(RecordId),
}

impl Large {
    /// From a row of [`find_large`].
    pub(super) fn of(id: RecordId, key: String) -> Self {
        match (key.is_empty(), id.0.is_nil()) {
            (true, _) => Self::Customer(id),
            (false, true) => Self::Number(key, None),
            (false, false) => Self::Number(key, Some(id)),
        }
    }
}

/// What a call of the page must be in, beside the calls of a caller: an index in the order of time and call.
enum Set<'a> {
    /// The rows of this owner in `call_operators`.
    Owner(String),
    /// The calls with an outcome other than answered.
    Outcome(Outcome),
    /// The calls of this caller.
    Caller(&'a str),
    /// The calls of this customer.
    Customer(RecordId),
}

/// Whether anything narrows the calls of a caller or customer.
fn is_narrowed(filter: &HistoryFilter) -> bool {
    owners(filter).is_some()
        || filter.operator.is_some()
        || rare_outcome(filter).is_some()
        || filter.customer.is_some() && filter.caller.is_some()
        || filter.party.is_some() && (filter.customer.is_some() || filter.caller.is_some())
}

/// Those of whom a reader must see one, if these are few.
fn owners(filter: &HistoryFilter) -> Option<Vec<String>> {
    let owners = owners_of(filter.visibility.as_ref()?, true);
    (owners.len() <= OWNERS_BEFORE_OTHERS_MAX).then_some(owners)
}

fn rare_outcome(filter: &HistoryFilter) -> Option<Outcome> {
    filter.outcome.filter(|outcome| *outcome != Outcome::Answered)
}

/// What the filter's calls must be in beside those of `large`, without the reader's owners.
fn sets<'a>(filter: &'a HistoryFilter, large: &Large) -> Vec<Set<'a>> {
    let operator = filter.operator.iter().map(|operator| Set::Owner(format!("e{operator}")));
    let is_own = |key: &str| matches!(large, Large::Number(own, _) if own == key);
    let caller = filter.caller.iter().filter(|key| !is_own(key)).map(|caller| Set::Caller(caller));
    let is_own = |customer: &&RecordId| *large == Large::Customer(**customer);
    let customer = filter.customer.iter().filter(|c| !is_own(c)).map(|customer| Set::Customer(*customer));
    let mut sets: Vec<Set<'_>> = operator.chain(caller).chain(customer).collect();
    let by_owner = filter.operator.is_some() || owners(filter).is_some();
    sets.extend(rare_outcome(filter).filter(|_| !by_owner).map(Set::Outcome));
    sets
}

/// The statement that finds who of those whom the filter names has many calls in its time: of a customer the `id` alone, of
/// a customer's number the `key` and the account as `id`, of another number the nil id. `None` where nothing narrows them.
pub(super) fn find_large(filter: &HistoryFilter, before: Option<HistoryCursor>) -> Option<QueryBuilder<Db>> {
    const NUMBERS: &str = concat!(
        " UNION ALL SELECT n.account_id, n.key FROM (SELECT DISTINCT account_id, key FROM customer_numbers",
        indexed_by!("customer_numbers_by_customer"),
        "WHERE customer_id IN ("
    );
    if !is_narrowed(filter) {
        return None;
    }
    let (party, is_outbound) = (filter.party.as_ref(), filter.direction == Some(Direction::Outbound));
    let (number, customers) = match (party, &filter.caller, filter.customer) {
        (Some(party), ..) => (party.number.as_ref(), party.customers.clone()),
        (None, _, Some(customer)) => (None, vec![customer]),
        (None, Some(caller), None) => (Some(caller), Vec::new()),
        (None, None, None) => return None,
    };
    let (by_number, key) = match is_outbound && party.is_some() {
        true => (BY_CALLED_NUMBER, "c.direction = 'outbound' AND c.dialled = "),
        false => (BY_NUMBER, "c.caller_key = "),
    };
    let has_many = |query: &mut QueryBuilder<Db>, table: &str, condition: &dyn Fn(&mut QueryBuilder<Db>)| {
        query.push("(SELECT 1 FROM ").push(table).push(" WHERE ");
        condition(query);
        push_times(query, filter, before, "c.offered_ms", "c.id");
        query.push(format!(" LIMIT 1 OFFSET {}) = 1", LARGE_CALLS_MIN - 1));
    };
    let mut query =
        QueryBuilder::new("SELECT id, key FROM (SELECT id, '' AS key FROM customers WHERE id IS NULL");
    if let Some(number) = number {
        query.push(" UNION ALL SELECT ").push_bind(RecordId(uuid::Uuid::nil())).push(", ");
        query.push_bind(number.clone()).push(" WHERE ");
        has_many(&mut query, by_number, &|query| {
            query.push(key).push_bind(number.clone());
        });
    }
    if !(customers.is_empty() || is_outbound && party.is_some()) {
        query.push(" UNION ALL SELECT wanted.column1, '' FROM (VALUES (");
        push_listed(&mut query, &customers, "), (");
        query.push(")) AS wanted WHERE ");
        has_many(&mut query, BY_CUSTOMER, &|query| {
            query.push("c.customer_id = wanted.column1");
        });
    }
    if !customers.is_empty() && party.is_some() {
        query.push(NUMBERS);
        push_listed(&mut query, &customers, ", ");
        query.push(")) AS n WHERE ");
        has_many(&mut query, by_number, &|query| {
            query.push(key).push("n.key");
        });
    }
    query.push(") AS large");
    Some(query)
}

/// The statement that has a row if the account of the filter has many calls in its time. `None` where it does not matter.
pub(super) fn find_many_of_account(
    filter: &HistoryFilter,
    before: Option<HistoryCursor>,
) -> Option<QueryBuilder<Db>> {
    let account = filter.account?;
    let by_owner = owners(filter).is_some() || filter.operator.is_some();
    if !by_owner || filter.caller.is_some() || filter.customer.is_some() || filter.party.is_some() {
        return None;
    }
    let mut query =
        QueryBuilder::new(concat!("SELECT c.id FROM calls AS c", indexed_by!("calls_of_account")));
    query.push("WHERE c.account_id = ").push_bind(account);
    query.push(" AND c.direction = ").push(direction_literal(filter));
    push_times(&mut query, filter, before, "c.offered_ms", "c.id");
    query.push(format!(" LIMIT 1 OFFSET {}", ACCOUNT_CALLS_MIN - 1));
    Some(query)
}

/// Adds the arms of a page that read the calls of `large`: `UNION SELECT …`, one for each of the reader's few owners.
pub(super) fn push_large(
    query: &mut QueryBuilder<Db>,
    filter: &HistoryFilter,
    before: Option<HistoryCursor>,
    limit: u32,
    large: &Large,
) {
    let owners = match owners(filter) {
        None => vec![None],
        Some(owners) => owners.into_iter().map(Some).collect(),
    };
    for owner in owners {
        let sets: Vec<Set<'_>> = sets(filter, large).into_iter().chain(owner.map(Set::Owner)).collect();
        query.push(" UNION SELECT * FROM (SELECT offered_ms, id FROM (SELECT c.offered_ms, c.id FROM ");
        push_own(query, filter, large);
        push_times(query, filter, before, "c.offered_ms", "c.id");
        for set in &sets {
            query.push(INTERSECTED_WITH.0);
            push_set(query, filter, before, set);
            query.push(INTERSECTED_WITH.1);
        }
        // A subquery with a limit is read in its own order, and nothing of the condition that follows moves into it.
        query.push(" ORDER BY offered_ms DESC, id DESC LIMIT ").push(i64::MAX.to_string());
        query.push(") AS shared WHERE (SELECT 1 FROM calls AS c WHERE c.id = shared.id AND c.direction = ");
        query.push(direction_literal(filter));
        if let Large::Number(_, Some(account)) = large
            && filter.direction != Some(Direction::Outbound)
        {
            query.push(" AND c.account_id = ").push_bind(*account);
        }
        push_conditions(query, filter, before);
        query.push(" LIMIT 1) = 1 ORDER BY offered_ms DESC, id DESC LIMIT ").push_bind(i64::from(limit));
        query.push(") AS large_arm");
    }
}

/// The calls of the caller or customer: the table, and the condition that begins its index.
fn push_own(query: &mut QueryBuilder<Db>, filter: &HistoryFilter, large: &Large) {
    let is_called = filter.direction == Some(Direction::Outbound) && filter.party.is_some();
    match large {
        Large::Number(number, _) if is_called => {
            query.push(BY_CALLED_NUMBER).push(" WHERE c.direction = 'outbound' AND c.dialled = ");
            query.push_bind(number.clone());
        }
        Large::Number(number, _) => {
            query.push(BY_NUMBER).push(" WHERE c.caller_key = ").push_bind(number.clone());
        }
        Large::Customer(customer) => {
            query.push(BY_CUSTOMER).push(" WHERE c.customer_id = ").push_bind(*customer);
        }
    }
}

fn push_set(
    query: &mut QueryBuilder<Db>,
    filter: &HistoryFilter,
    before: Option<HistoryCursor>,
    set: &Set<'_>,
) {
    const OF_CALLS: &str = "c.offered_ms, c.id FROM calls AS c";
    match set {
        Set::Owner(owner) => {
            query.push("o.offered_ms, o.call_id FROM call_operators AS o");
            let rare = rare_outcome(filter);
            query.push(if rare.is_some() { indexed_by!("call_operators_by_outcome") } else { " " });
            query.push("WHERE o.who = ").push_bind(owner.clone());
            query.push(" AND o.direction = ").push(direction_literal(filter));
            // The account is left to the look at the call's row: it is in no index of these.
            if let Some(outcome) = rare {
                query.push(" AND o.outcome = ").push_bind(outcome_as_str(outcome));
                query.push(" AND o.outcome <> 'answered'");
            }
            push_times(query, filter, before, "o.offered_ms", "o.call_id");
            return;
        }
        Set::Outcome(outcome) => {
            query.push(OF_CALLS).push(indexed_by!("calls_by_outcome"));
            query.push("WHERE c.direction = ").push(direction_literal(filter));
            query.push(" AND c.outcome = ").push_bind(outcome_as_str(*outcome));
            query.push(" AND c.outcome <> 'answered'");
        }
        Set::Caller(caller) => {
            query.push(OF_CALLS).push(indexed_by!("calls_by_number"));
            query.push("WHERE c.caller_key = ").push_bind((*caller).to_owned());
        }
        Set::Customer(customer) => {
            query.push(OF_CALLS).push(indexed_by!("calls_of_customer"));
            query.push("WHERE c.customer_id = ").push_bind(*customer);
        }
    }
    push_times(query, filter, before, "c.offered_ms", "c.id");
}

#[cfg(test)]
mod tests;
