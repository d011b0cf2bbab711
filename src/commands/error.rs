//! How a command ends.

use crate::config::ConfigError;
use doorcode_actors::directory::DirectoryError;
use doorcode_domain::EmailError;
use std::io;
use std::process::ExitCode;
use thiserror::Error;

/// Exit codes that scripts and supervisors may rely on. Wrong usage is 2, from the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was tried and did not work.
    Failed = 1,
    /// The configuration is bad (`EX_USAGE` of sysexits): starting again will not help.
    Config = 64,
    /// Too many crashes in too short a time (`EX_SOFTWARE`): a supervisor may start it again, with patience.
    GaveUp = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do its thing.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Exit code 64.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An administrator's verb.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Standard output is gone.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    /// Anything else, with what to do about it.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
        /// What to do; may be empty.
        hint: String,
    },
    /// Exit code 70.
    #[error("gave up: {0}")]
    GaveUp(String),
}

impl CommandError {
    /// Something failed; `hint` says what to do.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: hint.into() }
    }

    /// The process's last word.
    pub fn exit(&self) -> Exit {
        match self {
            CommandError::Config(_) => Exit::Config,
            CommandError::GaveUp(_) => Exit::GaveUp,
            _ => Exit::Failed,
        }
    }

    /// The reader of our output has left (`| head`): nobody is there to be told, and nothing is wrong.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message and, on a line of its own, what to do.
    pub fn report(&self) -> String {
        match self.hint() {
            Some(hint) => format!("error: {self}\n  {hint}"),
            None => format!("error: {self}"),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            CommandError::Directory(error) => hint_of(error)?,
            CommandError::Failed { hint, .. } if !hint.is_empty() => hint.clone(),
            _ => return None,
        };
        Some(hint)
    }
}

fn hint_of(error: &DirectoryError) -> Option<String> {
    let hint = match error {
        DirectoryError::NoSuchTenant { .. } => {
            "`doorcode tenant list` shows those there are; `doorcode tenant add` makes one".to_owned()
        }
        DirectoryError::TenantExists { slug } => {
            format!("`doorcode tenant show {slug}` shows it, `doorcode tenant set {slug} KEY=VALUE` changes it")
        }
        DirectoryError::BadSlug { .. } => "a slug is 1 to 100 of a-z, 0-9 and '-', for example acme-2".to_owned(),
        DirectoryError::OriginTaken { owner, .. } => {
            format!("an origin belongs to one tenant: take it away with `doorcode tenant set {owner} origins=...`")
        }
        DirectoryError::BadEmail { reason, .. } if *reason == EmailError::SpecialUse.to_string() => {
            "where your network routes such addresses: mail.special_use_domains = [\"test\"]".to_owned()
        }
        DirectoryError::NoSuchCustomer { slug, .. } => {
            format!("`doorcode customer list {slug}` shows those there are; `doorcode customer add {slug} EMAIL` makes one")
        }
        DirectoryError::NoSuchSession { slug, .. } => {
            format!("it may have ended; `doorcode session list {slug} EMAIL` shows those that live")
        }
        DirectoryError::NotMigrated(_) => "run `doorcode migrate`".to_owned(),
        DirectoryError::Unreachable(_) => {
            "is Postgres running? `doorcode check-config` shows where its URL comes from; --data-dir finds one that \
             `doorcode dev` runs"
                .to_owned()
        }
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let report = CommandError::from(DirectoryError::NoSuchTenant { slug: "acm".to_owned() }).report();
        assert_eq!(
            report,
            "error: there is no tenant `acm`\n  `doorcode tenant list` shows those there are; `doorcode tenant add` makes one"
        );
    }

    #[test]
    fn exit_codes_are_the_contract_s() {
        let codes = [
            (CommandError::failed("x", ""), 1),
            (CommandError::from(ConfigError { faults: vec![] }), 64),
            (CommandError::GaveUp("x".to_owned()), 70),
        ];
        for (error, code) in codes {
            assert_eq!(error.exit() as u8, code);
        }
    }
}
