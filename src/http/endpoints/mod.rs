//! One file per call of the public API.

pub(crate) mod discovery;
pub(crate) mod exchange;
pub(crate) mod handover;
pub(crate) mod hosted;
pub(crate) mod jwks;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod mail_report;
pub(crate) mod preview;
pub(crate) mod reference;
pub(crate) mod refresh;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod token;
pub(crate) mod verify;
