//! The service's calls as a customer's client makes them: each checks its answer and is booked.

use crate::call::{Call, Failure};
use crate::callers::Caller;
use crate::customers::Customer;
use crate::http::{Connection, Endpoint, Reply, Target};
use crate::mail::{SeenMail, find_code};
use crate::meter::Meter;
use crate::profile::Paths;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause after a refused connection, so that a service that is down is not met with a storm of attempts.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Stands for no session, and costs no row: what it cannot open is refused.
const NO_TOKEN: &str = "dcr_none";

/// What every connection of a run has in common.
#[derive(Debug)]
pub(crate) struct Service {
    replicas: Vec<Arc<Replica>>,
    time_limit: Duration,
    meter: Arc<Meter>,
}

/// One address of the service, with its requests' unchanging parts.
#[derive(Debug)]
struct Replica {
    target: Arc<Target>,
    /// login, verify, token, refresh, logout.
    endpoints: [Endpoint; 5],
    mailbox: &'static str,
}

impl Replica {
    fn new(target: Target, paths: &Paths) -> Replica {
        let Paths { login, verify, token, refresh, logout, mailbox } = *paths;
        let endpoints = [login, verify, token, refresh, logout].map(|path| Endpoint::post(&target, path));
        Replica { endpoints, mailbox, target: Arc::new(target) }
    }

    fn endpoint(&self, call: Call) -> &Endpoint {
        let [login, verify, token, refresh, logout] = &self.endpoints;
        match call {
            Call::Verify => verify,
            Call::Token => token,
            Call::Refresh | Call::RefreshAfterLogout => refresh,
            Call::Logout => logout,
            Call::Login | Call::Mail | Call::Mailbox => login,
        }
    }

    fn mailbox(&self, address: &str) -> Endpoint {
        Endpoint::get(&self.target, &format!("{}{address}", self.mailbox))
    }
}

impl Service {
    /// Over these replicas.
    pub(crate) fn new(targets: &[Target], paths: &Paths, time_limit: Duration, meter: Arc<Meter>) -> Service {
        let replicas = targets.iter().map(|target| Arc::new(Replica::new(target.clone(), paths))).collect();
        Service { replicas, time_limit, meter }
    }

    /// The books.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// One replica after the other, each as a service of its own.
    pub(crate) fn each_replica(&self) -> impl Iterator<Item = Arc<Service>> + '_ {
        self.replicas.iter().map(|replica| {
            let meter = Arc::clone(&self.meter);
            Arc::new(Service { replicas: vec![Arc::clone(replica)], time_limit: self.time_limit, meter })
        })
    }

    /// Where it is.
    pub(crate) fn name(&self) -> String {
        let names: Vec<&str> =
            self.replicas.iter().map(|replica| replica.target.authority.as_str()).collect();
        names.join(", ")
    }

    /// A client of its own, which goes to the replicas in turn, from the `number`-th on.
    pub(crate) fn link(&self, caller: Option<Caller>, number: usize) -> Link {
        let connect = |replica: &Arc<Replica>| {
            let connection = Connection::new(Arc::clone(&replica.target), caller, self.time_limit);
            (Arc::clone(replica), connection)
        };
        Link {
            replicas: self.replicas.iter().map(connect).collect(),
            next: number,
            meter: Arc::clone(&self.meter),
            body: Vec::with_capacity(256),
            due: None,
        }
    }
}

/// One customer's client: a connection to every replica, used in turn.
#[derive(Debug)]
pub struct Link {
    replicas: Vec<(Arc<Replica>, Connection)>,
    next: usize,
    meter: Arc<Meter>,
    body: Vec<u8>,
    due: Option<Instant>,
}

/// How the service took a call that a limit may refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `RateLimit-Policy`, where there was one.
    pub rate_policy: Option<String>,
    /// `X-Request-Id`, or what else names the answer.
    pub id: String,
}

