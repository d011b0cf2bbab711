//! Who acts: doorcode's supervised actors, their storage and their mail.

mod error;
mod observe;
mod runtime;
mod service;

pub use error::{Refusal, RefreshError, VerifyError};
pub use observe::{HistogramSnapshot, KindSnapshot, TreeSnapshot};
pub use service::{Caller, Login, LoginService};
