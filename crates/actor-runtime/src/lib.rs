//! Supervised actors with bounded admission, over ractor.
//!
//! An [`Actor`] has a mailbox, a [`Handle`] to reach it, a [`Meter`] that counts it and a [`Supervisor`] that restarts
//! it. ractor's mailboxes are unbounded: what may enter one is bounded by [`Admission`]. No secret, table or protocol is
//! known here.

#![forbid(unsafe_code)]

mod actor;
mod error;
mod handle;
mod meter;
mod periodic;
mod supervisor;

pub use actor::{Actor, Alive, ChildEnd, Context, Envelope, Failure, Fault, start_linked};
pub use error::CallError;
pub use handle::{Admission, Handle, Pool, Reply, until};
pub use meter::{Histogram, HistogramSnapshot, KindSnapshot, Meter, RestartReason};
pub use periodic::{Periodic, PeriodicMessage, PeriodicSnapshot, PeriodicStats, PeriodicTask, Rhythm};
pub use supervisor::{
    ChildSpec, Drain, Spawn, Supervisor, SupervisorExit, SupervisorMessage, Tolerance, child,
};
