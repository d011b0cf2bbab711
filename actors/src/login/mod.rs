//! Logins: the one way in, the issuers behind it, and what a tenant may ask of them.

pub(crate) mod busiest;
pub(crate) mod caller;
pub(crate) mod device_cookie;
pub(crate) mod fair_queue;
mod grant;
pub(crate) mod handover;
pub(crate) mod issuer;
pub(crate) mod issuers;
pub(crate) mod own_sessions;
pub(crate) mod quota;
mod request;
mod rng;
pub(crate) mod service;
