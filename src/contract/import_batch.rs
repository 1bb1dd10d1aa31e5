//! Checked rows of an import on their way from the file to the store.
//!
//! Invariant: a row in a batch has passed the checks of its record; what can still fail is what only the store knows (an
//! account that does not exist, a number that another account has).

use serde::Serialize;

use super::records::{CheckedAccount, CheckedContact, CheckedCustomer};
use crate::ids::RecordId;

/// Rows written to the store at once.
const BATCH_ROWS: usize = 1_000;
/// Accounts written to the store at once: so many that numbers may move between the accounts of one file.
const BATCH_ACCOUNTS: usize = 100_000;

/// The kind of records in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportKind {
    /// Companies that calls are answered for.
    Accounts,
    /// People and companies who call the accounts.
    Customers,
    /// People of the accounts to whom calls and messages go.
    Contacts,
}

/// An invalid row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

/// Rows on their way to the store.
#[derive(Debug)]
pub(crate) enum Batch {
    Accounts(Vec<Row<CheckedAccount>>),
    Customers(Vec<Row<CheckedCustomer>>),
    Contacts(Vec<Row<CheckedContact>>),
}

/// A valid row.
#[derive(Debug)]
pub(crate) struct Row<T> {
    pub(crate) line: u64,
    pub(crate) value: T,
}

impl Batch {
    pub(crate) fn new(kind: ImportKind) -> Self {
        match kind {
            ImportKind::Accounts => Self::Accounts(Vec::new()),
            ImportKind::Customers => Self::Customers(Vec::with_capacity(BATCH_ROWS)),
            ImportKind::Contacts => Self::Contacts(Vec::new()),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= if matches!(self, Self::Accounts(_)) { BATCH_ACCOUNTS } else { BATCH_ROWS }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Accounts(rows) => rows.len(),
            Self::Customers(rows) => rows.len(),
            Self::Contacts(rows) => rows.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out the first `rows` rows, or as many as there are.
    pub(crate) fn take_first(&mut self, rows: usize) -> Self {
        fn first<T>(from: &mut Vec<Row<T>>, rows: usize) -> Vec<Row<T>> {
            let rest = from.split_off(rows.min(from.len()));
            std::mem::replace(from, rest)
        }
        match self {
            Self::Accounts(from) => Self::Accounts(first(from, rows)),
            Self::Customers(from) => Self::Customers(first(from, rows)),
            Self::Contacts(from) => Self::Contacts(first(from, rows)),
        }
    }
}

/// Who stands in for a contact: written after all contacts of a file, among whom the deputy may be.
#[derive(Debug, Clone)]
pub(crate) struct DeputyRow {
    pub(crate) line: u64,
    pub(crate) account: RecordId,
    /// The code of the contact.
    pub(crate) code: String,
    /// The code of the deputy; absent: nobody.
    pub(crate) deputy: Option<String>,
}

impl Batch {
    /// The deputies that the rows name.
    pub(crate) fn deputies(&self) -> impl Iterator<Item = DeputyRow> {
        let rows = if let Self::Contacts(rows) = self { rows.as_slice() } else { &[] };
        rows.iter().map(|Row { line, value }| DeputyRow {
            line: *line,
            account: value.fields.account,
            code: value.fields.code.clone().unwrap_or_default(),
            deputy: value.deputy_code.clone(),
        })
    }
}

/// The meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Column {
    Account,
    Code,
    Name,
    Kana,
    AnswerPhrase,
    Notes,
    Dialled,
    Forwarding,
    CallerId,
    NeverMonitor,
    SupervisionNotify,
    WrapUp,
    HoursOpen,
    Link,
    ReportCalls,
    Language,
    Privacy,
    OpenOnAnswer,
    Unanswered,
    UnansweredUrgent,
    MailHost,
    Company,
    Department,
    Flags,
    Numbers,
    Role,
    Email,
    OnCallOrder,
    AcceptByKey,
    AcceptSound,
    ExtraNumbers,
    RingSeconds,
    AbsentUntil,
    Deputy,
    NoTransfer,
    DoNotTell,
    EndpointOrder,
}
