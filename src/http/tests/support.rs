//! An edge on a port of its own, and a client that can say anything.

use super::script::Script;
use crate::config::Config;
use crate::http::metrics::histogram;
use crate::http::{
    BodyLimits, ClientLimitSettings, ClientLimits, LimitClock, LoginApi, PUBLIC_BODY_MAX, Public,
    SameHostOnly, ServerLimits, TrustedProxies, serve, service,
};
use doorcode_domain::SpecialUse;
use governor::clock::FakeRelativeClock;
use prometheus_client::metrics::counter::Counter;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use test_peers::http::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const LOGIN: &str = "/v1/customer-auth/login";
/// Longer than anything here takes, shorter than a patient person.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Edge {
    pub addr: SocketAddr,
    pub stop: Option<oneshot::Sender<()>>,
    pub done: JoinHandle<std::io::Result<()>>,
}

impl Edge {
    pub(crate) async fn unlimited() -> Self {
        Self::with(|_| {}, ServerLimits::default()).await
    }

    /// An edge whose settings differ from the default, client limits off unless switched on again.
    pub(crate) async fn with(change: impl FnOnce(&mut Public), server: ServerLimits) -> Self {
        let off = ClientLimitSettings { enabled: false, ..client_limits() };
        let off = Arc::new(ClientLimits::new(off, &LimitClock::real()));
        let mut public = Public::new(Script::default(), off);
        change(&mut public);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(serve(listener, service(public), server, async {
            let _ = stopped.await;
        }));
        Self { addr, stop: Some(stop), done }
    }

    pub(crate) async fn limited() -> (Self, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let manual = LimitClock::Manual(clock.clone());
        let change = |public: &mut Public| {
            public.limits = Arc::new(ClientLimits::new(client_limits(), &manual));
        };
        (Self::with(change, ServerLimits::default()).await, clock)
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap() }
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: &[u8]) -> Answer {
        raw(self.addr, request).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.send(post(path, headers, body).as_bytes()).await
    }
}

/// As `config.toml` has them.
pub(crate) fn client_limits() -> ClientLimitSettings {
    Config::load(None, []).unwrap().config.limits.client
}

/// Times and connections as `config.toml` has them; as many connections of one client as there are.
impl Default for ServerLimits {
    fn default() -> Self {
        let http = Config::load(None, []).unwrap().config.http;
        Self {
            max_connections: http.max_connections.get(),
            max_per_client: usize::MAX,
            proxies: TrustedProxies::default(),
            refused: Counter::default(),
            turn_waits: histogram(),
            header_timeout: http.header_timeout,
            idle_timeout: http.idle_timeout,
            drain: http.drain_deadline,
        }
    }
}

impl Public {
    /// Times as `config.toml` has them; without portals, mailbox and reports.
    pub(crate) fn new(service: impl LoginApi, limits: Arc<ClientLimits>) -> Self {
        let http = Config::load(None, []).unwrap().config.http;
        Self {
            service: Arc::new(service),
            limits,
            proxies: TrustedProxies::default(),
            portals: Arc::new(SameHostOnly),
            body: BodyLimits { max_bytes: PUBLIC_BODY_MAX, timeout: http.body_timeout },
            special_use: SpecialUse::default(),
            deadline: http.request_deadline,
            login_grid: http.login_grid,
            hsts: false,
            preview: None,
            mail_reports: None,
            metrics: Arc::default(),
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn raw(addr: SocketAddr, request: &[u8]) -> Answer {
    let mut client = Client { stream: TcpStream::connect(addr).await.unwrap() };
    client.write(request).await;
    client.answer().await.expect("an answer")
}

pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer, or `None` if the connection ended.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        timeout(PATIENCE, Answer::read(&mut self.stream)).await.expect("an answer or an end in time")
    }

    /// Waits for the connection's end; what comes before it is thrown away.
    pub(crate) async fn ended(&mut self) {
        let mut sink = Vec::new();
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut sink)).await.expect("an end in time");
    }
}
