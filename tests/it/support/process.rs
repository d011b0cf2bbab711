//! The real program, started, asked, killed and ended as its users do it.

use super::PATIENCE;
use super::postgres::{Database, master_key};
use super::wire::{Answer, Wire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_peers::smtp::SmtpSink;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How a program is to be started: arguments and environment, nothing else.
pub(crate) struct Setup {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    descriptors: Option<u32>,
}

impl Setup {
    /// Any command, in an environment that holds nothing of ours.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let path = ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default());
        let program = env!("CARGO_BIN_EXE_doorcode").to_owned();
        Self { program, arguments, environment: vec![path], descriptors: None }
    }

    /// `serve` on free ports, with a relay to speak to and limits off that count callers: every caller is us.
    pub(crate) fn serve(database_url: &str, relay_port: u16) -> Self {
        Self::of(&["serve"])
            .on_free_ports()
            .set("DATABASE_URL", database_url)
            .set("DOORCODE__PUBLIC_URL", "https://login.doorcode.internal")
            .master_key()
            .set("DOORCODE__MAIL__FROM", "login@doorcode.internal")
            .set("DOORCODE__MAIL__SMTP__HOST", "127.0.0.1")
            .set("DOORCODE__MAIL__SMTP__PORT", &relay_port.to_string())
            .set("DOORCODE__MAIL__SMTP__TLS", "none")
            // what a killed process had in hand is due again after the lease: tests wait for it
            .set("DOORCODE__MAIL__LEASE", "2s")
            .set("DOORCODE__MAIL__DEADLINE", "1s")
            .set("DOORCODE__HTTP__DRAIN_NOTICE", "0s")
            .set("DOORCODE__MAIL__SMTP__TIMEOUT", "1s")
            .without_caller_limits()
    }

    /// `dev` on a database that is there already: no second PostgreSQL to start.
    pub(crate) fn dev_on(database_url: &str) -> Self {
        Self::of(&["dev"])
            .on_free_ports()
            .set("DATABASE_URL", database_url)
            .master_key()
            .without_caller_limits()
    }

    /// `dev` with everything of its own in `home`.
    pub(crate) fn dev_in(home: &Path) -> Self {
        Self::of(&["dev", "--data-dir", &home.display().to_string()]).on_free_ports().without_caller_limits()
    }

    /// One variable of the environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another doorcode than the one that was just built, without a setting that it does not know.
    pub(crate) fn by(mut self, program: &str, unknown: &str) -> Self {
        self.environment.retain(|(name, _)| name != unknown);
        Self { program: program.to_owned(), ..self }
    }

    /// One more word on the command line.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// With so many open files at most.
    pub(crate) fn with_descriptors(self, descriptors: u32) -> Self {
        Self { descriptors: Some(descriptors), ..self }
    }

    fn on_free_ports(self) -> Self {
        self.set("DOORCODE__HTTP__LISTEN", "127.0.0.1:0").set("DOORCODE__OPS__LISTEN", "127.0.0.1:0")
    }

    pub(crate) fn master_key(self) -> Self {
        self.set("DOORCODE__MASTER_KEY__VALUE", &master_key())
    }

    fn without_caller_limits(self) -> Self {
        self.set("DOORCODE__LIMITS__CLIENT__ENABLED", "false")
            .set("DOORCODE__LIMITS__TENANT__ENABLED", "false")
            .set("DOORCODE__HTTP__LOGIN_GRID", "0s")
    }

    fn command(&self) -> Command {
        let program = &self.program;
        let mut command = Command::new(if self.descriptors.is_some() { "sh" } else { program });
        if let Some(descriptors) = self.descriptors {
            command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""), program]);
        }
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts it, whatever it is; what it says is to be read.
    pub(crate) fn spawn(self) -> Child {
        self.command().stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Runs it to its end, which comes soon.
    pub(crate) async fn run(self) -> Output {
        self.run_for(PATIENCE).await
    }

    /// Runs it to its end, which comes within this time.
    pub(crate) async fn run_for(self, limit: Duration) -> Output {
        timeout(limit, self.command().output()).await.expect("an end").unwrap()
    }

    /// Starts it and waits for the line that scripts wait for.
    pub(crate) async fn start(self) -> Program {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = timeout(PATIENCE, lines.next_line()).await;
        let Ok(Ok(Some(ready))) = said else {
            panic!("never ready: {said:?}; it said\n{}", log.text());
        };
        let address = |name: &str| -> SocketAddr {
            let (_, rest) = ready.split_once(&format!("{name} http://")).expect("a URL");
            rest.split(['/', ' ']).next().unwrap().parse().unwrap()
        };
        Program { api: address("api"), ops: address("ops"), child, log }
    }
}

