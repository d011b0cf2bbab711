//! An SMTP server that takes every mail, late or not at all if it was told so: the relay of a load run.

use super::{Inbox, find_code};
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Longer lines and mails end the connection: nothing here grows with what others send.
const MOST_LINE: u64 = 8 * 1024;
const MOST_MAIL: usize = 1024 * 1024;

/// Every so many mails, one goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmtpFaults {
    /// 451, so that the service must try again.
    pub tempfail: Option<u64>,
    /// 550, so that it must not.
    pub reject: Option<u64>,
    /// The connection breaks after the mail and before its receipt.
    pub hangup: Option<u64>,
}

impl FromStr for SmtpFaults {
    type Err = String;

    /// `tempfail=10,hangup=100`: each tenth, each hundredth.
    fn from_str(text: &str) -> Result<SmtpFaults, String> {
        let mut faults = SmtpFaults::default();
        for part in text.split(',') {
            let every = part.split_once('=').and_then(|(kind, every)| Some((kind, every.parse().ok()?)));
            match every {
                Some(("tempfail", every @ 1..)) => faults.tempfail = Some(every),
                Some(("reject", every @ 1..)) => faults.reject = Some(every),
                Some(("hangup", every @ 1..)) => faults.hangup = Some(every),
                _ => {
                    return Err(format!(
                        "`{part}` is no fault; write tempfail=N, reject=N or hangup=N: one in N mails"
                    ));
                }
            }
        }
        Ok(faults)
    }
}

/// The server's settings.
#[derive(Debug, Clone, Copy)]
pub struct Sink {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Before every reply.
    pub delay: Duration,
    /// What goes wrong.
    pub faults: SmtpFaults,
}

/// What became of one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    Refused(&'static str),
    Hangup,
}

impl Sink {
    /// Listens; mails go to `inbox` until the runtime ends.
    pub async fn start(self, inbox: Arc<Inbox>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let mails = Arc::new(AtomicU64::new(0));
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    let session =
                        Session { sink: self, inbox: Arc::clone(&inbox), mails: Arc::clone(&mails) };
                    // A client that goes away in the middle has not handed a mail over; nothing else is lost.
                    tokio::spawn(async move { session.run(stream).await.ok() });
                }
            }
        });
        Ok(address)
    }

    fn fate(&self, number: u64) -> Fate {
        let hits = |every: Option<u64>| every.is_some_and(|every| number.is_multiple_of(every));
        match &self.faults {
            faults if hits(faults.hangup) => Fate::Hangup,
            faults if hits(faults.reject) => Fate::Refused("550 5.7.1 refused on request\r\n"),
            faults if hits(faults.tempfail) => Fate::Refused("451 4.3.0 refused for now on request\r\n"),
            _ => Fate::Taken,
        }
    }
}

struct Session {
    sink: Sink,
    inbox: Arc<Inbox>,
    mails: Arc<AtomicU64>,
}

impl Session {
    async fn run(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        self.reply(&mut stream, "220 sink ESMTP\r\n").await?;
        let mut recipients = Vec::new();
        loop {
            let line = read_line(&mut stream).await?;
            let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
            let reply = match verb.as_str() {
                "EHLO" => "250-sink\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n",
                "HELO" | "MAIL" | "RSET" => {
                    recipients.clear();
                    "250 ok\r\n"
                }
                "RCPT" => {
                    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                    recipients.extend(address.map(|(address, _)| address.to_owned()));
                    "250 ok\r\n"
                }
                "DATA" => {
                    self.reply(&mut stream, "354 go on\r\n").await?;
                    let mail = read_mail(&mut stream).await?;
                    match self.sink.fate(self.mails.fetch_add(1, Ordering::Relaxed) + 1) {
                        Fate::Hangup => return Ok(()),
                        Fate::Refused(reply) => reply,
                        Fate::Taken => {
                            self.take(&mail, &recipients);
                            "250 taken\r\n"
                        }
                    }
                }
                "NOOP" => "250 ok\r\n",
                "QUIT" => return self.reply(&mut stream, "221 bye\r\n").await,
                _ => "502 not here\r\n",
            };
            self.reply(&mut stream, reply).await?;
        }
    }

    async fn reply(&self, stream: &mut BufReader<TcpStream>, reply: &str) -> io::Result<()> {
        if !self.sink.delay.is_zero() {
            tokio::time::sleep(self.sink.delay).await;
        }
        stream.write_all(reply.as_bytes()).await
    }

    fn take(&self, mail: &str, recipients: &[String]) {
        let (head, body) = mail.split_once("\r\n\r\n").unwrap_or((mail, ""));
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let code = find_code(field("subject").unwrap_or(""), body);
        for recipient in recipients {
            self.inbox.arrive(recipient, field("message-id"), code.clone());
        }
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    (&mut *stream).take(MOST_LINE).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

async fn read_mail(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut mail = String::new();
    loop {
        let line = read_line(stream).await?;
        if line == ".\r\n" {
            return Ok(mail);
        }
        mail.push_str(line.strip_prefix('.').unwrap_or(&line));
        if mail.len() > MOST_MAIL {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MailTotals, Source};
    use super::*;
    use crate::meter::Meter;
    use std::time::Instant;

    async fn say(stream: &mut BufReader<TcpStream>, line: &str, expected: &str) {
        stream.write_all(line.as_bytes()).await.unwrap();
        let answer = read_line(stream).await.unwrap();
        assert!(answer.starts_with(expected), "{line}: {answer}");
    }

    async fn deliver(stream: &mut BufReader<TcpStream>, to: &str, id: u32, expected: &str) {
        say(stream, "MAIL FROM:<a@b.c>\r\n", "250").await;
        say(stream, &format!("RCPT TO:<{to}>\r\n"), "250").await;
        say(stream, "DATA\r\n", "354").await;
        let mail = format!("Message-ID: <{id}>\r\nSubject: 123456 is your code\r\n\r\n..\r\n.\r\n");
        say(stream, &mail, expected).await;
    }

    #[tokio::test]
    async fn takes_mails_and_fails_as_told() {
        let meter = Arc::new(Meter::new().unwrap());
        let inbox = Arc::new(Inbox::new(Source::Sink, meter, Duration::from_millis(50)));
        let faults: SmtpFaults = "tempfail=2,hangup=4".parse().unwrap();
        let sink = Sink { listen: "127.0.0.1:0".parse().unwrap(), delay: Duration::from_millis(1), faults };
        let address = sink.start(Arc::clone(&inbox)).await.unwrap();
        inbox.asked("user@example.com", Instant::now(), true);
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        say(&mut stream, "", "220").await;
        deliver(&mut stream, "user@example.com", 1, "250").await;
        deliver(&mut stream, "other@example.com", 2, "451").await;
        deliver(&mut stream, "user@example.com", 1, "250").await;
        assert_eq!(inbox.totals(), MailTotals { expected: 1, arrived: 2, lost: 0, doubled: 1 });
        say(&mut stream, "DATA\r\n", "354").await;
        stream.write_all(b"x\r\n.\r\n").await.unwrap();
        assert!(read_line(&mut stream).await.is_err(), "the fourth breaks the connection");
        assert!("sometimes".parse::<SmtpFaults>().is_err());
    }
}
