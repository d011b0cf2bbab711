//! Just enough HTTP/1.1: one connection, one request under way, cheap enough to share two cores with the service.

mod connection;
mod wire;

pub use connection::Target;
pub(crate) use connection::{Connection, Endpoint, Reply};
