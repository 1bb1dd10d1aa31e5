//! The mail server: whether it can be reached, its certificate, the sign-in, and whether it takes mails from the sender. Sends
//! no mail. Besides, the mailbox of mails that come back, and the addresses to which nothing is sent.

use toritsugi::config::Config;
use toritsugi::mail::{FaxBody, MailAddress};
use toritsugi::outbox::{ProbeReport, Server, Settings, TlsMode, probe, probe_mailbox, probe_recipient};
use toritsugi::report::ReportFont;
use toritsugi::store::{SchemaStatus, Store};

use super::Finding;

const WHAT: &str = "mail";
/// Most accounts that a finding names.
const ACCOUNTS_NAMED_MAX: usize = 10;

/// Every finding about mail: those of `check`, and what needs further connections.
pub(super) async fn all(config: &Config) -> Vec<Finding> {
    let mut findings = vec![check(config).await];
    findings.extend(hosts(config).await);
    findings.extend(backup(config).await);
    findings.extend(fax_senders(config).await);
    findings.extend(returned(config).await);
    findings.extend(return_path(config).await);
    findings.extend(addresses(config).await);
    findings
}

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
    let (host, port, from) = (&settings.server.host, settings.server.port, settings.envelope_sender());
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

/// The servers of accounts, and the accounts whose server the configuration does not have.
pub(super) async fn hosts(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "mail hosts";
    let Ok(Some(settings)) = config.mail_settings() else { return Vec::new() };
    let mut findings = Vec::new();
    for (name, host) in &settings.hosts {
        let settings = settings.of_host(host);
        let (host, port, from) = (&host.server.host, host.server.port, settings.envelope_sender());
        findings.push(match probe(&settings.server, from).await {
            Ok(report) => {
                let how = how(&report);
                Finding::ok(WHAT, format!("{name}: {host} port {port} takes mails from {from}, {how}"))
            }
            Err(error) => {
                let detail =
                    format!("{name}: {host} port {port}: {error}; correct [mail.hosts.{name}], or remove it");
                Finding::failed(WHAT, detail)
            }
        });
    }
    findings.extend(
        accounts_of_other_hosts(config, &settings).await.map(|detail| Finding::warning(WHAT, detail)),
    );
    findings
}

/// Which accounts have a server that the configuration does not have; `None` if there is none, or no database.
async fn accounts_of_other_hosts(config: &Config, settings: &Settings) -> Option<String> {
    let location = config.store.location().ok()?;
    let Ok(SchemaStatus::Current { .. }) = Store::inspect_at(&location).await else { return None };
    let store = Store::open_at(&location).await.ok()?;
    let accounts = store.all_accounts().await;
    store.close().await;
    let (accounts, _) = accounts.ok()?;
    let of_others: Vec<String> = accounts
        .iter()
        .filter_map(|account| {
            let host = account.fields.mail_host.as_deref()?;
            (!settings.hosts.contains_key(host)).then(|| format!("{} ({host})", account.fields.code))
        })
        .collect();
    (!of_others.is_empty()).then(|| {
        format!(
            "{} accounts have a mail server that [mail.hosts] does not have, and send over the main one: {}; add it, or run \
             `toritsugi accounts set CODE mail_host=`",
            of_others.len(),
            of_others[..of_others.len().min(ACCOUNTS_NAMED_MAX)].join(", ")
        )
    })
}

/// The server that urgent mails go over while another one refuses all, and whether it takes them from all senders; `None` without
/// one.
pub(super) async fn backup(config: &Config) -> Option<Finding> {
    const WHAT: &str = "mail backup";
    let settings = config.mail_settings().ok()??;
    let Server { host, port, .. } = &settings.backup.as_ref()?.server;
    let mut senders = vec![settings.envelope_sender().clone()];
    senders.extend(settings.hosts.values().map(|host| settings.of_host(host).envelope_sender().clone()));
    senders.sort_unstable_by_key(ToString::to_string);
    senders.dedup();
    let mut taken = Vec::new();
    for from in senders {
        match probe(&settings.backup.as_ref()?.server, &from).await {
            Ok(report) => taken.push(format!("{from}, {}", how(&report))),
            Err(error) => {
                let detail =
                    format!("{host} port {port}: {from}: {error}; correct [mail.backup], or remove its host");
                return Some(Finding::failed(WHAT, detail));
            }
        }
    }
    Some(Finding::ok(WHAT, format!("{host} port {port} takes mails from {}", taken.join("; "))))
}

