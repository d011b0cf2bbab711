//! A throw-away cluster for one test: on a socket of its own, without fsync, gone when the test is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Either `DOORCODE_TEST_DATABASE_URL`, or a cluster made of the machine's PostgreSQL binaries.
pub(super) struct Cluster {
    pub(super) url: String,
    own: Option<(PathBuf, PathBuf)>,
}

impl Cluster {
    pub(super) fn start() -> Self {
        match std::env::var("DOORCODE_TEST_DATABASE_URL") {
            Ok(url) => Self { url, own: None },
            Err(_) => Self::with("-c listen_addresses=''", &[]),
        }
    }

    /// A cluster of its own with these options and files of its user; `DIR` in the options is where the files are.
    pub(super) fn with(options: &str, files: &[(&str, &str)]) -> Self {
        let bin = binaries().expect("install PostgreSQL's server, or set DOORCODE_TEST_DATABASE_URL");
        // Short: a socket's path has at most 107 bytes.
        let dir = PathBuf::from(format!("/tmp/dcd-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
            run(Command::new("chmod").arg("600").arg(dir.join(name)));
        }
        if is_root() {
            run(Command::new("chown").arg("-R").arg("postgres").arg(&dir));
        }
        let data = dir.join("data");
        run(server(&bin.join("initdb"))
            .args(["-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data));
        let options = format!("{options} -c unix_socket_directories=DIR -c fsync=off")
            .replace("DIR", &dir.display().to_string());
        run(server(&bin.join("pg_ctl")).args(["start", "-w", "-D"]).arg(&data).args([
            "-l",
            "/dev/null",
            "-o",
            &options,
        ]));
        let url = format!("postgres://test@/postgres?host={}", dir.display());
        Self { url, own: Some((bin, dir)) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((bin, dir)) = &self.own {
            run(server(&bin.join("pg_ctl"))
                .args(["stop", "-w", "-m", "immediate", "-D"])
                .arg(dir.join("data")));
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    versions.into_iter().rfind(|bin| bin.join("initdb").exists())
}

/// Postgres refuses to run as root.
fn server(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/tmp");
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    // pg_ctl's child inherits the pipes: only a null output lets go of it.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
