//! Kills, of everything that can be killed. The process that owns the cluster is this test program again,
//! started with [`CHILD`] set.

use super::super::place::Place;
use super::NAME;
use super::support::{Scratch, boots, connect, processes_in, until};
use super::{Options, PrivatePgError, PrivatePostgres};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Names the base directory for the child.
const CHILD: &str = "DOORCODE_PRIVATE_PG_TEST";

/// Not a test: what the child does. It starts, supervises, and drains before it stops.
#[tokio::test]
async fn child() {
    let Some(base) = env::var_os(CHILD) else { return };
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut postgres = PrivatePostgres::start(Options::new(NAME, base)).await.unwrap();
    println!("\nup");
    tokio::select! {
        error = postgres.supervise() => panic!("{error}"),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("\ndrained with {} rows", boots(&postgres.url()).await);
    postgres.stop().await.unwrap();
    println!("\nstopped");
}

struct Owner {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Owner {
    fn spawn(base: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "tests::faults::child", "--nocapture"]).env(CHILD, base);
        let mut process = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    fn up(base: &Path) -> Self {
        let mut owner = Self::spawn(base);
        owner.says("up");
        owner
    }

    fn says(&mut self, expected: &str) {
        let found = (&mut self.output).lines().any(|line| line.unwrap() == expected);
        assert!(found, "it ended without saying {expected:?}");
    }

    fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.process.kill(); // -9
        let _ = self.process.wait();
    }
}

