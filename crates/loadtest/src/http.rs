//! Just enough HTTP/1.1: one connection, one request under way, cheap enough to share two cores with the service.

mod connection;
mod wire;

pub use connection::{Connection, Endpoint, Reply, Target};
