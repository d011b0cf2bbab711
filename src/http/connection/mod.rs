//! Connections: accepted, watched and ended by us (docs/adr/0002).

pub mod head;
pub mod places;
pub mod server;
