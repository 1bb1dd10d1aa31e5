//! The tests for what makes an installation unsafe although it works.
//!
//! | what | a warning when |
//! |---|---|
//! | private files | other users of the machine may read or change a secret, the database, or the configuration |
//! | manager interface | it answers on this machine's other addresses too, or the link to it crosses a network without TLS |
//! | gateway | it listens beyond this machine without a reverse proxy that it trusts, or its cookie may cross a network in the clear |
//! | bus | Redis has no password, is reached over a network without TLS, or unsigned requests count |
//!
//! Invariant: nothing is sent but connection attempts to the port of the manager interface on this machine.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use toritsugi::config::{Config, GatewayConfig};
use toritsugi::store::{Location, Store};

use super::Finding;

/// Rights of users who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;
/// The right of such users, and of the group, to write.
const MAY_CHANGE: u32 = 0o022;
/// How long a connection attempt to this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Addresses for documentation: a route to them is the route to everywhere. Nothing is sent to them.
const ELSEWHERE: [(&str, &str); 2] = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];

/// All findings.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![files(config)];
    findings.push(manager_interface(config, &own_addresses()).await);
    findings.push(gateway(&config.gateway));
    findings.extend(bus(config));
    findings
}

/// One finding of many warnings, or of none.
fn finding(what: &'static str, warnings: Vec<String>, otherwise: &str) -> Finding {
    if warnings.is_empty() {
        Finding::ok(what, otherwise.to_owned())
    } else {
        Finding::warning(what, warnings.join("; "))
    }
}

fn files(config: &Config) -> Finding {
    let mut warnings: Vec<String> =
        config.secret_files().into_iter().filter_map(|(key, file)| exposed_secret(&key, &file)).collect();
    if let Ok(Location::File(path)) = config.store.location() {
        warnings
            .extend(["", "-wal", "-shm"].into_iter().filter_map(|suffix| exposed_database(&path, suffix)));
    }
    if let Some(file) = &config.file
        && let Some(mode) = mode(file)
        && mode & MAY_CHANGE != 0
    {
        let file = file.display();
        warnings.push(format!("{file} may be changed by others (mode {mode:04o}): chmod go-w {file}"));
    }
    finding("private files", warnings, "no other user of this machine may read them")
}

/// What is wrong with the mode of a file with a secret, if it exists. The daemon's group may read it.
fn exposed_secret(key: &str, file: &Path) -> Option<String> {
    let mode = mode(file).filter(|mode| mode & (OTHERS | MAY_CHANGE) != 0)?;
    let file = file.display();
    Some(format!("{file} ({key}) is open to other users (mode {mode:04o}): chmod g-w,o= {file}"))
}

/// The same for a file of the database, which is its owner's alone.
fn exposed_database(path: &Path, suffix: &str) -> Option<String> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    let mode = Store::foreign_rights(Path::new(&name))?;
    let file = Path::new(&name).display();
    Some(format!("{file} (store.path) is open to other users (mode {mode:04o}): chmod 0600 {file}"))
}

fn mode(file: &Path) -> Option<u32> {
    Some(std::fs::metadata(file).ok()?.mode() & 0o777)
}

/// The addresses under which other machines reach this one.
fn own_addresses() -> Vec<IpAddr> {
    let address = |(any, elsewhere): (&str, &str)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(elsewhere).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let found = ELSEWHERE.into_iter().filter_map(address);
    found.filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect()
}

async fn manager_interface(config: &Config, own_addresses: &[IpAddr]) -> Finding {
    const WHAT: &str = "manager port";
    let pbx = &config.pbx;
    if !is_this_machine(&pbx.host) {
        return if pbx.tls.enabled {
            Finding::ok(WHAT, format!("TLS to {}", pbx.host))
        } else {
            let host = &pbx.host;
            Finding::warning(
                WHAT,
                format!(
                    "secrets and callers' numbers cross the network to {host} in the clear: set pbx.tls.enabled"
                ),
            )
        };
    }
    let mut open = Vec::new();
    for address in own_addresses {
        let socket = SocketAddr::new(*address, pbx.port);
        if let Ok(Ok(_)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(socket)).await {
            open.push(socket.to_string());
        }
    }
    if open.is_empty() {
        return Finding::ok(WHAT, "not open to other machines under the address of this one".into());
    }
    Finding::warning(
        WHAT,
        format!(
            "the PBX also answers on {}: set bindaddr = 127.0.0.1 in manager.conf, or close the port to other machines",
            open.join(", ")
        ),
    )
}

