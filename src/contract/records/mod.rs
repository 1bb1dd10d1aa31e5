//! The directory's records, as they are read, written and served.
//!
//! Each kind has *fields* (what a person sets), a *record* (the fields, an id, times) and a *checked* form (the fields
//! with cleaned text and parsed numbers). Only checked fields reach the store.
//!
//! | file | record |
//! |---|---|
//! | `account.rs` | a company that calls are answered for |
//! | `customer.rs` | a person or company who calls an account |
//! | `contact.rs` | a person of the account to whom calls and messages go |
//! | `channel.rs` | the addresses of chats and SMS, and what of them may be shown |
//! | `message_endpoint.rs` | where messages of an account go, besides its contacts' own addresses |
//! | `search.rs` | the form in which names and numbers are searched |
//! | `check.rs` | checks of text and numbers, which all records share |
//!
//! Invariant: text in a record has no control or direction-changing characters, and nothing is longer than its
//! limit: too long is an error, never a cut.
//!
//! Read next: `hours.rs`, `numbers.rs`, then `crate::store::accounts`.

mod account;
mod channel;
mod check;
mod contact;
mod customer;
mod message_endpoint;
pub mod search;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::account::{
    Account, AccountFields, CallerIdPolicy, CheckedAccount, EXTRA_NUMBER_DIGITS, EXTRA_NUMBERS_MAX, Language,
    NUMBERS_PER_ACCOUNT_MAX, ReportCalls, SOUND_BYTES_MAX, UnansweredMinutes, WRAP_UP_S_MAX,
};
pub use self::channel::{CHANNEL_URL_BYTES_MAX, ChannelRules, CheckedAddress};
use self::check::invalid;
pub use self::check::{NAME_CHARS_MAX, NOTES_CHARS_MAX, NUMBER_DIGITS_MAX, NumberUse, StoredNumber};
pub(crate) use self::check::{number_problem, paragraphs};
pub use self::contact::{
    CONTACT_DAYS_OFF_MAX, CheckedContact, Contact, ContactFields, ON_CALL_ORDER_MAX, ON_CALL_SHIFTS_MAX,
    OnCallShift, Presence, PresenceState, RING_S, on_call_at,
};
pub use self::customer::{CheckedCustomer, Customer, CustomerFields, FLAGS_MAX, NUMBERS_PER_CUSTOMER_MAX};
pub use self::message_endpoint::{
    CheckedMessageEndpoint, ENDPOINTS_PER_ACCOUNT_MAX, EndpointCharset, EndpointKind, MessageEndpoint,
    MessageEndpointFields, OutsideHours, PRIORITY_MAX,
};

/// A field of a record is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RecordError {
    /// The field, by its name in JSON.
    pub field: &'static str,
    /// What is wrong, and the limit.
    pub problem: String,
}

/// The default of settings that are on unless a record says otherwise.
fn yes() -> bool {
    true
}

/// Applies a JSON merge patch (RFC 7396) to `current`: members replace, `null` resets to the default.
///
/// # Errors
/// The patch names a field that this kind of record does not have, or a value has the wrong type.
pub fn patched<T: Serialize + DeserializeOwned>(current: &T, patch: &Value) -> Result<T, RecordError> {
    let failed = |error: serde_json::Error| invalid("patch", error.to_string());
    let Value::Object(changes) = patch else {
        return Err(invalid("patch", "must be a JSON object".to_owned()));
    };
    let mut whole = serde_json::to_value(current).map_err(failed)?;
    if let Value::Object(fields) = &mut whole {
        for (name, value) in changes {
            if value.is_null() {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
    }
    serde_json::from_value(whole).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RecordId;
    use crate::numbers::NumberPlan;

    fn account() -> AccountFields {
        AccountFields {
            code: "A001".into(), name: "株式会社さくら商事".into(), ..AccountFields::default()
        }
    }

    #[test]
    fn text_is_cleaned_and_numbers_are_read_once() {
        let fields = AccountFields {
            name: " さくら\u{202e}商事\r\n".into(),
            notes: "一行目\u{7}\r\n二行目 \n".into(),
            dialled: vec!["03-5550-1001".into(), String::new(), "+81355501001".into()],
            ..account()
        };
        let checked = fields.checked(&NumberPlan::default()).unwrap();
        assert_eq!(checked.fields.name, "さくら商事");
        assert_eq!(checked.fields.notes, "一行目\n二行目");
        assert_eq!(checked.fields.dialled, ["03-5550-1001"]);
        assert_eq!(checked.dialled[0].key, "+81355501001");
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let plan = NumberPlan::default();
        for (fields, message) in [
            (AccountFields { code: "\u{0}".into(), ..account() }, "code: must not be empty"),
            (AccountFields { name: "あ".repeat(121), ..account() }, "name: longer than 120 characters"),
            (
                AccountFields { dialled: vec!["内線".into()], ..account() },
                "dialled: \"内線\" is not a telephone number",
            ),
            (AccountFields { wrap_up_s: Some(9_999), ..account() }, "wrap_up_s: at most 3600 seconds"),
            (
                AccountFields { accept_sound: Some("a b".into()), ..account() },
                "accept_sound: letters, digits, /, _ and - only, without an ending",
            ),
            (
                AccountFields { extra_numbers: vec!["0".into()], ..account() },
                "extra_numbers: \"0\" is not a number prefix: 3 to 15 digits",
            ),
        ] {
            assert_eq!(fields.checked(&plan).unwrap_err().to_string(), message);
        }
        let contact = ContactFields {
            email: Some("nobody".into()),
            ..ContactFields::named(RecordId(uuid::Uuid::nil()), "x")
        };
        assert!(contact.checked(&plan).unwrap_err().to_string().starts_with("email: "));
        let rushed =
            ContactFields { ring_s: Some(1), ..ContactFields::named(RecordId(uuid::Uuid::nil()), "x") };
        assert_eq!(rushed.checked(&plan).unwrap_err().to_string(), "ring_s: from 5 to 120 seconds");
    }

    #[test]
    fn a_patch_replaces_resets_and_refuses() {
        let before = AccountFields { wrap_up_s: Some(30), ..account() };
        let patch = serde_json::json!({"notes": "本日休業", "wrap_up_s": null});
        let after = patched(&before, &patch).unwrap();
        assert_eq!((after.notes.as_str(), after.wrap_up_s, after.code.as_str()), ("本日休業", None, "A001"));
        for bad in [serde_json::json!({"id": 1}), serde_json::json!({"name": null}), serde_json::json!([])] {
            assert!(patched(&before, &bad).is_err(), "{bad}");
        }
    }
}
