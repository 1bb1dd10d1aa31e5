//! Gateways that turn a mail into a fax: the address of a number, the text in lines of a width, and what their result mails say.
//!
//! | the mail | is |
//! |---|---|
//! | to a gateway | the text of the fax, in ISO-2022-JP with JIS X 0208 alone, or without a text and with the fax as a PDF ([`FaxBody`]); the subject is the message's number |
//! | from a gateway | a result, if it says one of the gateway's words and the number of a message |
//!
//! Invariant: pure. Nothing of a message is in the address or the subject.

use serde::Deserialize;

use super::{MailAddress, MailAddressError};

/// Most columns of a line: a full-width character takes two.
pub const FAX_COLUMNS_MAX: usize = 78;
/// What stands for the number in the address of a gateway.
pub const FAX_NUMBER: &str = "{number}";

/// What of a mail a gateway turns into a fax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaxBody {
    /// Its text.
    #[default]
    Text,
    /// The PDF that is attached; its text is empty.
    Pdf,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaxGateway {
    /// The address, with [`FAX_NUMBER`] in it.
    to: String,
    /// The sender that the gateway knows; results come back there.
    pub from: MailAddress,
    /// What it turns into a fax.
    pub body: FaxBody,
    /// Columns of a line of the text; longer lines are cut off by some gateways.
    pub columns: usize,
    /// Words of a result mail of a fax that arrived.
    pub result_ok: Vec<String>,
    /// Words of a result mail of one that did not.
    pub result_failed: Vec<String>,
    /// Words by which such a mail says that the line was busy: the fax is sent again later.
    pub result_busy: Vec<String>,
}

/// What became of a fax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaxOutcome {
    /// It arrived.
    Sent,
    /// The line was busy.
    Busy,
    /// It did not arrive.
    Failed,
}

/// What the result mail of a gateway says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaxResult {
    /// The number of the message.
    pub number: String,
    /// What became of it.
    pub outcome: FaxOutcome,
}

impl FaxGateway {
    /// A gateway under this address.
    ///
    /// # Errors
    /// The address has no [`FAX_NUMBER`], or is none with a number in its place.
    pub fn new(to: &str, from: MailAddress, columns: usize) -> Result<Self, String> {
        if to.matches(FAX_NUMBER).count() != 1 {
            return Err(format!("write {FAX_NUMBER} once, for instance {FAX_NUMBER}@fax.example.jp"));
        }
        let gateway = Self {
            to: to.to_owned(),
            from,
            body: FaxBody::default(),
            columns: columns.clamp(20, FAX_COLUMNS_MAX),
            result_ok: Vec::new(),
            result_failed: Vec::new(),
            result_busy: Vec::new(),
        };
        gateway.address("0312345678").map_err(|error| error.to_string())?;
        Ok(gateway)
    }

    /// The address of a number, of which only the digits are written.
    ///
    /// # Errors
    /// There is no such address.
    pub fn address(&self, national: &str) -> Result<MailAddress, MailAddressError> {
        let digits: String = national.chars().filter(char::is_ascii_digit).collect();
        self.to.replace(FAX_NUMBER, &digits).parse()
    }

    /// What a mail says, if it is a result of this gateway. A mail that says that a fax arrived and that it did not is none.
    #[must_use]
    pub fn result(&self, text: &str) -> Option<FaxResult> {
        let says = |words: &[String]| words.iter().any(|word| text.contains(word.as_str()));
        let (is_sent, is_busy) = (says(&self.result_ok), says(&self.result_busy));
        let outcome = match (is_sent, says(&self.result_failed) || is_busy) {
            (true, false) => FaxOutcome::Sent,
            (false, true) if is_busy => FaxOutcome::Busy,
            (false, true) => FaxOutcome::Failed,
            _ => return None,
        };
        Some(FaxResult { number: message_number_in(text)?, outcome })
    }
}

/// The first number of a message in a text: `261130-0007`.
fn message_number_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '-');
    let is_number = |word: &&str| {
        word.split_once('-').is_some_and(|(day, count)| {
            day.len() == 6 && (4..=8).contains(&count.len()) && !count.contains('-')
        })
    };
    words.into_iter().find(is_number).map(str::to_owned)
}

/// A text in lines of at most `columns`; a full-width character takes two.
#[must_use]
pub fn in_columns(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut used = 0;
        for c in line.chars() {
            let width = if c.is_ascii() || ('\u{ff61}'..='\u{ff9f}').contains(&c) { 1 } else { 2 };
            if used + width > columns.max(2) {
                out.push('\n');
                used = 0;
            }
            out.push(c);
            used += width;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> FaxGateway {
        let mut gateway =
            FaxGateway::new("{number}@fax.example.jp", "fax@example.jp".parse().unwrap(), 70).unwrap();
        gateway.result_ok = vec!["FAX送信が成功".into()];
        gateway.result_failed = vec!["FAX送信が失敗".into()];
        gateway.result_busy = vec!["話中".into()];
        gateway
    }

    #[test]
    fn a_number_is_an_address_of_the_gateway() {
        let address = |number: &str| gateway().address(number).unwrap().to_string();
        assert_eq!(address("03-1234-5678"), "0312345678@fax.example.jp");
        assert_eq!(address("03 1234,5678@evil.example"), "0312345678@fax.example.jp");
        for wrong in ["fax@example.jp", "{number}{number}@example.jp", "{number}", "{number}@"] {
            assert!(FaxGateway::new(wrong, "fax@example.jp".parse().unwrap(), 70).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_result_names_a_message_and_says_one_thing() {
        let found = |text: &str| gateway().result(text).map(|result| (result.number, result.outcome));
        let of_number = |outcome| Some(("261130-0007".to_owned(), outcome));
        assert_eq!(found("Re: 261130-0007\nFAX送信が成功しました"), of_number(FaxOutcome::Sent));
        assert_eq!(found("FAX送信が失敗しました(話中) 件名:261130-0007"), of_number(FaxOutcome::Busy));
        assert_eq!(found("FAX送信が失敗しました 件名:261130-0007"), of_number(FaxOutcome::Failed));
        for text in [
            "FAX送信が成功しました",
            "261130-0007 を受け付けました",
            "FAX送信が成功 FAX送信が失敗 261130-0007",
            "FAX送信が成功 話中 261130-0007",
            "FAX送信が成功 03-1234-5678 2611300-0007 261130-00-07",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn lines_have_a_width() {
        assert_eq!(in_columns("あいうえお\nabc", 6), "あいう\nえお\nabc\n");
        assert_eq!(in_columns("aあいう", 6), "aあい\nう\n");
        assert_eq!(in_columns("ｱｲｳ\n\nx", 2), "ｱｲ\nｳ\n\nx\n");
    }
}
