//! The export of messages as CSV, streamed.
//!
//! Invariant: the audit trail has the filter and the number of rows before the first row leaves. The memory that an export
//! takes does not grow with its rows.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::audit_trail;
use super::auth::Caller;
use super::extract::QueryParams;
use super::messages::filter_of;
use super::problem::{Problem, ProblemBody};
use super::query::MessageQuery;
use super::state::AppState;
use crate::contract::delivery::MessageDeliveryState;
use crate::contract::message::{Mark, Message, MessageKind, MessageState, Urgency};
use crate::ids::RecordId;
use crate::messages::csv::{Encoding, RowContext, cells, prologue, row};
use crate::people::role::Permission;
use crate::store::messages::{MessageCursor, MessageFilter};
use crate::store::{PAGE_RECORDS_MAX, StoreError};

/// Most names of contacts that an export keeps in memory.
const NAMES_MAX: usize = 10_000;

/// Filter of an export, and its encoding.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// For the account with this id.
    account: Option<String>,
    /// In this state.
    state: Option<MessageState>,
    /// Whose delivery is in this state.
    delivery: Option<MessageDeliveryState>,
    /// `true`: sent, and their route was over before anybody confirmed.
    #[serde(default)]
    unanswered: bool,
    /// Of this kind.
    kind: Option<MessageKind>,
    /// Of this urgency.
    urgency: Option<Urgency>,
    /// With this mark.
    mark: Option<Mark>,
    /// For the contact with this id.
    contact: Option<String>,
    /// Taken by the person with this id.
    taken_by: Option<String>,
    /// `true`: held until a time that is not over; `false`: not held.
    held: Option<bool>,
    /// Taken at this time or later; with `q` and without `from`, in the last 90 days.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Taken before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// In which each word of this text occurs.
    q: Option<String>,
    /// `utf-8` (with a byte order mark; the default) or `shift_jis` (CP932; a character that it does not have becomes 〓).
    #[param(inline)]
    encoding: Option<ExportEncoding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub(crate) enum ExportEncoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "shift_jis", alias = "cp932")]
    ShiftJis,
}

/// Exports the messages that match as CSV, newest first. Administrators may, and supervisors where the installation allows
/// it. Cells that a spreadsheet would take for a formula begin with an apostrophe.
#[utoipa::path(get, path = "/v1/export/messages.csv", tag = "export", params(ExportQuery), responses(
    (status = 200, description = "The rows, after a header in Japanese", content_type = "text/csv", body = String),
    (status = 400, description = "invalid-query", body = ProblemBody),
    (status = 403, description = "not-permitted", body = ProblemBody),
))]
pub(crate) async fn messages(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    QueryParams(query): QueryParams<ExportQuery>,
) -> Result<Response, Problem> {
    if !may_export(&state, &caller) {
        caller.needs(Permission::ExportMessages)?;
    }
    let (encoding, charset) = match query.encoding {
        None | Some(ExportEncoding::Utf8) => (Encoding::Utf8, "utf-8"),
        Some(ExportEncoding::ShiftJis) => (Encoding::ShiftJis, "shift_jis"),
    };
    let filter = filter_of(&state, query.into())?;
    let rows = state.app.store.count_messages(&filter).await?;
    let details = json!({ "filter": named(&filter), "rows": rows, "encoding": charset });
    audit_trail::record(&state, &caller, "messages.exported", ("", None), details).await;
    let export = Export { state, filter, encoding, position: Position::Prologue, contacts: HashMap::new() };
    let body = Body::from_stream(stream::try_unfold(export, Export::next));
    let headers = [
        (header::CONTENT_TYPE, format!("text/csv; charset={charset}; header=present")),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"messages.csv\"".to_owned()),
    ];
    Ok((headers, body).into_response())
}

/// Whether the user may export messages: administrators, and supervisors where the installation allows it.
pub(super) fn may_export(state: &AppState, caller: &Caller) -> bool {
    caller.may(Permission::ExportMessages)
        || state.app.settings.messages.supervisors_export && caller.may(Permission::LeadTeam)
}

impl From<ExportQuery> for MessageQuery {
    fn from(query: ExportQuery) -> Self {
        let ExportQuery {
            account,
            state,
            delivery,
            unanswered,
            kind,
            urgency,
            mark,
            contact,
            taken_by,
            held,
            from,
            to,
            q,
            encoding: _,
        } = query;
        Self {
            account,
            state,
            delivery,
            unanswered,
            kind,
            urgency,
            mark,
            contact,
            taken_by,
            held,
            from,
            to,
            q,
            call: None,
            caller: None,
            number: None,
            limit: None,
            cursor: None,
        }
    }
}

/// The filter, for the audit trail: without the text, which may be of a caller.
fn named(filter: &MessageFilter) -> serde_json::Value {
    json!({
        "account": filter.account, "state": filter.state, "delivery": filter.delivery, "unanswered": filter.is_unanswered, "kind": filter.kind, "urgency": filter.urgency,
        "mark": filter.mark, "contact": filter.contact, "taken_by": filter.taken_by, "held": filter.held.map(|(is_held, _)| is_held), "by_text": filter.text.is_some(),
        "from": filter.from.map(crate::contract::time::time), "to": filter.to.map(crate::contract::time::time),
    })
}

/// What of an export has left.
enum Position {
    Prologue,
    /// The rows up to this one.
    After(Option<MessageCursor>),
    End,
}

/// An export under way.
struct Export {
    state: Arc<AppState>,
    filter: MessageFilter,
    encoding: Encoding,
    position: Position,
    /// The names of contacts.
    contacts: HashMap<RecordId, String>,
}

impl Export {
    /// The next bytes, and what is left.
    async fn next(mut self) -> Result<Option<(Vec<u8>, Self)>, StoreError> {
        let after = match self.position {
            Position::End => return Ok(None),
            Position::Prologue => {
                self.position = Position::After(None);
                return Ok(Some((prologue(self.encoding), self)));
            }
            Position::After(after) => after,
        };
        let page = self.state.app.store.messages(&self.filter, after, PAGE_RECORDS_MAX).await?;
        let is_last = page.len() < PAGE_RECORDS_MAX as usize;
        let last = page.last().map(MessageCursor::of);
        self.position = if is_last { Position::End } else { Position::After(last) };
        let mut bytes = Vec::new();
        for message in &page {
            self.append(message, &mut bytes).await?;
        }
        Ok(Some((bytes, self)))
    }

    async fn append(&mut self, message: &Message, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.contacts.len() > NAMES_MAX {
            self.contacts.clear();
        }
        if let Some(id) = message.fields.contact.filter(|id| !self.contacts.contains_key(id)) {
            let contact = self.state.app.store.contact(id).await?;
            let name = contact.map(|contact| contact.fields.name).unwrap_or_default();
            self.contacts.insert(id, name);
        }
        let account = self.state.app.directory.account(message.account);
        let account =
            account.as_ref().map_or(("", ""), |account| (&account.fields.code, &account.fields.name));
        let contact = message.fields.contact.and_then(|id| self.contacts.get(&id));
        let settings = &self.state.app.settings.messages;
        let reason = message.fields.reason.as_deref().unwrap_or_default();
        let label = settings.reason_label(reason);
        let context = RowContext {
            account,
            contact: contact.map_or("", String::as_str),
            reason: label.as_deref().unwrap_or(reason),
            zone: &settings.time_zone,
            plan: self.state.app.directory.plan(),
        };
        bytes.extend_from_slice(&row(&cells(message, context), self.encoding).0);
        Ok(())
    }
}
