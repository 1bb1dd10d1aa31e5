//! Chats and SMS: what the configuration allows. Posts nothing.

use toritsugi::config::Config;

use super::Finding;

const WHAT: &str = "chats";

/// What the section `[chat]` gives.
pub(super) fn check(config: &Config) -> Finding {
    match config.chat_settings() {
        Ok(settings) => {
            let chatwork = if settings.chatwork.is_some() { ", Chatwork" } else { "" };
            let gateways: Vec<&str> = settings.sms.keys().map(String::as_str).collect();
            let sms = if gateways.is_empty() {
                String::new()
            } else {
                format!(", SMS over {}", gateways.join(", "))
            };
            Finding::ok(WHAT, format!("Slack, Teams, LINE WORKS, Google Chat{chatwork}{sms}"))
        }
        Err(error) => Finding::failed(WHAT, error.to_string()),
    }
}
