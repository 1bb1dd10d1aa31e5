//! TLS to the manager interface.
//!
//! Invariant: a connection is encrypted *and* the peer is the one that the configuration names. The peer's certificate
//! either is signed by the given authority and carries the given name, or equals a given certificate. The second case
//! is that of Asterisk's own `ast_tls_cert` and of most installations: one self-signed certificate, copied to the
//! client. Neither its name nor its expiry is checked then.

use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Why the configured TLS settings are unusable.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not PEM.
    #[error("the CA file holds no PEM certificate")]
    NoCertificate,
    /// A certificate in the file is broken.
    #[error("a certificate in the CA file cannot be used: {0}")]
    BadCertificate(String),
    /// A certificate cannot carry this name.
    #[error("{name:?} is neither a host name nor an address")]
    BadName {
        /// The configured name.
        name: String,
    },
}

/// The trusted certificates, and the name of the peer.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: ServerName<'static>,
}

impl Tls {
    /// Trusts the certificates in `pem`, as authorities and as themselves, for a peer called `server_name`.
    ///
    /// # Errors
    /// [`TlsError`]; its text names what to change.
    pub fn new(pem: &[u8], server_name: &str) -> Result<Self, TlsError> {
        let bad = |error: &dyn std::fmt::Display| TlsError::BadCertificate(error.to_string());
        let pinned: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| bad(&error))?;
        let mut roots = RootCertStore::empty();
        for certificate in &pinned {
            roots.add(certificate.clone()).map_err(|error| bad(&error))?;
        }
        if pinned.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let provider = Arc::new(ring::default_provider());
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| bad(&error))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedOrSigned { pinned, chain }))
            .with_no_client_auth();
        let server_name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::BadName { name: server_name.to_owned() })?;
        Ok(Self { config: Arc::new(config), server_name })
    }
}

/// Accepts a given certificate itself; any other certificate must be signed by a given one.
#[derive(Debug)]
struct PinnedOrSigned {
    pinned: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for PinnedOrSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