fn kill_all(pids: &[i32]) {
    for &pid in pids {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn alive(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok()
}

fn pipes_in(home: &Path) -> Vec<i32> {
    let name = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    processes_in(home).into_iter().filter(|pid| name(pid).contains("parent-pipe")).collect()
}

fn server_pid(base: &Path) -> Option<i32> {
    fs::read_to_string(base.join("data/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

async fn gone(base: &Path) {
    let took = until("every process is gone", || processes_in(base).is_empty()).await;
    println!("gone after {took:?}");
}

/// The next start after a fault works, and finds `rows` rows counting its own.
async fn next_start_finds(base: &Path, rows: i64) {
    let postgres = PrivatePostgres::start(Options::new(NAME, base)).await.unwrap();
    assert_eq!(boots(&postgres.url()).await, rows);
    postgres.stop().await.unwrap();
    assert_eq!(processes_in(base), Vec::<i32>::new());
}

async fn row(base: &Path) {
    let url = PrivatePostgres::running_url(NAME, base).unwrap().unwrap();
    boots(&url).await;
}

#[tokio::test]
async fn killed_during_initdb() {
    let scratch = Scratch::new("kill-initdb");
    let owner = Owner::spawn(&scratch.base);
    let unfinished = scratch.base.join(format!("data.new.{}", owner.pid()));
    until("initdb is at work", || unfinished.join("global").exists()).await;
    owner.kill();
    gone(&scratch.base).await;
    assert!(!scratch.base.join("data").exists());
    next_start_finds(&scratch.base, 1).await;
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn killed_during_initdb_with_the_pipe() {
    let scratch = Scratch::new("kill-initdb-pipe");
    let owner = Owner::spawn(&scratch.base);
    let unfinished = scratch.base.join(format!("data.new.{}", owner.pid()));
    until("initdb is at work", || unfinished.join("global").exists()).await;
    kill_all(&pipes_in(&scratch.base));
    owner.kill();
    next_start_finds(&scratch.base, 1).await; // beside the old initdb, if it still works
}

#[tokio::test]
async fn owner_killed() {
    let scratch = Scratch::new("kill-owner");
    let owner = Owner::up(&scratch.base);
    row(&scratch.base).await;
    owner.kill();
    gone(&scratch.base).await;
    next_start_finds(&scratch.base, 2).await;
}

#[tokio::test]
async fn owner_killed_and_started_again_at_once() {
    let scratch = Scratch::new("kill-again");
    let owner = Owner::up(&scratch.base);
    row(&scratch.base).await;
    owner.kill();
    next_start_finds(&scratch.base, 2).await;
}

#[tokio::test]
async fn pipe_and_owner_killed() {
    let scratch = Scratch::new("kill-pipe");
    let owner = Owner::up(&scratch.base);
    row(&scratch.base).await;
    let orphan = server_pid(&scratch.base).unwrap();
    // The owner first: it would notice that the pipe is gone and start anew.
    let pipes = pipes_in(&scratch.base);
    assert_eq!(pipes.len(), 2, "the shell and its watcher");
    kill(Pid::from_raw(owner.pid()), Signal::SIGSTOP).unwrap();
    kill_all(&pipes);
    owner.kill();
    assert!(alive(orphan), "the server is left over");
    next_start_finds(&scratch.base, 2).await;
    assert!(!alive(orphan));
}

#[tokio::test]
async fn pipe_killed_under_supervision() {
    let scratch = Scratch::new("kill-pipe-only");
    let owner = Owner::up(&scratch.base);
    row(&scratch.base).await;
    let before = server_pid(&scratch.base);
    kill_all(&pipes_in(&scratch.base));
    restarted(&scratch.base, before).await;
    row(&scratch.base).await;
    stop_with(Signal::SIGTERM, owner, 3);
}

#[tokio::test]
async fn server_killed_under_supervision() {
    let scratch = Scratch::new("kill-server");
    let owner = Owner::up(&scratch.base);
    row(&scratch.base).await;
    // A backend that is busy when its server dies must not keep the new one from starting.
    let busy = connect(&PrivatePostgres::running_url(NAME, &scratch.base).unwrap().unwrap()).await;
    let busy =
        tokio::spawn(async move { busy.batch_execute("SELECT sum(1) FROM generate_series(1, 1e12)").await });
    let url = PrivatePostgres::running_url(NAME, &scratch.base).unwrap().unwrap();
    while running_queries(&url).await == 0 {}
    for _ in 0..2 {
        let before = server_pid(&scratch.base);
        kill_all(&[before.unwrap()]);
        restarted(&scratch.base, before).await;
    }
    busy.await.unwrap().unwrap_err();
    stop_with(Signal::SIGTERM, owner, 2);
    gone(&scratch.base).await;
}

async fn running_queries(url: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1e12)' AND state = 'active'";
    connect(url).await.query_one(sql, &[]).await.unwrap().get(0)
}

async fn restarted(base: &Path, before: Option<i32>) {
    until("another server answers", || {
        server_pid(base).is_some_and(|pid| Some(pid) != before) && ready(base)
    })
    .await;
}

/// The last word of the eighth line says how far the server is.
fn ready(base: &Path) -> bool {
    fs::read_to_string(base.join("data/postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|status| status.trim() == "ready"))
}

#[tokio::test]
async fn everything_killed() {
    let scratch = Scratch::new("kill-all");
    for round in 1..=3 {
        let owner = Owner::up(&scratch.base);
        row(&scratch.base).await;
        let all = processes_in(&scratch.base);
        kill(Pid::from_raw(owner.pid()), Signal::SIGSTOP).unwrap();
        kill_all(&all);
        owner.kill();
        assert!(server_pid(&scratch.base).is_some(), "round {round} left its pid file");
        gone(&scratch.base).await;
    }
    next_start_finds(&scratch.base, 4).await;
}

/// A cluster whose server was killed, so that its pid files are there.
async fn crashed(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let owner = Owner::up(&scratch.base);
    let all = processes_in(&scratch.base);
    kill(Pid::from_raw(owner.pid()), Signal::SIGSTOP).unwrap();
    kill_all(&all);
    owner.kill();
    gone(&scratch.base).await;
    scratch
}

fn reuse_pid(base: &Path, pid: i32) {
    for file in ["data/postmaster.pid", "run/.s.PGSQL.5432.lock"] {
        let text = fs::read_to_string(base.join(file)).unwrap();
        let (_old, rest) = text.split_once('\n').unwrap();
        fs::write(base.join(file), format!("{pid}\n{rest}")).unwrap();
    }
}

/// A process of PostgreSQL's user (PostgreSQL minds no others) that has nothing to do with it.
struct Bystander(Child);

impl Bystander {
    fn beside(base: &Path) -> Self {
        let mut command = Command::new("sleep");
        if let Some(user) = Place::of(NAME, base).unwrap().user {
            command.uid(user.uid.as_raw());
        }
        Self(command.arg("600").spawn().unwrap())
    }

    fn was_left_alone(mut self) {
        assert!(self.0.try_wait().unwrap().is_none());
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn stale_pid_reused_by_a_bystander() {
    let scratch = crashed("reused").await;
    let bystander = Bystander::beside(&scratch.base);
    reuse_pid(&scratch.base, bystander.0.id().cast_signed());
    next_start_finds(&scratch.base, 1).await;
    bystander.was_left_alone();
}

#[tokio::test]
async fn stale_pid_reused_by_another_cluster() {
    let scratch = crashed("reused-pg").await;
    let other = Scratch::new("other");
    let bystander = PrivatePostgres::start(Options::new(NAME, &other.base)).await.unwrap();
    reuse_pid(&scratch.base, server_pid(&other.base).unwrap());
    next_start_finds(&scratch.base, 1).await;
    assert_eq!(boots(&bystander.url()).await, 1, "it was left alone");
    bystander.stop().await.unwrap();
}

#[tokio::test]
async fn pid_file_cut_short() {
    let scratch = crashed("short").await;
    let bystander = Bystander::beside(&scratch.base);
    reuse_pid(&scratch.base, bystander.0.id().cast_signed()); // the socket's lock is whole
    fs::write(scratch.base.join("data/postmaster.pid"), "").unwrap();
    next_start_finds(&scratch.base, 1).await;
    bystander.was_left_alone();
}

#[tokio::test]
async fn pid_file_planted() {
    let scratch = crashed("pipe").await;
    let file = scratch.base.join("data/postmaster.pid");
    fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let error = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap_err();
    assert!(error.to_string().contains("not a plain file"), "{error}");
}

fn stop_with(signal: Signal, mut owner: Owner, rows: i64) {
    killpg(Pid::from_raw(owner.pid()), signal).unwrap();
    owner.says(&format!("drained with {rows} rows"));
    owner.says("stopped");
    assert!(owner.process.wait().unwrap().success());
}

#[tokio::test]
async fn ctrl_c_and_sigterm_leave_time_to_drain() {
    let scratch = Scratch::new("signals");
    for (signal, rows) in [(Signal::SIGINT, 1), (Signal::SIGTERM, 2)] {
        let owner = Owner::up(&scratch.base);
        stop_with(signal, owner, rows); // to the whole process group, as a terminal does
        assert_eq!(processes_in(&scratch.base), Vec::<i32>::new());
        assert!(!scratch.base.join("url").exists());
    }
}

#[tokio::test]
async fn supervision_gives_up_when_a_restart_cannot_work() {
    let scratch = Scratch::new("hopeless");
    let mut postgres = PrivatePostgres::start(Options::new(NAME, &scratch.base)).await.unwrap();
    fs::remove_file(scratch.base.join("data/global/pg_control")).unwrap();
    kill_all(&[server_pid(&scratch.base).unwrap()]);
    let error = tokio::time::timeout(Duration::from_secs(30), postgres.supervise()).await.unwrap();
    assert!(matches!(error, PrivatePgError::GaveUp { deaths: 5, .. }), "{error:?}");
    assert!(error.to_string().contains("pg_control"), "{error}");
}
