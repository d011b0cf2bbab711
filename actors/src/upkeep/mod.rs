//! What runs beside the requests: snapshots kept fresh, statistics added up, what has ended deleted, actors watched.

pub(crate) mod guess_stats;
pub(crate) mod janitor;
pub(crate) mod keyring;
pub(crate) mod observer;
pub(crate) mod portals;
