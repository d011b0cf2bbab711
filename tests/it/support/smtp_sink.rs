//! A mail server that keeps what it gets, for tests. It speaks real SMTP over real TCP (and TLS), and does what
//! a test tells it to: refuse, delay, fall silent, hang up, or hide its STARTTLS.
//!
//! It needs nothing of doorcode, so the tests of every package can include it by path.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Vouches for the sink's certificate, which names `localhost`.
pub const CA_PEM: &str = include_str!("tls/ca.pem");
const LEAF_PEM: &str = include_str!("tls/leaf.pem");
const LEAF_KEY: &str = include_str!("tls/leaf.key");

/// What kind of server the sink is.
#[derive(Clone, Debug)]
pub struct Traits {
    pub tls: SinkTls,
    pub smtputf8: bool,
    pub eight_bit_mime: bool,
    /// User and password that AUTH PLAIN must bring before MAIL FROM.
    pub login: Option<(String, String)>,
}

impl Default for Traits {
    fn default() -> Self {
        Self { tls: SinkTls::None, smtputf8: true, eight_bit_mime: true, login: None }
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
    let chain =
        CertificateDer::pem_slice_iter(LEAF_PEM.as_bytes()).collect::<Result<_, _>>().expect("leaf.pem");
    let key = PrivateKeyDer::from_pem_slice(LEAF_KEY.as_bytes()).expect("leaf.key");
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
            let _ = serve(tcp, number, shared).await;
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What to do after a step.
enum Next {
    Continue,
    StartTls,
    Close,
}

async fn serve(tcp: TcpStream, number: usize, shared: Arc<Shared>) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let implicit = shared.traits.tls == SinkTls::Implicit;
    let stream: Box<dyn Stream> =
        if implicit { Box::new(shared.tls.accept(tcp).await?) } else { Box::new(tcp) };
    let mut session = Session {
        io: BufReader::new(stream),
        shared: shared.clone(),
        number,
        tls: implicit,
        logged_in: shared.traits.login.is_none(),
        from: None,
        to: Vec::new(),
        smtputf8: false,
    };
    if !session.answer(Point::Greeting, "220 sink.example.com ESMTP").await? {
        return Ok(());
    }
    loop {
        let Some(line) = session.read_line().await? else { return Ok(()) };
        match session.obey(&line).await? {
            Next::Continue => {}
            Next::Close => return Ok(()),
            Next::StartTls => {
                // What the client sent ahead is dropped with the buffer (RFC 3207, section 4.2).
                let secured = shared.tls.accept(session.io.into_inner()).await?;
                session.io = BufReader::new(Box::new(secured));
                session.tls = true;
            }
        }
    }
}

struct Session {
    io: BufReader<Box<dyn Stream>>,
    shared: Arc<Shared>,
    number: usize,
    tls: bool,
    logged_in: bool,
    from: Option<String>,
    to: Vec<String>,
    smtputf8: bool,
}

impl Session {
    async fn obey(&mut self, line: &str) -> io::Result<Next> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let shown = if verb == "AUTH" { "AUTH" } else { line };
        lock(&self.shared.commands).push(shown.to_owned());
        let open = match verb.as_str() {
            "EHLO" | "HELO" => {
                let extensions = self.extensions();
                self.answer(Point::Ehlo, &extensions).await?
            }
            "STARTTLS" => return self.start_tls().await,
            "AUTH" => self.log_in(line).await?,
            "MAIL" => self.mail(line).await?,
            "RCPT" => self.rcpt(line).await?,
            "DATA" => return self.data().await,
            "RSET" => {
                self.reset();
                self.say("250 2.0.0 reset").await?
            }
            "NOOP" => self.say("250 2.0.0 ok").await?,
            "QUIT" => {
                self.say("221 2.0.0 bye").await?;
                false
            }
            _ => self.say("500 5.5.1 unknown command").await?,
        };
        Ok(if open { Next::Continue } else { Next::Close })
    }

    fn extensions(&self) -> String {
        let traits = &self.shared.traits;
        let mut lines = vec!["sink.example.com", "PIPELINING", "ENHANCEDSTATUSCODES"];
        if traits.eight_bit_mime {
            lines.push("8BITMIME");
        }
        if traits.smtputf8 {
            lines.push("SMTPUTF8");
        }
        if matches!(traits.tls, SinkTls::StartTls | SinkTls::StartTlsInjected) && !self.tls {
            lines.push("STARTTLS");
        }
        if traits.login.is_some() {
            lines.push("AUTH PLAIN");
        }
        let (last, first) = lines.split_last().expect("a name");
        first.iter().map(|line| format!("250-{line}\r\n")).collect::<String>() + "250 " + last
    }

