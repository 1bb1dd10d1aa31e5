//! What people changed of a customer, what was sent about one, and two customers who become one.
//!
//! Invariant: what was before and after is kept with the customer alone and goes with it; the audit trail has the names of
//! fields.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::audit_trail::{self, differences_of};
use super::auth::Caller;
use super::extract::{Body, IfMatch, NoQuery, QueryParams, RecordPath};
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::records::{Customer, CustomerFields};
use crate::directory::EditError;
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::StoreError;
use crate::store::customer_changes::{CustomerAction, CustomerChange};
use crate::store::deletions::DeletedBy;
use crate::store::erasure::SentCopies;

/// What was changed of a customer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomerChanges {
    /// Newest first; at most 100.
    items: Vec<CustomerChange>,
}

/// The customer who becomes part of another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeCustomer {
    /// The customer who goes; of the same account.
    #[schema(value_type = uuid::Uuid)]
    other: RecordId,
}

/// Lists what people changed of a customer, with the values before and after. An import leaves no entry.
#[utoipa::path(get, path = "/v1/customers/{customer}/changes", tag = "customers", operation_id = "list_customer_changes",
    params(("customer" = uuid::Uuid, Path, description = "The customer")),
    responses(
        (status = 200, description = "The changes", body = CustomerChanges),
        (status = 404, description = "unknown-record", body = ProblemBody),
    )
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<CustomerChanges>, Problem> {
    caller.needs(Permission::EditCustomers)?;
    customer(&state, id).await?;
    Ok(Json(CustomerChanges { items: state.app.store.customer_changes(id).await? }))
}

/// Lists what was sent about a customer to whom, also after the customer was deleted, so that recipients can be asked to delete it.
/// Empty where nothing was sent, and for an id that no customer had.
#[utoipa::path(get, path = "/v1/customers/{customer}/sent", tag = "customers", operation_id = "list_sent_copies",
    params(("customer" = uuid::Uuid, Path, description = "The customer, who may be deleted")),
    responses(
        (status = 200, description = "The copies", body = SentCopies),
        (status = 403, description = "not-permitted", body = ProblemBody),
    )
)]
pub(crate) async fn sent(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    QueryParams(NoQuery {}): QueryParams<NoQuery>,
) -> Result<Json<SentCopies>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    Ok(Json(state.app.store.sent_copies(id).await?))
}

/// Makes another customer of the account part of this one: its numbers, flags and notes are added, fields that are empty here
/// are taken from it, its calls and messages move, and its record is deleted. For ten minutes that can be undone, by the id of
/// the other one (`POST /v1/deletions/{record}/undo`), as long as nobody changes the one who stays.
#[utoipa::path(post, path = "/v1/customers/{customer}/merge", tag = "customers", operation_id = "merge_customers",
    params(
        ("customer" = uuid::Uuid, Path, description = "The customer who stays"),
        ("If-Match" = Option<String>, Header, description = "The `changed_at` that the client has seen, in quotes"),
    ),
    request_body = MergeCustomer,
    responses(
        (status = 200, description = "The customer who stays", body = Customer),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record", body = ProblemBody),
        (status = 409, description = "record-changed, with the record as it is", body = ProblemBody),
        (status = 422, description = "invalid-body: the same customer, or one of another account; too many numbers or flags", body = ProblemBody),
    )
)]
pub(crate) async fn merge(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    RecordPath(id): RecordPath,
    IfMatch(seen): IfMatch,
    Body(MergeCustomer { other }): Body<MergeCustomer>,
) -> Result<Json<Customer>, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let kept = customer(&state, id).await?;
    let gone = state.app.store.customer(other).await?;
    let gone = gone.filter(|gone| gone.id != kept.id && gone.fields.account == kept.fields.account);
    let gone =
        gone.ok_or_else(|| Kind::InvalidBody.with("other: name another customer of the same account"))?;
    if seen.is_some_and(|seen| seen != kept.changed_at) {
        return Err(Problem::from(Kind::RecordChanged).record(&kept));
    }
    let whole = merged(&kept.fields, &gone.fields);
    let checked = whole.checked(state.app.directory.plan()).map_err(EditError::from)?;
    let (both, now) = (((kept.id, kept.changed_at), (gone.id, gone.changed_at)), state.app.clock.now());
    let by = DeletedBy { name: &caller.person.name, at: now };
    let done = match state.app.store.merge_customers(both.0, both.1, &checked, by).await {
        Err(StoreError::Changed { .. }) => {
            let current = state.app.store.customer(id).await?;
            return Err(Problem::from(Kind::RecordChanged).record(&current));
        }
        done => done?,
    };
    note(&state, &caller, (CustomerAction::Merged, now), Some(&kept), &done).await;
    let details = json!({ "account": done.fields.account, "other": gone.id });
    audit_trail::record(&state, &caller, "customer.merged", ("", Some(id)), details).await;
    Ok(Json(done))
}

