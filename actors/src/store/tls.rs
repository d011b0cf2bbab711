//! TLS to Postgres as `sslmode` asks for it, with channel binding where the server offers it.

use crate::authorities;
use crate::database_url::{DatabaseUrlError, Targets, Tls};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connector for every connection; for a Unix socket or `sslmode=disable` it is not asked.
pub(crate) fn connector(targets: &Targets) -> Result<MakeRustlsConnect, DatabaseUrlError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unusable = |error: Error| DatabaseUrlError::Pool(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let verified = matches!(targets.tls, Tls::VerifyCa | Tls::VerifyFull);
    let authorities = if verified { Some(trusted(targets, &provider)?) } else { None };
    let verifier = Verifier { provider, authorities, name_counts: targets.tls == Tls::VerifyFull };
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

fn trusted(
    targets: &Targets,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, DatabaseUrlError> {
    let mut roots = RootCertStore::empty();
    match targets.roots.as_deref() {
        Some(file) => roots = authorities::of_file(file).map_err(|why| unusable(file, why))?,
        // one that the library cannot read only means that servers under it are refused
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    verifier
        .map_err(|error| unusable(targets.roots.as_deref().unwrap_or(Path::new("system")), error.to_string()))
}

fn unusable(file: &Path, why: String) -> DatabaseUrlError {
    DatabaseUrlError::Roots(file.display().to_string(), why)
}

/// Whose certificate is good enough.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None`: everybody's, as `sslmode=require` says. The server must still hold its key, so that SCRAM's channel binding
    /// (`channel_binding=require`) tells who cannot know the password.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    name_counts: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        match authorities.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name_counts => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
