//! Endpoints of messages (送付先): where messages of an account go besides its contacts' own addresses.
//!
//! A contact's `email` is an endpoint without a record, before those with a record: what has a record is tried after it, in the
//! order of `priority`, if the address before it returned the mail. An endpoint with the priority 0 comes before `email`. One
//! without a contact is the account's own: it receives what no contact receives.
//!
//! Invariant: the address of a checked endpoint is one that a mail server or its service takes (`channel.rs`), and its hours name their time zone.
//!
//! Not to be confused with the endpoints of a PBX (`contract/endpoint.rs`), which are phones.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::channel::{ChannelRules, NO_PROFILE, check_mention};
use super::check::{invalid, optional, single_line};
use super::{Language, RecordError, yes};
use crate::contract::delivery::Suspension;
use crate::contract::hours::{Hours, HoursError};
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::secret::Secret;

/// Most endpoints of an account.
pub const ENDPOINTS_PER_ACCOUNT_MAX: u32 = 200;
/// Highest priority number, which comes last.
pub const PRIORITY_MAX: u32 = 99;

/// How an endpoint is reached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema,
)]
#[schema(as = MessageEndpointKind)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// By mail.
    #[default]
    Mail,
    /// By an incoming webhook of Slack.
    Slack,
    /// By a workflow of Microsoft Teams.
    Teams,
    /// In a room of Chatwork.
    Chatwork,
    /// By an incoming webhook of LINE WORKS.
    LineWorks,
    /// By a bot of LINE WORKS, which is in the configuration.
    LineWorksBot,
    /// By a webhook of a space of Google Chat.
    GoogleChat,
    /// By SMS, over a gateway of the configuration.
    Sms,
    /// By fax, over a gateway of the configuration that takes mails.
    Fax,
}

/// The character set of mails to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageEndpointCharset)]
pub enum EndpointCharset {
    /// UTF-8; ISO-2022-JP for a domain of `mail.iso_2022_jp`, if it has all characters of the mail.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// Always UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Always ISO-2022-JP with JIS X 0208 alone. The mail says which characters were replaced.
    #[serde(rename = "iso-2022-jp")]
    Iso2022Jp,
}

/// What happens to a message for an endpoint outside the endpoint's hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsideHours {
    /// It waits until the endpoint is open.
    #[default]
    Hold,
    /// It goes to the next endpoint; if there is none, it waits.
    Next,
    /// It is sent all the same.
    Send,
}

/// The text of a value in the store, and back.
macro_rules! stored_as {
    ($type:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $type {
            /// The value in JSON and in the store.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            /// The value with this text.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

stored_as!(EndpointKind {
    Mail => "mail",
    Slack => "slack",
    Teams => "teams",
    Chatwork => "chatwork",
    LineWorks => "line_works",
    LineWorksBot => "line_works_bot",
    GoogleChat => "google_chat",
    Sms => "sms",
    Fax => "fax",
});
stored_as!(EndpointCharset { Auto => "auto", Utf8 => "utf-8", Iso2022Jp => "iso-2022-jp" });
stored_as!(OutsideHours { Hold => "hold", Next => "next", Send => "send" });

/// The fields of an endpoint that a person sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageEndpointFields {
    /// The account whose messages it receives.
    #[schema(value_type = uuid::Uuid)]
    pub account: RecordId,
    /// The contact whose endpoint it is; absent: the account's own.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub contact: Option<RecordId>,
    /// The account's own code of the endpoint; unique within the account.
    #[serde(default)]
    pub code: Option<String>,
    /// How it is reached.
    #[serde(default)]
    pub kind: EndpointKind,
    /// Where it is: a mail address; the URL of an incoming webhook (`slack`, `teams`, `line_works`, `google_chat`), of which only the
    /// host and the last characters are shown; the number of a room (`chatwork`); `channels/` and the id of a channel, or `users/` and
    /// the id of a member (`line_works_bot`); a telephone number (`sms`, `fax`).
    pub address: String,
    /// The gateway of an endpoint of the kind `sms` or `fax`, or the bot of one of the kind `line_works_bot`: its name in the
    /// configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Who is called in the chat. `slack`: `channel`, `here`, the id of a member or a group; `chatwork`: `all`, the account id of a
    /// member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mention: Option<String>,
    /// What it is for, for instance 受付.
    #[serde(default)]
    pub label: String,
    /// Which endpoint of a contact comes first: the lowest number. The contact's `email` comes after 0 and before 1. 0 to 99.
    #[serde(default = "one")]
    pub priority: u32,
    /// The character set of its mails.
    #[serde(default)]
    pub charset: EndpointCharset,
    /// Whether its mails have an HTML part beside the text.
    #[serde(default = "yes")]
    pub html: bool,
    /// Whether what it receives has the link under which a message is confirmed: providers of mobile telephones refuse mails with
    /// links.
    #[serde(default = "yes")]
    pub ack_link: bool,
    /// Whether its mails have the message's files, the document of a fax, and a call-back for the calendar.
    #[serde(default = "yes")]
    pub attachments: bool,
    /// The language of what it receives; absent: its account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// When it may receive messages; absent: always.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// What happens outside its hours.
    #[serde(default)]
    pub outside: OutsideHours,
}

/// An endpoint: where messages of an account go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MessageEndpoint {
    /// The record's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: RecordId,
    /// The fields that a person sets.
    #[serde(flatten)]
    pub fields: MessageEndpointFields,
    /// Why nothing is sent there, if its address is suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
    /// When somebody last confirmed a test or a message that went to this address; absent: nobody yet.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::contract::time::as_optional_time"
    )]
    pub verified_at: Option<Timestamp>,
    /// When the record was created.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub created_at: Timestamp,
    /// When the record was last changed.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "crate::contract::time::as_time")]
    pub changed_at: Timestamp,
}

