//! What the daemon adds to one call: whether the account refuses or prefers the caller, and what the operator hears of the
//! caller before the call.
//!
//! | what is known | the operator hears |
//! |---|---|
//! | the caller is a customer with the flag `VIP` (in any case) or `重要` | `toritsugi/vip` |
//! | the caller is another customer of the account | `toritsugi/known` |
//! | the number is one of Japan, and may be shown | `toritsugi/area/NN`: its first two digits, or `mobile` |
//!
//! Invariant: pure. Of a caller who withholds the number nothing is said, not even the region. The sounds are the shipped ones, so no
//! text of a record reaches the dialplan.

use crate::contract::caller_rule::{CallerRule, CallerRuleKind};
use crate::contract::card::Card;
use crate::numbers::{Number, NumberPlan};

/// Flags of a customer whom the operator shall know before the call.
const VIP_FLAGS: [&str; 2] = ["vip", "重要"];

/// What the dialplan is told of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    /// The account refuses the caller.
    pub refuse: bool,
    /// What the caller gains in the queue.
    pub preference: u32,
    /// What the operator hears after the company's sound.
    pub sounds: String,
}

impl Hint {
    /// The word that ends the dialplan's wait: `R` refuses the call, `A` goes on.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.refuse { "R" } else { "A" }
    }
}

/// The hint for a call. `rule`: the account's rule about the caller, if one holds; `announces`: the operator hears of the caller.
#[must_use]
pub fn hint_of(card: &Card, rule: Option<&CallerRule>, announces: bool, plan: &NumberPlan) -> Hint {
    let refuse = rule.is_some_and(|rule| rule.rule == CallerRuleKind::Refuse);
    let preference = rule.filter(|_| !refuse).map_or(0, |rule| rule.priority);
    let sounds = if announces && !refuse { sounds_of(card, plan) } else { String::new() };
    Hint { refuse, preference, sounds }
}

/// The sounds that follow the company's, joined by `&`; empty where nothing is known.
fn sounds_of(card: &Card, plan: &NumberPlan) -> String {
    let is_vip = |flag: &String| VIP_FLAGS.contains(&flag.to_lowercase().as_str());
    let who = match card.customers.as_slice() {
        [] => None,
        customers if customers.iter().any(|customer| customer.flags.iter().any(is_vip)) => {
            Some("toritsugi/vip".to_owned())
        }
        _ => Some("toritsugi/known".to_owned()),
    };
    let is_shown = !card.caller.presentation.hides_number();
    let number = card.caller.number.as_deref().filter(|_| is_shown);
    let number = number.and_then(|text| Number::read(text, plan)).map(|number| number.dial_string(plan));
    let area = number.as_deref().and_then(area_of).map(|area| format!("toritsugi/area/{area}"));
    who.into_iter().chain(area).collect::<Vec<_>>().join("&")
}

/// The region of a national number as it is dialled.
fn area_of(number: &str) -> Option<&str> {
    let is_national =
        number.starts_with('0') && number.len() >= 10 && number.bytes().all(|b| b.is_ascii_digit());
    match number.get(..3).filter(|_| is_national && !number.starts_with("0800"))? {
        "070" | "080" | "090" => Some("mobile"),
        // Abroad; free, information and IP numbers are nowhere; 00 leads to a carrier.
        "010" | "050" | "012" | "057" => None,
        prefix if prefix.starts_with("00") => None,
        _ => number.get(..2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::card::{AccountView, CallerView, CustomerView, HistoryView};
    use crate::identity::Presentation::{self, Allowed, Withheld};
    use crate::ids::RecordId;

    fn card(number: Option<&str>, presentation: Presentation, flags: &[&[&str]]) -> Card {
        let customer = |flags: &&[&str]| CustomerView {
            id: RecordId(uuid::Uuid::nil()),
            name: "山田".into(),
            kana: String::new(),
            company: None,
            department: None,
            notes: None,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            code: None,
            number: None,
        };
        Card {
            dialled: None,
            diverted_by: None,
            caller: CallerView { number: number.map(Into::into), presentation, ..CallerView::default() },
            account: AccountView::default(),
            customers: flags.iter().map(customer).collect(),
            history: HistoryView::default(),
            link: None,
            script: None,
        }
    }

    #[test]
    fn the_operator_hears_who_and_from_where_and_nothing_of_a_withheld_number() {
        let plan = NumberPlan::default();
        for (number, presentation, flags, sounds) in [
            (Some("+81312345678"), Allowed, &[][..], "toritsugi/area/03"),
            (Some("+81312345678"), Allowed, &[&[][..]][..], "toritsugi/known&toritsugi/area/03"),
            (Some("+819012345678"), Allowed, &[&["x"][..], &["Vip"]], "toritsugi/vip&toritsugi/area/mobile"),
            (Some("+81665551234"), Allowed, &[&["重要"][..]], "toritsugi/vip&toritsugi/area/06"),
            (Some("+815012345678"), Allowed, &[], ""),
            (Some("+14155550100"), Allowed, &[&[][..]], "toritsugi/known"),
            (Some("+81312345678"), Withheld, &[&[][..]], "toritsugi/known"),
            (None, Withheld, &[], ""),
        ] {
            assert_eq!(sounds_of(&card(number, presentation, flags), &plan), sounds, "{number:?}");
        }
    }

    #[test]
    fn a_rule_refuses_or_prefers_and_of_a_refused_caller_nothing_is_said() {
        let plan = NumberPlan::default();
        let card = card(Some("+81312345678"), Allowed, &[]);
        let rule = |rule, priority| CallerRule {
            id: RecordId(uuid::Uuid::nil()),
            account: RecordId(uuid::Uuid::nil()),
            number: "+81312345678".into(),
            rule,
            priority,
            note: String::new(),
            until: None,
            by_name: String::new(),
        };
        let hint = |rule: Option<CallerRule>, announces| hint_of(&card, rule.as_ref(), announces, &plan);
        let sounds = "toritsugi/area/03";
        for (rule, announces, word, preference, heard) in [
            (None, true, "A", 0, sounds),
            (None, false, "A", 0, ""),
            (Some(rule(CallerRuleKind::Prefer, 3)), true, "A", 3, sounds),
            (Some(rule(CallerRuleKind::Refuse, 0)), true, "R", 0, ""),
        ] {
            let found = hint(rule, announces);
            assert_eq!((found.word(), found.preference, found.sounds.as_str()), (word, preference, heard));
        }
    }
}
