//! What can go wrong with the private PostgreSQL, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How to get PostgreSQL's server programs, by system.
const INSTALL: &str = "\
  Debian, Ubuntu   sudo apt-get install -y postgresql
  Fedora, RHEL     sudo dnf install -y postgresql-server
  macOS            brew install postgresql@17
  Alpine           apk add postgresql
  Arch             sudo pacman -S postgresql
(./bin/dev does it for you), or use a server that you already have:
  DATABASE_URL=postgres://user:password@host/database";

/// Why the private PostgreSQL is not running.
#[derive(Debug, Error)]
pub enum PrivatePgError {
    /// Neither `initdb` nor `postgres` anywhere that we know to look.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found in {searched}. Install them:\n{INSTALL}"
    )]
    NoPrograms {
        /// Where we looked.
        searched: String,
    },

    /// PostgreSQL refuses to run as root, and there is nobody else to run it as.
    #[error(
        "PostgreSQL does not run as root, and this system has no `postgres` or `nobody` user to run it as: \
         add one (useradd --system postgres), or start this as an ordinary user"
    )]
    NoUser,

    /// The cluster on disk was made by a major version that is not installed.
    #[error(
        "{} was made by PostgreSQL {made_by}, but installed here: {installed}. Install PostgreSQL {made_by}, \
         or delete that directory to start with an empty database",
        data.display()
    )]
    Version {
        /// The cluster's directory.
        data: PathBuf,
        /// The major version that made it.
        made_by: u32,
        /// The major versions found, for the reader.
        installed: String,
    },

    /// Another process holds the lock.
    #[error(
        "{} is in use by another process (pid {pid}): stop that one, or give this one its own --data-dir",
        home.display()
    )]
    InUse {
        /// The directory in question.
        home: PathBuf,
        /// Who holds it, as that process wrote it down.
        pid: String,
    },

    /// Something else is where our directory should be, or it is somebody else's.
    #[error("{} {problem}: remove it, or choose another --data-dir", path.display())]
    NotOurs {
        /// The path in question.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// `initdb` failed.
    #[error("initdb failed; it said:\n{tail}")]
    Initdb {
        /// The end of its output.
        tail: String,
    },

    /// PostgreSQL ended instead of answering, or did not answer in time.
    #[error("PostgreSQL did not start ({reason}); {} ends with:\n{tail}", log.display())]
    Start {
        /// What we saw from outside.
        reason: String,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },

    /// A PostgreSQL left over from a killed run ignores being told to stop.
    #[error("an old PostgreSQL (pid {pid}) still runs on {} and does not stop: end it with `kill -9 {pid}`", data.display())]
    Orphan {
        /// Its process id.
        pid: i32,
        /// The directory that it holds.
        data: PathBuf,
    },

    /// Our PostgreSQL did not end when told to.
    #[error("PostgreSQL on {} did not stop within {seconds} s", data.display())]
    Stop {
        /// The directory that it holds.
        data: PathBuf,
        /// How long we waited.
        seconds: u64,
    },

    /// It came up again and again, and died each time.
    #[error("PostgreSQL died {deaths} times within a minute; {} ends with:\n{tail}", log.display())]
    GaveUp {
        /// How often it died.
        deaths: usize,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },

    /// It answers, but refused to create our database.
    #[error("PostgreSQL runs, but the database could not be created")]
    Create(#[source] tokio_postgres::Error),

    /// The file system or the kernel said no.
    #[error("{what} failed: {source}")]
    Io {
        /// What we were doing, with the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl PrivatePgError {
    /// For `map_err`: names what was being done to which path.
    pub(super) fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{doing} {}", path.display());
        move |source| Self::Io { what, source }
    }
}
