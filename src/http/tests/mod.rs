//! The edge over real sockets.

mod limits;
mod requests;
pub(crate) mod script;
mod sessions;
mod smuggling;
pub(crate) mod support;
mod surroundings;
mod timing;
