//! Makes the cluster on first use, and starts PostgreSQL on it.

use super::find::{self, Programs};
use super::parent_pipe::{self, Child};
use super::place::{Place, read_small};
use super::{Options, PrivatePgError, orphan};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tokio_postgres::{Config, NoTls};

/// A process that was killed a moment ago may hold the lock for as long as the kernel needs to bury it.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Recovery after a kill -9 under load has taken five seconds on a slow disk.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Backends of a killed server notice within a second or so that it is gone.
const ATTEMPTS: u32 = 12;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

/// Small, so that it runs beside everything else on a laptop; reachable by the socket alone.
const SETTINGS: [&str; 11] = [
    "listen_addresses=",
    "port=5432", // names the socket file
    "unix_socket_permissions=0700",
    "max_connections=64",
    "shared_buffers=64MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    // In data/, where a kill leaves nothing behind for good; containers often have little of /dev/shm.
    "dynamic_shared_memory_type=mmap",
    "logging_collector=off",
    "log_destination=stderr",
];
/// For a cluster whose rows nobody will miss.
const THROWAWAY: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// A cluster that is ready to be started, and the lock that makes it ours.
#[derive(Debug)]
pub(super) struct Cluster {
    pub place: Place,
    name: &'static str,
    programs: Programs,
    settings: Vec<String>,
    _lock: File,
}

impl Cluster {
    /// Takes the lock, and makes the cluster unless it is there.
    pub(crate) async fn open(options: &Options) -> Result<Self, PrivatePgError> {
        let installed = find::installed(options.bin_dir.as_deref())?;
        let place = Place::of(options.name, &options.base)?;
        place.make_home()?;
        let lock = lock(&place.home).await?;
        remove_half_made(&place)?;
        let made_by = made_by(&place)?;
        let programs = find::pick(&installed, made_by, &place.data)?;
        if made_by.is_none() {
            make(options, &place, &programs).await?;
        }
        let throwaway = THROWAWAY.iter().filter(|_| options.throwaway);
        let fixed = SETTINGS.iter().chain(throwaway).map(|&setting| setting.to_owned());
        // The last one given wins, so the caller's come last.
        let settings = fixed.chain(options.settings.iter().cloned()).collect();
        Ok(Self { place, name: options.name, programs, settings, _lock: lock })
    }

    /// The connection string of our database.
    pub(crate) fn url(&self) -> String {
        url(self.name, &self.place.run, self.name)
    }

    /// Where PostgreSQL's messages go; the run before is kept beside it.
    pub(crate) fn log(&self) -> PathBuf {
        self.place.home.join("postgres.log")
    }

    /// The end of the log, for messages.
    pub(crate) fn log_tail(&self) -> String {
        parent_pipe::tail(&fs::read_to_string(self.log()).unwrap_or_default())
    }

    /// Starts PostgreSQL, puts it into `slot` at once (so that whoever gives up waiting still holds it), and
    /// waits until it answers.
    pub(crate) async fn start(&self, slot: &mut Option<Child>) -> Result<(), PrivatePgError> {
        let mut attempt = 1;
        loop {
            let stale_pid = orphan::end(&self.place.data).await?;
            let server = slot.insert(self.spawn(stale_pid)?);
            match self.answers(server).await {
                Err(PrivatePgError::Start { tail, .. }) if attempt < ATTEMPTS && left_over(&tail) => {
                    attempt += 1;
                    sleep(BETWEEN_ATTEMPTS).await;
                }
                answer => return answer,
            }
        }
    }

    fn spawn(&self, stale_pid: Option<i32>) -> Result<Child, PrivatePgError> {
        let Place { data, run, .. } = &self.place;
        self.place.make_for_postgres(run)?;
        empty(run)?; // of a socket and a lock whose pid may be in use again
        let log = self.log();
        let _first_run = fs::rename(&log, log.with_extension("log.1"));
        let log_file = File::create(&log).map_err(PrivatePgError::io("creating", &log))?;
        let errors = log_file.try_clone().map_err(PrivatePgError::io("using", &log))?;
        let mut command = parent_pipe::command(&self.place, &self.programs.dir.join("postgres"));
        command.arg("-D").arg(data);
        command.arg("-c").arg(format!("unix_socket_directories={}", run.display()));
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        if let Some(pid) = stale_pid {
            // How pg_ctl says "that pid in postmaster.pid is no server": PostgreSQL then goes on to its other
            // check, the shared memory, which removing the file would lose.
            command.env("PG_GRANDPARENT_PID", pid.to_string());
        }
        command.stdout(log_file).stderr(errors);
        Child::spawn(command).map_err(PrivatePgError::io("starting PostgreSQL in", data))
    }

