//! A mail server that keeps what it gets. It speaks real SMTP over real TCP (and TLS), and does what a test tells it to:
//! refuse, delay, fall silent, hang up, or hide its STARTTLS.

mod session;

use crate::{CERTIFICATE_PEM, KEY_PEM};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What kind of server the sink is.
#[derive(Clone, Debug)]
pub struct Traits {
    pub tls: SinkTls,
    pub pipelining: bool,
    /// Takes DATA although no recipient was accepted, as RFC 2920 allows.
    pub takes_empty_data: bool,
    pub smtputf8: bool,
    pub eight_bit_mime: bool,
    /// User and password that AUTH PLAIN must bring before MAIL FROM.
    pub login: Option<(String, String)>,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            tls: SinkTls::None,
            pipelining: true,
            takes_empty_data: false,
            smtputf8: true,
            eight_bit_mime: true,
            login: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkTls {
    /// Plain text; also what a server looks like whose STARTTLS somebody strips on the way.
    None,
    /// Offers STARTTLS.
    StartTls,
    /// As above, and somebody slips an answer in behind the server's "220".
    StartTlsInjected,
    /// TLS from the first byte.
    Implicit,
}

/// Points of the dialogue where a test can step in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    Greeting,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// After the whole mail came.
    Body,
    /// Before the answers to what came in one breath: a server that is far away.
    Answer,
}

/// What the sink does at a point instead of going on.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers this line instead ("451 4.3.0 later"); a mail so answered is not kept.
    Reply(&'static str),
    /// Goes on after a while.
    Delay(Duration),
    /// Never answers again.
    Silence,
    /// Hangs up without an answer.
    Drop,
    /// At `Body`: keeps the mail, then hangs up without an answer.
    KeepAndDrop,
}

/// A mail that the sink accepted.
#[derive(Clone, Debug)]
pub struct Received {
    /// MAIL FROM, without the brackets.
    pub from: String,
    /// RCPT TO, one each.
    pub to: Vec<String>,
    /// The message as it came, dots unstuffed, without the final dot.
    pub raw: Vec<u8>,
    /// Whether SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// Whether the connection was under TLS.
    pub tls: bool,
    /// Which connection brought it, counted from 1.
    pub connection: usize,
}

impl Received {
    /// A header's value, unfolded, as it stands (encoded words stay encoded).
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let head = text.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        head.split("\r\n").find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The code: the first word of the subject.
    pub fn code(&self) -> Option<String> {
        self.header("Subject")?.split(' ').next().map(str::to_owned)
    }
}

/// The server. It stops when it is dropped.
pub struct SmtpSink {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    traits: Traits,
    /// What to do where, and whether it is to be done once only.
    acts: Mutex<HashMap<Point, (Act, bool)>>,
    refused: Mutex<HashMap<String, &'static str>>,
    received: Mutex<Vec<Received>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
    changed: Notify,
    tls: TlsAcceptor,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SmtpSink {
    /// A plain server on a free port of loopback.
    pub async fn start() -> Self {
        Self::with(Traits::default()).await
    }

    pub async fn with(traits: Traits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Shared {
            traits,
            acts: Mutex::default(),
            refused: Mutex::default(),
            received: Mutex::default(),
            commands: Mutex::default(),
            connections: AtomicUsize::new(0),
            changed: Notify::new(),
            tls: acceptor(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { port, shared, accepting }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, at `point`, do `act`.
    pub fn at(&self, point: Point, act: Act) {
        lock(&self.shared.acts).insert(point, (act, false));
    }

    /// At `point`, do `act` the next time only.
    pub fn once(&self, point: Point, act: Act) {
        lock(&self.shared.acts).insert(point, (act, true));
    }

    /// From now on, answer RCPT TO this address by this line.
    pub fn refuse(&self, address: &str, reply: &'static str) {
        lock(&self.shared.refused).insert(address.to_owned(), reply);
    }

    /// From now on, behave.
    pub fn heal(&self) {
        lock(&self.shared.acts).clear();
        lock(&self.shared.refused).clear();
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// The mails so far, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// How many mails so far.
    pub fn count(&self) -> usize {
        lock(&self.shared.received).len()
    }

    /// Every command line so far, AUTH without what follows it.
    pub fn commands(&self) -> Vec<String> {
        lock(&self.shared.commands).clone()
    }

    /// Waits until there are `count` mails.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count() >= count {
                return self.received();
            }
            changed.await;
        }
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE_PEM.as_bytes())
        .collect::<Result<_, _>>()
        .expect("leaf.pem");
    let key = PrivateKeyDer::from_pem_slice(KEY_PEM.as_bytes()).expect("leaf.key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections live as long as the sink: a set aborts its tasks when it goes.
    let mut sessions = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let number = shared.connections.fetch_add(1, SeqCst) + 1;
        shared.changed.notify_waiters();
        let shared = shared.clone();
        sessions.spawn(async move {
            // A client that goes away ends its session; what it left behind is in `received`.
            let _ = session::serve(tcp, number, shared).await;
        });
    }
}
