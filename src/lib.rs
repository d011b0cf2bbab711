//! The edge of doorcode: HTTP, configuration, command line, process. It sees the actors through one interface,
//! [`doorcode_actors::LoginService`].

#![forbid(unsafe_code)]

mod admin;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
mod descriptors;
mod dev;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod http;
mod ops;
mod service_manager;
mod telemetry;
mod views;

/// What the tests of the whole service compare with the API's documents, and the clock they set.
#[doc(hidden)]
pub use admin::routes::ADMIN as ADMIN_ROUTES;
#[doc(hidden)]
pub use http::{LimitClock, routes::PUBLIC as PUBLIC_ROUTES};