/// The mailbox of mails that come back; `None` without a mail server.
pub(super) async fn returned(config: &Config) -> Option<Finding> {
    const WHAT: &str = "returned mails";
    let settings = config.mail_settings().ok()??;
    if let (Some(address), None) = (&settings.reply_address, &settings.mailbox) {
        let detail =
            format!("answers to {address} must be passed to `toritsugi mail bounce`, or set mail.imap.host");
        return Some(Finding::note(WHAT, detail));
    }
    let Some(address) = &settings.bounce_address else {
        let detail = "mails that come back name no delivery: set mail.bounce_address";
        return Some(Finding::note(WHAT, detail.into()));
    };
    let Some(mailbox) = &settings.mailbox else {
        let detail = format!(
            "{address} and its plus-addresses must be passed to `toritsugi mail bounce`, or set mail.imap.host"
        );
        return Some(Finding::note(WHAT, detail));
    };
    Some(match probe_mailbox(mailbox).await {
        Ok(count) => Finding::ok(WHAT, format!("{} has {count} of them for {address}", mailbox.host)),
        Err(error) => {
            let advice = "correct mail.imap.host, port, user and password_file";
            Finding::failed(WHAT, format!("{} port {}: {error}; {advice}", mailbox.host, mailbox.port))
        }
    })
}

/// Whether plus-addresses of `mail.bounce_address` are taken, by which mails that come back name their delivery; `None` without
/// one, or if the server cannot be asked.
async fn return_path(config: &Config) -> Option<Finding> {
    const WHAT: &str = "return path";
    let settings = config.mail_settings().ok()??;
    let address = settings.bounce_address.as_ref()?;
    let plus: MailAddress = address.to_string().replacen('@', "+check@", 1).parse().ok()?;
    let refusal = probe_recipient(&settings.server, settings.envelope_sender(), &plus).await.ok()?;
    Some(match refusal {
        None => Finding::ok(WHAT, format!("{} takes {plus}", settings.server.host)),
        Some(words) => Finding::note(
            WHAT,
            format!(
                "{plus} is refused ({words}): let plus-addresses reach the mailbox of mail.bounce_address; until then \
                 mails that come back may name no delivery"
            ),
        ),
    })
}

/// Whether the mail server takes mails from the senders of the gateways of faxes.
async fn fax_senders(config: &Config) -> Vec<Finding> {
    const WHAT: &str = "fax gateway";
    let Ok(Some(settings)) = config.mail_settings() else { return Vec::new() };
    let mut findings = Vec::new();
    for (name, gateway) in &settings.fax {
        if gateway.body == FaxBody::Pdf
            && let Err(error) = ReportFont::load(settings.report_font.as_deref())
        {
            findings.push(Finding::failed(WHAT, format!("{name}: {error}")));
            continue;
        }
        findings.push(match probe(&settings.server, &gateway.from).await {
            Ok(_) => Finding::ok(WHAT, format!("{name}: the mail server takes mails from {}", gateway.from)),
            Err(error) => Finding::failed(
                WHAT,
                format!(
                    "{name}: {error}; correct `from` of [fax.{name}], or let the provider allow this sender"
                ),
            ),
        });
    }
    findings
}

/// The addresses to which nothing is sent; `None` if there are none, or no database.
pub(super) async fn addresses(config: &Config) -> Option<Finding> {
    let location = config.store.location().ok()?;
    let Ok(SchemaStatus::Current { .. }) = Store::inspect_at(&location).await else { return None };
    let store = Store::open_at(&location).await.ok()?;
    let suspended = store.suspended_addresses().await;
    store.close().await;
    let suspended = suspended.ok().filter(|suspended| !suspended.is_empty())?;
    let detail = format!(
        "nothing is sent to {} of them, the latest {}: `toritsugi mail suspended` says why",
        suspended.len(),
        suspended[0].address
    );
    Some(Finding::warning("mail addresses", detail))
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
        "correct mail.user and mail.password_file, or what gives the token"
    } else if is("it does not take") {
        "correct mail.from, or let the provider allow this sender"
    } else if settings.server.tls == TlsMode::Tls {
        "port 465 is for mail.tls = \"tls\", and port 587 for \"starttls\""
    } else {
        "is this a mail server for submission? port 587 is for mail.tls = \"starttls\", and port 465 for \"tls\""
    }
}
