//! Supervised actors with bounded admission, over ractor.
//!
//! An [`Actor`] has a mailbox, a [`Handle`] to reach it, a [`Meter`] that counts it and a [`Supervisor`] that restarts
//! it. ractor's mailboxes are unbounded: what may enter one is bounded by [`Admission`]. No secret, table or protocol is
//! known here.

#![forbid(unsafe_code)]

mod actor;
mod alive;
mod error;
mod handle;
mod histogram;
mod instance;
mod lanes;
mod meter;
mod periodic;
mod permits;
mod request;
mod supervisor;
#[cfg(test)]
mod tests;

pub use actor::{Actor, ChildEnd, Context, Envelope, Failure, Fault, start_linked};
pub use alive::{Alive, Busy};
pub use error::CallError;
pub use handle::{Admission, CallerPermit, Handle, Pool, Reply, until};
pub use histogram::{Histogram, HistogramSnapshot, powers_of_two};
pub use instance::{ActorSnapshot, ActorState, FailureSnapshot, Instance, Label, Place, Remote};
pub use lanes::Lanes;
pub use meter::{KindSnapshot, Meter, ROOT, RestartReason};
pub use periodic::{
    Periodic, PeriodicMessage, PeriodicSnapshot, PeriodicStats, PeriodicTask, Rhythm, unix_seconds,
};
pub use permits::Flow;
pub use request::{RequestId, in_request};
pub use supervisor::{
    ChildSpec, Drain, Intensity, Spawn, Supervisor, SupervisorExit, SupervisorMessage, Tolerance, backoff,
    child,
};
