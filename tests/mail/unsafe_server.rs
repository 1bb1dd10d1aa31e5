//! Servers to which nothing is sent: no mail leaves unencrypted, none to a server with a wrong certificate, and a refused
//! sign-in pauses the server. `toritsugi mail check` says what to do.

use super::house::{House, signed_in};
use crate::mail_lab::{CuttingProxy, MailLab};

/// The line of `toritsugi mail check` about the mail server.
async fn checked(house: &House) -> String {
    let output = house.command().args(["mail", "check"]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find(|line| line.split_whitespace().nth(1) == Some("mail")).unwrap_or(&text).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_to_a_server_that_is_not_what_the_configuration_says() {
    let lab = MailLab::start().await;
    let with = |changes: &[(&'static str, String)]| {
        let mut settings = signed_in(&lab, "STARTTLS_PORT", "starttls");
        settings.extend_from_slice(changes);
        settings
    };
    for (name, changes, error, advice) in [
        ("no STARTTLS", vec![("PORT", lab.port("BARE_PORT"))], "does not offer STARTTLS", "mail.tls"),
        ("unknown authority", vec![("CA_FILE", String::new())], "certificate", "mail.ca_file"),
        ("another name", vec![("SERVER_NAME", "smtp.example.jp".into())], "certificate", "mail.server_name"),
        ("wrong password", vec![("PASSWORD", "hunter3".into())], "535 5.7.8", "mail.password_file"),
        (
            "TLS where there is none",
            vec![("TLS", "tls".into()), ("PORT", lab.port("BARE_PORT"))],
            "TLS",
            "mail.",
        ),
        ("nobody there", vec![("PORT", "1".into())], "refused", "mail.port"),
    ] {
        let house = House::start(&with(&changes)).await;
        let contact = house.contact("佐々木", "safe@sakura.example.jp").await;
        let id = house.save(&contact, name).await;
        let waiting = house.message_until(&id, name, |m| !m["delivery"]["last_error"].is_null()).await;
        let said = waiting["delivery"]["last_error"].as_str().unwrap();
        assert!(said.contains(error), "{name}: {said}");
        assert_eq!((&waiting["state"], &waiting["delivery"]["state"]), (&"open".into(), &"queued".into()));
        assert_eq!(house.deliveries(&id).await[0]["attempts"], 0, "{name}");
        let line = checked(&house).await;
        assert!(
            line.starts_with("FAILED") && line.contains(error) && line.contains(advice),
            "{name}: {line}"
        );
        house.log_is_clean(&["safe@sakura.example.jp", "hunter3"]);
    }
    assert_eq!(lab.count("safe"), 0);
}

/// Between the daemon and the server somebody reads along: nothing of a mail and no password is in the clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_the_wire_is_encrypted() {
    let lab = MailLab::start().await;
    for (port, tls) in [("STARTTLS_PORT", "starttls"), ("TLS_PORT", "tls")] {
        let proxy = CuttingProxy::start(&lab.port(port), 0).await;
        let mut settings = signed_in(&lab, port, tls);
        settings.push(("PORT", proxy.port.to_string()));
        let house = House::start(&settings).await;
        let line = checked(&house).await;
        assert!(line.starts_with("ok") && line.contains("encrypted, signed in"), "{line}");
        let contact = house.contact("佐々木", "wire@sakura.example.jp").await;
        let id = house.save(&contact, "秘密").await;
        house.is_sent(&id).await;
        let written = String::from_utf8_lossy(&proxy.written.lock().unwrap()).into_owned();
        for word in ["MAIL FROM", "RCPT", "sakura", "AUTH", "Subject"] {
            assert!(!written.contains(word), "{word} in the clear over {tls}");
        }
    }
}
