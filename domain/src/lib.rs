//! Words.

pub mod email;
