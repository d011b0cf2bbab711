//! What a request says, read once.

pub(crate) mod body;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod cookies;
pub(crate) mod csrf;
pub(crate) mod fields;
pub(crate) mod hosts;
pub(crate) mod json;
pub(crate) mod language;
