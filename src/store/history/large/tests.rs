//! Pages of callers and customers with many calls, against a look at each call, on both databases.

use super::super::super::Store;
use super::*;
use crate::contract::card::MatchedBy;
use crate::contract::history::{CallSource, FinishedCall};
use crate::contract::records::{AccountFields, CustomerFields};
use crate::identity::Presentation;
use crate::ids::{CallId, ChannelId, Extension, PbxId};
use crate::numbers::NumberPlan;
use crate::store::from_ms;
use crate::store::history::{PartyFilter, VisibilityFilter};

/// Of most calls, and a number of `Directory::busy`.
const MANY: &str = "+819012345678";
/// Also one of that customer's, with few calls.
const FEW: &str = "+81312345678";
const SATO: RecordId = RecordId(uuid::Uuid::from_u128(21));
const SUZUKI: RecordId = RecordId(uuid::Uuid::from_u128(22));
const CALLS: u32 = 260;

struct Directory {
    accounts: [RecordId; 2],
    busy: RecordId,
    quiet: RecordId,
}

async fn directory(store: &Store) -> Directory {
    let plan = NumberPlan::default();
    let mut accounts = Vec::new();
    for code in ["A", "B"] {
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        accounts.push(store.create_account(&fields.checked(&plan).unwrap(), from_ms(0)).await.unwrap().id);
    }
    let mut customers = Vec::new();
    for numbers in [vec!["090-1234-5678", "03-1234-5678"], vec!["06-6345-0101"]] {
        let numbers = numbers.into_iter().map(ToOwned::to_owned).collect();
        let fields = CustomerFields { numbers, ..CustomerFields::named(accounts[0], "田中") };
        let customer = store.create_customer(&fields.checked(&plan).unwrap(), from_ms(0)).await.unwrap();
        customers.push(customer.id);
    }
    Directory { accounts: [accounts[0], accounts[1]], busy: customers[0], quiet: customers[1] }
}

fn extension(text: &str) -> Extension {
    Extension::parse(text).unwrap()
}

/// Calls of every mixture of what filters ask for; two of each millisecond.
fn call(n: u32, directory: &Directory) -> FinishedCall {
    let pbx = PbxId::parse("osaka-1").unwrap();
    let channel = ChannelId::parse(&format!("17{n}.1")).unwrap();
    let outbound = n % 8 == 7;
    let (operators, handled_by) = match n % 7 {
        0 | 1 => (vec![], Some(vec![])),
        // SATO is at another person's phone for once.
        2 => (vec![extension("1002"), extension("2001")], Some(vec![SUZUKI, SATO])),
        // A version before this one did not keep the people.
        3 => (vec![extension("1001")], None),
        _ => (vec![extension("1001")], Some(vec![SATO])),
    };
    let outcome = match n {
        _ if n.is_multiple_of(11) => Outcome::Abandoned,
        _ if n.is_multiple_of(29) => Outcome::Blocked,
        _ => Outcome::Answered,
    };
    let (key, is_few) = if n.is_multiple_of(20) { (FEW, true) } else { (MANY, false) };
    let offered = i64::from(n / 2) * 1_000;
    FinishedCall {
        id: CallId::derive(&pbx, &channel),
        pbx,
        direction: if outbound { Direction::Outbound } else { Direction::Inbound },
        account: (!outbound).then(|| directory.accounts[usize::from(n.is_multiple_of(5))]),
        matched_by: MatchedBy::None,
        customer: match n {
            _ if outbound => None,
            _ if n.is_multiple_of(33) => Some(directory.quiet),
            _ => (!n.is_multiple_of(3) || is_few).then_some(directory.busy),
        },
        caller: (!outbound).then(|| key.into()),
        presentation: if outbound { Presentation::Unavailable } else { Presentation::Allowed },
        dialled: Some(if outbound { key.into() } else { "0355501001".into() }),
        diverted_by: None,
        offered_at: from_ms(offered),
        answered_at: None,
        ended_at: from_ms(offered + 20),
        outcome,
        operators,
        handled_by,
        channels: vec![channel],
        inferred: false,
        source: CallSource::Seen,
        left_behind: None,
        segments: Vec::new(),
    }
}

/// What a filter says of one call, by reading the call alone.
fn lets_through(filter: &HistoryFilter, call: &FinishedCall, directory: &Directory) -> bool {
    let is_outbound = filter.direction == Some(Direction::Outbound);
    let is_party = |party: &PartyFilter| {
        let other = if is_outbound { call.dialled.as_deref() } else { call.caller.as_deref() };
        let of_customer = |customer: &RecordId| {
            let numbers = if *customer == directory.busy { vec![MANY, FEW] } else { vec!["+81663450101"] };
            let has_number = other.is_some_and(|other| numbers.contains(&other));
            let is_own = call.customer == Some(*customer) && !is_outbound;
            is_own || has_number && (is_outbound || call.account == Some(directory.accounts[0]))
        };
        party.number.as_deref().is_some_and(|number| other == Some(number))
            || party.customers.iter().any(of_customer)
    };
    call.direction == filter.direction.unwrap_or(Direction::Inbound)
        && filter.account.is_none_or(|account| call.account == Some(account))
        && filter.caller.as_deref().is_none_or(|caller| call.caller.as_deref() == Some(caller))
        && filter.customer.is_none_or(|customer| call.customer == Some(customer))
        && filter.party.as_ref().is_none_or(is_party)
        && filter.operator.as_ref().is_none_or(|operator| call.operators.contains(operator))
        && filter.outcome.is_none_or(|outcome| call.outcome == outcome)
        && filter.from.is_none_or(|from| call.offered_at >= from)
        && filter.to.is_none_or(|to| call.offered_at < to)
        && filter.visibility.as_ref().is_none_or(|visible| visible.allows(call))
}

