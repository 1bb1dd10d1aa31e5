//! The words of a message's fields.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An enum whose values are words in JSON and in the store.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)* }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* $value,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            /// The value in JSON and in the store.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }

            /// The value with this word.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($text => Some(Self::$value),)*
                    _ => None,
                }
            }
        }
    };
}
pub(in crate::contract) use words;

words! {
    /// What a message is.
    #[derive(Default)]
    MessageKind {
        /// Somebody left it.
        #[default]
        Message = "message",
        /// A report of a call without a message.
        Report = "report",
        /// A fax arrived.
        Fax = "fax",
        /// A caller spoke it.
        Voice = "voice",
        /// A caller pressed a key to be called back.
        Callback = "callback",
        /// A test of the delivery.
        Test = "test",
        /// A digest of other messages, which the daemon makes.
        Digest = "digest",
    }
}

words! {
    /// What the caller expects.
    #[derive(Default)]
    #[schema(as = MessageAction)]
    Action {
        /// To be called back.
        CallBack = "call_back",
        /// Nothing now: the caller will call again.
        WillCallAgain = "will_call_again",
        /// That the person receives it.
        ToldOnly = "told_only",
        /// A mail.
        MailBack = "mail_back",
        /// Nothing.
        #[default]
        None = "none",
    }
}

words! {
    /// How urgent a message is.
    #[derive(Default, PartialOrd, Ord)]
    Urgency {
        /// It may wait.
        Low = "low",
        /// As usual.
        #[default]
        Normal = "normal",
        /// At once.
        Urgent = "urgent",
    }
}

words! {
    /// What the message is besides.
    #[schema(as = MessageMark)]
    Mark {
        /// A complaint.
        Complaint = "complaint",
        /// Thanks.
        Thanks = "thanks",
    }
}

words! {
    /// The gender of a sender.
    Gender {
        /// Male.
        M = "m",
        /// Female.
        F = "f",
    }
}

words! {
    /// Where the sender's number is from.
    NumberSource {
        /// The call.
        Call = "call",
        /// The caller said it.
        Told = "told",
        /// The customer's record.
        Customer = "customer",
    }
}

words! {
    /// Who does what is to be done later.
    FollowUpBy {
        /// An operator.
        Operator = "operator",
        /// The contact.
        Contact = "contact",
    }
}

words! {
    /// What the caller said to an offer.
    OfferResult {
        /// Yes.
        Accepted = "accepted",
        /// No.
        Declined = "declined",
        /// Perhaps later.
        Later = "later",
    }
}

words! {
    /// How much of a message leaves the house.
    #[derive(Default)]
    Privacy {
        /// Its content.
        #[default]
        Full = "full",
        /// That there is one, and a link.
        Notice = "notice",
    }
}

impl Action {
    /// What people of the account read.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::CallBack => Some("折り返し希望"),
            Self::WillCallAgain => Some("またかけ直される"),
            Self::ToldOnly => Some("伝言のみ"),
            Self::MailBack => Some("メール返信希望"),
            Self::None => None,
        }
    }

    /// The same in English.
    #[must_use]
    pub fn label_in_english(self) -> Option<&'static str> {
        match self {
            Self::CallBack => Some("please call back"),
            Self::WillCallAgain => Some("will call again"),
            Self::ToldOnly => Some("for your information"),
            Self::MailBack => Some("please reply by mail"),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_their_text() {
        fn check<T: Copy + PartialEq + std::fmt::Debug + Serialize>(
            all: &[T],
            as_str: fn(T) -> &'static str,
            parse: fn(&str) -> Option<T>,
        ) {
            for value in all {
                assert_eq!(parse(as_str(*value)), Some(*value));
                assert_eq!(serde_json::to_value(value).unwrap(), as_str(*value));
            }
            assert_eq!(parse("x"), None);
        }
        check(MessageKind::ALL, MessageKind::as_str, MessageKind::parse);
        check(Action::ALL, Action::as_str, Action::parse);
        check(Urgency::ALL, Urgency::as_str, Urgency::parse);
        check(Mark::ALL, Mark::as_str, Mark::parse);
        check(Gender::ALL, Gender::as_str, Gender::parse);
        check(NumberSource::ALL, NumberSource::as_str, NumberSource::parse);
        check(FollowUpBy::ALL, FollowUpBy::as_str, FollowUpBy::parse);
        check(OfferResult::ALL, OfferResult::as_str, OfferResult::parse);
        check(Privacy::ALL, Privacy::as_str, Privacy::parse);
    }
}