    async fn start_tls(&mut self) -> io::Result<Next> {
        let offer = match self.shared.traits.tls {
            SinkTls::StartTls if !self.tls => "220 2.0.0 go ahead",
            SinkTls::StartTlsInjected if !self.tls => "220 2.0.0 go ahead\r\n250 injected",
            _ => {
                self.say("502 5.5.1 not offered").await?;
                return Ok(Next::Continue);
            }
        };
        let act = self.take_act(Point::StartTls);
        let refused = matches!(act, Some(Act::Reply(_)));
        match self.perform(act, offer).await? {
            true if refused => Ok(Next::Continue),
            true => Ok(Next::StartTls),
            false => Ok(Next::Close),
        }
    }

    async fn log_in(&mut self, line: &str) -> io::Result<bool> {
        let Some((user, password)) = self.shared.traits.login.clone() else {
            return self.say("502 5.5.1 not offered").await;
        };
        let expected = base64(format!("\0{user}\0{password}").as_bytes());
        self.logged_in = line.split(' ').nth(2) == Some(&expected);
        let reply = if self.logged_in { "235 2.7.0 welcome" } else { "535 5.7.8 no" };
        self.answer(Point::Auth, reply).await
    }

    async fn mail(&mut self, line: &str) -> io::Result<bool> {
        if !self.logged_in {
            return self.say("530 5.7.0 log in first").await;
        }
        self.smtputf8 = line.ends_with(" SMTPUTF8") || line.contains(" SMTPUTF8 ");
        self.from = Some(in_brackets(line));
        self.answer(Point::Mail, "250 2.1.0 ok").await
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<bool> {
        let address = in_brackets(line);
        let refusal = lock(&self.shared.refused).get(&address).copied();
        if let Some(reply) = refusal {
            return self.say(reply).await;
        }
        if self.from.is_none() {
            return self.say("503 5.5.1 MAIL first").await;
        }
        let act = self.take_act(Point::Rcpt);
        if !matches!(act, Some(Act::Reply(_))) {
            self.to.push(address);
        }
        self.perform(act, "250 2.1.5 ok").await
    }

    async fn data(&mut self) -> io::Result<Next> {
        let close_unless = |open| if open { Next::Continue } else { Next::Close };
        if self.to.is_empty() {
            return Ok(close_unless(self.say("503 5.5.1 RCPT first").await?));
        }
        let act = self.take_act(Point::Data);
        let refused = matches!(act, Some(Act::Reply(_)));
        if !self.perform(act, "354 go on").await? {
            return Ok(Next::Close);
        }
        if refused {
            return Ok(Next::Continue);
        }
        let Some(raw) = self.read_message().await? else { return Ok(Next::Close) };
        let act = self.take_act(Point::Body);
        match act {
            None | Some(Act::KeepAndDrop) => self.keep(raw),
            Some(Act::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.keep(raw);
                return Ok(close_unless(self.say("250 2.0.0 kept").await?));
            }
            Some(Act::Reply(_) | Act::Silence | Act::Drop) => self.reset(),
        }
        Ok(close_unless(self.perform(act, "250 2.0.0 kept").await?))
    }

    fn keep(&mut self, raw: Vec<u8>) {
        let mail = Received {
            from: self.from.take().unwrap_or_default(),
            to: std::mem::take(&mut self.to),
            raw,
            smtputf8: self.smtputf8,
            tls: self.tls,
            connection: self.number,
        };
        lock(&self.shared.received).push(mail);
        self.shared.changed.notify_waiters();
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
        self.smtputf8 = false;
    }

    fn take_act(&self, point: Point) -> Option<Act> {
        let mut acts = lock(&self.shared.acts);
        let (act, once) = acts.get(&point).cloned()?;
        if once {
            acts.remove(&point);
        }
        Some(act)
    }

    async fn answer(&mut self, point: Point, reply: &str) -> io::Result<bool> {
        let act = self.take_act(point);
        self.perform(act, reply).await
    }

    /// Answers, or does what the test wants instead. False when the connection is over.
    async fn perform(&mut self, act: Option<Act>, reply: &str) -> io::Result<bool> {
        match act {
            None => self.say(reply).await,
            Some(Act::Reply(other)) => self.say(other).await,
            Some(Act::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.say(reply).await
            }
            Some(Act::Silence) => {
                // Until the client gives up.
                while self.read_line().await?.is_some() {}
                Ok(false)
            }
            Some(Act::Drop | Act::KeepAndDrop) => Ok(false),
        }
    }

    async fn say(&mut self, reply: &str) -> io::Result<bool> {
        self.io.write_all(format!("{reply}\r\n").as_bytes()).await?;
        self.io.flush().await?;
        // 421 announces that the server closes.
        Ok(!reply.starts_with("421"))
    }

    async fn read_line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.io.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
    }

    async fn read_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        loop {
            let mut line = Vec::new();
            if self.io.read_until(b'\n', &mut line).await? == 0 {
                return Ok(None);
            }
            if line == b".\r\n" {
                return Ok(Some(message));
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }
}

fn in_brackets(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

/// Enough of base64 to compare an AUTH PLAIN by.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &b| word << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sign = SIGNS[(word >> (18 - 6 * i)) as usize & 63] as char;
            out.push(if i <= chunk.len() { sign } else { '=' });
        }
    }
    out
}
