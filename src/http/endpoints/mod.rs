//! One file per call of the public API.

pub mod discovery;
pub mod exchange;
pub mod handover;
pub mod hosted;
pub mod jwks;
pub mod login;
pub mod logout;
pub mod mail_report;
pub mod preview;
pub mod reference;
pub mod refresh;
pub mod session;
pub mod sessions;
pub mod token;
pub mod verify;