    async fn answers(&self, server: &mut Child) -> Result<(), PrivatePgError> {
        let deadline = Instant::now() + START_PATIENCE;
        let admin =
            Config::from_str(&url(self.name, &self.place.run, "postgres")).map_err(PrivatePgError::Create)?;
        loop {
            let ended = server.try_ended().map_err(PrivatePgError::io("watching", &self.place.data))?;
            if let Some(status) = ended {
                return Err(self.not_started(status.to_string()));
            }
            match create_database(self.name, &admin).await {
                Ok(()) => return Ok(()),
                Err(e) if refused(&e) => return Err(PrivatePgError::Create(e)),
                Err(e) if Instant::now() > deadline => {
                    return Err(self.not_started(format!("no answer: {e}")));
                }
                Err(_not_yet) => sleep(Duration::from_millis(15)).await,
            }
        }
    }

    fn not_started(&self, reason: String) -> PrivatePgError {
        PrivatePgError::Start { reason, log: self.log(), tail: self.log_tail() }
    }
}

/// Whether PostgreSQL refused because of processes that are about to be gone.
fn left_over(log: &str) -> bool {
    log.contains("pre-existing shared memory") || log.contains("lock file \"postmaster.pid\" already exists")
}

async fn create_database(name: &str, admin: &Config) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = admin.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let there = client.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await?;
    if there.is_none() {
        client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    }
    drop(client);
    let _closed = connection.await;
    Ok(())
}

/// Whether the server said no, rather than that it is still starting or, killed in this moment, nothing.
fn refused(error: &tokio_postgres::Error) -> bool {
    const STARTING_OR_STOPPING: &str = "57P";
    error.code().is_some_and(|state| !state.code().starts_with(STARTING_OR_STOPPING))
}

/// A form that tokio-postgres and libpq (psql, pg_dump) both read.
fn url(user: &str, run: &Path, database: &str) -> String {
    let mut host = String::new();
    for &byte in run.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => host.push(byte.into()),
            _ => host.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("postgresql:///{database}?host={host}&user={user}")
}

/// The lock on `home`, which the system gives back when we end. The file tells others who we are.
async fn lock(home: &Path) -> Result<File, PrivatePgError> {
    let path = home.join("lock");
    let mut options = File::options();
    let mut file = options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(PrivatePgError::io("opening", &path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                sleep(Duration::from_millis(50)).await;
            }
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _unknown = file.read_to_string(&mut pid);
                let pid = pid.trim().to_owned();
                return Err(PrivatePgError::InUse { home: home.to_path_buf(), pid });
            }
            Err(TryLockError::Error(e)) => return Err(PrivatePgError::io("locking", &path)(e)),
        }
    }
    let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", process::id()));
    noted.map_err(PrivatePgError::io("writing", &path))?;
    Ok(file)
}

/// The major version that made the cluster, if there is one.
fn made_by(place: &Place) -> Result<Option<u32>, PrivatePgError> {
    if fs::symlink_metadata(&place.data).is_err() {
        return Ok(None);
    }
    place.make_for_postgres(&place.data)?;
    let file = place.data.join("PG_VERSION");
    let text = read_small(&file).map_err(PrivatePgError::io("reading", &file))?;
    let major = text.trim().parse().map_err(io::Error::other);
    major.map(Some).map_err(PrivatePgError::io("reading", &file))
}

/// Makes the cluster beside its place and then renames it: a first run that is killed leaves nothing that
/// looks finished.
async fn make(options: &Options, place: &Place, programs: &Programs) -> Result<(), PrivatePgError> {
    let unfinished = place.home.join(format!("data.new.{}", process::id()));
    place.make_for_postgres(&unfinished)?;
    let mut initdb = parent_pipe::command(place, &programs.dir.join("initdb"));
    initdb.arg("-D").arg(&unfinished).args(["-U", options.name, "-E", "UTF8", "--locale=C"]);
    // Whoever can open the socket, in a directory of mode 0700, is who runs it or root.
    initdb.args(["--auth-local=trust", "--auth-host=reject"]);
    if options.throwaway {
        initdb.arg("--no-sync");
    }
    initdb.stdout(Stdio::null()).stderr(Stdio::piped());
    let running = Child::spawn(initdb).map_err(PrivatePgError::io("starting initdb in", &place.home))?;
    let (status, tail) =
        running.output().await.map_err(PrivatePgError::io("running initdb in", &place.home))?;
    if !status.success() {
        let _next_start_does = fs::remove_dir_all(&unfinished);
        return Err(PrivatePgError::Initdb { tail });
    }
    fs::rename(&unfinished, &place.data).map_err(PrivatePgError::io("moving into place", &unfinished))
}

fn remove_half_made(place: &Place) -> Result<(), PrivatePgError> {
    for entry in entries(&place.home)? {
        if entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with("data.new.")) {
            // An initdb that is still ending may write to it: then the next start finds it again.
            let _later = fs::remove_dir_all(&entry);
        }
    }
    Ok(())
}

fn empty(dir: &Path) -> Result<(), PrivatePgError> {
    for entry in entries(dir)? {
        fs::remove_file(&entry).map_err(PrivatePgError::io("removing", &entry))?;
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, PrivatePgError> {
    let listed: io::Result<Vec<_>> =
        fs::read_dir(dir).and_then(|dir| dir.map(|e| e.map(|e| e.path())).collect());
    listed.map_err(PrivatePgError::io("listing", dir))
}
