//! What every doorcode actor is made of, over ractor: a [`Role`] with a mailbox, a [`Handle`] to reach it, a [`Meter`]
//! that counts it and a supervisor that restarts it. No other module names an `ActorRef` of ractor's.

mod handle;
mod meter;
mod role;
mod supervisor;

pub(crate) use handle::{Handle, Pool, Reply, Ticket, until};
pub(crate) use meter::{Meter, RestartReason};
pub(crate) use role::{Alive, ChildEnd, Failure, Fault, Me, Role, start_linked};
pub(crate) use supervisor::{ChildSpec, Supervisor, SupervisorExit, Tolerance, child};
