//! Where messages go that are no mail: which addresses the services of chats have, and what of an address may be shown.
//!
//! | kind | its address | what is shown of it |
//! |---|---|---|
//! | `slack`, `teams`, `line_works`, `google_chat` | the URL of an incoming webhook, which is a secret | its host, its last four characters, and a check value |
//! | `chatwork` | the number of the room; the token is in the configuration | the number |
//! | `line_works_bot` | `channels/` or `users/` with an id, and the profile of a bot, whose key is in the configuration | the whole |
//! | `sms`, `fax` | a telephone number, and the profile of a gateway | the number |
//!
//! Invariant: a URL is one of its service: the scheme, the host, the port and the beginning of the path are fixed for each kind, so no
//! endpoint lets the daemon reach another machine. Only the configuration adds hosts. What is shown identifies a URL and opens nothing.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use super::check::invalid;
use super::{EndpointKind, RecordError};
use crate::numbers::{Number, NumberKind, NumberPlan};
use crate::secret::Secret;

/// Longest URL, in bytes.
pub const CHANNEL_URL_BYTES_MAX: usize = 2_048;
/// Where the bots of LINE WORKS post.
const BOT_HOST: &str = "www.worksapis.com";
/// Where the bots of LINE WORKS get their tokens.
const BOT_TOKEN_HOST: &str = "auth.worksmobile.com";
const BOT_TOKEN_PATH: &str = "/oauth2/v2.0/token";
/// Longest mention, in characters.
const MENTION_CHARS_MAX: usize = 60;
/// How much of a URL is shown, in characters.
const SHOWN_CHARS: usize = 4;
/// Longest id of a channel or member of LINE WORKS, in characters.
const PLACE_CHARS_MAX: usize = 200;
/// Why an endpoint of another kind has no profile.
pub(super) const NO_PROFILE: &str = "only endpoints of the kinds sms, fax and line_works_bot have a profile";

/// What the installation lets endpoints be.
#[derive(Debug, Clone, Default)]
pub struct ChannelRules {
    /// Hosts in addition to a service's own, as `host` or `host:port`.
    pub hosts: BTreeMap<EndpointKind, Vec<String>>,
    /// Whether there is a token of Chatwork.
    pub has_chatwork: bool,
    /// The names of the bots of LINE WORKS.
    pub line_works_bots: Vec<String>,
    /// The names of the gateways of SMS.
    pub sms: Vec<String>,
    /// The names of the gateways of faxes.
    pub fax: Vec<String>,
    /// How numbers are read.
    pub plan: NumberPlan,
}

/// An address that was checked: what is shown of it, and the whole if that is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedAddress {
    /// What is shown.
    pub shown: String,
    /// The URL.
    pub secret: Option<Secret>,
}

impl EndpointKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Mail,
        Self::Slack,
        Self::Teams,
        Self::Chatwork,
        Self::LineWorks,
        Self::LineWorksBot,
        Self::GoogleChat,
        Self::Sms,
        Self::Fax,
    ];

    /// Whether it goes over the mail server.
    #[must_use]
    pub fn needs_mail_server(self) -> bool {
        matches!(self, Self::Mail | Self::Fax)
    }

    /// Whether it goes over a gateway or a bot of the configuration.
    #[must_use]
    pub fn has_profile(self) -> bool {
        matches!(self, Self::LineWorksBot | Self::Sms | Self::Fax)
    }

    /// Whether its address is a secret URL.
    #[must_use]
    pub fn has_secret(self) -> bool {
        matches!(self, Self::Slack | Self::Teams | Self::LineWorks | Self::GoogleChat)
    }

    /// Whether a message that is posted twice is shown twice there.
    #[must_use]
    pub fn shows_repeats(self) -> bool {
        matches!(self, Self::Slack | Self::Teams | Self::Chatwork | Self::LineWorks | Self::LineWorksBot)
    }

    /// What people call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Mail => "メール",
            Self::Slack => "Slack",
            Self::Teams => "Teams",
            Self::Chatwork => "Chatwork",
            Self::LineWorks => "LINE WORKS",
            Self::LineWorksBot => "LINE WORKS Bot",
            Self::GoogleChat => "Google Chat",
            Self::Sms => "SMS",
            Self::Fax => "FAX",
        }
    }

    /// The service's hosts; one that begins with a dot stands for all below it. And how a path begins.
    fn service(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Slack => (&["hooks.slack.com"], &["/services/", "/workflows/", "/triggers/"]),
            Self::Teams => (&[".logic.azure.com", ".api.powerplatform.com"], &["/"]),
            Self::LineWorks => (&["webhook.worksmobile.com"], &["/message/"]),
            Self::LineWorksBot => (&[BOT_HOST, BOT_TOKEN_HOST], &["/v1.0/bots/", BOT_TOKEN_PATH]),
            Self::GoogleChat => (&["chat.googleapis.com"], &["/v1/spaces/"]),
            Self::Chatwork => (&["api.chatwork.com"], &["/v2/rooms/"]),
            Self::Mail | Self::Sms | Self::Fax => (&[], &[]),
        }
    }
}

