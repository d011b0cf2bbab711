//! The ops listener.
