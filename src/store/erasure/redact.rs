//! Takes a customer out of the JSON of an event.
//!
//! | event | goes |
//! |---|---|
//! | of a call with the customer, or that shows the customer | the caller but for the presentation, the customers, the earlier calls and messages, the link; notes; a dialled number and a target that are the customer's |
//! | of a message of the customer, or taken in such a call | number, customer, text and what else a person wrote but for words with a fixed set of values |
//! | of a fax from the customer, or that came in such a call | the caller and the sender's station |
//! | of another call of the account | a target that is the customer's number |
//!
//! Invariant: pure. Fields that the contract always has stay, empty. Numbers are compared by their keys, whatever their
//! digits are written with; a text that is no number is never compared.

use serde_json::{Map, Value, json};

use crate::numbers::{Number, NumberPlan};

/// The fields of a message that may say who the caller is, besides the text.
const ABOUT_CALLER: [&str; 11] = [
    "caller",
    "customer",
    "subject",
    "from",
    "for_text",
    "call_back",
    "follow_up",
    "transfer",
    "script",
    "answers",
    "offers",
];

/// What gives a customer away.
#[derive(Debug, Clone)]
pub(in crate::store) struct Trace {
    /// The id of the customer's record.
    pub(in crate::store) customer: String,
    /// The account.
    pub(in crate::store) account: String,
    /// The keys of the customer's numbers.
    pub(in crate::store) keys: Vec<String>,
    /// How numbers are read.
    pub(in crate::store) plan: NumberPlan,
}

/// What is known of the call of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// It was erased for this customer.
    OfCustomer,
    /// It is another call of the account.
    OfAccount,
    /// It is none, or of another account.
    Elsewhere,
}

impl Trace {
    fn is_number(&self, value: Option<&Value>) -> bool {
        let text = value.and_then(Value::as_str);
        let number = text.and_then(|text| Number::read(text, &self.plan));
        number.is_some_and(|number| self.keys.iter().any(|key| key == number.key()))
    }

    /// The JSON of an event without the customer; `None` when it does not name the customer.
    pub(in crate::store) fn redact(&self, json: &str, place: Place) -> Option<String> {
        let mut event: Value = serde_json::from_str(json).ok()?;
        let kind =
            event.get("kind").and_then(Value::as_str)?.split('.').next().unwrap_or_default().to_owned();
        let data = event.get_mut("data")?.as_object_mut()?;
        let found = match kind.as_str() {
            "message" => self.message(data, place),
            "fax" => self.fax(data, place),
            _ => self.call(data, place),
        };
        found.then(|| event.to_string())
    }

    fn message(&self, data: &mut Map<String, Value>, place: Place) -> bool {
        let is = |data: &Map<String, Value>, key: &str, id: &str| {
            data.get(key).and_then(Value::as_str) == Some(id)
        };
        let is_others = data.contains_key("customer") && !is(data, "customer", &self.customer);
        let said = data.get("from").and_then(|from| from.get("number"));
        let is_from_number = is(data, "account", &self.account)
            && (self.is_number(data.get("caller")) || self.is_number(said));
        let is_theirs = is(data, "customer", &self.customer)
            || !is_others && (place == Place::OfCustomer || is_from_number);
        if !is_theirs {
            return false;
        }
        let mut found = false;
        for field in ABOUT_CALLER {
            found |= data.remove(field).is_some();
        }
        if let Some(Value::String(text)) = data.get_mut("text")
            && !text.is_empty()
        {
            text.clear();
            found = true;
        }
        found
    }

    fn fax(&self, data: &mut Map<String, Value>, place: Place) -> bool {
        let is_accounts = data.get("account").and_then(Value::as_str) == Some(&self.account);
        if place != Place::OfCustomer && !(is_accounts && self.is_number(data.get("caller"))) {
            return false;
        }
        let caller = data.remove("caller");
        data.remove("station").or(caller).is_some()
    }

