//! Signed HTTP notifications by [Standard Webhooks](https://www.standardwebhooks.com) 1.0.
//!
//! A receiver knows by the signature who sent a message, and by the id that it has seen it before. [`Endpoint`] says which URLs
//! may be called, [`Connection`] calls them.

mod client;
mod endpoint;
mod signature;

pub use client::{Answer, Connection, PostError};
pub use endpoint::{Endpoint, EndpointError};
pub use signature::{ID, SIGNATURE, SecretError, SigningSecret, TIMESTAMP, sign};
