//! A service in one file that answers as the contract says, or breaks it in one chosen way.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The breach to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    ClientOneTooMany,
    ClientOneTooFew,
    RetryAfterZero,
    MailOneTooMany,
    MailOneTooFew,
    NoCoolDown,
    LimitVisible,
    SameRefreshToken,
    LogoutForgotten,
    NoMailbox,
    LoginTalks,
    /// Every so many requests the connection is closed instead of an answer.
    Hangup(u64),
}

/// Burst and time for one more; at rest when it is made.
#[derive(Clone, Copy)]
pub struct Limit(pub u32, pub Duration);

#[derive(Default)]
struct State {
    requests: u64,
    clients: HashMap<IpAddr, Instant>,
    mail_budgets: HashMap<String, Instant>,
    mails: Vec<Value>,
    codes: HashMap<String, (String, Instant)>,
    sessions: HashMap<String, ()>,
}

pub struct Stub {
    fault: Fault,
    client: Option<Limit>,
    mail: Option<Limit>,
    state: Mutex<State>,
}

fn admits(clock: &mut Instant, Limit(burst, interval): Limit, now: Instant) -> bool {
    let admitted = *clock <= now + interval * (burst - 1);
    if admitted {
        *clock = (*clock).max(now) + interval;
    }
    admitted
}

fn changed(limit: Limit, fault: Fault, more: Fault, fewer: Fault) -> Limit {
    Limit(limit.0 + u32::from(fault == more) - u32::from(fault == fewer), limit.1)
}

impl Stub {
    pub async fn start(fault: Fault, client: Option<Limit>, mail: Option<Limit>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client =
            client.map(|limit| changed(limit, fault, Fault::ClientOneTooMany, Fault::ClientOneTooFew));
        let mail = mail.map(|limit| changed(limit, fault, Fault::MailOneTooMany, Fault::MailOneTooFew));
        let stub = Arc::new(Stub { fault, client, mail, state: Mutex::default() });
        tokio::spawn(async move {
            while let Ok((socket, peer)) = listener.accept().await {
                let stub = Arc::clone(&stub);
                tokio::spawn(async move { stub.serve(socket, peer.ip()).await });
            }
        });
        address
    }

    async fn serve(&self, mut socket: TcpStream, peer: IpAddr) -> Option<()> {
        let mut input = Vec::new();
        loop {
            let (head, body) = read_request(&mut socket, &mut input).await?;
            let (status, headers, body) = self.answer(&head, &body, peer)?;
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} Status\r\n{headers}content-length: {length}\r\n\r\n{body}");
            socket.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, head: &str, body: &[u8], peer: IpAddr) -> Option<(u16, &'static str, String)> {
        let now = Instant::now();
        let state = &mut *self.state.lock().unwrap();
        state.requests += 1;
        if let Fault::Hangup(every) = self.fault
            && state.requests.is_multiple_of(every)
        {
            return None;
        }
        let path = head.split(' ').nth(1)?;
        if self.fault == Fault::NoMailbox && path.starts_with("/dev/") {
            return Some((404, "", json!({"detail": "Not Found"}).to_string()));
        }
        if let Some(query) = path.strip_prefix("/dev/mailbox.json?to=") {
            let mails: Vec<&Value> = state.mails.iter().rev().filter(|mail| mail["to"] == query).collect();
            return Some((200, "", json!(mails).to_string()));
        }
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        match path.strip_prefix("/v1/customer-auth/")? {
            "login" => Some(self.login(state, &text("email"), peer, now)),
            "verify" => Some(verify(state, &text("email"), &text("code"))),
            "refresh" => Some(self.refresh(state, &text("refresh_token"))),
            "logout" => {
                if self.fault != Fault::LogoutForgotten {
                    state.sessions.remove(&text("refresh_token"));
                }
                Some((204, "", String::new()))
            }
            _ => None,
        }
    }

    fn login(
        &self,
        state: &mut State,
        email: &str,
        peer: IpAddr,
        now: Instant,
    ) -> (u16, &'static str, String) {
        if let Some(limit) = self.client
            && !admits(state.clients.entry(peer).or_insert(now), limit, now)
        {
            let retry =
                if self.fault == Fault::RetryAfterZero { "retry-after: 0\r\n" } else { "retry-after: 1\r\n" };
            return (429, retry, json!({"detail": "Too Many Requests"}).to_string());
        }
        if self.fault == Fault::LoginTalks {
            return (200, "", json!({"known": email.starts_with("user")}).to_string());
        }
        if !email.starts_with("user") {
            return (200, "", "{}".to_owned());
        }
        let cooling = state.codes.get(email).is_some_and(|(_, at)| now < *at + Duration::from_secs(60));
        if cooling && self.fault != Fault::NoCoolDown {
            return (200, "", "{}".to_owned());
        }
        let budget = state.mail_budgets.entry(email.to_owned()).or_insert(now);
        if self.mail.is_none_or(|limit| admits(budget, limit, now)) {
            let id = state.mails.len();
            let code = format!("{:06}", (id * 7_919) % 1_000_000);
            let mail = json!({"id": id, "at": 0, "tenant": "demo", "to": email,
                "subject": format!("{code} is your code"), "text": "", "html": ""});
            state.mails.push(mail);
            state.codes.insert(email.to_owned(), (code, now));
        } else if self.fault == Fault::LimitVisible {
            return (429, "retry-after: 9\r\n", "{}".to_owned());
        }
        (200, "", "{}".to_owned())
    }

    fn refresh(&self, state: &mut State, token: &str) -> (u16, &'static str, String) {
        if state.sessions.remove(token).is_none() {
            return (401, "", json!({"detail": "Invalid refresh token"}).to_string());
        }
        tokens(
            state,
            if self.fault == Fault::SameRefreshToken { token.to_owned() } else { format!("{token}x") },
        )
    }
}

fn verify(state: &mut State, email: &str, code: &str) -> (u16, &'static str, String) {
    if state.codes.get(email).is_none_or(|(right, _)| right != code) {
        return (401, "", json!({"detail": "Invalid or expired code"}).to_string());
    }
    state.codes.remove(email);
    let token = format!("dcr_{}_", state.requests);
    tokens(state, token)
}

fn tokens(state: &mut State, refresh_token: String) -> (u16, &'static str, String) {
    state.sessions.insert(refresh_token.clone(), ());
    let body = json!({"access_token": "a.b.c", "refresh_token": refresh_token, "token_type": "bearer", "expires_in": 3600});
    (200, "set-cookie: a=b\r\n", body.to_string())
}

async fn read_request(socket: &mut TcpStream, input: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(input[..end].to_vec()).ok()?;
            let length: usize =
                head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
            if input.len() >= end + 4 + length {
                let body = input[end + 4..end + 4 + length].to_vec();
                input.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if socket.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}