/// A request that limits are about.
#[derive(Debug, Clone, Copy)]
pub enum Probe<'a> {
    /// A login.
    Login(&'a Customer),
    /// A code, by `verify` or by `token`.
    Code(Call, &'a Customer, &'a str),
    /// A refresh or logout with a token that opens nothing.
    Session(Call),
}

#[derive(Serialize)]
struct LoginBody<'a> {
    email: &'a str,
    tenant_slug: &'a str,
}

#[derive(Serialize)]
struct CodeBody<'a> {
    code: &'a str,
    email: &'a str,
    tenant_slug: &'a str,
}

#[derive(Serialize)]
struct RefreshBody<'a> {
    refresh_token: &'a str,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    refresh_token: Cow<'a, str>,
    #[serde(borrow)]
    token_type: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MailBody<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl Link {
    /// The books.
    pub fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// The next call counts from here, however late it is sent.
    pub fn due_at(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// Calls as somebody else from now on.
    pub fn call_as(&mut self, caller: Option<Caller>) {
        self.replicas.iter_mut().for_each(|(_, connection)| connection.call_as(caller));
    }

    /// Asks for a code; the only right answer is `200 {}`. Returns when the call began.
    pub async fn login(&mut self, customer: &Customer) -> Result<Instant, Failure> {
        self.compose(&login_body(customer))?;
        let begun = self.due.unwrap_or_else(Instant::now);
        self.call(Call::Login, accepted).await.map(|()| begun)
    }

    /// Exchanges a code; returns the refresh token.
    pub async fn verify(&mut self, customer: &Customer, code: &str) -> Result<String, Failure> {
        self.compose(&code_body(customer, code))?;
        self.call(Call::Verify, refresh_token).await
    }

    /// Exchanges a refresh token; the next one must be another.
    pub async fn refresh(&mut self, token: &str) -> Result<String, Failure> {
        self.compose(&RefreshBody { refresh_token: token })?;
        let read = |reply: Reply<'_>| {
            refresh_token(reply).and_then(|next| if next == token { Err(Failure::Body) } else { Ok(next) })
        };
        self.call(Call::Refresh, read).await
    }

    /// Ends the session.
    pub async fn logout(&mut self, token: &str) -> Result<(), Failure> {
        self.compose(&RefreshBody { refresh_token: token })?;
        self.call(Call::Logout, |reply| expect(204, reply)).await
    }

    /// Tries a refresh that must be refused.
    pub async fn refresh_after_logout(&mut self, token: &str) -> Result<(), Failure> {
        self.compose(&RefreshBody { refresh_token: token })?;
        self.call(Call::RefreshAfterLogout, |reply| expect(401, reply)).await
    }

    /// A request where a limit may refuse: a refusal by the rules (429 with a `Retry-After` of at least a second) is
    /// as good an answer as any, and so is the generic refusal of a code or token.
    pub async fn probe(&mut self, probe: Probe<'_>) -> Result<Answer, Failure> {
        let call = match probe {
            Probe::Login(customer) => {
                self.compose(&login_body(customer))?;
                Call::Login
            }
            Probe::Code(call, customer, code) => {
                self.compose(&code_body(customer, code))?;
                call
            }
            Probe::Session(call) => {
                self.compose(&RefreshBody { refresh_token: NO_TOKEN })?;
                call
            }
        };
        self.call(call, |reply| read_answer(reply, matches!(probe, Probe::Login(_)))).await
    }

    /// The mails to an address, newest first.
    pub async fn mailbox(&mut self, address: &str) -> Result<Vec<SeenMail>, Failure> {
        self.body.clear();
        let address: String = form_urlencoded::byte_serialize(address.as_bytes()).collect();
        self.call_at(Call::Mailbox, |replica| replica.mailbox(&address), read_mails).await
    }

    fn compose(&mut self, body: &impl Serialize) -> Result<(), Failure> {
        self.body.clear();
        serde_json::to_writer(&mut self.body, body).map_err(|_| Failure::Body)
    }

    async fn call<T>(
        &mut self,
        call: Call,
        read: impl FnOnce(Reply<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.call_at(call, |replica| replica.endpoint(call).clone(), read).await
    }

    async fn call_at<T>(
        &mut self,
        call: Call,
        endpoint: impl FnOnce(&Replica) -> Endpoint,
        read: impl FnOnce(Reply<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let turn = self.next % self.replicas.len().max(1);
        self.next = self.next.wrapping_add(1);
        let open_call = self.meter.open_at(call, self.due.take().unwrap_or_else(Instant::now));
        let Some((replica, connection)) = self.replicas.get_mut(turn) else {
            self.meter.close(open_call, None, Err(Failure::Connect));
            return Err(Failure::Connect);
        };
        let (status, outcome) = match connection.exchange(&endpoint(replica), &self.body).await {
            Ok(reply) => {
                let status = reply.status;
                let keep = |failure: &Failure| self.meter.keep_sample(|| sample(call, *failure, reply));
                (Some(status), read(reply).inspect_err(keep))
            }
            Err(failure) => (None, Err(failure)),
        };
        self.meter.close(open_call, status, outcome.as_ref().map(|_| ()).map_err(|failure| *failure));
        if matches!(outcome, Err(Failure::Connect)) {
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        outcome
    }
}

fn login_body(customer: &Customer) -> LoginBody<'_> {
    LoginBody { email: &customer.email, tenant_slug: &customer.tenant }
}

fn code_body<'a>(customer: &'a Customer, code: &'a str) -> CodeBody<'a> {
    CodeBody { code, email: &customer.email, tenant_slug: &customer.tenant }
}

fn read_answer(reply: Reply<'_>, login: bool) -> Result<Answer, Failure> {
    match (reply.status, reply.retry_after) {
        (429, Some(1..)) => {}
        (429, _) => return Err(Failure::Body),
        (200, _) if login => accepted(reply)?,
        (200 | 204 | 401, _) if !login => {}
        (status, _) => return Err(Failure::Status(status)),
    }
    Ok(Answer {
        status: reply.status,
        rate_policy: reply.header("ratelimit-policy").map(str::to_owned),
        id: reply.header("x-request-id").unwrap_or("none").to_owned(),
    })
}

fn expect(status: u16, reply: Reply<'_>) -> Result<(), Failure> {
    if reply.status == status { Ok(()) } else { Err(Failure::Status(reply.status)) }
}

fn accepted(reply: Reply<'_>) -> Result<(), Failure> {
    expect(200, reply)?;
    if reply.body == b"{}" { Ok(()) } else { Err(Failure::Body) }
}

fn refresh_token(reply: Reply<'_>) -> Result<String, Failure> {
    expect(200, reply)?;
    let tokens: Tokens<'_> = serde_json::from_slice(reply.body).map_err(|_| Failure::Body)?;
    let whole =
        tokens.token_type == "bearer" && !tokens.access_token.is_empty() && !tokens.refresh_token.is_empty();
    if whole { Ok(tokens.refresh_token.into_owned()) } else { Err(Failure::Body) }
}

fn read_mails(reply: Reply<'_>) -> Result<Vec<SeenMail>, Failure> {
    expect(200, reply)?;
    let mails: Vec<MailBody<'_>> = serde_json::from_slice(reply.body).map_err(|_| Failure::Body)?;
    let seen = |mail: MailBody<'_>| SeenMail {
        id: mail.id.get().to_owned(),
        code: find_code(&mail.subject, &mail.text),
    };
    Ok(mails.into_iter().map(seen).collect())
}

/// The status always; the body only of errors, for a good answer may carry tokens.
fn sample(call: Call, failure: Failure, reply: Reply<'_>) -> String {
    let body =
        if reply.status >= 400 { String::from_utf8_lossy(reply.body) } else { Cow::Borrowed("(not shown)") };
    let start: String = body.chars().take(200).collect();
    format!("{} failed as {failure}: status {}, body {start}", call.name(), reply.status)
}
