//! PostgreSQL as it runs in production: a primary and a synchronous standby, each a process that can be killed, frozen and
//! promoted.

use super::PATIENCE;
use super::postgres::connect;
use super::process::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio_postgres::Client;

/// One server on a port of loopback. It is killed when it is dropped.
pub(crate) struct Server {
    pub port: u16,
    data: PathBuf,
    postmaster: std::process::Child,
}

impl Server {
    fn start(data: PathBuf, options: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = data.parent().unwrap().display().to_string();
        let mut command = program("postgres");
        command.arg("-D").arg(&data).args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            &format!("port={port}"),
        ]);
        command.args(["-c", &format!("unix_socket_directories={place}")]);
        for option in options {
            command.args(["-c", option]);
        }
        let postmaster = command.spawn().unwrap();
        Self { port, data, postmaster }
    }

    /// A connection of the test's own.
    pub(crate) async fn client(&self) -> Client {
        let url = format!("postgres://test@127.0.0.1:{}/postgres", self.port);
        let asking = async {
            while tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("a server that answers");
        connect(&url).await
    }

    /// Every process of it: backends are in groups of their own.
    pub(crate) fn signal(&self, signal: Signal) {
        let postmaster = Pid::from_raw(i32::try_from(self.postmaster.id()).unwrap());
        let _ = kill(postmaster, signal);
        for child in children(postmaster) {
            let _ = kill(child, signal);
        }
    }

    /// Makes a primary of a standby; returns when it takes writes.
    pub(crate) async fn promote(&self) {
        let client = self.client().await;
        assert!(client.query_one("SELECT pg_promote(true, 60)", &[]).await.unwrap().get::<_, bool>(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.postmaster.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Both, and where they are.
pub(crate) struct Pair {
    pub primary: Server,
    pub standby: Server,
    _place: Scratch,
}

impl Pair {
    /// Nothing is committed on the primary that is not on the standby.
    pub(crate) async fn start(name: &str) -> Self {
        let place = Scratch::new(name);
        std::fs::create_dir_all(place.path()).unwrap();
        if Uid::effective().is_root() {
            run(Command::new("chown").arg("postgres").arg(place.path()));
        }
        let (first, second) = (place.path().join("first"), place.path().join("second"));
        run(program("initdb")
            .args(["-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&first));
        let primary = Server::start(first, &["max_connections=60"]);
        let admin = primary.client().await;
        let port = primary.port.to_string();
        run(program("pg_basebackup")
            .args(["-h", "127.0.0.1", "-U", "test", "-c", "fast", "-R", "--no-sync", "-p", &port, "-D"])
            .arg(&second));
        let standby = Server::start(second, &["max_connections=60"]);
        let follows = async {
            let query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            while admin.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, follows).await.expect("a standby that follows");
        admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        Self { primary, standby, _place: place }
    }

    /// Both hosts, in this order or the other.
    pub(crate) fn url(&self, primary_first: bool) -> String {
        let hosts = [self.primary.port, self.standby.port].map(|port| format!("127.0.0.1:{port}"));
        let [first, second] = &hosts;
        let (first, second) = if primary_first { (first, second) } else { (second, first) };
        format!("postgres://test@{first},{second}/postgres?sslmode=disable")
    }
}

/// PostgreSQL refuses to run as root.
fn program(name: &str) -> Command {
    let path = binaries().join(name);
    let mut command = if Uid::effective().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    command.current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn binaries() -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("pg_basebackup").exists())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| {
        let said = Command::new("pg_config").arg("--bindir").output().expect("PostgreSQL's server programs");
        Path::new(String::from_utf8_lossy(&said.stdout).trim()).to_owned()
    })
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn children(parent: Pid) -> Vec<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Some(Pid::from_raw(pid.parse().ok()?))).collect()
}
