//! The statements that read a page of finished calls.
//!
//! Invariant: what is read grows with the page and not with the table: each part of a statement names the index that it goes by.

use sqlx::QueryBuilder;

use super::Db;
use super::history::outcome_as_str;
use crate::contract::call::{Direction, Outcome};
use crate::store::history::{HistoryCursor, HistoryFilter, PartyFilter};
use crate::store::to_ms;

/// One of the operators that follow had the call.
const HAD_BY: &str =
    concat!(" AND EXISTS (SELECT 1 FROM ", json_items!("c.operators_json"), " AS had WHERE had.value IN (");
/// One of the people that follow had the call.
const HANDLED_BY: &str =
    concat!(" AND EXISTS (SELECT 1 FROM ", json_items!("c.handled_by_json"), " AS had WHERE had.value IN (");

/// Most owners of `call_operators` that one statement asks for; SQLite takes 500 parts of a compound statement.
const OWNERS_PER_STATEMENT_MAX: usize = 100;
/// Up to this many owners, their own calls are fewer than those of a large account.
const OWNERS_BEFORE_ACCOUNT_MAX: usize = 4;

/// From which side a page of calls is read, so that what is read grows with the page and not with the table.
///
/// | conditions | is read from | each row is checked for |
/// |---|---|---|
/// | party | the calls of its number and of its customers, merged | the rest |
/// | caller or customer | that caller's or customer's calls | the rest |
/// | operator | the rows of that extension in `call_operators` | visibility |
/// | visibility | the rows of each person and extension, merged | nothing |
/// | visibility of many people, and an account | the account's calls | visibility |
/// | account, outcome, time or none | the index that begins with the account, the outcome or the direction | the rest |
pub(super) enum Plan {
    /// From `calls`, by who was on the other side.
    Party(PartyFilter),
    /// From `calls`, by this index.
    Calls(&'static str),
    /// From `call_operators`, by these owners.
    Owners(Vec<String>),
}

impl Plan {
    pub(super) fn of(filter: &HistoryFilter) -> Self {
        if let Some(party) = &filter.party {
            return Self::Party(party.clone());
        }
        match (&filter.caller, filter.customer, filter.account) {
            (_, Some(_), _) => return Self::Calls(indexed_by!("calls_by_customer")),
            (Some(_), None, Some(_)) => return Self::Calls(indexed_by!("calls_by_caller")),
            (Some(_), None, None) => return Self::Calls(indexed_by!("calls_by_number")),
            (None, None, _) => {}
        }
        if let Some(operator) = &filter.operator {
            return Self::Owners(vec![format!("e{operator}")]);
        }
        if let Some(visible) = &filter.visibility {
            let people = visible.people.iter().map(|person| format!("p{person}"));
            let extensions = visible.extensions.iter().map(|extension| format!("n{extension}"));
            let mut owners: Vec<String> = people.chain(extensions).collect();
            owners.extend(visible.unowned.then(|| "-".to_owned()));
            if filter.account.is_none() || owners.len() <= OWNERS_BEFORE_ACCOUNT_MAX {
                return Self::Owners(owners);
            }
        }
        Self::Calls(match (filter.account, filter.outcome) {
            (Some(_), _) => indexed_by!("calls_of_account"),
            (None, None | Some(Outcome::Answered)) => indexed_by!("calls_by_direction"),
            (None, Some(_)) => indexed_by!("calls_by_outcome"),
        })
    }

    /// Whether the page is put together from several statements.
    pub(super) fn is_several(&self) -> bool {
        matches!(self, Self::Owners(owners) if owners.len() > OWNERS_PER_STATEMENT_MAX)
    }

