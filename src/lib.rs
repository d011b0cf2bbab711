//! The edge: HTTP, configuration, command line, process.

#![forbid(unsafe_code)]

pub mod config;
pub mod telemetry;
