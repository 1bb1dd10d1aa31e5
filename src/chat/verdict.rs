//! What an answer of a service means for a delivery, and why there is none.
//!
//! Invariant: pure. The words of a service are kept without the secret that its address is, and are printable and short.

use std::time::Duration;

use crate::contract::records::EndpointKind;
use crate::webhook::PostError;

/// The wait after a 429 that says no time.
pub(super) const LIMITED_DELAY: Duration = Duration::from_secs(30);
/// The longest wait after a 429.
pub(super) const LIMITED_DELAY_LONGEST: Duration = Duration::from_secs(900);
/// How much of an answer is kept, in characters.
const WORDS_CHARS_MAX: usize = 200;

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The service has it.
    Accepted,
    /// Not now.
    Deferred {
        /// What it said.
        error: String,
    },
    /// This recipient wants no more for now.
    Limited {
        /// For how long.
        wait: Duration,
        /// What it said.
        error: String,
    },
    /// The service does not take the token of the configuration: nobody's delivery can be sent.
    BadToken {
        /// What it said.
        error: String,
    },
    /// It may have it, or not.
    Unknown {
        /// What happened.
        error: String,
    },
    /// Never.
    Refused {
        /// What it said.
        error: String,
        /// The status.
        status: String,
    },
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// The header `Retry-After`, or `RateLimit-Reset`.
    pub(super) retry_after: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// The verdict. `ok_contains`: what a 2xx must say. `secret`: what must be in no words.
pub(super) fn verdict(
    kind: EndpointKind,
    answer: Answer<'_>,
    ok_contains: Option<&str>,
    secret: Option<&str>,
) -> Verdict {
    let words = words(answer.body, secret);
    let error = format!(
        "{} answered {}{}",
        kind.label(),
        answer.status,
        words.map(|words| format!(": {words}")).unwrap_or_default()
    );
    let has_token = matches!(kind, EndpointKind::Chatwork | EndpointKind::LineWorksBot | EndpointKind::Sms);
    match answer.status {
        200..300 => match ok_contains {
            Some(wanted) if !String::from_utf8_lossy(answer.body).contains(wanted) => Verdict::Refused {
                error: format!("{error}; it lacks {wanted:?}"),
                status: answer.status.to_string(),
            },
            _ => Verdict::Accepted,
        },
        429 => Verdict::Limited { wait: wait_of(answer.retry_after), error },
        401 if has_token => Verdict::BadToken { error },
        408 | 425 | 500.. => Verdict::Deferred { error },
        status => Verdict::Refused { error, status: status.to_string() },
    }
}

/// Why there is no answer. The causes name addresses and protocols, never the URL.
pub(super) fn described(error: &PostError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

/// How long to wait; a date instead of seconds counts as none.
fn wait_of(retry_after: Option<&str>) -> Duration {
    let seconds =
        retry_after.and_then(|text| text.trim().parse::<f64>().ok()).filter(|seconds| *seconds >= 0.0);
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    wait.unwrap_or(LIMITED_DELAY).clamp(Duration::from_secs(1), LIMITED_DELAY_LONGEST)
}

/// The first words of an answer. None if it repeats the secret.
fn words(body: &[u8], secret: Option<&str>) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let mut parts = secret
        .into_iter()
        .flat_map(|secret| secret.split(['/', '?', '&', '=']))
        .filter(|part| part.len() >= 8);
    let is_repeated = parts.any(|part| text.contains(part));
    let shown: String = text.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect();
    (!is_repeated && !shown.trim().is_empty()).then(|| shown.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: EndpointKind, status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
        let answer = Answer { status, retry_after, body: body.as_bytes() };
        verdict(kind, answer, None, Some("https://hooks.slack.com/services/T0001/B0000002/abcdefghijkl"))
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn each_status_has_its_meaning() {
        use EndpointKind::{Chatwork, Slack, Teams};
        let error = |text: &str| text.to_owned();
        for (kind, status, retry_after, body, expected) in [
            (Slack, 200, None, "ok", Verdict::Accepted),
            (Teams, 202, None, "", Verdict::Accepted),
            (
                Slack,
                404,
                None,
                "no_team",
                Verdict::Refused { error: error("Slack answered 404: no_team"), status: "404".into() },
            ),
            (
                Slack,
                410,
                None,
                "channel_is_archived",
                Verdict::Refused {
                    error: error("Slack answered 410: channel_is_archived"),
                    status: "410".into(),
                },
            ),
            (
                Slack,
                401,
                None,
                "",
                Verdict::Refused { error: error("Slack answered 401"), status: "401".into() },
            ),
            (
                Slack,
                302,
                None,
                "",
                Verdict::Refused { error: error("Slack answered 302"), status: "302".into() },
            ),
            (
                Chatwork,
                401,
                None,
                "Invalid API Token",
                Verdict::BadToken { error: error("Chatwork answered 401: Invalid API Token") },
            ),
            (Slack, 500, None, "", Verdict::Deferred { error: error("Slack answered 500") }),
            (
                Slack,
                503,
                None,
                "\r\n\u{7}down",
                Verdict::Deferred { error: error("Slack answered 503: down") },
            ),
            (Slack, 408, None, "", Verdict::Deferred { error: error("Slack answered 408") }),
            (
                Slack,
                429,
                Some("7"),
                "",
                Verdict::Limited { wait: Duration::from_secs(7), error: error("Slack answered 429") },
            ),
            (
                Slack,
                429,
                None,
                "",
                Verdict::Limited { wait: LIMITED_DELAY, error: error("Slack answered 429") },
            ),
            (
                Slack,
                429,
                Some("1e300"),
                "",
                Verdict::Limited { wait: LIMITED_DELAY, error: error("Slack answered 429") },
            ),
            (
                Slack,
                429,
                Some("99999"),
                "",
                Verdict::Limited { wait: LIMITED_DELAY_LONGEST, error: error("Slack answered 429") },
            ),
            (
                Slack,
                429,
                Some("-3"),
                "",
                Verdict::Limited { wait: LIMITED_DELAY, error: error("Slack answered 429") },
            ),
            (
                Slack,
                429,
                Some("Wed, 21 Oct 2026 07:28:00 GMT"),
                "",
                Verdict::Limited { wait: LIMITED_DELAY, error: error("Slack answered 429") },
            ),
        ] {
            assert_eq!(of(kind, status, retry_after, body), expected);
        }
    }

    #[test]
    fn words_that_repeat_the_secret_are_not_kept() {
        let refused = of(EndpointKind::Slack, 403, None, "no access to T0001/B0000002/abcdefghijkl");
        assert_eq!(refused, Verdict::Refused { error: "Slack answered 403".into(), status: "403".into() });
        let long = of(EndpointKind::Slack, 500, None, &"あ".repeat(5_000));
        assert!(matches!(&long, Verdict::Deferred { error } if error.chars().count() < 300), "{long:?}");
    }

    #[test]
    fn an_answer_that_lacks_what_the_gateway_says_is_a_refusal() {
        let answer = Answer { status: 200, retry_after: None, body: b"{\"status\":\"rejected\"}" };
        let refused = verdict(EndpointKind::Sms, answer, Some("accepted"), None);
        assert!(
            matches!(&refused, Verdict::Refused { error, .. } if error.ends_with("it lacks \"accepted\"")),
            "{refused:?}"
        );
        let answer = Answer { status: 200, retry_after: None, body: b"{\"status\":\"accepted\"}" };
        assert_eq!(verdict(EndpointKind::Sms, answer, Some("accepted"), None), Verdict::Accepted);
    }
}
