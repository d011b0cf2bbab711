//! The edge: HTTP, configuration, command line, process.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod telemetry;
