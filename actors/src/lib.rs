//! Who acts: doorcode's supervised actors, their storage and their mail.

pub mod directory;
mod error;
mod observe;
mod service;

pub use directory::Directory;
pub use error::{RefreshError, Refusal, VerifyError};
pub use observe::{KindSnapshot, TreeSnapshot};
pub use service::{Caller, Login, LoginService};
