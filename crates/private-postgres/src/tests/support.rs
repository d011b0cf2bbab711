//! What the tests of the private PostgreSQL share.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

/// A base directory of one test, not there yet, and removed at its end.
pub(super) struct Scratch {
    pub base: PathBuf,
    also: Mutex<Vec<PathBuf>>,
}

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        // In memory the tests take a third of the time; fsync and recovery happen all the same.
        let memory = Path::new("/dev/shm");
        let temp = if memory.is_dir() { memory.to_path_buf() } else { env::temp_dir() };
        let temp = temp.canonicalize().unwrap();
        let base = temp.join(format!("private-pg-test-{}-{name}", process::id()));
        Self { base, also: Mutex::default() }
    }

    pub(super) fn also_remove(&self, dir: &Path) {
        self.also.lock().unwrap().push(dir.to_path_buf());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for dir in self.also.lock().unwrap().iter().chain([&self.base]) {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

pub(super) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Adds a row for this start and says how many there are now.
pub(super) async fn boots(url: &str) -> i64 {
    let client = connect(url).await;
    client
        .batch_execute("CREATE TABLE IF NOT EXISTS boots (); INSERT INTO boots DEFAULT VALUES")
        .await
        .unwrap();
    client.query_one("SELECT count(*) FROM boots", &[]).await.unwrap().get(0)
}

pub(super) async fn show(url: &str, setting: &str) -> String {
    connect(url).await.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0)
}

/// Waits for a condition that takes a moment.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "not seen in 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    started.elapsed()
}

/// The living processes that work in `home` or below it: the shell with the pipe and PostgreSQL with its backends, which
/// change into these directories and keep to them.
#[cfg(target_os = "linux")]
pub(super) fn processes_in(home: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            fs::read_link(entry.path().join("cwd")).ok()?.starts_with(home).then_some(pid)
        })
        .collect()
}

/// Elsewhere by the command line, which names the data directory at least for the server itself.
#[cfg(not(target_os = "linux"))]
pub fn processes_in(home: &Path) -> Vec<i32> {
    let output = process::Command::new("ps").args(["-wwAo", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = text.lines().filter(|line| line.contains(&format!("{}/data", home.display())));
    ours.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}