/// An endpoint's fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedMessageEndpoint {
    /// What is shown; of a secret address a part.
    pub(crate) fields: MessageEndpointFields,
    /// The address, if it is a secret and was given; absent: the one that is stored stays.
    pub(crate) secret: Option<Secret>,
}

fn one() -> u32 {
    1
}

impl MessageEndpointFields {
    /// Fields with only an address.
    #[must_use]
    pub fn to(account: RecordId, address: &str) -> Self {
        Self {
            account,
            contact: None,
            code: None,
            kind: EndpointKind::Mail,
            address: address.to_owned(),
            profile: None,
            mention: None,
            label: String::new(),
            priority: one(),
            charset: EndpointCharset::Auto,
            html: true,
            ack_link: true,
            attachments: true,
            language: None,
            hours: None,
            outside: OutsideHours::Hold,
        }
    }

    /// Cleans the text, parses the address, and lets hours without a time zone be those of `time_zone`, the installation's.
    /// `present`: the endpoint as it is. What it shows of a secret address stands for that address.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn checked(
        mut self,
        time_zone: &jiff::tz::TimeZone,
        rules: &ChannelRules,
        present: Option<&Self>,
    ) -> Result<CheckedMessageEndpoint, RecordError> {
        self.code = optional("code", self.code)?;
        self.label = single_line("label", &self.label)?;
        let mut secret = None;
        let is_present = |present: &&Self| present.kind == self.kind && present.address == self.address;
        if !self.kind.has_profile() && self.profile.is_some() {
            return Err(invalid("profile", NO_PROFILE.into()));
        }
        if self.kind == EndpointKind::Mail {
            let address = self.address.trim().parse::<MailAddress>();
            self.address = address.map_err(|error| invalid("address", error.to_string()))?.to_string();
        } else if !self.kind.has_secret() || present.filter(is_present).is_none() {
            let checked = rules.check(self.kind, &self.address, self.profile.as_deref())?;
            (self.address, secret) = (checked.shown, checked.secret);
        }
        self.mention = check_mention(self.kind, self.mention)?;
        if self.priority > PRIORITY_MAX {
            return Err(invalid("priority", format!("from 0 to {PRIORITY_MAX}")));
        }
        if let Some(hours) = &mut self.hours {
            hours.check().map_err(|error: HoursError| invalid("hours", error.to_string()))?;
            if hours.weekly.is_empty() && hours.open_on.is_empty() {
                return Err(invalid("hours", "name the spans in which it is open, or leave it out".into()));
            }
            if hours.time_zone.is_none() {
                hours.time_zone = time_zone.iana_name().map(str::to_owned);
            }
        }
        Ok(CheckedMessageEndpoint { fields: self, secret })
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn fields(value: serde_json::Value) -> Result<MessageEndpointFields, String> {
        let mut whole = serde_json::json!({"account": uuid::Uuid::from_u128(1), "address": "a@example.jp"});
        for (key, value) in value.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let fields: MessageEndpointFields =
            serde_json::from_value(whole).map_err(|error| error.to_string())?;
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let rules = ChannelRules::default();
        Ok(fields.checked(&zone, &rules, None).map_err(|error| error.to_string())?.fields)
    }

    #[test]
    fn an_endpoint_is_an_address_with_defaults() {
        let plain = fields(serde_json::json!({})).unwrap();
        assert_eq!(plain, MessageEndpointFields::to(RecordId(uuid::Uuid::from_u128(1)), "a@example.jp"));
        let hours =
            serde_json::json!({"hours": {"weekly": [{"days": ["mon"], "from": "08:30", "to": "18:00"}]}});
        assert_eq!(fields(hours).unwrap().hours.unwrap().time_zone.as_deref(), Some("Asia/Tokyo"));
    }

    #[test]
    fn what_cannot_receive_is_refused() {
        for (value, words) in [
            (serde_json::json!({"address": "a..b@example.jp"}), "address: a dot may stand"),
            (serde_json::json!({"address": "03-5550-1001"}), "address: write it as name@example.com"),
            (serde_json::json!({"priority": 100}), "priority: from 0 to 99"),
            (serde_json::json!({"hours": {"weekly": []}}), "hours: name the spans"),
            (serde_json::json!({"kind": "pigeon"}), "unknown variant `pigeon`"),
            (serde_json::json!({"charset": "shift_jis"}), "unknown variant `shift_jis`"),
            (serde_json::json!({"colour": "red"}), "unknown field `colour`"),
        ] {
            let error = fields(value).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn values_survive_their_text() {
        for charset in [EndpointCharset::Auto, EndpointCharset::Utf8, EndpointCharset::Iso2022Jp] {
            assert_eq!(EndpointCharset::parse(charset.as_str()), Some(charset));
            assert_eq!(serde_json::to_value(charset).unwrap(), charset.as_str());
        }
        for outside in [OutsideHours::Hold, OutsideHours::Next, OutsideHours::Send] {
            assert_eq!(OutsideHours::parse(outside.as_str()), Some(outside));
            assert_eq!(serde_json::to_value(outside).unwrap(), outside.as_str());
        }
        for kind in EndpointKind::ALL {
            assert_eq!(EndpointKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