    fn call(&self, data: &mut Map<String, Value>, place: Place) -> bool {
        let shows = data.get("customers").and_then(Value::as_array).is_some_and(|customers| {
            customers.iter().any(|one| one.get("id").and_then(Value::as_str) == Some(&self.customer))
        });
        let mut found = false;
        if shows || place == Place::OfCustomer {
            found |= self.card(data);
        }
        if place != Place::Elsewhere {
            found |= self.targets(data);
        }
        found
    }

    /// Clears the card's fields and the notes.
    fn card(&self, data: &mut Map<String, Value>) -> bool {
        let before = data.clone();
        if let Some(Value::Object(caller)) = data.get_mut("caller") {
            caller.retain(|key, _| key == "presentation");
        }
        for (key, empty) in [("customers", json!([])), ("history", json!({ "calls": 0, "open_messages": 0 }))]
        {
            if let Some(value) = data.get_mut(key) {
                *value = empty;
            }
        }
        data.remove("link");
        data.remove("notes");
        if self.is_number(data.get("dialled")) {
            data.remove("dialled");
        }
        *data != before
    }

    /// Clears the numbers among the targets of a transfer.
    fn targets(&self, data: &mut Map<String, Value>) -> bool {
        let mut found = false;
        for value in data.values_mut() {
            match value {
                Value::Object(object) => found |= self.number_of(object),
                Value::Array(items) => {
                    for object in items.iter_mut().filter_map(Value::as_object_mut) {
                        found |= self.number_of(object);
                        for inner in object.values_mut().filter_map(Value::as_object_mut) {
                            found |= self.number_of(inner);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn number_of(&self, object: &mut Map<String, Value>) -> bool {
        let is_target = object.get("kind").and_then(Value::as_str) == Some("number");
        if !is_target || !self.is_number(object.get("number")) {
            return false;
        }
        object.insert("number".to_owned(), Value::String(String::new()));
        true
    }
}

/// The JSON of an event without the notes of after-call work; `None` when there are none.
pub(in crate::store) fn without_notes(json: &str) -> Option<String> {
    let mut event: Value = serde_json::from_str(json).ok()?;
    event.get_mut("data")?.as_object_mut()?.remove("notes")?;
    Some(event.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(numbers: &[&str]) -> Trace {
        Trace {
            customer: "c-1".into(),
            account: "a-1".into(),
            keys: numbers.iter().map(|key| (*key).to_owned()).collect(),
            plan: NumberPlan::default(),
        }
    }

    fn tanaka() -> Trace {
        trace(&["+819012345678"])
    }

    fn redacted(trace: &Trace, event: &Value, place: Place) -> Option<Value> {
        let json = trace.redact(&event.to_string(), place)?;
        Some(serde_json::from_str(&json).unwrap())
    }

    fn presented() -> Value {
        json!({
            "id": "a1-7", "kind": "call.presented", "at": "2026-01-01T00:00:00Z", "call": "k-1", "data": {
                "operator": "1001", "dialled": "0355501000",
                "caller": { "number": "090-1234-5678", "display": "TANAKA", "presentation": "allowed", "name": "田中" },
                "account": { "id": "a-1", "name": "さくら", "notes": "本日終日外出" },
                "customers": [{ "id": "c-1", "name": "田中" }, { "id": "c-2", "name": "鈴木" }],
                "history": { "calls": 3, "last_message": "折り返し", "open_messages": 1 },
                "link": "https://crm.example/?tel=09012345678",
            },
        })
    }

    #[test]
    fn a_call_of_the_customer_keeps_what_is_not_about_the_caller() {
        let mut expected = presented();
        expected["data"]["caller"] = json!({ "presentation": "allowed" });
        expected["data"]["customers"] = json!([]);
        expected["data"]["history"] = json!({ "calls": 0, "open_messages": 0 });
        expected["data"].as_object_mut().unwrap().remove("link");
        assert_eq!(redacted(&tanaka(), &presented(), Place::OfCustomer).as_ref(), Some(&expected));
        // A call that has no record yet shows the customer all the same.
        assert_eq!(redacted(&tanaka(), &presented(), Place::Elsewhere).as_ref(), Some(&expected));
        assert_eq!(redacted(&tanaka(), &expected, Place::OfCustomer), None, "nothing is left to do");
        let disposed =
            json!({ "kind": "call.disposed", "data": { "disposition": "message", "notes": "田中様" } });
        let rest = redacted(&tanaka(), &disposed, Place::OfCustomer).unwrap();
        assert_eq!(rest["data"], json!({ "disposition": "message" }));
        assert_eq!(redacted(&tanaka(), &disposed, Place::OfAccount), None);
    }

    #[test]
    fn a_message_loses_what_was_written_unless_it_is_somebody_elses() {
        let message = |fields: Value| {
            let mut data = json!({ "account": "a-1", "text": "秘密", "state": "open" });
            data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({ "kind": "message.saved", "data": data })
        };
        let rest = json!({ "account": "a-1", "text": "", "state": "open" });
        for kind in ["message.saved", "message.corrected", "message.withdrawn", "message.acknowledged"] {
            let mut event = message(json!({
                "from": { "name": "アヤノコウジ", "number": "090-1234-5678", "number_is": "told" }, "subject": "秘密",
                "for_text": "秘密", "call_back": { "number": "090-1234-5678" }, "follow_up": { "text": "秘密" },
                "transfer": { "id": "t", "outcome": "busy" }, "script": { "id": "s", "version": 1 },
                "answers": [{ "id": "a", "label": "秘密", "value": "秘密" }], "offers": [{ "id": "b" }],
            }));
            event["kind"] = kind.into();
            let found = redacted(&tanaka(), &event, Place::Elsewhere).unwrap();
            assert_eq!(found["data"], rest, "{kind}");
            assert_eq!(redacted(&tanaka(), &found, Place::OfCustomer), None, "nothing is left to do");
        }
        for (fields, place) in [
            (json!({ "customer": "c-1" }), Place::Elsewhere),
            (json!({ "caller": "+819012345678" }), Place::Elsewhere),
            (json!({}), Place::OfCustomer),
        ] {
            let found = redacted(&tanaka(), &message(fields), place).unwrap();
            assert_eq!(found["data"], rest);
        }
        for (fields, place) in [
            (json!({ "caller": "+819012345679" }), Place::Elsewhere),
            (json!({ "caller": "+819012345678", "account": "a-2" }), Place::Elsewhere),
            (json!({ "caller": "+819012345678", "customer": "c-2" }), Place::OfCustomer),
            (json!({ "text": "090-1234-5678" }), Place::OfAccount),
        ] {
            assert_eq!(redacted(&tanaka(), &message(fields), place), None);
        }
    }

    #[test]
    fn a_number_is_found_in_any_writing_and_no_number_in_none() {
        let transfer = |number: &str| {
            json!({ "kind": "call.transfer.requested", "data": {
                "targets": [{ "kind": "number", "number": number }, { "kind": "contact", "id": "k", "name": "佐藤" }] } })
        };
        for number in ["090-1234-5678", "０９０－１２３４－５６７８", "+81 90 1234 5678", "09012345678"]
        {
            let rest = redacted(&tanaka(), &transfer(number), Place::OfAccount).unwrap();
            assert_eq!(rest["data"]["targets"][0]["number"], "", "{number}");
            assert_eq!(redacted(&tanaka(), &transfer(number), Place::Elsewhere), None);
        }
        for number in ["", "-", "090-1234-5679"] {
            assert_eq!(redacted(&tanaka(), &transfer(number), Place::OfAccount), None, "{number}");
        }
        // A customer without a number that can be read.
        for event in [transfer(""), transfer("-"), transfer("090-1234-5678"), presented()] {
            let other = Trace { customer: "c-9".into(), ..trace(&[]) };
            assert_eq!(redacted(&other, &event, Place::OfAccount), None);
        }
    }

    #[test]
    fn notes_that_come_late_are_left_out() {
        assert_eq!(
            without_notes(r#"{"data":{"notes":"x","user":1}}"#).as_deref(),
            Some(r#"{"data":{"user":1}}"#)
        );
        assert_eq!(without_notes(r#"{"data":{"user":1}}"#), None);
    }
}
