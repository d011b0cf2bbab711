//! Ends what a killed run left working in our data directory.
//!
//! We hold the lock, so whatever server is there has lost its master, and a backend without its server keeps
//! a new server from starting for as long as its query runs. `postmaster.pid` names the server, but the pid
//! may have been reused since, by anything, even by another PostgreSQL: only a `postgres` that works in this
//! very directory is signalled. The file itself is left to PostgreSQL.

use super::PrivatePgError;
use super::place::read_small;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const FAST: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Returns once no PostgreSQL works in `data`. `Some(pid)` is what a left-over `postmaster.pid` names: not a
/// server of ours, though the number may be in use.
pub(super) async fn end(data: &Path) -> Result<Option<i32>, PrivatePgError> {
    let started = Instant::now();
    loop {
        let named = named_pid(data)?;
        let working = working_in(data, named);
        let Some(&any) = working.first() else { return Ok(named) };
        if started.elapsed() > PATIENCE {
            return Err(PrivatePgError::Orphan { pid: any, data: data.to_path_buf() });
        }
        match named.filter(|pid| working.contains(pid)) {
            // Fast shutdown, which ends the backends too; later the immediate one.
            Some(server) if started.elapsed() < FAST => signal(server, Signal::SIGINT),
            Some(server) => signal(server, Signal::SIGQUIT),
            // Backends without a server: the next start recovers from the log as after any crash.
            None => working.into_iter().for_each(|backend| signal(backend, Signal::SIGQUIT)),
        }
        sleep(POLL).await;
    }
}

fn signal(pid: i32, signal: Signal) {
    let _gone_meanwhile = kill(Pid::from_raw(pid), signal);
}

fn named_pid(data: &Path) -> Result<Option<i32>, PrivatePgError> {
    let file = data.join("postmaster.pid");
    let text = match read_small(&file) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(PrivatePgError::io("reading", &file))?,
    };
    match text.lines().next().and_then(|line| line.trim().parse().ok()) {
        Some(pid) if pid > 1 => Ok(Some(pid)),
        // Cut short by a power loss. PostgreSQL refuses to start over an empty one.
        _ => fs::remove_file(&file).map(|()| None).map_err(PrivatePgError::io("removing", &file)),
    }
}

/// The PostgreSQL processes whose working directory is `data`: it tells them also after the directory was
/// renamed, and a zombie has none.
#[cfg(target_os = "linux")]
fn working_in(data: &Path, _named: Option<i32>) -> Vec<i32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data)
            && fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "postgres")
    })
    .collect()
}

/// Without /proc only the server itself is seen: its command line names the directory.
#[cfg(not(target_os = "linux"))]
fn working_in(data: &Path, named: Option<i32>) -> Vec<i32> {
    let Some(pid) = named else { return Vec::new() };
    let ps = std::process::Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
    let line = ps.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let ours = line.contains("postgres") && line.contains(&*data.to_string_lossy());
    ours.then_some(pid).into_iter().collect()
}
