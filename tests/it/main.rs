//! doorcode from outside: a real socket in front, a real PostgreSQL behind, time moved by hand.
//!
//! Every test has a database and a doorcode of its own and ends with `finish`, which fails it if an actor crashed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
mod browser;
mod bursts;
mod chaos;
mod claims;
mod codes;
mod commands;
mod cookies;
mod corpus;
mod crash;
mod deploy;
mod discovery;
mod docs;
mod failover;
mod fleet;
mod hosted;
mod janitor;
mod journey;
mod lanes;
mod lifecycle;
mod limits;
mod loadtest;
mod login;
mod mail;
mod mail_servers;
mod metrics;
mod openapi;
mod outage;
mod overload;
mod own_sessions;
mod poolers;
mod portal_matrix;
mod portals;
mod reference;
mod replicas;
mod resilience;
mod schema;
mod secrecy;
mod secrets;
mod session_ends;
mod session_model;
mod sessions;
mod signup;
mod spending;
mod strangers;
mod supervision;
mod support;
mod tenants;
mod test_codes;
mod tokens;
mod upgrades;
mod validation;
mod verifying;
