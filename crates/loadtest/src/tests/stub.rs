//! A service in one file that answers as the contract says, or breaks it in one chosen way.

use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The breach to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    RetryAfterZero,
    LimitVisible,
    SameRefreshToken,
    LogoutForgotten,
    NoMailbox,
    LoginTalks,
    /// Every so many requests the connection is closed instead of an answer.
    Hangup(u64),
    /// Each request takes so long, one after the other.
    Slow(Duration),
    /// Each takes so much longer than the one before.
    Slower(Duration),
    MailTwice,
}

/// Burst, and time for one more; at rest when it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub u32, pub Duration);

/// What the service keeps to.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub fault: Fault,
    pub client: Option<Limit>,
    pub network: Option<Limit>,
    pub tenant: Option<Limit>,
    pub mail: Option<Limit>,
    pub cool_down: Duration,
    pub mails_per_network: u32,
    pub per_code: u32,
    pub per_lane: u32,
    pub per_network: u32,
    /// `RateLimit-Policy`.
    pub announced: Option<&'static str>,
    /// Forgets what was spent when this file comes to be; codes are kept, as a database keeps them.
    pub restart: Option<PathBuf>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            fault: Fault::None,
            client: None,
            network: None,
            tenant: None,
            mail: None,
            cool_down: Duration::from_secs(60),
            mails_per_network: u32::MAX,
            per_code: 5,
            per_lane: 20,
            per_network: u32::MAX,
            announced: None,
            restart: None,
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    requests: u64,
    limits: HashMap<(char, String), Instant>,
    mails: Vec<Value>,
    accounts: HashMap<String, Account>,
    sessions: HashMap<String, ()>,
}

#[derive(Default)]
struct Account {
    code: Option<String>,
    code_guesses: u32,
    lane_guesses: u32,
    network_guesses: HashMap<IpAddr, u32>,
    network_mails: HashMap<IpAddr, u32>,
    known: HashSet<IpAddr>,
    quiet: HashMap<bool, Instant>,
}

pub(super) struct Stub {
    rules: Rules,
    state: Arc<Mutex<State>>,
}

type Reply = (u16, &'static str, Value);

fn admits(clock: &mut Instant, Limit(burst, interval): Limit, now: Instant) -> bool {
    let admitted = *clock <= now + interval * (burst - 1);
    if admitted {
        *clock = (*clock).max(now) + interval;
    }
    admitted
}

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::from([v4.octets()[0], v4.octets()[1], v4.octets()[2], 0]),
        v6 => v6,
    }
}

impl Stub {
    pub(super) async fn start(rules: Rules) -> SocketAddr {
        Stub::replica(rules, Arc::default()).await
    }

    /// One of several that share a state (or, with a state of its own, do not).
    pub(super) async fn replica(rules: Rules, state: Arc<Mutex<State>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stub = Arc::new(Stub { rules, state });
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
            let requests = u32::try_from(self.state.lock().unwrap().requests).unwrap();
            match self.rules.fault {
                Fault::Slow(time) => tokio::time::sleep(time).await,
                Fault::Slower(time) => tokio::time::sleep(time * requests).await,
                _ => {}
            }
            let forwarded = head.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "));
            let peer = forwarded.map_or(peer, |ip| ip.parse().unwrap());
            let (status, headers, body) = self.answer(&head, &body, peer)?;
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let policy = self.rules.announced.map(|policy| format!("ratelimit-policy: {policy}\r\n"));
            let answer = format!(
                "HTTP/1.1 {status} Status\r\n{headers}{}content-length: {}\r\n\r\n{body}",
                policy.unwrap_or_default(),
                body.len()
            );
            socket.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, head: &str, body: &[u8], peer: IpAddr) -> Option<Reply> {
        let state = &mut *self.state.lock().unwrap();
        if self.rules.restart.as_ref().is_some_and(|file| std::fs::remove_file(file).is_ok()) {
            state.accounts.values_mut().for_each(|account| account.code_guesses = 0);
            state.limits.clear();
        }
        state.requests += 1;
        if let Fault::Hangup(every) = self.rules.fault
            && state.requests.is_multiple_of(every)
        {
            return None;
        }
        let path = head.split(' ').nth(1)?;
        if path == "/metrics" {
            let text = format!(
                "answers_total{{status=\"200\"}} {}\nanswers_total{{status=\"429\"}} 0\n",
                state.requests
            );
            return Some((200, "", Value::String(text)));
        }
        if self.rules.fault == Fault::NoMailbox && path.starts_with("/dev/") {
            return Some((404, "", json!({"detail": "Not Found"})));
        }
        if let Some(query) = path.strip_prefix("/dev/mailbox.json?to=") {
            let query = query.replace("%40", "@");
            let mails: Vec<&Value> = state.mails.iter().rev().filter(|mail| mail["to"] == query).collect();
            return Some((200, "", json!(mails)));
        }
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let call = path.strip_prefix("/v1/customer-auth/")?;
        if self.limited(state, call, peer, &text("tenant_slug")) {
            let zero = self.rules.fault == Fault::RetryAfterZero;
            let retry = if zero { "retry-after: 0\r\n" } else { "retry-after: 1\r\n" };
            return Some((429, retry, json!({"detail": "Too Many Requests"})));
        }
        match call {
            "login" => Some(self.login(state, &text("email"), peer)),
            "verify" | "token" => Some(self.verify(state, &text("email"), &text("code"), peer)),
            "refresh" => Some(self.refresh(state, &text("refresh_token"))),
            "logout" => {
                if self.rules.fault != Fault::LogoutForgotten {
                    state.sessions.remove(&text("refresh_token"));
                }
                Some((204, "", Value::Null))
            }
            _ => None,
        }
    }

