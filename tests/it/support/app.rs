//! A doorcode of the test's own, and what people do with it.

use super::client::{Answer, Client, Request};
use super::postgres::{ACME, Database, MASTER_KEY, master_key};
use super::{PATIENCE, tells_of_guesses};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorcode::LimitClock;
use doorcode::app::{App, Ended, Mode};
use doorcode::config::Config;
use doorcode_actors::{Directory, Mailbox, StoredMail};
use doorcode_domain::{Clock, ManualClock};
use futures_util::future::join_all;
use governor::clock::FakeRelativeClock;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Settings that differ from `config.toml`.
pub(crate) struct Builder {
    settings: BTreeMap<String, String>,
    /// Where doorcode finds the database, if not where the test does.
    by_way_of: Option<String>,
}

impl Builder {
    fn new() -> Self {
        let defaults = [
            ("public_url", "https://id.acme.io"),
            ("http.listen", "127.0.0.1:0"),
            ("ops.listen", "127.0.0.1:0"),
            // Tests say in X-Forwarded-For where a visitor comes from.
            ("http.trusted_proxies", "127.0.0.1"),
            // A busy machine is slow, not wrong.
            ("http.request_deadline", "30s"),
            ("database.statement_timeout", "20s"),
            ("database.wait_timeout", "20s"),
            ("database.pool_size", "8"),
            ("limits.client.enabled", "false"),
        ];
        let settings = defaults.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { settings, by_way_of: None }
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Client limits as in production.
    pub(crate) fn with_client_limits(self) -> Self {
        self.set("limits.client.enabled", "true")
    }

    /// Any number of mails: for tests of something else.
    pub(crate) fn without_mail_limits(self) -> Self {
        self.set("limits.address.enabled", "false")
    }

    /// doorcode reaches the database at this URL; the test itself goes there directly.
    pub(crate) fn by_way_of(mut self, url: &str) -> Self {
        self.by_way_of = Some(url.to_owned());
        self
    }

    pub(crate) async fn spawn(self) -> TestApp {
        self.spawn_on(Database::new().await).await
    }

    pub(crate) async fn spawn_on(self, database: Database) -> TestApp {
        let directory = Directory::open(&database.settings(), &MASTER_KEY).await.unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let clock = ManualClock::at(i64::try_from(now).unwrap() * 1_000_000);
        let limit_clock = FakeRelativeClock::default();
        let mailbox = Mailbox::default();
        let mode = Mode {
            mailbox: Some(mailbox.clone()),
            faults: true,
            clock: Clock::Manual(clock.clone()),
            limit_clock: LimitClock::Manual(limit_clock.clone()),
            allow_unsafe: true,
        };
        let url = self.by_way_of.unwrap_or_else(|| database.url.clone());
        let running = Running::start(&self.settings, &url, mode.clone()).await;
        TestApp {
            settings: self.settings,
            url,
            mode,
            running,
            database,
            directory,
            mailbox,
            clock,
            limit_clock,
            read: Mutex::default(),
            idle: Mutex::default(),
        }
    }
}

/// The part that a restart replaces.
struct Running {
    public: SocketAddr,
    ops: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Ended>,
}

impl Running {
    async fn start(settings: &BTreeMap<String, String>, url: &str, mode: Mode) -> Self {
        let variable = |(key, value): (&String, &String)| {
            (format!("DOORCODE__{}", key.to_ascii_uppercase().replace('.', "__")), value.clone())
        };
        let mut settings = settings.clone();
        settings.insert("database.url".to_owned(), url.to_owned());
        settings.insert("master_key.value".to_owned(), master_key());
        let loaded = Config::load(None, settings.iter().map(variable)).unwrap();
        let app = App::start(&loaded.config, mode).await.unwrap();
        let (public, ops) = (app.public_addr().unwrap(), app.ops_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self { public, ops, stop, done }
    }

    async fn end(self) {
        let _ = self.stop.send(());
        let ended = tokio::time::timeout(PATIENCE, self.done).await.expect("an end in time");
        assert_eq!(ended.unwrap(), Ended::Drained);
    }
}

/// One more doorcode on a test's database.
pub(crate) struct Replica(Running);

impl Replica {
    pub(crate) fn public(&self) -> SocketAddr {
        self.0.public
    }