/// Whether a configured host is this machine.
fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn gateway(gateway: &GatewayConfig) -> Finding {
    let mut warnings = Vec::new();
    if !gateway.listen.ip().to_canonical().is_loopback() {
        if gateway.trusted_proxies.iter().all(|range| range.is_loopback()) {
            warnings.push(format!(
                "{} speaks plain http to other machines, and no proxy among them is trusted: put a reverse proxy with TLS \
                 in front and name it in gateway.trusted_proxies, or listen on 127.0.0.1",
                gateway.listen
            ));
        }
        if !gateway.secure_cookie {
            warnings.push(
                "browsers may send the session cookie in the clear: set gateway.secure_cookie to true".into(),
            );
        }
    }
    if gateway.trusted_proxies.iter().any(|range| range.contains_everybody()) {
        warnings.push(
            "gateway.trusted_proxies names everybody, so that every client chooses its own address: name the proxies"
                .into(),
        );
    }
    let is_plain = |origin: &str| {
        let host = origin.strip_prefix("http://").map(|host| host.rsplit_once(':').map_or(host, |(h, _)| h));
        host.is_some_and(|host| !is_this_machine(host))
    };
    for origin in gateway.allowed_origins.iter().filter(|origin| is_plain(origin)) {
        warnings.push(format!(
            "gateway.allowed_origins names {origin}, which anybody on its way can change: use https"
        ));
    }
    finding("gateway", warnings, &format!("listens on {}", gateway.listen))
}

