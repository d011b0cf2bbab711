//! A private PostgreSQL for a development server and for test suites: made on first use from the programs that
//! are installed on the machine, reachable through a Unix socket only, and gone when this process is gone.
//!
//! ```text
//! <base>/            ours                          0711 as root, else 0700
//!   lock             held while we run; our pid    0600
//!   url              where it answers              0600
//!   postgres.log     and postgres.log.1
//!   data/            the cluster                   0700, the user's who runs PostgreSQL
//!   run/             its socket                    0700, likewise
//! ```

mod cluster;
mod error;
mod find;
mod orphan;
mod parent_pipe;
mod place;
mod scratch;
#[cfg(test)]
mod tests;

pub use error::PrivatePgError;

use cluster::Cluster;
use parent_pipe::Child;
use place::Place;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long a fast shutdown may take: it writes a checkpoint.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// [`PrivatePostgres::supervise`] gives up at so many deaths within [`DEATHS_WITHIN`].
const MAX_DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names the database, its superuser and the directories: lower-case letters only.
    pub name: &'static str,
    /// The directory to keep everything in; see [`PrivatePostgres::home`] for when that differs.
    pub base: PathBuf,
    /// Take `initdb` and `postgres` from here and nowhere else.
    pub bin_dir: Option<PathBuf>,
    /// More settings for PostgreSQL, `name=value`; they win over ours.
    pub settings: Vec<String>,
    /// Trade the safety of the rows for speed, and remove everything at the end. For tests.
    pub throwaway: bool,
}

impl Options {
    /// A lasting cluster in `base`.
    pub fn new(name: &'static str, base: impl Into<PathBuf>) -> Self {
        Self { name, base: base.into(), bin_dir: None, settings: Vec::new(), throwaway: false }
    }

    /// A cluster of this process alone, in memory where the system has room there. What earlier test runs
    /// left behind is removed.
    pub fn throwaway(name: &'static str) -> Result<Self, PrivatePgError> {
        Ok(Self { throwaway: true, ..Self::new(name, scratch::new_base(name)?) })
    }
}

/// A running private PostgreSQL. Dropping it stops PostgreSQL without waiting; so does the end of this
/// process, of whatever kind.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
    server: Option<Child>,
    throwaway: bool,
}

impl PrivatePostgres {
    /// Makes the cluster if need be, ends what a killed run may have left, starts PostgreSQL, waits until it
    /// answers, and sees to it that the database is there.
    ///
    /// Install signal handlers before: a signal that arrives in between would end this process half way.
    pub async fn start(options: Options) -> Result<Self, PrivatePgError> {
        let cluster = Cluster::open(&options).await?;
        let mut postgres = Self { cluster, server: None, throwaway: options.throwaway };
        postgres.forget_url()?;
        postgres.cluster.start(&mut postgres.server).await?;
        postgres.note_url()?;
        Ok(postgres)
    }

    /// The connection string, for tokio-postgres and for psql.
    pub fn url(&self) -> String {
        self.cluster.url()
    }

    /// Where everything is: `base`, unless we are root and `base` cannot be used by the user as whom
    /// PostgreSQL then runs, or not safely; then a directory below `/var/lib/NAME-dev`.
    pub fn home(&self) -> &Path {
        &self.cluster.place.home
    }

    /// The connection string of the one that runs in `base` now, started by whatever process.
    pub fn running_url(name: &str, base: &Path) -> Result<Option<String>, PrivatePgError> {
        let place = Place::of(name, base)?;
        let file = place.home.join("url");
        let url = match fs::read_to_string(&file) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(PrivatePgError::io("reading", &file))?,
        };
        // The file outlives a kill -9; the socket answers only while somebody listens.
        match UnixStream::connect(place.run.join(".s.PGSQL.5432")) {
            Ok(_) => Ok(Some(url.trim_end().to_owned())),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
            Err(e) => Err(PrivatePgError::io("connecting to", &place.run)(e)),
        }
    }

    /// Resolves when PostgreSQL ends by itself.
    pub async fn exited(&mut self) -> io::Result<ExitStatus> {
        match &mut self.server {
            Some(server) => server.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Stops PostgreSQL, if it still runs, and starts it again on the same cluster and the same socket.
    pub async fn restart(&mut self) -> Result<(), PrivatePgError> {
        self.end_server().await?;
        self.cluster.start(&mut self.server).await
    }

    /// Keeps PostgreSQL running: restarts it whenever it ends by itself, and returns the reason when that is
    /// of no use any more. Made for `select!`; may be dropped and called again.
    pub async fn supervise(&mut self) -> PrivatePgError {
        let mut deaths = VecDeque::new();
        loop {
            let how = match self.exited().await {
                Ok(status) => status.to_string(),
                Err(e) => e.to_string(),
            };
            tracing::error!(how, log = %self.cluster.log().display(), "PostgreSQL ended by itself; restarting it");
            deaths.retain(|death: &Instant| death.elapsed() < DEATHS_WITHIN);
            deaths.push_back(Instant::now());
            if deaths.len() >= MAX_DEATHS {
                let (log, tail) = (self.cluster.log(), self.cluster.log_tail());
                return PrivatePgError::GaveUp { deaths: deaths.len(), log, tail };
            }
            match self.restart().await {
                Ok(()) | Err(PrivatePgError::Start { .. }) => {} // not started: one more death
                Err(e) => return e,
            }
        }
    }

    /// Stops PostgreSQL and waits until it is gone. Close the connections before: it ends them mid-query.
    pub async fn stop(mut self) -> Result<(), PrivatePgError> {
        self.forget_url()?;
        self.end_server().await?;
        if self.throwaway {
            let home = self.home();
            fs::remove_dir_all(home).map_err(PrivatePgError::io("removing", home))?;
        }
        Ok(())
    }

    async fn end_server(&mut self) -> Result<(), PrivatePgError> {
        let data = &self.cluster.place.data;
        let Some(server) = &mut self.server else { return Ok(()) };
        if !server.end(STOP_PATIENCE).await.map_err(PrivatePgError::io("stopping PostgreSQL in", data))? {
            return Err(PrivatePgError::Stop { data: data.clone(), seconds: STOP_PATIENCE.as_secs() });
        }
        self.server = None;
        Ok(())
    }

    fn note_url(&self) -> Result<(), PrivatePgError> {
        let file = self.home().join("url");
        let created = File::options().create_new(true).write(true).mode(0o600).open(&file);
        created.and_then(|mut f| writeln!(f, "{}", self.url())).map_err(PrivatePgError::io("writing", &file))
    }

    fn forget_url(&self) -> Result<(), PrivatePgError> {
        let file = self.home().join("url");
        match fs::remove_file(&file) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(PrivatePgError::io("removing", &file)(e)),
            _ => Ok(()),
        }
    }
}