    fn limited(&self, state: &mut State, call: &str, peer: IpAddr, tenant: &str) -> bool {
        let now = Instant::now();
        let group = match call {
            "login" => 'l',
            "verify" | "token" => 'c',
            _ => 's',
        };
        let mut passes = |limit: Option<Limit>, key: String| {
            let clock = |limit| admits(state.limits.entry((group, key)).or_insert(now), limit, now);
            limit.is_none_or(clock)
        };
        let tenant_limit = self.rules.tenant.filter(|_| group == 'l');
        !(passes(self.rules.client, peer.to_string())
            && passes(self.rules.network, format!("net {}", network(peer)))
            && passes(tenant_limit, format!("tenant {tenant}")))
    }

    fn login(&self, state: &mut State, email: &str, peer: IpAddr) -> Reply {
        let (rules, now) = (&self.rules, Instant::now());
        if rules.fault == Fault::LoginTalks {
            return (200, "", json!({"known": email.starts_with("user")}));
        }
        if !email.starts_with("user") {
            return (200, "", json!({}));
        }
        let account = state.accounts.entry(email.to_owned()).or_default();
        let known = account.known.contains(&peer);
        let mails = account.network_mails.entry(network(peer)).or_default();
        let quiet = account.quiet.get(&known).is_some_and(|quiet| now < *quiet);
        if quiet || (!known && *mails >= rules.mails_per_network) {
            return (200, "", json!({}));
        }
        let budget = state.limits.entry(('m', format!("{known} {email}"))).or_insert(now);
        if rules.mail.is_none_or(|limit| admits(budget, limit, now)) {
            *mails += u32::from(!known);
            account.quiet.insert(known, now + rules.cool_down);
            let id = state.mails.len();
            let number = (id * 7_919) % 1_000_000;
            let spent = account.lane_guesses >= rules.per_lane;
            let code = if spent { format!("A{:05}", number % 100_000) } else { format!("{number:06}") };
            for _ in 0..if rules.fault == Fault::MailTwice { 2 } else { 1 } {
                let id = state.mails.len();
                state.mails.push(
                    json!({"id": id, "to": email, "subject": format!("{code} is your code"), "text": ""}),
                );
            }
            (account.code, account.code_guesses) = (Some(code), 0);
        } else if rules.fault == Fault::LimitVisible {
            return (429, "retry-after: 9\r\n", json!({}));
        }
        (200, "", json!({}))
    }

    fn verify(&self, state: &mut State, email: &str, code: &str, peer: IpAddr) -> Reply {
        let refused = (401, "", json!({"detail": "Invalid or expired code"}));
        let Some(account) = state.accounts.get_mut(email) else { return refused };
        let of_network = account.network_guesses.entry(network(peer)).or_default();
        let spent = account.code_guesses >= self.rules.per_code
            || account.lane_guesses >= self.rules.per_lane
            || *of_network >= self.rules.per_network;
        if account.code.is_none() || spent {
            return refused;
        }
        (account.code_guesses, account.lane_guesses) = (account.code_guesses + 1, account.lane_guesses + 1);
        *of_network += 1;
        if account.code.as_deref() != Some(code) {
            if account.code_guesses >= self.rules.per_code {
                account.quiet.clear();
            }
            return refused;
        }
        account.code = None;
        account.quiet.clear();
        account.known.insert(peer);
        let token = format!("dcr_{}_", state.requests);
        tokens(state, token)
    }

    fn refresh(&self, state: &mut State, token: &str) -> Reply {
        if state.sessions.remove(token).is_none() {
            return (401, "", json!({"detail": "Invalid refresh token"}));
        }
        let same = self.rules.fault == Fault::SameRefreshToken;
        tokens(state, if same { token.to_owned() } else { format!("{token}x") })
    }
}

fn tokens(state: &mut State, refresh_token: String) -> Reply {
    state.sessions.insert(refresh_token.clone(), ());
    let body = json!({"access_token": "a.b.c", "refresh_token": refresh_token, "token_type": "bearer", "expires_in": 3600});
    (200, "set-cookie: a=b\r\n", body)
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
