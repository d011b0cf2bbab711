//! Who a service under test speaks with. For tests only: what goes wrong here is a panic, and names speak for themselves.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "for tests only")]

pub mod http;
pub mod smtp;

/// The authority that signed the certificate.
pub const CA_PEM: &str = include_str!("../tls/ca.pem");
/// For the name `localhost`.
pub const CERTIFICATE_PEM: &str = include_str!("../tls/leaf.pem");
/// The certificate's.
pub const KEY_PEM: &str = include_str!("../tls/leaf.key");
/// The same three as files.
pub const CA_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/ca.pem");
pub const CERTIFICATE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/leaf.pem");
pub const KEY_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tls/leaf.key");
