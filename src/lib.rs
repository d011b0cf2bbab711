//! Edge.

pub mod loadtest;
