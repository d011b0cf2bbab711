//! Actors.

#[allow(dead_code)] // until the mailer takes it up
mod mail;

pub use mail::memory::{Mailbox, StoredMail};
pub use mail::{Secret, Sender, SetupError, SmtpSettings, TlsMode, Transport};
