//! The statements that read a page of finished calls.
//!
//! Invariant: what is read grows with the page and not with the table: each part of a statement names the index that it goes by.

use sqlx::QueryBuilder;

use super::Db;
use super::dialect::{HAS_LATERAL, JSON_TEXTS};
use super::history::outcome_as_str;
use super::history_large::{Large, push_large};
use crate::contract::call::{Direction, Outcome};
use crate::ids::RecordId;
use crate::store::history::{HistoryCursor, HistoryFilter, PartyFilter, VisibilityFilter};
use crate::store::to_ms;

/// One of the operators that follow had the call.
const HAD_BY: &str =
    concat!(" AND EXISTS (SELECT 1 FROM ", json_items!("c.operators_json"), " AS had WHERE had.value IN (");
/// One of the people that follow had the call.
const HANDLED_BY: &str =
    concat!(" AND EXISTS (SELECT 1 FROM ", json_items!("c.handled_by_json"), " AS had WHERE had.value IN (");

/// Up to this many owners, their own calls are fewer than those of a large account, or of another operator.
pub(super) const OWNERS_BEFORE_OTHERS_MAX: usize = 4;

/// From which side a page of calls is read, so that what is read grows with the page and not with the table.
///
/// | conditions | is read from | each row is checked for |
/// |---|---|---|
/// | party | the newest calls of its number, of each customer and of each of their numbers, merged | the rest |
/// | party, caller or customer with many calls, and an operator, few people or a rare outcome | the calls that both have (`large`) | all |
/// | caller or customer | that caller's or customer's calls | the rest |
/// | account with few calls, and an operator or few people | the account's calls | the rest |
/// | operator | the rows of that extension in `call_operators` | visibility |
/// | operator, and visibility of few people | the newest rows of each person and extension, merged | a row of the operator |
/// | visibility | the newest rows of each person and extension, merged | nothing |
/// | visibility of many people, and an account | the account's calls | visibility |
/// | account, outcome, time or none | the index that begins with the account, the outcome or the direction | the rest |
pub(super) enum Plan {
    /// From `calls`, by who was on the other side, and who of them has many calls.
    Party(PartyFilter, Vec<Large>),
    /// From `calls`, by this index.
    Calls(&'static str),
    /// From `call_operators`, by these owners.
    Owners(Vec<String>),
}

impl Plan {
    /// `large`: who of those whom the filter names has many calls; `is_account_small`: the filter's account has few.
    pub(super) fn of(filter: &HistoryFilter, large: Vec<Large>, is_account_small: bool) -> Self {
        if filter.party.is_some() || !large.is_empty() {
            return Self::Party(filter.party.clone().unwrap_or_default(), large);
        }
        match (&filter.caller, filter.customer, filter.account) {
            (_, Some(_), _) => return Self::Calls(indexed_by!("calls_of_customer")),
            (Some(_), None, Some(_)) => return Self::Calls(indexed_by!("calls_by_caller")),
            (Some(_), None, None) => return Self::Calls(indexed_by!("calls_by_number")),
            (None, None, _) => {}
        }
        if is_account_small {
            return Self::Calls(indexed_by!("calls_of_account"));
        }
        let seen_by = filter.visibility.as_ref().map(|visible| owners_of(visible, filter.operator.is_none()));
        match (&filter.operator, seen_by) {
            (Some(_), Some(owners)) if owners.len() <= OWNERS_BEFORE_OTHERS_MAX => {
                return Self::Owners(owners);
            }
            (Some(operator), _) => return Self::Owners(vec![format!("e{operator}")]),
            (None, Some(owners)) if filter.account.is_none() || owners.len() <= OWNERS_BEFORE_OTHERS_MAX => {
                return Self::Owners(owners);
            }
            (None, _) => {}
        }
        Self::Calls(match (filter.account, filter.outcome) {
            (Some(_), _) => indexed_by!("calls_of_account"),
            (None, None | Some(Outcome::Answered)) => indexed_by!("calls_by_direction"),
            (None, Some(_)) => indexed_by!("calls_by_outcome"),
        })
    }

