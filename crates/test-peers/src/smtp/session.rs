//! One connection to the sink: the server's side of the dialogue.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Act, Point, Received, Shared, SinkTls, lock};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What to do after a step.
enum Next {
    Continue,
    StartTls,
    Close,
}

pub(super) async fn serve(tcp: TcpStream, number: usize, shared: Arc<Shared>) -> io::Result<()> {
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
        unsent: Vec::new(),
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
    /// Answers to commands that came in one breath leave in one.
    unsent: Vec<u8>,
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
        let mut lines = vec!["sink.example.com", "ENHANCEDSTATUSCODES"];
        if traits.pipelining {
            lines.push("PIPELINING");
        }
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
        if self.from.is_some() {
            return self.say("503 5.5.1 nested MAIL").await;
        }
        let act = self.take_act(Point::Mail);
        if !matches!(act, Some(Act::Reply(_))) {
            self.smtputf8 = line.ends_with(" SMTPUTF8") || line.contains(" SMTPUTF8 ");
            self.from = Some(in_brackets(line));
        }
        self.perform(act, "250 2.1.0 ok").await
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
        if self.to.is_empty() && !self.shared.traits.takes_empty_data {
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
        if act.is_some() {
            self.flush().await?;
        }
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
        self.unsent.extend_from_slice(format!("{reply}\r\n").as_bytes());
        if self.io.buffer().is_empty() {
            if let Some(Act::Delay(time)) = self.take_act(Point::Answer) {
                tokio::time::sleep(time).await;
            }
            self.flush().await?;
        }
        // 421 announces that the server closes.
        Ok(!reply.starts_with("421"))
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.io.write_all(&std::mem::take(&mut self.unsent)).await?;
        self.io.flush().await
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
