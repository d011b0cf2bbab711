//! Connections: accepted, watched and ended by us (docs/adr/0002).

pub(crate) mod carriers;
pub(crate) mod head;
pub(crate) mod places;
pub(crate) mod server;
pub(crate) mod turns;