    pub(super) fn queries(
        &self,
        filter: &HistoryFilter,
        before: Option<HistoryCursor>,
        limit: u32,
    ) -> Vec<QueryBuilder<Db>> {
        match self {
            Self::Party(party) => vec![party_query(filter, party, before, limit)],
            Self::Calls(index) => vec![calls_query(filter, index, before, limit)],
            Self::Owners(owners) => owners
                .chunks(OWNERS_PER_STATEMENT_MAX)
                .map(|owners| owners_query(filter, owners, before, limit))
                .collect(),
        }
    }
}

fn calls_query(
    filter: &HistoryFilter,
    index: &str,
    before: Option<HistoryCursor>,
    limit: u32,
) -> QueryBuilder<Db> {
    let mut query =
        QueryBuilder::new(concat!("SELECT c.*, ", call_is_being_erased!(), " AS is_erased FROM calls AS c"));
    query.push(index).push(" WHERE c.direction = ").push(direction_literal(filter));
    push_conditions(&mut query, filter, before);
    query.push(" ORDER BY c.offered_ms DESC, c.id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

/// Checks the row of a call for the conditions besides its direction and the other side.
fn push_conditions(query: &mut QueryBuilder<Db>, filter: &HistoryFilter, before: Option<HistoryCursor>) {
    if let Some(account) = filter.account {
        query.push(" AND c.account_id = ").push_bind(account);
    }
    if let Some(caller) = &filter.caller {
        query.push(" AND c.caller_key = ").push_bind(caller.clone());
    }
    if let Some(customer) = filter.customer {
        query.push(" AND c.customer_id = ").push_bind(customer);
    }
    if let Some(operator) = &filter.operator {
        query.push(HAD_BY).push_bind(operator.as_str().to_owned()).push("))");
    }
    if let Some(outcome) = filter.outcome {
        query.push(" AND c.outcome = ").push_bind(outcome_as_str(outcome));
        if outcome != Outcome::Answered {
            // The condition of the index `calls_by_outcome`, which SQLite must find word for word.
            query.push(" AND c.outcome <> 'answered'");
        }
    }
    if filter.caller.is_some() || filter.customer.is_some() || filter.party.is_some() {
        // That a call is in the list would say whose it is.
        query.push(concat!(" AND NOT ", call_is_being_erased!()));
    }
    push_times(query, filter, before, "c.offered_ms", "c.id");
    push_visibility(query, filter);
}

/// The calls of each of the party's conditions, newest first, merged: each is read from an index of its own, and a call
/// that matches several comes once.
fn party_query(
    filter: &HistoryFilter,
    party: &PartyFilter,
    before: Option<HistoryCursor>,
    limit: u32,
) -> QueryBuilder<Db> {
    const BY_ACCOUNT_AND_NUMBER: &str = indexed_by!("calls_by_caller");
    const BY_NUMBER: &str = indexed_by!("calls_by_number");
    const BY_CUSTOMER: &str = indexed_by!("calls_by_customer");
    const BY_CALLED_NUMBER: &str = indexed_by!("calls_by_called_number");
    const NUMBERS_OF: &str = concat!(
        " FROM customer_numbers AS n",
        indexed_by!("customer_numbers_by_customer"),
        "CROSS JOIN calls AS c"
    );
    // No condition: no call, in a statement all the same.
    let mut query = QueryBuilder::new(
        "SELECT c.*, FALSE AS is_erased FROM (SELECT offered_ms, id FROM calls WHERE caller_key = ''",
    );
    let is_outbound = filter.direction == Some(Direction::Outbound);
    let mut arms = 0;
    let mut arm = |from: &str, index: &str, condition: &dyn Fn(&mut QueryBuilder<Db>)| {
        // One of two customers with the same number is enough.
        query.push(" UNION SELECT * FROM (SELECT DISTINCT c.offered_ms, c.id").push(from).push(index);
        query.push("WHERE c.direction = ").push(direction_literal(filter));
        condition(&mut query);
        push_conditions(&mut query, filter, before);
        query.push(" ORDER BY c.offered_ms DESC, c.id DESC LIMIT ").push_bind(i64::from(limit));
        query.push(") AS arm").push(arms.to_string());
        arms += 1;
    };
    if let Some(number) = &party.number {
        let (index, column) = match (is_outbound, filter.account) {
            (true, _) => (BY_CALLED_NUMBER, " AND c.dialled = "),
            (false, Some(_)) => (BY_ACCOUNT_AND_NUMBER, " AND c.caller_key = "),
            (false, None) => (BY_NUMBER, " AND c.caller_key = "),
        };
        arm(" FROM calls AS c", index, &|query| {
            query.push(column).push_bind(number.clone());
        });
    }
    let push_customers = |query: &mut QueryBuilder<Db>| {
        let mut listed = query.separated(", ");
        for customer in &party.customers {
            listed.push_bind(*customer);
        }
        query.push(")");
    };
    if !party.customers.is_empty() {
        if !is_outbound {
            arm(" FROM calls AS c", BY_CUSTOMER, &|query| {
                query.push(" AND c.customer_id IN (");
                push_customers(query);
            });
        }
        let (index, numbers) = if is_outbound {
            (BY_CALLED_NUMBER, " AND c.dialled = n.key AND n.customer_id IN (")
        } else {
            let numbers = " AND c.account_id = n.account_id AND c.caller_key = n.key AND n.customer_id IN (";
            (BY_ACCOUNT_AND_NUMBER, numbers)
        };
        arm(NUMBERS_OF, index, &|query| {
            query.push(numbers);
            push_customers(query);
        });
    }
    query.push(") AS found CROSS JOIN calls AS c WHERE c.id = found.id");
    query.push(" ORDER BY found.offered_ms DESC, found.id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

fn owners_query(
    filter: &HistoryFilter,
    owners: &[String],
    before: Option<HistoryCursor>,
    limit: u32,
) -> QueryBuilder<Db> {
    // Nobody's calls are none, in a statement all the same.
    let mut query = QueryBuilder::new(concat!(
        "SELECT c.*, ",
        call_is_being_erased!(),
        " AS is_erased FROM (SELECT offered_ms, call_id FROM (
            SELECT offered_ms, call_id FROM call_operators WHERE who = '' AND direction = ''",
    ));
    for (n, owner) in owners.iter().enumerate() {
        query.push(" UNION SELECT * FROM (SELECT o.offered_ms, o.call_id FROM call_operators AS o");
        let is_rare = filter.outcome.is_some_and(|outcome| outcome != Outcome::Answered);
        if is_rare {
            query.push(indexed_by!("call_operators_by_outcome"));
        }
        // Only where the rows themselves do not say who may see them.
        let is_checked = filter.operator.is_some() && filter.visibility.is_some();
        if is_checked {
            query.push(" CROSS JOIN calls AS c");
        }
        query.push(" WHERE o.who = ").push_bind(owner.clone());
        query.push(" AND o.direction = ").push(direction_literal(filter));
        if let Some(account) = filter.account {
            query.push(" AND o.account_id = ").push_bind(account);
        }
        if let Some(outcome) = filter.outcome {
            query.push(" AND o.outcome = ").push_bind(outcome_as_str(outcome));
        }
        if is_rare {
            query.push(" AND o.outcome <> 'answered'");
        }
        push_times(&mut query, filter, before, "o.offered_ms", "o.call_id");
        if is_checked {
            query.push(" AND c.id = o.call_id");
            push_visibility(&mut query, filter);
        }
        query.push(" ORDER BY o.offered_ms DESC, o.call_id DESC LIMIT ").push_bind(i64::from(limit));
        query.push(") AS owner").push(n.to_string());
    }
    // Of the many that the owners have together, only those of the page are read.
    query.push(") AS merged ORDER BY offered_ms DESC, call_id DESC LIMIT ").push_bind(i64::from(limit));
    query.push(") AS owned CROSS JOIN calls AS c WHERE c.id = owned.call_id");
    query.push(" ORDER BY owned.offered_ms DESC, owned.call_id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

/// A literal, because only that can use an index with a condition.
fn direction_literal(filter: &HistoryFilter) -> &'static str {
    match filter.direction.unwrap_or(Direction::Inbound) {
        Direction::Inbound => "'inbound'",
        Direction::Outbound => "'outbound'",
        Direction::Internal => "'internal'",
    }
}

fn push_times(
    query: &mut QueryBuilder<Db>,
    filter: &HistoryFilter,
    before: Option<HistoryCursor>,
    offered_ms: &str,
    id: &str,
) {
    if let Some(from) = filter.from {
        query.push(" AND ").push(offered_ms).push(" >= ").push_bind(to_ms(from));
    }
    if let Some(to) = filter.to {
        query.push(" AND ").push(offered_ms).push(" < ").push_bind(to_ms(to));
    }
    if let Some(cursor) = before {
        query.push(" AND (").push(offered_ms).push(", ").push(id).push(") < (");
        query.push_bind(cursor.offered_ms).push(", ").push_bind(cursor.call).push(")");
    }
}

/// Checks the row of a call for the filter's visibility.
fn push_visibility(query: &mut QueryBuilder<Db>, filter: &HistoryFilter) {
    let Some(visible) = &filter.visibility else { return };
    query.push(if visible.unowned { " AND (c.operators_json = '[]' OR (" } else { " AND ((" });
    query.push("c.handled_by_json IS NOT NULL").push(HANDLED_BY);
    for person in &visible.people {
        query.push_bind(person.to_string()).push(", ");
    }
    query.push("NULL))) OR (c.handled_by_json IS NULL").push(HAD_BY);
    for extension in &visible.extensions {
        query.push_bind(extension.as_str().to_owned()).push(", ");
    }
    query.push("NULL))))");
}
