//! Customers: the people and companies who call an account.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RecordError;
use super::check::{NumberUse, StoredNumber, invalid, multi_line, numbers, optional, required, single_line};
use super::search::search_text;
use crate::ids::RecordId;
use crate::numbers::NumberPlan;

/// Maximum number of telephone numbers of a customer.
pub const NUMBERS_PER_CUSTOMER_MAX: usize = 20;
/// Maximum number of flags of a customer.
pub const FLAGS_MAX: usize = 20;

/// The fields of a customer that a person sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerFields {
    /// The account whose customer it is.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The account's own code of the customer; unique within the account.
    #[serde(default)]
    pub code: Option<String>,
    /// The person's or company's name.
    pub name: String,
    /// Its reading.
    #[serde(default)]
    pub kana: String,
    /// The company the person works for.
    #[serde(default)]
    pub company: Option<String>,
    /// The department.
    #[serde(default)]
    pub department: Option<String>,
    /// What operators should know.
    #[serde(default)]
    pub notes: Option<String>,
    /// Marks such as `vip` or `claim`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// The numbers that the customer calls from; the first is the main one.
    #[serde(default)]
    pub numbers: Vec<String>,
}

/// A customer: a person or company who calls an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Customer {
    /// The record's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The fields that a person sets.
    #[serde(flatten)]
    pub fields: CustomerFields,
    /// When the record was created.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When the record was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// A customer's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedCustomer {
    pub(crate) fields: CustomerFields,
    pub(crate) numbers: Vec<StoredNumber>,
    /// What a search by text compares.
    pub(crate) search: String,
}

impl CustomerFields {
    /// Fields with only a name.
    #[must_use]
    pub fn named(account: RecordId, name: &str) -> Self {
        Self {
            account,
            code: None,
            name: name.to_owned(),
            kana: String::new(),
            company: None,
            department: None,
            notes: None,
            flags: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Cleans the text and parses the numbers.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn checked(mut self, plan: &NumberPlan) -> Result<CheckedCustomer, RecordError> {
        self.code = optional("code", self.code)?;
        self.name = required("name", &self.name)?;
        self.kana = single_line("kana", &self.kana)?;
        self.company = optional("company", self.company)?;
        self.department = optional("department", self.department)?;
        self.notes =
            self.notes.map(|notes| multi_line("notes", &notes)).transpose()?.filter(|n| !n.is_empty());
        if self.flags.len() > FLAGS_MAX {
            return Err(invalid("flags", format!("at most {FLAGS_MAX} flags")));
        }
        for flag in &mut self.flags {
            *flag = single_line("flags", flag)?;
        }
        self.flags.retain(|flag| !flag.is_empty());
        let numbers =
            numbers("numbers", &mut self.numbers, NUMBERS_PER_CUSTOMER_MAX, (NumberUse::Subscriber, plan))?;
        let search = search_text(&self, plan);
        Ok(CheckedCustomer { fields: self, numbers, search })
    }
}
