//! The commands as clients of a daemon behind a proxy with https: whom they trust with their token.
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::gateway_rig::Rig;

/// A certificate for `localhost` that signs itself, and its key.
struct Certificate {
    pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Self { pem: made.cert.pem(), der: made.cert.der().clone(), key }
    }
}

/// A proxy that speaks https with this certificate, in front of the gateway; returns its port.
async fn proxy(rig: &Rig, certificate: Certificate) -> u16 {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der], certificate.key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, gateway) = (listener.local_addr().unwrap().port(), rig.address);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that refuses the certificate ends the connection.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut daemon = TcpStream::connect(gateway).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
            });
        }
    });
    port
}

/// Runs `toritsugi calls` against this address as the administrator.
async fn calls(rig: &Rig, url: &str, ca_file: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI_")) {
        command.env_remove(name);
    }
    command.args(["calls", "--url", url]).env("TORITSUGI_TOKEN", rig.token("admin")).kill_on_drop(true);
    command.args(ca_file.map(|file| ["--ca-file".as_ref(), file.as_os_str()]).into_iter().flatten());
    command.output().await.unwrap()
}

#[tokio::test]
async fn commands_reach_a_daemon_over_https_with_a_certificate_that_they_trust() {
    let rig = Rig::start().await;
    rig.ring(1, &["1001"]);
    let directory = tempfile::tempdir().unwrap();
    let (shown, other) = (Certificate::new(), Certificate::new());
    let trusted = directory.path().join("trusted.pem");
    let untrusted = directory.path().join("untrusted.pem");
    let broken = directory.path().join("broken.pem");
    std::fs::write(&trusted, &shown.pem).unwrap();
    std::fs::write(&untrusted, &other.pem).unwrap();
    std::fs::write(&broken, "no certificate").unwrap();
    let port = proxy(&rig, shown).await;
    let url = format!("https://localhost:{port}");

    let done = calls(&rig, &url, Some(&trusted)).await;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(!done.stdout.is_empty());

    // Nobody gets the token whose certificate no known authority signed, or signed for another name.
    let elsewhere = format!("https://127.0.0.1:{port}");
    for (url, file) in
        [(&url, None), (&url, Some(untrusted.as_path())), (&elsewhere, Some(trusted.as_path()))]
    {
        let refused = calls(&rig, url, file).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("is not trusted") && said.contains("--ca-file"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let refused = calls(&rig, &url, Some(&broken)).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("it holds no PEM certificate"), "{said}");
}
