//! What answers look like.

pub(crate) mod cors;
pub(crate) mod detail;
pub(crate) mod reply;