/// Standard error, as it comes.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<u8>>, Notify)>);

impl Log {
    fn of(mut stderr: tokio::process::ChildStderr) -> Self {
        let log = Self::default();
        let kept = log.clone();
        tokio::spawn(async move {
            let mut piece = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                kept.0.0.lock().unwrap().extend(&piece[..read]);
                kept.0.1.notify_waiters();
            }
        });
        log
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap()).into_owned()
    }

    async fn until(&self, needle: &str) {
        loop {
            let mut changed = std::pin::pin!(self.0.1.notified());
            changed.as_mut().enable();
            if self.text().contains(needle) {
                return;
            }
            changed.await;
        }
    }
}

/// A doorcode that serves. It is killed when it is dropped.
pub(crate) struct Program {
    pub api: SocketAddr,
    pub ops: SocketAddr,
    child: Child,
    log: Log,
}

impl Program {
    /// A connection to the public listener.
    pub(crate) fn wire(&self) -> Wire {
        Wire::to(self.api)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().expect("it runs")).unwrap())
    }

    /// Everything on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// The log without the lines of who asked for what, for messages.
    pub(crate) fn story(&self) -> String {
        let text = self.log();
        let told: Vec<&str> = text.lines().filter(|line| !line.contains("doorcode::access")).collect();
        told[told.len().saturating_sub(40)..].join("\n")
    }

    /// Waits until something was logged.
    pub(crate) async fn logged(&self, needle: &str) {
        let waited = timeout(PATIENCE, self.log.until(needle)).await;
        waited.unwrap_or_else(|_| panic!("{needle:?} was never logged:\n{}", self.story()));
    }

    /// `kill -9`, and gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn terminate(&self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
    }

    /// Its exit code, once it has one. `None`: a signal ended it.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it never ended:\n{}", self.story())).unwrap().code()
    }

    /// SIGTERM, and the exit code it must end with.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        assert_eq!(self.exit_code().await, Some(0), "{}", self.story());
    }

    /// A page of the ops listener.
    pub(crate) async fn ops(&self, path: &str) -> Answer {
        Wire::to(self.ops).get(path).await.unwrap()
    }

    /// The ops listener's `/actors`.
    pub(crate) async fn actors(&self) -> Actors {
        Actors(self.ops("/actors").await.json())
    }

    /// Waits until `/actors` shows something.
    pub(crate) async fn until(&self, what: &str, shows: impl Fn(&Actors) -> bool) -> Actors {
        let waiting = async {
            let mut pause = tokio::time::interval(Duration::from_millis(10));
            loop {
                pause.tick().await;
                let actors = self.actors().await;
                if shows(&actors) {
                    return actors;
                }
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(actors) => actors,
            Err(_) => panic!("{what}: never; {:#}\n{}", self.actors().await.0, self.story()),
        }
    }

    /// Waits until `/readyz` says so, with 200 or 503.
    pub(crate) async fn until_ready(&self, status: u16) -> Answer {
        let waiting = async {
            let mut pause = tokio::time::interval(Duration::from_millis(20));
            loop {
                pause.tick().await;
                let answer = self.ops("/readyz").await;
                if answer.status == status {
                    return answer;
                }
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("/readyz never {status}:\n{}", self.story()))
    }

    /// Makes an actor fail; only `dev` does as told.
    pub(crate) async fn fault(&self, actor: &str, fault: &str) -> Answer {
        let body = json!({"actor": actor, "fault": fault});
        Wire::to(self.ops)
            .with("sec-fetch-site", "same-origin")
            .post("/v1/admin/faults", &body)
            .await
            .unwrap()
    }

    /// The newest code in `dev`'s mailbox, once there is one.
    pub(crate) async fn mailed(&self, email: &str) -> String {
        let path = format!("/dev/mailbox.json?to={email}");
        let waiting = async {
            loop {
                let mails = self.wire().get(&path).await.unwrap().json();
                let mut subjects =
                    mails.as_array().unwrap().iter().filter_map(|mail| mail["subject"].as_str());
                if let Some(subject) = subjects.find(|subject| !super::tells_of_guesses(subject)) {
                    return subject.split(' ').next().unwrap().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no mail to {email}:\n{}", self.story()))
    }

    /// Bytes of memory that are its own now.
    pub(crate) fn memory(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }
}

/// The supervision tree, as `/actors` has it.
pub(crate) struct Actors(pub Value);

impl Actors {
    fn kind(&self, kind: &str) -> &Value {
        let kinds = self.0["actors"].as_array().unwrap();
        kinds.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"))
    }

    pub(crate) fn number(&self, kind: &str, what: &str) -> u64 {
        self.kind(kind)[what].as_u64().unwrap()
    }

    /// All restarts of a kind, for whatever reason.
    pub(crate) fn restarts(&self, kind: &str) -> u64 {
        let reasons = self.kind(kind)["restarts"].as_array().unwrap();
        reasons.iter().map(|reason| reason[1].as_u64().unwrap()).sum()
    }

    /// Mails that came to this.
    pub(crate) fn mails(&self, state: &str) -> u64 {
        let mails = self.0["mails"].as_array().unwrap();
        mails.iter().find(|pair| pair[0] == state).unwrap()[1].as_u64().unwrap()
    }

    /// What a verb came to, so many times.
    pub(crate) fn outcomes(&self, verb: &str, outcome: &str) -> u64 {
        let outcomes = self.0["outcomes"].as_array().unwrap();
        outcomes.iter().find(|row| row[0] == verb && row[1] == outcome).unwrap()[2].as_u64().unwrap()
    }
}

/// A directory of a test's own, gone with it.
pub(crate) struct Scratch(std::path::PathBuf);

impl Scratch {
    /// Below /tmp also where `TMPDIR` is longer than a socket's path may be.
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new("/tmp").join(format!("doorcode-it-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A database with customers `user0@example.com` … of acme, and a relay that takes their mail.
pub(crate) struct Site {
    pub database: Database,
    pub sink: SmtpSink,
}

impl Site {
    pub(crate) async fn with_customers(count: usize) -> Self {
        let site = Self { database: Database::new().await, sink: SmtpSink::start().await };
        site.database.import(count).await;
        site
    }

    /// `serve` here.
    pub(crate) fn setup(&self) -> Setup {
        Setup::serve(&self.database.url, self.sink.port())
    }

    /// The code of the newest mail to this address, once there is one.
    pub(crate) async fn code(&self, email: &str) -> String {
        let mut seen = 0;
        loop {
            let mails = timeout(PATIENCE, self.sink.wait_for(seen)).await.unwrap_or_else(|_| {
                panic!("no mail to {email} among {}", self.sink.count());
            });
            if let Some(mail) = mails.iter().rev().find(|mail| mail.to == [email]) {
                return mail.code().unwrap();
            }
            seen = mails.len() + 1;
        }
    }
}
