//! doorcode from outside: a real socket in front, a real PostgreSQL behind, time moved by hand.
//!
//! Every test has a database and a doorcode of its own and ends with `finish`, which fails it if an actor crashed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod budgets;
mod codes;
mod cookies;
mod corpus;
mod journey;
mod lanes;
mod limits;
mod login;
mod reference;
mod schema;
mod secrets;
mod sessions;
mod support;
mod tokens;
mod validation;
