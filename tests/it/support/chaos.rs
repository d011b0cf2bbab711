//! A proxy between doorcode and PostgreSQL that loses what it is told to lose.
//!
//! It reads the protocol's messages, so it knows which statement a connection runs and when its answer is complete: a
//! statement has a `Bind`, and what follows it up to `ReadyForQuery` is its answer.

use super::PATIENCE;
use std::collections::HashMap;
use std::io::Result;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream, tcp, unix};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A statement that the proxy recognises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Login,
    Verify,
    Refresh,
    Logout,
    LogoutAll,
    FindSessions,
}

impl Kind {
    const ALL: [(Self, &str); 6] = [
        (Self::Login, include_str!("../../../sql/queries/challenges/login.sql")),
        (Self::Verify, include_str!("../../../sql/queries/challenges/verify.sql")),
        (Self::Refresh, include_str!("../../../sql/queries/sessions/refresh.sql")),
        (Self::Logout, include_str!("../../../sql/queries/sessions/logout.sql")),
        (Self::LogoutAll, include_str!("../../../sql/queries/sessions/end_all.sql")),
        (Self::FindSessions, include_str!("../../../sql/queries/sessions/find.sql")),
    ];

    fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(kind, _)| *kind)
    }
}

/// What becomes of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The connection is cut before the server hears of it.
    LoseRequest,
    /// The server has answered, so the write is committed; the connection is cut before a byte of that arrives.
    LoseAnswer,
    /// The same, and every other connection is cut too; new ones are refused until [`Proxy::heal`].
    LoseAll,
    /// The server has answered; the answer stays on its way until [`Proxy::heal`].
    HoldAnswer,
    /// The connection is cut while the server is at it: as soon as it has the request.
    LeaveAlone,
    /// The request stays on its way until [`Proxy::heal`], and arrives then, whoever has hung up meanwhile.
    HoldRequest,
}

#[derive(Clone, Copy, Default)]
struct Weather {
    /// No byte passes, either way.
    frozen: bool,
    /// Nothing that is held back passes.
    holding: bool,
    /// No new connections.
    refusing: bool,
    /// Connections of earlier numbers are cut.
    cut: usize,
}

struct Shared {
    weather: watch::Sender<Weather>,
    plan: Mutex<Vec<(Kind, Fate)>>,
    /// Fates that were met.
    met: watch::Sender<usize>,
    /// Connections that were refused.
    refused: watch::Sender<usize>,
    /// Statements of a kind, whatever became of them.
    seen: Mutex<Vec<Kind>>,
    /// Statements that came over a connection on which one had got stuck.
    reused: AtomicUsize,
}

/// The proxy; ends when dropped.
pub(crate) struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// In front of a database of the suite's cluster.
    pub(crate) async fn before(database_url: &str) -> Self {
        let (place, query) = database_url.split_once('?').unwrap();
        let (_, name) = place.rsplit_once('/').unwrap();
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)).unwrap().to_owned();
        let (socket, user) = (format!("{}/.s.PGSQL.5432", value("host=")), value("user="));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            weather: watch::Sender::new(Weather::default()),
            plan: Mutex::default(),
            met: watch::Sender::new(0),
            refused: watch::Sender::new(0),
            seen: Mutex::default(),
            reused: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept(listener, socket, shared.clone()));
        Self { url: format!("postgres://{user}@127.0.0.1:{port}/{name}?sslmode=disable"), shared, accepting }
    }

    /// The next statement of a kind meets this fate; the next after that the one that is told next.
    pub(crate) fn plan(&self, kind: Kind, fate: Fate) {
        self.shared.plan.lock().unwrap().push((kind, fate));
    }

    /// Waits until so many fates were met.
    pub(crate) async fn met(&self, count: usize) {
        until(&self.shared.met, count).await;
    }

    /// Waits until so many connections were refused.
    pub(crate) async fn refused(&self, count: usize) {
        until(&self.shared.refused, count).await;
    }

    /// Fails unless everything that was planned has happened.
    pub(crate) fn assert_met(&self) {
        assert_eq!(*self.shared.plan.lock().unwrap(), [], "never happened");
    }

    /// Lets no byte through from now on.
    pub(crate) fn freeze(&self) {
        self.shared.weather.send_modify(|weather| weather.frozen = true);
    }

    /// Lets everything through again, beginning with what got stuck.
    pub(crate) fn heal(&self) {
        self.shared
            .weather
            .send_modify(|weather| *weather = Weather { cut: weather.cut, ..Weather::default() });
    }

    /// Statements of a kind that were sent.
    pub(crate) fn sent(&self, kind: Kind) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| **seen == kind).count()
    }

    /// How many statements came over a connection on which one had got stuck.
    pub(crate) fn reused(&self) -> usize {
        self.shared.reused.load(SeqCst)
    }
}