    pub(crate) async fn end(self) {
        self.0.end().await;
    }
}

/// A running doorcode over a database of its own.
pub(crate) struct TestApp {
    settings: BTreeMap<String, String>,
    url: String,
    mode: Mode,
    running: Running,
    pub database: Database,
    pub directory: Directory,
    pub mailbox: Mailbox,
    clock: ManualClock,
    limit_clock: FakeRelativeClock,
    /// How many mails to each address were looked at.
    read: Mutex<HashMap<String, usize>>,
    idle: Mutex<Vec<Client>>,
}

impl TestApp {
    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) async fn spawn() -> Self {
        Self::builder().spawn().await
    }

    pub(crate) fn public(&self) -> SocketAddr {
        self.running.public
    }

    pub(crate) fn ops(&self) -> SocketAddr {
        self.running.ops
    }

    /// Time in µs as doorcode sees it.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now()
    }

    /// Lets time pass, for budgets and lives as well as for callers' limits.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.limit_clock.advance(time);
    }

    pub(crate) fn pass_s(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Puts the database's clock back.
    pub(crate) fn put_back_s(&self, seconds: i64) {
        self.clock.advance_s(-seconds);
    }

    /// Another setting, from the next start on.
    pub(crate) fn configure(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// Stops it and starts it again on the same database, at the same time of the same clock.
    pub(crate) async fn restart(&mut self) {
        self.assert_calm().await;
        self.idle.lock().unwrap().clear();
        let next = Running::start(&self.settings, &self.url, self.mode.clone()).await;
        std::mem::replace(&mut self.running, next).end().await;
    }

    /// The end of every test: nothing crashed, everything stops as it should.
    pub(crate) async fn finish(self) {
        self.assert_calm().await;
        self.idle.lock().unwrap().clear();
        self.running.end().await;
        drop(self.directory);
        self.database.remove().await;
    }

    /// As [`finish`](Self::finish), for tests that made actors crash.
    pub(crate) async fn finish_after_crashes(self) {
        self.idle.lock().unwrap().clear();
        self.running.end().await;
        drop(self.directory);
        self.database.remove().await;
    }

    async fn assert_calm(&self) {
        let restarts = self.restarts().await;
        assert!(restarts.is_empty(), "actors were restarted: {restarts:?}");
    }

    /// Kinds of actors that were restarted, and how often.
    pub(crate) async fn restarts(&self) -> Vec<(String, u64)> {
        let tree = self.tree().await;
        let kinds = tree["actors"].as_array().unwrap().iter();
        let restarts = kinds.map(|kind| {
            let reasons = kind["restarts"].as_array().unwrap().iter();
            let times = reasons.map(|reason| reason[1].as_u64().unwrap()).sum();
            (kind["kind"].as_str().unwrap().to_owned(), times)
        });
        restarts.filter(|(_, times)| *times > 0).collect()
    }

    /// How often a verb came to an outcome since the start; see `outcomes` in `/actors`.
    pub(crate) async fn outcomes(&self, verb: &str, outcome: &str) -> u64 {
        let tree = self.tree().await;
        let mut counts = tree["outcomes"].as_array().unwrap().iter();
        let found = counts.find(|count| count[0] == verb && count[1] == outcome);
        found.unwrap_or_else(|| panic!("no outcome {verb} {outcome}"))[2].as_u64().unwrap()
    }

    /// How many guesses were compared with a live code and were wrong.
    pub(crate) async fn missed_guesses(&self) -> u64 {
        self.outcomes("verify", "wrong").await
    }

    async fn tree(&self) -> Value {
        Client::connect(self.ops()).await.send(&Request::get("/actors")).await.json()
    }

    /// Makes an actor fail.
    pub(crate) async fn crash(&self, actor: &str, fault: &str) {
        let request = Request::post("/v1/admin/faults", &json!({ "actor": actor, "fault": fault }))
            .header("Sec-Fetch-Site", "same-origin");
        let answer = Client::connect(self.ops()).await.send(&request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Sends a request until it is not answered by 503: a crashed actor is back after some milliseconds.
    pub(crate) async fn served_again(&self, request: &Request) -> Answer {
        let asking = async {
            let mut pause = tokio::time::interval(Duration::from_millis(5));
            loop {
                pause.tick().await;
                let answer = self.send(request).await;
                if answer.status != 503 {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("service again")
    }

    /// A second process' worth of doorcode on the same database, by the same clock.
    pub(crate) async fn replica(&self) -> Replica {
        Replica(Running::start(&self.settings, &self.url, self.mode.clone()).await)
    }

    /// One request over a kept connection.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let idle = self.idle.lock().unwrap().pop();
        let mut client = match idle {
            Some(client) => client,
            None => Client::connect(self.public()).await,
        };
        let answer = client.send(request).await;
        self.idle.lock().unwrap().push(client);
        answer
    }

    /// Every request on a connection of its own, all but its last byte sent; then all last bytes at once.
    pub(crate) async fn send_at_once(&self, requests: &[Request]) -> Vec<Answer> {
        self.send_at_once_to(&[self.public()], requests).await
    }

    /// The same, to these replicas in turn.
    pub(crate) async fn send_at_once_to(&self, replicas: &[SocketAddr], requests: &[Request]) -> Vec<Answer> {
        // One burst at a time: many systems give a process 1,024 open files only.
        static BURST: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _burst = BURST.lock().await;
        let prepared = requests.iter().zip(replicas.iter().cycle()).map(async |(request, replica)| {
            let mut client = Client::connect(*replica).await;
            let last = client.hold_back(request).await;
            (client, last)
        });
        let prepared = join_all(prepared).await;
        join_all(prepared.into_iter().map(async |(mut client, last)| client.release(last).await)).await
    }

    /// Somebody at acme, from a network of their own.
    pub(crate) fn visitor(&self) -> Visitor<'_> {
        Visitor { app: self, tenant: ACME, headers: Vec::new(), verb: "token" }
    }

    pub(crate) fn from(&self, network: &str) -> Visitor<'_> {
        self.visitor().from(network)
    }

    pub(crate) fn at(&self, tenant: &'static str) -> Visitor<'_> {
        self.visitor().at(tenant)
    }

    pub(crate) async fn asks_for_code(&self, email: &str) -> Answer {
        self.visitor().asks_for_code(email).await
    }

    pub(crate) async fn types_code(&self, email: &str, code: &str) -> Answer {
        self.visitor().types_code(email, code).await
    }

    pub(crate) async fn logs_in(&self, email: &str) -> Tokens {
        self.visitor().logs_in(email).await
    }

    pub(crate) async fn refreshes(&self, token: &str) -> Answer {
        self.visitor().refreshes(token).await
    }

    pub(crate) async fn logs_out(&self, token: &str) -> Answer {
        self.visitor().logs_out(token).await
    }

    /// Waits for the next mail to an address and takes the code out of it.
    pub(crate) async fn mailed_code(&self, email: &str) -> String {
        let mail = self.next_mail(email).await;
        code_in(&mail)
    }

    pub(crate) async fn next_mail(&self, email: &str) -> Arc<StoredMail> {
        let wanted = self.read.lock().unwrap().get(email).copied().unwrap_or_default() + 1;
        let waiting = async {
            let mut count = wanted;
            loop {
                let all = self.mailbox.wait_for(email, count).await;
                count = all.len() + 1;
                let mails: Vec<_> = all.into_iter().filter(|mail| !tells_of_guesses(&mail.subject)).collect();
                if mails.len() >= wanted {
                    return mails[mails.len() - wanted].clone();
                }
            }
        };
        let mail = tokio::time::timeout(PATIENCE, waiting).await.expect("a mail in time");
        self.read.lock().unwrap().insert(email.to_owned(), wanted);
        mail
    }

    /// How many mails an address has got, once all mail that is due has left.
    pub(crate) async fn mails_to(&self, email: &str) -> usize {
        self.database.until("SELECT NOT EXISTS (SELECT FROM outbox)").await;
        let mails = self.mailbox.list(Some(email), usize::MAX);
        let mails = mails.iter().filter(|mail| !tells_of_guesses(&mail.subject));
        mails.map(|mail| &mail.id).collect::<HashSet<_>>().len()
    }

    /// Fails if an address has a mail that nobody has looked at.
    pub(crate) async fn no_further_mail(&self, email: &str) {
        let read = self.read.lock().unwrap().get(email).copied().unwrap_or_default();
        assert_eq!(self.mails_to(email).await, read, "mails to {email}");
    }
}

/// The code that a mail is about.
pub(crate) fn code_in(mail: &StoredMail) -> String {
    mail.subject.split(' ').next().unwrap().to_owned()
}

/// Six digits that are not this code.
pub(crate) fn another_code(code: &str) -> String {
    let number: u32 = code.parse().unwrap_or_default();
    format!("{:06}", (number + 1) % 1_000_000)
}

/// Somebody at a portal.
#[derive(Clone)]
pub(crate) struct Visitor<'a> {
    app: &'a TestApp,
    tenant: &'static str,
    headers: Vec<(String, String)>,
    verb: &'static str,
}

impl Visitor<'_> {
    /// In another network.
    pub(crate) fn from(self, network: &str) -> Self {
        self.with("X-Forwarded-For", network)
    }

    /// At another portal.
    pub(crate) fn at(self, tenant: &'static str) -> Self {
        Self { tenant, ..self }
    }

    /// In a browser on the portal's own page.
    pub(crate) fn in_browser(self) -> Self {
        Self { verb: "verify", ..self.with("Sec-Fetch-Site", "same-origin") }
    }

    /// A request with these cookies, in a browser on the portal's own page.
    pub(crate) fn with_cookies(self, cookies: &str) -> Self {
        self.with("Cookie", cookies)
    }

    /// With one more header line.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request that they would send.
    pub(crate) fn request(&self, verb: &str, body: &Value) -> Request {
        let lines = self.headers.iter();
        lines.fold(Request::call(verb, body), |request, (name, value)| request.header(name, value))
    }

    /// A `GET` of the API.
    pub(crate) async fn get(&self, verb: &str) -> Answer {
        self.send(Request::get(&format!("/v1/customer-auth/{verb}"))).await
    }

    /// A `DELETE` of the API.
    pub(crate) async fn delete(&self, verb: &str) -> Answer {
        self.send(Request::delete(&format!("/v1/customer-auth/{verb}"))).await
    }

    async fn send(&self, request: Request) -> Answer {
        let lines = self.headers.iter();
        let request = lines.fold(request, |request, (name, value)| request.header(name, value));
        self.app.send(&request).await
    }

    pub(crate) fn login_request(&self, email: &str) -> Request {
        self.request("login", &json!({ "email": email, "tenant_slug": self.tenant }))
    }

    pub(crate) fn code_request(&self, verb: &str, email: &str, code: &str) -> Request {
        self.request(verb, &json!({ "code": code, "email": email, "tenant_slug": self.tenant }))
    }

    pub(crate) async fn asks_for_code(&self, email: &str) -> Answer {
        let answer = self.app.send(&self.login_request(email)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
        answer
    }

    /// At `/token`, or in a browser at `/verify`.
    pub(crate) async fn types_code(&self, email: &str, code: &str) -> Answer {
        self.app.send(&self.code_request(self.verb, email, code)).await
    }

    /// Asks for a code, reads it, types it.
    pub(crate) async fn logs_in(&self, email: &str) -> Tokens {
        Tokens::of(&self.answer_to_login(email).await)
    }

    /// As [`logs_in`](Self::logs_in), with all of the answer.
    pub(crate) async fn answer_to_login(&self, email: &str) -> Answer {
        self.asks_for_code(email).await;
        let code = self.app.mailed_code(email).await;
        self.types_code(email, &code).await
    }

    /// Types a code that must be right.
    pub(crate) async fn logs_in_with(&self, email: &str, code: &str) -> Tokens {
        Tokens::of(&self.types_code(email, code).await)
    }

    pub(crate) async fn refreshes(&self, token: &str) -> Answer {
        self.app.send(&self.request("refresh", &json!({ "refresh_token": token }))).await
    }

    pub(crate) async fn logs_out(&self, token: &str) -> Answer {
        self.app.send(&self.request("logout", &json!({ "refresh_token": token }))).await
    }
}

/// What a successful call gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub access: String,
    pub refresh: String,
    pub customer_id: String,
    pub tenant_id: String,
}

impl Tokens {
    /// Checks the answer's form on the way.
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let all = ["access_token", "customer_id", "expires_in", "refresh_token", "tenant_id", "token_type"];
        assert_eq!(names, all);
        assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(3600), &json!("bearer")));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "F1");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
            customer_id: text("customer_id"),
            tenant_id: text("tenant_id"),
        }
    }

    /// The access token's header, unchecked.
    pub(crate) fn header(&self) -> Value {
        self.part(0)
    }

    /// The access token's claims, unchecked.
    pub(crate) fn claims(&self) -> Value {
        self.part(1)
    }

    fn part(&self, index: usize) -> Value {
        let part = self.access.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }
}