impl ChannelRules {
    /// Checks the address of an endpoint that is no mail.
    ///
    /// # Errors
    /// The service cannot have such an address, or the installation does not use the service.
    pub fn check(
        &self,
        kind: EndpointKind,
        address: &str,
        profile: Option<&str>,
    ) -> Result<CheckedAddress, RecordError> {
        let address = address.trim();
        if !kind.has_profile() && profile.is_some() {
            return Err(invalid("profile", NO_PROFILE.into()));
        }
        match kind {
            EndpointKind::Chatwork => {
                if !self.has_chatwork {
                    let why = "the configuration has no token of Chatwork: set chat.chatwork_token_file";
                    return Err(invalid("kind", why.into()));
                }
                let room = address.strip_prefix("rid").unwrap_or(address);
                if room.is_empty() || room.len() > 20 || !room.bytes().all(|byte| byte.is_ascii_digit()) {
                    let why = "write the number of the room: the digits after #!rid in its address";
                    return Err(invalid("address", why.into()));
                }
                Ok(CheckedAddress { shown: room.to_owned(), secret: None })
            }
            EndpointKind::LineWorksBot => {
                known(&self.line_works_bots, profile, "bot of LINE WORKS")?;
                Ok(CheckedAddress { shown: line_works_place(address)?, secret: None })
            }
            EndpointKind::Sms | EndpointKind::Fax => self.number(kind, address, profile),
            _ => {
                self.url(kind, address).map_err(|why| invalid("address", why))?;
                Ok(CheckedAddress { shown: shown(address), secret: Some(Secret::new(address)) })
            }
        }
    }

    /// A number that a gateway reaches.
    fn number(
        &self,
        kind: EndpointKind,
        address: &str,
        profile: Option<&str>,
    ) -> Result<CheckedAddress, RecordError> {
        let is_fax = kind == EndpointKind::Fax;
        let names = if is_fax { &self.fax } else { &self.sms };
        known(names, profile, if is_fax { "gateway of FAX" } else { "gateway of SMS" })?;
        let is_reached = |number: &Number| match number.kind() {
            NumberKind::Mobile | NumberKind::Foreign => !is_fax,
            NumberKind::Fixed | NumberKind::Ip | NumberKind::TollFree => is_fax,
            _ => false,
        };
        let number = Number::read(address, &self.plan).filter(is_reached).ok_or_else(|| {
            let what = if is_fax { "a fax of this country" } else { "a mobile telephone" };
            invalid("address", format!("write the number of {what}"))
        })?;
        Ok(CheckedAddress { shown: number.key().to_owned(), secret: None })
    }