    pub(super) fn query(
        &self,
        filter: &HistoryFilter,
        before: Option<HistoryCursor>,
        limit: u32,
    ) -> QueryBuilder<Db> {
        match self {
            Self::Party(party, large) => party_query(filter, party, large, before, limit),
            Self::Calls(index) => calls_query(filter, index, before, limit),
            Self::Owners(owners) => owners_query(filter, owners, before, limit),
        }
    }
}

/// Whose rows of `call_operators` a reader sees; `unowned`: also the calls that no operator had, if the reader sees them.
pub(super) fn owners_of(visible: &VisibilityFilter, unowned: bool) -> Vec<String> {
    let people = visible.people.iter().map(|person| format!("p{person}"));
    let extensions = visible.extensions.iter().map(|extension| format!("n{extension}"));
    people.chain(extensions).chain((unowned && visible.unowned).then(|| "-".to_owned())).collect()
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
pub(super) fn push_conditions(
    query: &mut QueryBuilder<Db>,
    filter: &HistoryFilter,
    before: Option<HistoryCursor>,
) {
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

/// The newest rows of a table, as many as a page has, for each of some rows: of each person, customer or number. Of what
/// they have besides nothing is read, however much that is.
struct NewestOfEach<'a> {
    /// What the rows are checked for.
    filter: &'a HistoryFilter,
    /// The table with its alias, and the index that it is read by.
    table: &'a str,
    /// The time of a row.
    time: &'a str,
    /// Its call.
    call: &'a str,
    /// How many of each.
    limit: u32,
}

impl NewestOfEach<'_> {
    /// Pushes the newest that the condition lets through.
    fn push_one(&self, query: &mut QueryBuilder<Db>, condition: Condition<'_>) {
        let Self { filter, table, time, call, limit } = self;
        query.push(format!("(SELECT {time}, {call} FROM {table} WHERE "));
        condition(query, filter);
        query.push(format!(" ORDER BY {time} DESC, {call} DESC LIMIT ")).push_bind(i64::from(*limit));
        query.push(") AS newest");
    }

    /// Pushes them, joined to `each`. `condition` is what relates a row of the table to one of `each`.
    fn push(&self, query: &mut QueryBuilder<Db>, each: Pushes<'_>, condition: Condition<'_>) {
        let Self { filter, table, time, call, limit } = self;
        each(query);
        if HAS_LATERAL {
            query.push(format!(" CROSS JOIN LATERAL (SELECT {time}, {call} FROM {table} WHERE "));
            condition(query, filter);
            query.push(format!(" ORDER BY {time} DESC, {call} DESC LIMIT ")).push_bind(i64::from(*limit));
            query.push(") AS newest");
            return;
        }
        // One lower bound: of two, SQLite seeks by the first one and checks each row for the other.
        let unbounded = HistoryFilter { from: None, ..(*filter).clone() };
        let earliest = filter.from.map_or(i64::MIN, to_ms);
        query.push(format!(" CROSS JOIN {table} WHERE "));
        condition(query, &unbounded);
        // The time of the last that is still of the page: within the parentheses the alias is that of the inner table.
        query.push(format!(" AND {time} >= coalesce((SELECT {time} FROM {table} WHERE "));
        condition(query, filter);
        query
            .push(format!(" ORDER BY {time} DESC LIMIT 1 OFFSET "))
            .push_bind(i64::from(limit.saturating_sub(1)));
        query.push("), ").push(earliest.to_string()).push(")");
    }
}

/// The calls of each of the party's conditions, newest first, merged: each is read from an index of its own, and a call
/// that matches several comes once.
fn party_query(
    filter: &HistoryFilter,
    party: &PartyFilter,
    large: &[Large],
    before: Option<HistoryCursor>,
    limit: u32,
) -> QueryBuilder<Db> {
    const BY_ACCOUNT_AND_NUMBER: &str = concat!("calls AS c", indexed_by!("calls_by_caller"));
    const BY_NUMBER: &str = concat!("calls AS c", indexed_by!("calls_by_number"));
    const BY_CUSTOMER: &str = concat!("calls AS c", indexed_by!("calls_of_customer"));
    const BY_CALLED_NUMBER: &str = concat!("calls AS c", indexed_by!("calls_by_called_number"));
    const NUMBERS: &str = concat!(
        "(SELECT DISTINCT account_id, key FROM customer_numbers",
        indexed_by!("customer_numbers_by_customer"),
        "WHERE customer_id IN ("
    );
    // No condition: no call, in a statement all the same.
    let query = QueryBuilder::new(
        "SELECT c.*, FALSE AS is_erased FROM (SELECT offered_ms, id FROM calls WHERE caller_key = ''",
    );
    let mut arms = Arms { query, filter, before, limit, number: 0 };
    let is_outbound = filter.direction == Some(Direction::Outbound);
    for large in large {
        push_large(&mut arms.query, filter, before, limit, large);
    }
    let is_large = |number: &String| large.contains(&Large::Number(number.clone(), None));
    if let Some(number) = party.number.as_ref().filter(|number| !is_large(number)) {
        let (table, key) = match (is_outbound, filter.account) {
            (true, _) => (BY_CALLED_NUMBER, " AND c.dialled = "),
            (false, Some(_)) => (BY_ACCOUNT_AND_NUMBER, " AND c.caller_key = "),
            (false, None) => (BY_NUMBER, " AND c.caller_key = "),
        };
        arms.push(table, None, &|query| {
            query.push(key).push_bind(number.clone());
        });
    }
    let numbers = |query: &mut QueryBuilder<Db>| {
        query.push(NUMBERS);
        push_listed(query, &party.customers, ", ");
        query.push(")");
        for large in large {
            if let Large::Number(key, Some(account)) = large {
                query.push(" AND NOT (account_id = ").push_bind(*account);
                query.push(" AND key = ").push_bind(key.clone()).push(")");
            }
        }
        query.push(") AS n");
    };
    let is_small = |customer: &&RecordId| !large.contains(&Large::Customer(**customer));
    let customers: Vec<RecordId> = party.customers.iter().filter(is_small).copied().collect();
    let wanted = |query: &mut QueryBuilder<Db>| {
        query.push("(VALUES (");
        push_listed(query, &customers, "), (");
        query.push(")) AS wanted");
    };
    match &customers[..] {
        _ if is_outbound => {}
        [] => {}
        [one] => arms.push(BY_CUSTOMER, None, &|query| {
            query.push(" AND c.customer_id = ").push_bind(*one);
        }),
        _ => arms.push(BY_CUSTOMER, Some(&wanted), &|query| {
            query.push(" AND c.customer_id = wanted.column1");
        }),
    }
    match party.customers.is_empty() {
        true => {}
        false if is_outbound => arms.push(BY_CALLED_NUMBER, Some(&numbers), &|query| {
            query.push(" AND c.dialled = n.key");
        }),
        false => arms.push(BY_ACCOUNT_AND_NUMBER, Some(&numbers), &|query| {
            query.push(" AND c.account_id = n.account_id AND c.caller_key = n.key");
        }),
    }
    let mut query = arms.query;
    query.push(") AS found CROSS JOIN calls AS c WHERE c.id = found.id");
    query.push(" ORDER BY found.offered_ms DESC, found.id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

/// Adds customers, bound, with this text between them.
pub(super) fn push_listed(query: &mut QueryBuilder<Db>, customers: &[RecordId], between: &str) {
    let mut listed = query.separated(between);
    for customer in customers {
        listed.push_bind(*customer);
    }
}

/// What adds a part to a statement.
type Pushes<'a> = &'a dyn Fn(&mut QueryBuilder<Db>);
/// The same of a condition, with what a row is checked for.
type Condition<'a> = &'a dyn Fn(&mut QueryBuilder<Db>, &HistoryFilter);

/// A statement of several parts, each of which reads a page of calls from an index of its own.
struct Arms<'a> {
    query: QueryBuilder<Db>,
    filter: &'a HistoryFilter,
    before: Option<HistoryCursor>,
    limit: u32,
    number: usize,
}

impl Arms<'_> {
    /// Adds the newest calls of `table` with this `key`, of each row of `each` if there is one.
    fn push(&mut self, table: &str, each: Option<Pushes<'_>>, key: Pushes<'_>) {
        let Self { query, filter, before, limit, number } = self;
        // One of two customers with the same number is enough.
        query.push(" UNION SELECT * FROM (SELECT DISTINCT offered_ms, id FROM ");
        let newest = NewestOfEach { filter, table, time: "c.offered_ms", call: "c.id", limit: *limit };
        let condition = |query: &mut QueryBuilder<Db>, filter: &HistoryFilter| {
            query.push("c.direction = ").push(direction_literal(filter));
            key(query);
            push_conditions(query, filter, *before);
        };
        match each {
            Some(each) => newest.push(query, each, &condition),
            None => newest.push_one(query, &condition),
        }
        query.push(" ORDER BY offered_ms DESC, id DESC LIMIT ").push_bind(i64::from(*limit));
        query.push(") AS arm").push(number.to_string());
        *number += 1;
    }
}

fn owners_query(
    filter: &HistoryFilter,
    owners: &[String],
    before: Option<HistoryCursor>,
    limit: u32,
) -> QueryBuilder<Db> {
    const ALL: &str = "call_operators AS o";
    const RARE: &str = concat!("call_operators AS o", indexed_by!("call_operators_by_outcome"));
    // A call that no operator had and that was answered all the same: among the many that nobody had, there are next to none.
    const UNOWNED_ANSWERED: &str =
        concat!("call_operators AS o", indexed_by!("call_operators_unowned_answered"));
    let is_rare = filter.outcome.is_some_and(|outcome| outcome != Outcome::Answered);
    let is_answered = filter.outcome == Some(Outcome::Answered);
    let (unowned, owners): (Vec<&String>, Vec<&String>) =
        owners.iter().partition(|owner| is_answered && *owner == "-");
    let mut query = QueryBuilder::new(concat!(
        "SELECT c.*, ",
        call_is_being_erased!(),
        " AS is_erased FROM (SELECT DISTINCT offered_ms, call_id FROM ",
    ));
    let newest = |table| NewestOfEach { filter, table, time: "o.offered_ms", call: "o.call_id", limit };
    let of_owners = newest(if is_rare { RARE } else { ALL });
    let condition = |query: &mut QueryBuilder<Db>, filter: &HistoryFilter| {
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
        push_times(query, filter, before, "o.offered_ms", "o.call_id");
        push_other_owner(query, filter, &owners);
    };
    match owners[..] {
        [one] => of_owners.push_one(&mut query, &|query, filter| {
            query.push("o.who = ").push_bind(one.clone());
            condition(query, filter);
        }),
        _ => {
            let each = |query: &mut QueryBuilder<Db>| {
                let (before, after) = JSON_TEXTS;
                query.push(before).push_bind(serde_json::to_string(&owners).unwrap_or_default());
                query.push(after).push(" AS owner");
            };
            of_owners.push(&mut query, &each, &|query, filter| {
                query.push("o.who = owner.value");
                condition(query, filter);
            });
        }
    }
    if !unowned.is_empty() {
        query.push(" UNION SELECT * FROM ");
        newest(UNOWNED_ANSWERED).push_one(&mut query, &|query, filter| {
            query.push("o.who = '-' AND o.outcome = 'answered'");
            condition(query, filter);
        });
    }
    // Of the many that the owners have together, only those of the page are read.
    query.push(" ORDER BY offered_ms DESC, call_id DESC LIMIT ").push_bind(i64::from(limit));
    query.push(") AS owned CROSS JOIN calls AS c WHERE c.id = owned.call_id");
    query.push(" ORDER BY owned.offered_ms DESC, owned.call_id DESC LIMIT ").push_bind(i64::from(limit));
    query
}

/// Checks a row of one of the owners for the other condition about who had the call, where there are an operator and a
/// visibility: the rows are either the operator's or those that the reader sees.
fn push_other_owner(query: &mut QueryBuilder<Db>, filter: &HistoryFilter, owners: &[&String]) {
    let (Some(operator), Some(_)) = (&filter.operator, &filter.visibility) else { return };
    let operator = format!("e{operator}");
    if *owners == [&operator] {
        query.push(" AND (SELECT 1 FROM calls AS c WHERE c.id = o.call_id");
        push_visibility(query, filter);
        query.push(" LIMIT 1) = 1");
    } else {
        // An operator without calls is known at once.
        query.push(" AND (SELECT 1 FROM call_operators AS any_call WHERE any_call.who = ");
        query.push_bind(operator.clone()).push(" LIMIT 1) = 1");
        query.push(" AND (SELECT 1 FROM call_operators AS had WHERE had.direction = o.direction");
        query.push(" AND had.offered_ms = o.offered_ms AND had.call_id = o.call_id AND had.who = ");
        query.push_bind(operator).push(" LIMIT 1) = 1");
    }
}

/// A literal, because only that can use an index with a condition.
pub(super) fn direction_literal(filter: &HistoryFilter) -> &'static str {
    match filter.direction.unwrap_or(Direction::Inbound) {
        Direction::Inbound => "'inbound'",
        Direction::Outbound => "'outbound'",
        Direction::Internal => "'internal'",
    }
}

pub(super) fn push_times(
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

/// Checks the row of a call for the filter's visibility: of few people by their rows of `call_operators`, which is twice as
/// fast as to read the lists of the call.
fn push_visibility(query: &mut QueryBuilder<Db>, filter: &HistoryFilter) {
    let Some(visible) = &filter.visibility else { return };
    let owners = owners_of(visible, true);
    if owners.len() <= OWNERS_BEFORE_OTHERS_MAX {
        query.push(" AND (SELECT 1 FROM call_operators AS seen WHERE seen.who IN (''");
        for owner in owners {
            query.push(", ").push_bind(owner);
        }
        query.push(")");
        query.push(" AND seen.direction = ").push(direction_literal(filter));
        query.push(" AND seen.offered_ms = c.offered_ms AND seen.call_id = c.id LIMIT 1) = 1");
        return;
    }
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
