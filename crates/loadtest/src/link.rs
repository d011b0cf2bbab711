//! The service's calls as a customer's client makes them: each checks its answer and is booked.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::client::{Connection, Endpoint, Reply, Target};
use super::codes::find_code;
use super::meter::{Call, Failure, Meter};
use super::profile::Paths;

/// Pause after a refused connection, so that a service that is down is not met with a storm of attempts.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection of a run has in common.
#[derive(Debug)]
pub struct Service {
    target: Arc<Target>,
    tenant: String,
    time_limit: Duration,
    meter: Arc<Meter>,
    login: Endpoint,
    verify: Endpoint,
    refresh: Endpoint,
    logout: Endpoint,
    mailbox: &'static str,
}

impl Service {
    /// Prepares the requests' unchanging parts.
    pub fn new(
        target: Target,
        paths: &Paths,
        tenant: String,
        time_limit: Duration,
        meter: Arc<Meter>,
    ) -> Service {
        let post = |path| Endpoint::post(&target, path);
        Service {
            login: post(paths.login),
            verify: post(paths.verify),
            refresh: post(paths.refresh),
            logout: post(paths.logout),
            mailbox: paths.mailbox,
            target: Arc::new(target),
            tenant,
            time_limit,
            meter,
        }
    }

    /// The books.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Another connection; `source` is the local address to call from.
    pub fn link(self: &Arc<Self>, source: Option<IpAddr>) -> Link {
        let connection = Connection::new(Arc::clone(&self.target), source, self.time_limit);
        Link { service: Arc::clone(self), connection, body: Vec::with_capacity(256) }
    }
}

/// One customer's connection to the service.
#[derive(Debug)]
pub struct Link {
    service: Arc<Service>,
    connection: Connection,
    body: Vec<u8>,
}

/// How the service took a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginAnswer {
    /// `200 {}`.
    Accepted,
    /// `429` with a `Retry-After` of at least a second.
    Limited,
}

/// A mail as the dev mailbox shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMail {
    /// Its id, as JSON.
    pub id: String,
    /// The code that it carries.
    pub code: Option<String>,
}

#[derive(Serialize)]
struct LoginBody<'a> {
    email: &'a str,
    tenant_slug: &'a str,
}

#[derive(Serialize)]
struct VerifyBody<'a> {
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
        Arc::clone(&self.service.meter)
    }

    /// Asks for a code; the only right answer is `200 {}`.
    pub async fn login(&mut self, address: &str) -> Result<(), Failure> {
        self.compose_login(address)?;
        let service = Arc::clone(&self.service);
        self.call(Call::Login, &service.login, accepted).await
    }

    /// Asks for a code where a limit may refuse; a refusal by the rules is a good answer too.
    pub async fn login_within_limit(&mut self, address: &str) -> Result<LoginAnswer, Failure> {
        self.compose_login(address)?;
        let service = Arc::clone(&self.service);
        let read = |reply: Reply<'_>| match (reply.status, reply.retry_after) {
            (429, Some(1..)) => Ok(LoginAnswer::Limited),
            (429, _) => Err(Failure::Body),
            _ => accepted(reply).map(|()| LoginAnswer::Accepted),
        };
        self.call(Call::Login, &service.login, read).await
    }

    /// Exchanges a code; returns the refresh token.
    pub async fn verify(&mut self, address: &str, code: &str) -> Result<String, Failure> {
        let service = Arc::clone(&self.service);
        self.compose(&VerifyBody { code, email: address, tenant_slug: &service.tenant })?;
        self.call(Call::Verify, &service.verify, refresh_token).await
    }

    /// Exchanges a refresh token; the next one must be another.
    pub async fn refresh(&mut self, token: &str) -> Result<String, Failure> {
        self.compose(&RefreshBody { refresh_token: token })?;
        let service = Arc::clone(&self.service);
        let read = |reply: Reply<'_>| {
            refresh_token(reply).and_then(|next| if next == token { Err(Failure::Body) } else { Ok(next) })
        };
        self.call(Call::Refresh, &service.refresh, read).await
    }

    /// Ends the session.
    pub async fn logout(&mut self, token: &str) -> Result<(), Failure> {
        self.compose(&RefreshBody { refresh_token: token })?;
        let service = Arc::clone(&self.service);
        self.call(Call::Logout, &service.logout, |reply| expect(204, reply)).await
    }

    /// Tries a refresh that must be refused.
    pub async fn refresh_after_logout(&mut self, token: &str) -> Result<(), Failure> {
        self.compose(&RefreshBody { refresh_token: token })?;
        let service = Arc::clone(&self.service);
        self.call(Call::RefreshAfterLogout, &service.refresh, |reply| expect(401, reply)).await
    }

    /// The mails to an address, newest first.
    pub async fn mailbox(&mut self, address: &str) -> Result<Vec<SeenMail>, Failure> {
        self.body.clear();
        let path = format!("{}{}", self.service.mailbox, percent_encoded(address));
        let endpoint = Endpoint::get(&self.service.target, &path);
        self.call(Call::Mailbox, &endpoint, read_mails).await
    }

    fn compose_login(&mut self, address: &str) -> Result<(), Failure> {
        let service = Arc::clone(&self.service);
        self.compose(&LoginBody { email: address, tenant_slug: &service.tenant })
    }

    fn compose(&mut self, body: &impl Serialize) -> Result<(), Failure> {
        self.body.clear();
        serde_json::to_writer(&mut self.body, body).map_err(|_| Failure::Body)
    }

    async fn call<T>(
        &mut self,
        call: Call,
        endpoint: &Endpoint,
        read: impl FnOnce(Reply<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let meter = &self.service.meter;
        let ticket = meter.open(call);
        let outcome = match self.connection.exchange(endpoint, &self.body).await {
            Ok(reply) => {
                read(reply).inspect_err(|failure| meter.keep_sample(|| sample(call, *failure, reply)))
            }
            Err(failure) => Err(failure),
        };
        meter.close(ticket, outcome.as_ref().map(|_| ()).map_err(|failure| *failure));
        if matches!(outcome, Err(Failure::Connect)) {
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        outcome
    }
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

fn percent_encoded(address: &str) -> String {
    address.bytes().fold(String::with_capacity(address.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
        encoded
    })
}
