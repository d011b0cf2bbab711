//! Signed HTTP notifications by [Standard Webhooks](https://www.standardwebhooks.com) 1.0.
//!
//! A receiver knows by the signature who sent a message, and by the id that it has seen it before.

mod signature;

pub use signature::{ID, SIGNATURE, SecretError, SigningSecret, TIMESTAMP, sign};
