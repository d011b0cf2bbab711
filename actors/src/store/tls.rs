//! TLS to Postgres: used when the URL's `sslmode` asks for it, with the system's roots and channel binding.

use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connector for every connection; for a Unix socket or `sslmode=disable` it is not asked.
pub(crate) fn connector() -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // a root the library cannot read only means that servers under it are refused
        let _ = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = match builder {
        Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
        // the bundled provider always has the default versions
        Err(error) => {
            tracing::error!(%error, "TLS is not available");
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
        }
    };
    MakeRustlsConnect::new(config)
}
