//! What a request says, read once.

pub mod body;
pub mod browser;
pub mod client;
pub mod cookies;
pub mod csrf;
pub mod fields;
pub mod hosts;
pub mod json;
pub mod language;
