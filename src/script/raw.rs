//! The TOML of a script as it is written, with the place of everything that may be wrong.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::value::Datetime;
use toml::{Spanned, Value};

/// A text with its place.
pub(super) type Text = Spanned<String>;
/// A condition: keys with their places.
pub(super) type RawWhen = Spanned<BTreeMap<Text, Spanned<Value>>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScript {
    pub(super) format: Spanned<i64>,
    pub(super) account: Option<Text>,
    pub(super) name: Text,
    pub(super) language: Option<Text>,
    #[serde(default)]
    pub(super) message_required: bool,
    pub(super) privacy: Option<Text>,
    pub(super) name_form: Option<Text>,
    pub(super) valid: Option<Spanned<RawValid>>,
    #[serde(default)]
    pub(super) dialled: Vec<Text>,
    pub(super) greeting: Option<RawGreeting>,
    pub(super) opening: RawOpening,
    pub(super) closing: Option<RawClosing>,
    #[serde(default)]
    pub(super) reason: Vec<RawReason>,
    #[serde(default)]
    pub(super) step: Vec<RawStep>,
    #[serde(default)]
    pub(super) offer: Vec<RawOffer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawValid {
    pub(super) from: Option<Spanned<Datetime>>,
    pub(super) until: Option<Spanned<Datetime>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGreeting {
    pub(super) say: Option<Text>,
    #[serde(default)]
    pub(super) by_time: Vec<RawTimeGreeting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimeGreeting {
    pub(super) time: Text,
    pub(super) say: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOpening {
    pub(super) open: Text,
    pub(super) closed: Option<Text>,
    #[serde(default)]
    pub(super) special: Vec<RawSpecial>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpecial {
    pub(super) when: RawWhen,
    pub(super) say: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClosing {
    pub(super) say: Option<Text>,
    #[serde(default)]
    pub(super) by_action: BTreeMap<Text, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReason {
    pub(super) code: Text,
    pub(super) label: Text,
    pub(super) key: Option<Text>,
    pub(super) urgency: Option<Text>,
    pub(super) action: Option<Text>,
    pub(super) contact: Option<Text>,
    pub(super) mark: Option<Text>,
    pub(super) route: Option<Text>,
    pub(super) privacy: Option<Text>,
    pub(super) transfer_to: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSet {
    pub(super) urgency: Option<Text>,
    pub(super) action: Option<Text>,
    pub(super) contact: Option<Text>,
    pub(super) mark: Option<Text>,
    pub(super) route: Option<Text>,
    pub(super) privacy: Option<Text>,
    pub(super) transfer_to: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    pub(super) id: Text,
    #[serde(default, rename = "for")]
    pub(super) reasons: Vec<Text>,
    pub(super) when: Option<RawWhen>,
    pub(super) level: Option<Text>,
    pub(super) say: Option<Text>,
    pub(super) hint: Option<Text>,
    pub(super) stop: Option<Text>,
    #[serde(default)]
    pub(super) ask: Vec<RawField>,
    #[serde(default)]
    pub(super) set: RawSet,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) id: Text,
    pub(super) label: Text,
    #[serde(rename = "type")]
    pub(super) kind: Text,
    #[serde(default)]
    pub(super) required: RawRequired,
    #[serde(default)]
    pub(super) choices: Vec<Text>,
    pub(super) min: Option<Spanned<i64>>,
    pub(super) max: Option<Spanned<i64>>,
    pub(super) default: Option<Spanned<Value>>,
    #[serde(default)]
    pub(super) sensitive: bool,
    pub(super) to: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOffer {
    pub(super) id: Text,
    pub(super) kind: Text,
    #[serde(default, rename = "for")]
    pub(super) reasons: Vec<Text>,
    pub(super) when: Option<RawWhen>,
    pub(super) say: Text,
    #[serde(default)]
    pub(super) once_per_call: bool,
}

/// `true`, `false` or `"soft"`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawRequired(pub(super) super::model::Required);

impl<'de> Deserialize<'de> for RawRequired {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use super::model::Required;

        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RawRequired;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"soft\"")
            }

            fn visit_bool<E>(self, value: bool) -> Result<RawRequired, E> {
                Ok(RawRequired(if value { Required::Yes } else { Required::No }))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<RawRequired, E> {
                match value {
                    "soft" => Ok(RawRequired(Required::Soft)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