    /// The URL of a service. The reason never repeats the text.
    ///
    /// # Errors
    /// It is none of the service.
    pub fn url(&self, kind: EndpointKind, text: &str) -> Result<Url, String> {
        let (hosts, paths) = kind.service();
        let example = hosts.first().copied().unwrap_or_default().trim_start_matches('.');
        let wrong = || format!("write the webhook's URL as {} shows it: https://…{example}/…", kind.label());
        if text.len() > CHANNEL_URL_BYTES_MAX {
            return Err(format!("longer than {CHANNEL_URL_BYTES_MAX} bytes"));
        }
        let url = Url::parse(text).map_err(|_| wrong())?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if url.scheme() != "https" || has_user || url.fragment().is_some() {
            return Err(wrong());
        }
        let host = match url.host() {
            Some(Host::Domain(host)) => host.to_owned(),
            Some(host) => host.to_string(),
            None => return Err(wrong()),
        };
        let of_service = url.port().is_none()
            && hosts.iter().any(|known| match known.strip_prefix('.') {
                Some(_) => host.len() > known.len() && host.ends_with(known),
                None => host == *known,
            });
        let with_port = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let is_added = self.hosts.get(&kind).is_some_and(|added| added.contains(&with_port));
        if !of_service && !is_added || !paths.iter().any(|path| url.path().starts_with(path)) {
            return Err(wrong());
        }
        Ok(url)
    }

    /// Where Chatwork takes the messages of a room.
    ///
    /// # Errors
    /// An added host is none.
    pub fn chatwork_url(&self, room: &str) -> Result<Url, String> {
        let host = self.host(EndpointKind::Chatwork, "api.chatwork.com");
        self.url(EndpointKind::Chatwork, &format!("https://{host}/v2/rooms/{room}/messages"))
    }

    /// Where LINE WORKS takes the messages of a bot to a place: `channels/` or `users/` with an id.
    ///
    /// # Errors
    /// An added host is none.
    pub fn line_works_url(&self, bot: u64, place: &str) -> Result<Url, String> {
        let host = self.host(EndpointKind::LineWorksBot, BOT_HOST);
        self.url(EndpointKind::LineWorksBot, &format!("https://{host}/v1.0/bots/{bot}/{place}/messages"))
    }

    /// Where LINE WORKS gives a bot its token.
    ///
    /// # Errors
    /// An added host is none.
    pub fn line_works_token_url(&self) -> Result<Url, String> {
        let host = self.host(EndpointKind::LineWorksBot, BOT_TOKEN_HOST);
        self.url(EndpointKind::LineWorksBot, &format!("https://{host}{BOT_TOKEN_PATH}"))
    }

    /// The first host that the configuration adds, or the service's own.
    fn host<'a>(&'a self, kind: EndpointKind, own: &'a str) -> &'a str {
        self.hosts.get(&kind).and_then(|hosts| hosts.first()).map_or(own, String::as_str)
    }
}

/// Whether the configuration has the profile of an endpoint.
fn known(names: &[String], profile: Option<&str>, what: &str) -> Result<(), RecordError> {
    if profile.is_some_and(|name| names.iter().any(|known| known == name)) {
        return Ok(());
    }
    let why = if names.is_empty() {
        format!("the configuration has no {what}: set chat.gateways_file")
    } else {
        format!("write the name of a {what}: {}", names.join(", "))
    };
    Err(invalid("profile", why))
}

/// A channel or a member of LINE WORKS, as the path of its API names it. A bare id is a channel; one with `@` is a member.
fn line_works_place(address: &str) -> Result<String, RecordError> {
    let (what, id) = match address.split_once('/') {
        Some((what, id)) => (what, id),
        None if address.contains('@') => ("users", address),
        None => ("channels", address),
    };
    let is_id = id.len() <= PLACE_CHARS_MAX
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte));
    if !is_id || !matches!(what, "channels" | "users") {
        let why = "write the channel as channels/ID, or the member as users/ID";
        return Err(invalid("address", why.into()));
    }
    Ok(format!("{what}/{id}"))
}

/// Who is called in a chat: a member, or everybody.
///
/// # Errors
/// The service has no such word.
pub(super) fn check_mention(kind: EndpointKind, text: Option<String>) -> Result<Option<String>, RecordError> {
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let alphanumeric = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    };
    let (is_known, hint) = match kind {
        EndpointKind::Slack => (
            matches!(text.as_str(), "channel" | "here")
                || text.starts_with(['U', 'W', 'S']) && alphanumeric(&text),
            "write channel, here, or the id of a member (U…) or group (S…)",
        ),
        EndpointKind::Chatwork => (
            text == "all" || text.bytes().all(|byte| byte.is_ascii_digit()),
            "write all, or the account id of a member",
        ),
        _ => (false, "only slack and chatwork call somebody"),
    };
    if !is_known || text.chars().count() > MENTION_CHARS_MAX {
        return Err(invalid("mention", hint.into()));
    }
    Ok(Some(text))
}