/// Writes down what was changed of a customer. The change itself is done: where this fails, the log says so.
pub(crate) async fn note(
    state: &AppState,
    caller: &Caller,
    (action, at): (CustomerAction, Timestamp),
    before: Option<&Customer>,
    after: &Customer,
) {
    let fields = match before {
        Some(before) => differences_of(&before.fields, &after.fields),
        None => json!({}),
    };
    if action == CustomerAction::Changed && fields.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let change = CustomerChange { action, by_name: caller.person.name.clone(), at, fields };
    if let Err(error) = state.app.store.add_customer_change(after.id, &change).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(customer = %after.id, error, "a change of a customer is not in its history");
    }
}

async fn customer(state: &AppState, id: RecordId) -> Result<Customer, Problem> {
    let found = state.app.store.customer(id).await?;
    found.ok_or_else(|| Kind::UnknownRecord.with("there is no such customer"))
}

/// The fields of who stays, with what the other adds. Numbers and flags beyond the limits are an error of the check.
fn merged(kept: &CustomerFields, gone: &CustomerFields) -> CustomerFields {
    let all = |kept: &[String], gone: &[String]| {
        let mut all = kept.to_vec();
        all.extend(gone.iter().filter(|one| !kept.contains(one)).cloned());
        all
    };
    let first = |kept: &Option<String>, gone: &Option<String>| kept.clone().or_else(|| gone.clone());
    let notes: Vec<&str> = [&kept.notes, &gone.notes].into_iter().flatten().map(String::as_str).collect();
    CustomerFields {
        account: kept.account,
        code: first(&kept.code, &gone.code),
        name: kept.name.clone(),
        kana: if kept.kana.is_empty() { gone.kana.clone() } else { kept.kana.clone() },
        company: first(&kept.company, &gone.company),
        department: first(&kept.department, &gone.department),
        notes: Some(notes.join("\n")).filter(|notes| !notes.is_empty()),
        flags: all(&kept.flags, &gone.flags),
        numbers: all(&kept.numbers, &gone.numbers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_keeps_what_it_has_and_gets_the_rest() {
        let account = RecordId(uuid::Uuid::nil());
        let fields = |numbers: &[&str], flags: &[&str], notes: Option<&str>| CustomerFields {
            numbers: numbers.iter().map(ToString::to_string).collect(),
            flags: flags.iter().map(ToString::to_string).collect(),
            notes: notes.map(str::to_owned),
            ..CustomerFields::named(account, "田中")
        };
        let kept =
            CustomerFields { code: Some("C1".into()), ..fields(&["090"], &["vip"], Some("左利き")) };
        let gone = CustomerFields {
            code: Some("C2".into()),
            kana: "たなか".into(),
            company: Some("田中商店".into()),
            name: "田中様".into(),
            ..fields(&["080", "090"], &["claim", "vip"], Some("耳が遠い"))
        };
        let whole = merged(&kept, &gone);
        assert_eq!((whole.name.as_str(), whole.code.as_deref()), ("田中", Some("C1")));
        assert_eq!((whole.kana.as_str(), whole.company.as_deref()), ("たなか", Some("田中商店")));
        assert_eq!(whole.numbers, ["090", "080"]);
        assert_eq!(whole.flags, ["vip", "claim"]);
        assert_eq!(whole.notes.as_deref(), Some("左利き\n耳が遠い"));
        assert_eq!(merged(&kept, &fields(&[], &[], None)), kept);
    }
}
