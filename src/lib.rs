//! The edge of doorcode: HTTP, configuration, command line, process. It sees the actors through one interface,
//! [`doorcode_actors::LoginService`].

#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
mod descriptors;
pub mod dev;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod http;
pub mod ops;
mod service_manager;
pub mod telemetry;
mod views;
