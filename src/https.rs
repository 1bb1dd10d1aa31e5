//! Whom a connection over https trusts: the certificate authorities of the system, and those of a file.
//!
//! Invariant: no certificate is accepted that neither of them signed, and no name that it does not hold.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the given authorities is none.
    #[error("a certificate authority cannot be used: {0}")]
    Authority(String),
    /// The text holds no certificate.
    #[error("it holds no PEM certificate")]
    NoCertificate,
    /// The library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// The certificates of a PEM file.
///
/// # Errors
/// There is none, or one is broken.
pub fn authorities_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| TlsError::Authority(error.to_string()))?;
    if found.is_empty() { Err(TlsError::NoCertificate) } else { Ok(found) }
}

/// A client that trusts the system's certificate authorities and these.
///
/// # Errors
/// One of `authorities` cannot be used.
pub fn client(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    if roots.is_empty() {
        tracing::warn!("the system trusts no certificate authority: no https address can be reached");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        for pem in ["", "text", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(authorities_of(pem.as_bytes()), Err(TlsError::NoCertificate)), "{pem}");
        }
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(authorities_of(broken.as_bytes()), Err(TlsError::Authority(_))));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let found = authorities_of(empty.as_bytes()).unwrap();
        assert!(
            matches!(client(&found), Err(TlsError::Authority(_))),
            "no certificate, although in PEM form"
        );
    }
}
