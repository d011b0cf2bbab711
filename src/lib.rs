//! The edge of doorcode: HTTP, configuration, command line, process. It sees the actors through one door,
//! [`doorcode_actors::LoginService`].

pub mod http;
pub mod ops;
//! Edge.

pub mod loadtest;
pub mod private_pg;
//! The edge: HTTP, configuration, command line, process.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod telemetry;
