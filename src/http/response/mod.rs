//! What answers look like.

pub mod cors;
pub mod detail;
pub mod reply;
