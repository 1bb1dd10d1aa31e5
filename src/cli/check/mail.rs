//! The mail server: whether it can be reached, its certificate, the sign-in, and whether it takes mails from the sender. Sends
//! no mail.

use toritsugi::config::Config;
use toritsugi::outbox::{ProbeReport, Settings, TlsMode, probe};

use super::Finding;

const WHAT: &str = "mail";

/// What the test of the mail server found.
pub(super) async fn check(config: &Config) -> Finding {
    let settings = match config.mail_settings() {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            let detail = "no mail server: messages are saved and not sent; set mail.host and mail.from";
            return Finding::note(WHAT, detail.into());
        }
        Err(error) => return Finding::failed(WHAT, error.to_string()),
    };
    let (host, port, from) = (&settings.server.host, settings.server.port, &settings.from);
    match probe(&settings.server, from).await {
        Ok(report) => {
            Finding::ok(WHAT, format!("{host} port {port} takes mails from {from}, {}", how(&report)))
        }
        Err(error) => {
            let advice = advice(&error, &settings);
            Finding::failed(WHAT, format!("{host} port {port}: {error}; {advice}"))
        }
    }
}

fn how(report: &ProbeReport) -> &'static str {
    match (report.is_encrypted, report.is_signed_in) {
        (true, true) => "encrypted, signed in",
        (true, false) => "encrypted, without a user",
        (false, true) => "not encrypted, signed in",
        (false, false) => "not encrypted, without a user",
    }
}

/// What to do about an error, by the phase that it begins with.
fn advice(error: &str, settings: &Settings) -> &'static str {
    let is = |phase: &str| error.starts_with(phase);
    if is("connection:") {
        "correct mail.host and mail.port, or let this machine through to that port"
    } else if error.contains("certificate") || is("TLS") {
        "correct mail.server_name, or name the server's authority in mail.ca_file"
    } else if is("sign-in") {
        "correct mail.user and mail.password_file"
    } else if is("it does not take") {
        "correct mail.from, or let the provider allow this sender"
    } else if settings.server.tls == TlsMode::Tls {
        "port 465 is for mail.tls = \"tls\", and port 587 for \"starttls\""
    } else {
        "is this a mail server for submission? port 587 is for mail.tls = \"starttls\", and port 465 for \"tls\""
    }
}
