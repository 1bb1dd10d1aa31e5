//! Files of the directory's records, which `toritsugi import` and the page read again; and of users, for spreadsheets.
//!
//! Invariants: the memory that a file takes does not grow with its rows: it is written page by page while the client reads.
//! A cell that a spreadsheet would carry out begins with an apostrophe, which an import takes off again.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::audit_trail;
use super::auth::Caller;
use super::csv::{CsvEncoding, CsvFile};
use super::extract::QueryParams;
use super::problem::{Kind, Problem, ProblemBody};
use super::state::AppState;
use crate::contract::hours::Hours;
use crate::directory::import::{ImportKind, columns_of};
use crate::ids::RecordId;
use crate::people::role::Permission;
use crate::store::{CustomerFilter, PAGE_RECORDS_MAX, Page, StoreError};

/// What a file has, and its encoding.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileQuery {
    /// `utf-8` (with a byte order mark; the default) or `cp932` (a character that it does not have becomes 〓).
    #[serde(default)]
    #[param(inline)]
    encoding: CsvEncoding,
    /// Only the records of this account; not for users.
    #[param(value_type = Option<uuid::Uuid>)]
    account: Option<RecordId>,
}

/// What a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Accounts,
    Customers,
    Contacts,
    Users,
}

impl Table {
    fn read(name: &str) -> Option<Self> {
        match name {
            "accounts.csv" => Some(Self::Accounts),
            "customers.csv" => Some(Self::Customers),
            "contacts.csv" => Some(Self::Contacts),
            "users.csv" => Some(Self::Users),
            _ => None,
        }
    }

    /// The permission of who may change such records: who sees all of them in a file could write them.
    fn permission(self) -> Permission {
        match self {
            Self::Accounts | Self::Customers | Self::Contacts => Permission::EditDirectory,
            Self::Users => Permission::ManagePeople,
        }
    }

    /// The columns: of records those that an import reads.
    fn columns(self) -> Vec<&'static str> {
        match self {
            Self::Accounts => columns_of(ImportKind::Accounts).collect(),
            Self::Customers => columns_of(ImportKind::Customers).collect(),
            Self::Contacts => columns_of(ImportKind::Contacts).collect(),
            Self::Users => vec!["name", "kana", "role", "extension", "team", "created_at", "revoked_at"],
        }
    }
}

/// A file of all `accounts`, `customers`, `contacts` or `users`, as CSV.
#[utoipa::path(get, path = "/v1/export/{file}", tag = "export", operation_id = "export_records",
    params(
        ("file" = String, Path, description = "`accounts.csv`, `customers.csv`, `contacts.csv` or `users.csv`"),
        FileQuery,
    ),
    responses(
        (status = 200, description = "The rows, after a header", content_type = "text/csv", body = String),
        (status = 400, description = "invalid-query", body = ProblemBody),
        (status = 403, description = "not-permitted", body = ProblemBody),
        (status = 404, description = "unknown-record: no such file", body = ProblemBody),
    )
)]
pub(crate) async fn download(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    Path(file): Path<String>,
    QueryParams(query): QueryParams<FileQuery>,
) -> Result<Response, Problem> {
    caller.needs(Permission::EditDirectory)?;
    let table = Table::read(&file).ok_or_else(|| {
        Kind::UnknownRecord
            .with("there are accounts.csv, customers.csv, contacts.csv, users.csv and messages.csv")
    })?;
    caller.needs(table.permission())?;
    if table == Table::Users && query.account.is_some() {
        return Err(Kind::InvalidQuery.with("account: users belong to no account"));
    }
    let details = json!({ "file": file, "encoding": query.encoding.charset(), "account": query.account });
    audit_trail::record(&state, &caller, "records.exported", ("", None), details).await;
    let export = Export {
        codes: codes(&state).await?,
        deputies: HashMap::new(),
        state,
        table,
        columns: table.columns(),
        account: query.account,
        encoding: query.encoding,
        position: Position::Header,
    };
    let headers = [
        (header::CONTENT_TYPE, format!("text/csv; charset={}; header=present", query.encoding.charset())),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
    ];
    Ok((headers, Body::from_stream(stream::try_unfold(export, Export::next))).into_response())
}

