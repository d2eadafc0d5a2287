//! Whom a client trusts, and who it says that it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore, SignatureScheme,
};

/// How a connection with TLS is made: with the certificates that the system trusts and none of the
/// client's own, unless something else is said.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    authority: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    trusts_anybody: bool,
}

/// Files that are no good for TLS.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is not readable, or holds something else.
    #[error("expected {expected} in {}, {found}; give a file in PEM", path.display())]
    File {
        /// What was expected.
        expected: &'static str,
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The system trusts nobody.
    #[error(
        "expected certificates that the system trusts, found none ({found}); install ca-certificates, or give a file with the one to trust"
    )]
    NoRoots {
        /// What was found.
        found: String,
    },
    /// Certificate and key of the client do not make an identity.
    #[error("the certificate in {} and the key in {} cannot be used: {source}; give a key that belongs to the certificate", certificate.display(), key.display())]
    Identity {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why.
        source: RustlsError,
    },
    /// The library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(RustlsError),
}

impl Tls {
    /// Trusts those alone whom the certificates in this file, in PEM, have signed.
    #[must_use]
    pub fn trust(mut self, certificates: impl Into<PathBuf>) -> Self {
        self.authority = Some(certificates.into());
        self
    }

    /// Shows a certificate of its own, with what leads to its authority behind it; both files are in
    /// PEM, and the key is not encrypted.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Trusts any server, whatever it shows: whoever is in between reads along and answers.
    #[must_use]
    pub fn trust_anybody(mut self) -> Self {
        self.trusts_anybody = true;
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what was expected of it.
    pub fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        // The provider is named: nothing depends on what the process has made its default.
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Setup)?;
        let builder = match self.trusts_anybody {
            true => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            }
            false => builder.with_root_certificates(self.roots()?),
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let found = PrivateKeyDer::from_pem_file(key);
                let private = found.map_err(|error| TlsError::File {
                    expected: "a private key that is not encrypted",
                    path: key.clone(),
                    found: format!("found none: {error:?}"),
                })?;
                builder.with_client_auth_cert(chain, private).map_err(|source| {
                    let (certificate, key) = (certificate.clone(), key.clone());
                    TlsError::Identity { certificate, key, source }
                })?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.authority {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| TlsError::File {
                    expected: "certificates",
                    path: path.clone(),
                    found: error.to_string(),
                })?;
            }
            return Ok(roots);
        }
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::NoRoots { found: errors.join(", ") });
        }
        Ok(roots)
    }
}

/// The certificates in a file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong =
        |found: String| TlsError::File { expected: "certificates", path: path.to_owned(), found };
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(format!("{error:?}")))?;
    if found.is_empty() { Err(wrong("found none".to_owned())) } else { Ok(found) }
}

/// Any certificate will do. The signatures of the handshake are checked all the same, so the server
/// has the key of what it shows.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