async fn pages(store: &Store, filter: &HistoryFilter) -> Vec<CallId> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = store.history(filter, before, 17).await.unwrap();
        let Some(last) = page.last() else { return found };
        before = Some(HistoryCursor::of(last));
        found.extend(page.iter().map(|call| call.id));
    }
}

/// Whose calls: each way to name a caller or customer.
fn whose(directory: &Directory) -> Vec<HistoryFilter> {
    let all = HistoryFilter::default;
    let (many, few) = (Some(MANY.to_owned()), Some(FEW.to_owned()));
    let party = |number: &Option<String>, customers: &[RecordId]| {
        Some(PartyFilter { number: number.clone(), customers: customers.to_vec() })
    };
    let both = [directory.busy, directory.quiet];
    let outbound = Some(Direction::Outbound);
    vec![
        // One account has few calls, the other one many.
        HistoryFilter { account: Some(directory.accounts[0]), ..all() },
        HistoryFilter { account: Some(directory.accounts[1]), ..all() },
        HistoryFilter { caller: many.clone(), ..all() },
        HistoryFilter { caller: many.clone(), account: Some(directory.accounts[1]), ..all() },
        HistoryFilter { caller: few.clone(), account: Some(directory.accounts[0]), ..all() },
        HistoryFilter { customer: Some(directory.busy), ..all() },
        HistoryFilter { customer: Some(directory.quiet), ..all() },
        HistoryFilter { customer: Some(directory.busy), caller: few.clone(), ..all() },
        HistoryFilter { customer: Some(directory.quiet), caller: many.clone(), ..all() },
        HistoryFilter { party: party(&many, &[]), ..all() },
        HistoryFilter { party: party(&few, &both), ..all() },
        HistoryFilter { party: party(&many, &both), account: Some(directory.accounts[1]), ..all() },
        HistoryFilter { party: party(&None, &both[..1]), caller: few.clone(), ..all() },
        HistoryFilter { party: party(&many, &[]), direction: outbound, ..all() },
        HistoryFilter { party: party(&few, &both), direction: outbound, ..all() },
        HistoryFilter { customer: Some(directory.busy), direction: outbound, ..all() },
    ]
}

#[tokio::test]
async fn many_calls_of_a_caller_are_read_as_few_are() {
    let (_held, store) = super::super::empty_store().await;
    let directory = directory(&store).await;
    let calls: Vec<FinishedCall> = (0..CALLS).map(|n| call(n, &directory)).collect();
    for call in &calls {
        store.record_call(call).await.unwrap();
    }
    let sees = |people: &[RecordId], extensions: &[&str], unowned| {
        let extensions = extensions.iter().map(|text| extension(text)).collect();
        Some(VisibilityFilter { people: people.to_vec(), extensions, unowned })
    };
    let team = [SATO, SUZUKI, RecordId(uuid::Uuid::nil()), RecordId(uuid::Uuid::max())];
    let seen = [
        None,
        sees(&[SATO], &["1001"], false),
        sees(&[SUZUKI], &["1002"], true),
        sees(&team[3..], &["1009"], false),
        sees(&[], &[], false),
        sees(&team, &["1001", "1002"], false),
    ];
    let (mut checked, mut by_intersection) = (0, 0);
    for filter in whose(&directory) {
        for visibility in &seen {
            for operator in [None, Some("1001"), Some("2001"), Some("1009")] {
                for outcome in [None, Some(Outcome::Answered), Some(Outcome::Abandoned), Some(Outcome::Fax)] {
                    let from = (outcome.is_none() && operator.is_some()).then(|| from_ms(20_000));
                    let to = from.map(|_| from_ms(100_000));
                    let operator = operator.map(extension);
                    let visibility = visibility.clone();
                    let filter = HistoryFilter { visibility, operator, outcome, from, to, ..filter.clone() };
                    let mut expected: Vec<&FinishedCall> =
                        calls.iter().filter(|call| lets_through(&filter, call, &directory)).collect();
                    expected.sort_by_key(|call| std::cmp::Reverse((call.offered_at, call.id)));
                    let expected: Vec<CallId> = expected.iter().map(|call| call.id).collect();
                    assert_eq!(pages(&store, &filter).await, expected, "{filter:?}");
                    checked += usize::from(!expected.is_empty());
                    by_intersection += usize::from(is_narrowed(&filter));
                }
            }
        }
    }
    assert!(checked > 300 && by_intersection > 1_000, "{checked} {by_intersection}");
}

#[tokio::test]
async fn many_calls_of_a_customer_who_is_being_erased_are_in_no_page() {
    let (_held, store) = super::super::empty_store().await;
    let directory = directory(&store).await;
    for n in 0..CALLS {
        store.record_call(&call(n, &directory)).await.unwrap();
    }
    let visibility =
        VisibilityFilter { people: vec![SATO], extensions: vec![extension("1001")], unowned: true };
    let filter = HistoryFilter {
        caller: Some(MANY.to_owned()),
        account: Some(directory.accounts[0]),
        visibility: Some(visibility),
        ..HistoryFilter::default()
    };
    let before = pages(&store, &filter).await.len();
    store.forget_customer(directory.busy, &NumberPlan::default(), from_ms(10_000_000)).await.unwrap();
    let after = store.history(&filter, None, 500).await.unwrap();
    assert!(before > 90, "{before}");
    // Those that the record says are another customer's.
    assert!(after.iter().all(|call| call.customer == Some(directory.quiet)), "{after:?}");
}