/// What of a file has left.
enum Position {
    Header,
    /// The rows up to this one.
    After(Option<RecordId>),
    End,
}

/// A file under way.
struct Export {
    state: Arc<AppState>,
    table: Table,
    columns: Vec<&'static str>,
    account: Option<RecordId>,
    encoding: CsvEncoding,
    position: Position,
    /// The codes of accounts.
    codes: HashMap<RecordId, String>,
    /// The codes of contacts who stand in for others, as they were needed.
    deputies: HashMap<RecordId, String>,
}

impl Export {
    /// The next bytes, and what is left.
    async fn next(mut self) -> Result<Option<(Vec<u8>, Self)>, StoreError> {
        let after = match self.position {
            Position::End => return Ok(None),
            Position::Header => {
                self.position = Position::After(None);
                let mut file = CsvFile::new(self.encoding);
                file.row(self.columns.iter().copied());
                return Ok(Some((file.into_bytes(), self)));
            }
            Position::After(after) => after,
        };
        let (rows, next) = self.page(after).await?;
        self.position = next.map_or(Position::End, |next| Position::After(Some(next)));
        let mut file = CsvFile::continued(self.encoding);
        for row in &rows {
            let mut cells = Vec::new();
            for column in self.columns.clone() {
                cells.push(self.cell(column, &row[column]).await?);
            }
            file.row(cells.iter().map(String::as_str));
        }
        Ok(Some((file.into_bytes(), self)))
    }

    /// A page of records as JSON, and the record before the next one.
    async fn page(&self, after: Option<RecordId>) -> Result<(Vec<Value>, Option<RecordId>), StoreError> {
        let (store, limit) = (&self.state.app.store, PAGE_RECORDS_MAX);
        Ok(match self.table {
            Table::Accounts => match self.account {
                Some(id) => {
                    values(Page { items: store.account(id).await?.into_iter().collect(), next: None })
                }
                None => values(store.accounts(after, limit).await?),
            },
            Table::Customers => {
                let filter = CustomerFilter { account: self.account, ..CustomerFilter::default() };
                values(store.customers(&filter, after, limit).await?)
            }
            Table::Contacts => values(store.contacts(self.account, after, limit).await?),
            Table::Users => {
                let users = store.users(after, limit).await?;
                values(Page {
                    items: users.items.into_iter().map(super::users::UserView::from).collect(),
                    next: users.next,
                })
            }
        })
    }

    /// A value as an import reads it.
    async fn cell(&mut self, column: &str, value: &Value) -> Result<String, StoreError> {
        let id = || value.as_str().and_then(super::extract::record_id);
        Ok(match (value, column) {
            (Value::Null, _) => String::new(),
            (_, "account") => id().and_then(|id| self.codes.get(&id).cloned()).unwrap_or_default(),
            (_, "deputy") => match id() {
                Some(id) => self.deputy(id).await?,
                None => String::new(),
            },
            (Value::String(text), _) => text.clone(),
            (Value::Bool(is), _) => if *is { "yes" } else { "no" }.to_owned(),
            (Value::Array(items), _) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(";"),
            (hours, "hours") => serde_json::from_value::<Hours>(hours.clone())
                .map(|hours| hours.to_string())
                .unwrap_or_default(),
            (other, _) => other.to_string(),
        })
    }

    async fn deputy(&mut self, id: RecordId) -> Result<String, StoreError> {
        if let Some(code) = self.deputies.get(&id) {
            return Ok(code.clone());
        }
        let found = self.state.app.store.contact(id).await?;
        let code = found.and_then(|contact| contact.fields.code).unwrap_or_default();
        self.deputies.insert(id, code.clone());
        Ok(code)
    }
}

/// The records as JSON.
fn values<T: Serialize>(page: Page<T>) -> (Vec<Value>, Option<RecordId>) {
    let items = page.items.iter().map(|item| serde_json::to_value(item).unwrap_or_default()).collect();
    (items, page.next)
}

async fn codes(state: &AppState) -> Result<HashMap<RecordId, String>, StoreError> {
    let (accounts, _) = state.app.store.all_accounts().await?;
    Ok(accounts.into_iter().map(|account| (account.id, account.fields.code)).collect())
}