async fn until(counter: &watch::Sender<usize>, count: usize) {
    let mut counter = counter.subscribe();
    let waiting = counter.wait_for(|now| *now >= count);
    tokio::time::timeout(PATIENCE, waiting).await.expect("it to happen in time").unwrap();
}

async fn accept(listener: TcpListener, socket: String, shared: Arc<Shared>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if shared.weather.borrow().refusing {
            shared.refused.send_modify(|refused| *refused += 1);
            continue;
        }
        client.set_nodelay(true).unwrap();
        let server = UnixStream::connect(&socket).await.unwrap();
        let line = Line::new(shared.clone(), client, server);
        tokio::spawn(async move {
            // an error is a side that has gone: so does the other, here
            let _ = line.serve().await;
        });
    }
}

/// A message with its head; the first of a client has no tag.
struct Message {
    tag: u8,
    bytes: Vec<u8>,
}

impl Message {
    /// The zero-terminated strings that it begins with.
    fn strings(&self) -> impl Iterator<Item = &str> {
        self.bytes[5..].split(|byte| *byte == 0).map_while(|text| std::str::from_utf8(text).ok())
    }
}

/// Messages out of a stream.
struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
    /// The head of the next message.
    head: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// May be dropped while it waits. `None`: the other side closed.
    async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            if let Some(length) = self.buffer.get(self.head - 4..self.head) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                let whole = self.head - 4 + length;
                if self.buffer.len() >= whole {
                    let rest = self.buffer.split_off(whole);
                    let bytes = std::mem::replace(&mut self.buffer, rest);
                    let tag = if self.head == 4 { 0 } else { bytes[0] };
                    self.head = 5;
                    return Ok(Some(Message { tag, bytes }));
                }
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// A connection of doorcode's and its counterpart.
struct Line {
    shared: Arc<Shared>,
    client: Reader<tcp::OwnedReadHalf>,
    server: Reader<unix::OwnedReadHalf>,
    to_client: tcp::OwnedWriteHalf,
    to_server: unix::OwnedWriteHalf,
    names: HashMap<String, Kind>,
    /// Answers that the server was asked for, and those that are complete; its greeting counts as one.
    asked: usize,
    answered: usize,
    /// A fate, and the answer that it is about.
    doom: Option<(Fate, usize)>,
    /// A statement got stuck here.
    stuck: bool,
    waiting_for_client: Vec<u8>,
    waiting_for_server: Vec<u8>,
}

impl Line {
    fn new(shared: Arc<Shared>, client: TcpStream, server: UnixStream) -> Self {
        let (client, to_client) = client.into_split();
        let (server, to_server) = server.into_split();
        Self {
            shared,
            client: Reader { from: client, buffer: Vec::new(), head: 4 },
            server: Reader { from: server, buffer: Vec::new(), head: 5 },
            to_client,
            to_server,
            names: HashMap::new(),
            asked: 1,
            answered: 0,
            doom: None,
            stuck: false,
            waiting_for_client: Vec::new(),
            waiting_for_server: Vec::new(),
        }
    }

