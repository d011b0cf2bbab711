//! A child process that ends when we do, however we end.
//!
//! `/bin/sh` stands between us and the program and reads a pipe whose other end is ours. When that end
//! closes (stop, drop, panic, kill -9), the program gets SIGINT: PostgreSQL's fast shutdown; initdb removes
//! what it made. PR_SET_PDEATHSIG would fire when the *thread* that forked ends, which a runtime's worker may
//! at any time, and is Linux only; a pipe is neither.

use super::place::Place;
use std::env;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{self, ChildStdin, Command};
use tokio::time::timeout;

/// fd 3 is the pipe. The program must not inherit it, and `wait` must not be interrupted by it.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
(read -r _ <&3; kill -INT "$program") &
watcher=$!
exec 3<&-
wait "$program"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// A program that ends when the pipe to it closes.
#[derive(Debug)]
pub(super) struct Child {
    child: process::Child,
    pipe: Option<ChildStdin>,
}

impl Child {
    /// Starts `command`, which [`command`] made.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Waits until the program ends by itself.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether it has ended already.
    pub(crate) fn try_ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Lets go and waits until it has ended: false if it has not within `patience`.
    pub(crate) async fn end(&mut self, patience: Duration) -> io::Result<bool> {
        self.pipe = None;
        match timeout(patience, self.child.wait()).await {
            Ok(ended) => ended.map(|_| true),
            Err(_) => Ok(false),
        }
    }

    /// Runs it to its end and returns how it ended and the end of what it said on standard error.
    pub(crate) async fn output(mut self) -> io::Result<(ExitStatus, String)> {
        let pipe = self.pipe.take(); // wait_with_output drops a stdin that is still in the child
        let output = self.child.wait_with_output().await?;
        drop(pipe);
        Ok((output.status, tail(&String::from_utf8_lossy(&output.stderr))))
    }
}

/// A command that runs `program` behind such a pipe, as the place's user, in a process group of its own: the
/// terminal's Ctrl-C is for us, who first drain and then stop PostgreSQL.
pub(super) fn command(place: &Place, program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(SCRIPT).arg("parent-pipe").arg(program);
    command
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    command.current_dir(&place.home).process_group(0).stdin(Stdio::piped());
    if let Some(user) = &place.user {
        command.gid(user.gid.as_raw()).uid(user.uid.as_raw()); // the supplementary groups go as well
    }
    command
}

/// The last lines of `text`, for an error message.
pub(super) fn tail(text: &str) -> String {
    const LINES: usize = 10;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
