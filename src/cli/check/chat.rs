//! Chats and SMS: what the configuration allows. Posts nothing.

use toritsugi::config::Config;

use super::Finding;

const WHAT: &str = "chats";

/// What the section `[chat]` gives.
pub(super) fn check(config: &Config) -> Finding {
    match config.chat_settings() {
        Ok(settings) => {
            let chatwork = if settings.chatwork.is_some() { ", Chatwork" } else { "" };
            let over = |what: &str, names: Vec<&str>| {
                if names.is_empty() { String::new() } else { format!(", {what} {}", names.join(", ")) }
            };
            let bots =
                over("bots of LINE WORKS", settings.line_works_bots.keys().map(String::as_str).collect());
            let sms = over("SMS over", settings.sms.keys().map(String::as_str).collect());
            Finding::ok(WHAT, format!("Slack, Teams, LINE WORKS, Google Chat{chatwork}{bots}{sms}"))
        }
        Err(error) => Finding::failed(WHAT, error.to_string()),
    }
}