    /// Until one side closes, or fate does.
    async fn serve(mut self) -> Result<()> {
        let mut changes = self.shared.weather.subscribe();
        let born = changes.borrow_and_update().cut;
        loop {
            let weather = *changes.borrow_and_update();
            if weather.cut != born {
                return Ok(());
            }
            self.pass(weather).await?;
            let goes_on = tokio::select! {
                _ = changes.changed() => true,
                message = self.client.next() => match message? {
                    Some(message) => self.take_request(&message, weather.frozen).await?,
                    None if self.holds(Fate::HoldRequest, weather) => return self.arrive_late(changes).await,
                    None => false,
                },
                message = self.server.next() => match message? {
                    Some(message) => self.take_answer(&message),
                    None => false,
                },
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    async fn pass(&mut self, weather: Weather) -> Result<()> {
        if weather.frozen {
            return Ok(());
        }
        if !self.holds(Fate::HoldRequest, weather) {
            self.to_server.write_all(&std::mem::take(&mut self.waiting_for_server)).await?;
        }
        if !self.holds(Fate::HoldAnswer, weather) {
            self.to_client.write_all(&std::mem::take(&mut self.waiting_for_client)).await?;
        }
        Ok(())
    }

    fn holds(&self, fate: Fate, weather: Weather) -> bool {
        weather.holding && self.doom.is_some_and(|(doom, _)| doom == fate)
    }

    /// The client has hung up; what it sent is carried out all the same.
    async fn arrive_late(mut self, mut changes: watch::Receiver<Weather>) -> Result<()> {
        let _ = changes.wait_for(|weather| !weather.holding).await;
        self.to_server.write_all(&self.waiting_for_server).await?;
        while self.server.next().await?.is_some_and(|message| message.tag != b'Z') {}
        self.meet();
        Ok(())
    }

    /// Takes a message on its way; whether the connection lives on.
    async fn take_request(&mut self, message: &Message, frozen: bool) -> Result<bool> {
        let fate = match message.tag {
            b'P' => {
                let mut strings = message.strings();
                let (name, text) = (strings.next().unwrap_or_default(), strings.next().unwrap_or_default());
                if let Some(kind) = Kind::of(text) {
                    self.names.insert(name.to_owned(), kind);
                }
                None
            }
            b'B' => self.statement(message, frozen),
            _ => None,
        };
        if fate == Some(Fate::LoseRequest) {
            self.meet();
            return Ok(false);
        }
        self.waiting_for_server.extend(&message.bytes);
        if matches!(message.tag, b'S' | b'Q') {
            self.asked += 1;
            if self.doom == Some((Fate::LeaveAlone, self.asked)) {
                self.to_server.write_all(&std::mem::take(&mut self.waiting_for_server)).await?;
                self.meet();
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn statement(&mut self, bind: &Message, frozen: bool) -> Option<Fate> {
        if self.stuck {
            self.shared.reused.fetch_add(1, SeqCst);
        }
        let kind = *self.names.get(bind.strings().nth(1)?)?;
        self.shared.seen.lock().unwrap().push(kind);
        // no verb waits for longer than a freeze lasts
        self.stuck |= frozen;
        let mut plan = self.shared.plan.lock().unwrap();
        let next = plan.iter().position(|(planned, _)| *planned == kind)?;
        let (_, fate) = plan.remove(next);
        self.doom = Some((fate, self.asked + 1));
        if matches!(fate, Fate::HoldAnswer | Fate::HoldRequest) {
            self.stuck = true;
            self.shared.weather.send_modify(|weather| weather.holding = true);
        }
        Some(fate)
    }

    /// The same.
    fn take_answer(&mut self, message: &Message) -> bool {
        let doomed = self.doom.filter(|(_, answer)| self.answered + 1 == *answer).map(|(fate, _)| fate);
        let complete = message.tag == b'Z';
        self.answered += usize::from(complete);
        match doomed {
            Some(Fate::LoseAnswer | Fate::LoseAll) => {
                if complete {
                    self.meet();
                }
                !complete
            }
            _ => {
                self.waiting_for_client.extend(&message.bytes);
                if complete && doomed.is_some() {
                    self.meet();
                }
                true
            }
        }
    }

    fn meet(&self) {
        if matches!(self.doom, Some((Fate::LoseAll, _))) {
            self.shared.weather.send_modify(|weather| {
                weather.cut += 1;
                weather.refusing = true;
            });
        }
        self.shared.met.send_modify(|met| *met += 1);
    }
}