/// `None` without Redis.
fn bus(config: &Config) -> Option<Finding> {
    let bus = &config.bus;
    if bus.redis_urls().is_empty() {
        return None;
    }
    let mut warnings = Vec::new();
    if !bus.has_redis_password() {
        warnings.push(
            "Redis has no password, so that every client that reaches it reads callers' numbers and forges events: set requirepass \
             and bus.redis_password_file"
                .into(),
        );
    }
    let is_plain = |url: &&String| {
        let host = url.strip_prefix("redis://").map(|rest| rest.rsplit('@').next().unwrap_or(rest));
        let host = host.map(|host| host.split('/').next().unwrap_or(host));
        host.is_some_and(|host| !is_this_machine(host.rsplit_once(':').map_or(host, |(h, _)| h)))
    };
    let plain: Vec<&str> = bus.redis_urls().iter().filter(is_plain).map(String::as_str).collect();
    if !plain.is_empty() {
        warnings.push(format!(
            "{}: callers' numbers cross the network in the clear: use rediss://",
            plain.join(", ")
        ));
    }
    if bus.accept_unsigned_requests {
        warnings.push(
            "a client that can write to Redis can act as any user: set bus.accept_unsigned_requests to false once every daemon \
             is upgraded"
                .into(),
        );
    }
    Some(finding("redis safety", warnings, "a password, and no plain text over a network"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Outcome;
    use super::*;

    fn config(environment: &[(&str, &str)]) -> Config {
        let environment = environment.iter().map(|(k, v)| (format!("TORITSUGI__{k}"), (*v).to_owned()));
        Config::from_layers(None, environment).unwrap()
    }

    #[test]
    fn files_that_others_may_read_are_named_with_the_command_that_closes_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = directory.path().join(name);
            std::fs::write(&path, "secret").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let closed = file("closed", 0o600);
        let of_group = file("of_group", 0o640);
        let database = file("t.db", 0o600);
        let set = |secret: &str, webhook: &str| {
            files(&config(&[
                ("PBX__EVENT_SECRET_FILE", secret),
                ("STORE__PATH", &database),
                ("WEBHOOKS__SECRET_FILES__crm", webhook),
            ]))
        };
        assert_eq!(set(&closed, &of_group).outcome, Outcome::Ok);
        for mode in [0o644, 0o604, 0o660, 0o602, 0o777] {
            let open = file("open", mode);
            for finding in [set(&open, &closed), set(&closed, &open)] {
                assert_eq!(finding.outcome, Outcome::Warning, "{mode:o}");
                assert!(finding.detail.contains(&format!("chmod g-w,o= {open}")), "{}", finding.detail);
            }
        }
        file("t.db-wal", 0o644);
        let detail = set(&closed, &closed).detail;
        assert!(detail.contains("t.db-wal (store.path) is open"), "{detail}");
    }

    #[test]
    fn a_gateway_beyond_this_machine_needs_a_proxy() {
        for (environment, word) in [
            (&[][..], None),
            (&[("GATEWAY__LISTEN", "0.0.0.0:8470")], Some("gateway.trusted_proxies")),
            (&[("GATEWAY__LISTEN", "0.0.0.0:8470"), ("GATEWAY__TRUSTED_PROXIES", "10.0.0.0/8")], None),
            (
                &[
                    ("GATEWAY__LISTEN", "0.0.0.0:8470"),
                    ("GATEWAY__TRUSTED_PROXIES", "10.0.0.1"),
                    ("GATEWAY__SECURE_COOKIE", "false"),
                ],
                Some("secure_cookie"),
            ),
            (&[("GATEWAY__TRUSTED_PROXIES", "0.0.0.0/0")], Some("names everybody")),
            (&[("GATEWAY__ALLOWED_ORIGINS", "http://desk.example.jp")], Some("use https")),
            (&[("GATEWAY__ALLOWED_ORIGINS", "http://localhost:5173,https://desk.example.jp")], None),
        ] {
            let finding = gateway(&config(environment).gateway);
            match word {
                None => assert_eq!(finding.outcome, Outcome::Ok, "{}", finding.detail),
                Some(word) => {
                    assert_eq!(finding.outcome, Outcome::Warning, "{environment:?}");
                    assert!(finding.detail.contains(word), "{}", finding.detail);
                }
            }
        }
    }

    #[test]
    fn a_redis_without_a_password_or_tls_is_named() {
        let password = ("BUS__REDIS_PASSWORD", "hunter2");
        for (environment, words) in [
            (vec![("BUS__REDIS", "redis://127.0.0.1:6379/0"), password], &[][..]),
            (vec![("BUS__REDIS", "rediss://redis.example.jp:6379/0"), password], &[]),
            (vec![("BUS__REDIS", "redis://127.0.0.1:6379")], &["has no password"]),
            (
                vec![("BUS__REDIS", "redis://cti@redis.example.jp:6379/0")],
                &["has no password", "use rediss://"],
            ),
            (
                vec![
                    ("BUS__REDIS", "redis://[::1]:6379"),
                    ("BUS__ACCEPT_UNSIGNED_REQUESTS", "true"),
                    password,
                ],
                &["accept_unsigned_requests"],
            ),
        ] {
            let finding = bus(&config(&environment)).unwrap();
            assert_eq!(finding.outcome == Outcome::Ok, words.is_empty(), "{}", finding.detail);
            for word in words {
                assert!(finding.detail.contains(word), "{word} in {}", finding.detail);
            }
            assert!(!finding.detail.contains("hunter2"));
        }
        assert!(bus(&config(&[])).is_none());
    }

    #[tokio::test]
    async fn an_open_manager_interface_is_found() {
        let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let here = config(&[("PBX__PORT", &port)]);
        // 127.0.0.2 stands for an address of this machine that others reach.
        let finding = manager_interface(&here, &["127.0.0.2".parse().unwrap()]).await;
        assert_eq!(finding.outcome, Outcome::Warning);
        assert!(finding.detail.contains("bindaddr = 127.0.0.1"), "{}", finding.detail);
        drop(listener);
        assert_eq!(manager_interface(&here, &["127.0.0.2".parse().unwrap()]).await.outcome, Outcome::Ok);
        let elsewhere = config(&[("PBX__HOST", "pbx.example.jp")]);
        assert_eq!(manager_interface(&elsewhere, &[]).await.outcome, Outcome::Warning);
        let safe = config(&[("PBX__HOST", "pbx.example.jp"), ("PBX__TLS__ENABLED", "true")]);
        assert_eq!(manager_interface(&safe, &[]).await.outcome, Outcome::Ok);
    }
}
