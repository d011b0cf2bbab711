//! Ends a PostgreSQL that a killed run left on our data directory.
//!
//! We hold the lock, so whatever server is on the directory has lost its master. `postmaster.pid` names it,
//! but the pid may have been reused since, by anything, even by another PostgreSQL: only a `postgres` that
//! works in this very directory is signalled. A file with a dead or reused pid is left to PostgreSQL, which
//! also checks that no backend of the old server is still attached to the shared memory.

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
        let Some(pid) = named_pid(data)? else { return Ok(None) };
        if !serves(pid, data) {
            return Ok(Some(pid));
        }
        if started.elapsed() > PATIENCE {
            return Err(PrivatePgError::Stray { pid, data: data.to_path_buf() });
        }
        // Fast shutdown first; then immediate, which leaves recovery to the next start.
        let signal = if started.elapsed() < FAST { Signal::SIGINT } else { Signal::SIGQUIT };
        let _gone_meanwhile = kill(Pid::from_raw(pid), signal);
        sleep(POLL).await;
    }
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

/// Whether this process is a PostgreSQL that works in `data`. Its working directory tells, also after the
/// directory was renamed; a zombie has none.
#[cfg(target_os = "linux")]
fn serves(pid: i32, data: &Path) -> bool {
    let works_there = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    works_there && name.trim_end() == "postgres"
}

/// The same without /proc: the command line names the directory.
#[cfg(not(target_os = "linux"))]
fn serves(pid: i32, data: &Path) -> bool {
    let ps = std::process::Command::new("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).output();
    let line = ps.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    line.contains("postgres") && line.contains(&*data.to_string_lossy())
}