/// What is shown of a secret URL: its host, its last characters, and a value by which two URLs differ.
fn shown(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let mut last: Vec<char> = url.chars().rev().take(SHOWN_CHARS).collect();
    last.reverse();
    let digest = Sha256::digest(url.as_bytes());
    let check: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{host}/…{} ({check})", last.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: &str = "https://hooks.slack.com/services/T0/B0/abcdefghijkl";
    const TEAMS: &str = "https://prod-00.japaneast.logic.azure.com:443/workflows/0a/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=A-b_c%2Bd";

    fn rules() -> ChannelRules {
        ChannelRules {
            has_chatwork: true,
            line_works_bots: vec!["desk".into()],
            sms: vec!["main".into()],
            fax: vec!["faxes".into()],
            ..ChannelRules::default()
        }
    }

    #[test]
    fn each_kind_takes_the_addresses_of_its_service_alone() {
        use EndpointKind::{Chatwork, Fax, GoogleChat, LineWorks, LineWorksBot, Slack, Sms, Teams};
        for (kind, address, profile, expected) in [
            (Slack, SLACK, None, "hooks.slack.com/…ijkl ("),
            (Teams, TEAMS, None, "prod-00.japaneast.logic.azure.com/…%2Bd ("),
            (
                LineWorks,
                "https://webhook.worksmobile.com/message/0a1b",
                None,
                "webhook.worksmobile.com/…0a1b (",
            ),
            (
                GoogleChat,
                "https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=tokn",
                None,
                "…tokn (",
            ),
            (Chatwork, " rid1234 ", None, "1234"),
            (LineWorksBot, " 12345a12-b12c-12d3 ", Some("desk"), "channels/12345a12-b12c-12d3"),
            (LineWorksBot, "yamada@example", Some("desk"), "users/yamada@example"),
            (LineWorksBot, "users/d191e339-3299", Some("desk"), "users/d191e339-3299"),
            (Sms, "090-1234-5678", Some("main"), "+819012345678"),
            (Fax, "03-5550-1000", Some("faxes"), "+81355501000"),
        ] {
            let checked = rules().check(kind, address, profile).unwrap();
            assert!(checked.shown.contains(expected), "{}", checked.shown);
            assert_eq!(checked.secret.is_some(), kind.has_secret());
            assert!(!kind.has_secret() || !format!("{checked:?}").contains("services/T0"));
        }
        for (kind, address) in [
            (Slack, "http://hooks.slack.com/services/T/B/x"),
            (Slack, "https://hooks.slack.com.evil.example/services/T/B/x"),
            (Slack, "https://evil.example/services/T/B/x"),
            (Slack, "https://u:p@hooks.slack.com/services/T/B/x"),
            (Slack, "https://hooks.slack.com:8443/services/T/B/x"),
            (Slack, "https://hooks.slack.com/api/chat.postMessage"),
            (Slack, "https://127.0.0.1/services/T/B/x"),
            (Slack, "https://[::1]/services/T/B/x"),
            (Slack, TEAMS),
            (Teams, "https://logic.azure.com/workflows/x"),
            (Teams, "https://evil-logic.azure.com/workflows/x"),
            (Teams, SLACK),
            (LineWorks, "https://webhook.worksmobile.com/other"),
            (GoogleChat, "https://chat.googleapis.com/v2/x"),
            (Chatwork, "https://www.chatwork.com/#!rid1"),
            (Chatwork, "12/../../me"),
            (LineWorksBot, ".."),
            (LineWorksBot, "users/a/../../channels"),
            (LineWorksBot, "bots/1"),
            (LineWorksBot, "channels/"),
            (LineWorksBot, "channels/a?b"),
            (LineWorksBot, "channels/a%2fb"),
        ] {
            let profile = (kind == LineWorksBot).then_some("desk");
            let error = rules().check(kind, address, profile).unwrap_err().to_string();
            assert!(error.starts_with("address: write the"), "{error}");
            assert!(!error.contains("T/B/x"), "the reason shows nothing of it: {error}");
        }
    }

    #[test]
    fn what_the_installation_does_not_have_is_refused_with_what_to_set() {
        let none = ChannelRules::default();
        for (rules, kind, address, profile, words) in [
            (&none, EndpointKind::Chatwork, "1", None, "kind: the configuration has no token"),
            (
                &none,
                EndpointKind::Sms,
                "09012345678",
                Some("main"),
                "profile: the configuration has no gateway of SMS",
            ),
            (
                &rules(),
                EndpointKind::Sms,
                "09012345678",
                Some("other"),
                "profile: write the name of a gateway of SMS: main",
            ),
            (
                &rules(),
                EndpointKind::Sms,
                "0355501000",
                Some("main"),
                "address: write the number of a mobile",
            ),
            (
                &none,
                EndpointKind::Fax,
                "0355501000",
                None,
                "profile: the configuration has no gateway of FAX",
            ),
            (&rules(), EndpointKind::Fax, "09012345678", Some("faxes"), "address: write the number of a fax"),
            (&rules(), EndpointKind::Fax, "0990500000", Some("faxes"), "address: write the number of a fax"),
            (&rules(), EndpointKind::Slack, SLACK, Some("main"), "profile: only endpoints"),
            (
                &none,
                EndpointKind::LineWorksBot,
                "1",
                Some("desk"),
                "profile: the configuration has no bot of LINE WORKS: set chat.gateways_file",
            ),
            (
                &rules(),
                EndpointKind::LineWorksBot,
                "1",
                None,
                "profile: write the name of a bot of LINE WORKS: desk",
            ),
        ] {
            let error = rules.check(kind, address, profile).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn a_host_of_the_configuration_is_added_with_its_port() {
        let mut rules = rules();
        rules.hosts.insert(EndpointKind::Slack, vec!["hooks.slack-gov.com".into(), "localhost:8443".into()]);
        for (url, is_known) in [
            ("https://hooks.slack-gov.com/services/T/B/x", true),
            ("https://localhost:8443/services/T/B/x", true),
            ("https://localhost/services/T/B/x", false),
            ("https://localhost:8443/admin", false),
        ] {
            assert_eq!(rules.url(EndpointKind::Slack, url).is_ok(), is_known, "{url}");
        }
        assert_eq!(
            rules.chatwork_url("12").unwrap().as_str(),
            "https://api.chatwork.com/v2/rooms/12/messages"
        );
        assert_eq!(
            rules.line_works_url(2_000_001, "users/yamada@example").unwrap().as_str(),
            "https://www.worksapis.com/v1.0/bots/2000001/users/yamada@example/messages"
        );
        let token = "https://auth.worksmobile.com/oauth2/v2.0/token";
        assert_eq!(rules.line_works_token_url().unwrap().as_str(), token);
        rules.hosts.insert(EndpointKind::LineWorksBot, vec!["localhost:8443".into()]);
        let token = "https://localhost:8443/oauth2/v2.0/token";
        assert_eq!(rules.line_works_token_url().unwrap().as_str(), token);
    }

    #[test]
    fn a_mention_is_one_of_the_service() {
        let check = |kind, text: &str| check_mention(kind, Some(text.to_owned()));
        assert_eq!(check(EndpointKind::Slack, " U0AB1 ").unwrap().as_deref(), Some("U0AB1"));
        assert_eq!(check(EndpointKind::Chatwork, "all").unwrap().as_deref(), Some("all"));
        assert_eq!(check(EndpointKind::Teams, "").unwrap(), None);
        for (kind, text) in [
            (EndpointKind::Slack, "U0> <!channel"),
            (EndpointKind::Chatwork, "1][toall"),
            (EndpointKind::Teams, "x"),
        ] {
            assert!(check(kind, text).is_err(), "{text}");
        }
    }
}
