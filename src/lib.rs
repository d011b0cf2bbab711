//! Edge.

pub mod private_pg;
