//! The issuer: one per active tenant. Decides what a login or a guess writes, and never waits for it.
//!
//! It holds nothing that must survive it: budgets live in Postgres, the tenant's quota in [`crate::login::issuers`].

use crate::error::Refusal;
use crate::keys::Keys;
use crate::ledger::{Ledger, LedgerMessage, LoginBatch, Outcome, VerifyBatch};
use crate::login::device_cookie::DeviceCookie;
use crate::login::issuers::{IssuerSlot, Issuers};
use crate::login::rng::SecretRng;
use crate::store::challenges::{AddressId, LoginRow, Verdict, VerifyRow};
use crate::store::tenants::Tenant;
use actor_runtime::{Actor, Admission, Context, Failure, Handle, Reply};
use arc_swap::ArcSwap;
use doorcode_domain::{
    AddressKey, Alphabet, ChallengeId, CodeMac, Email, LoginCode, SessionKey, TenantId, TenantSlug, TypedCode,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Rows of the decoy table.
const DECOYS: u128 = 1_024;

/// Who asks, for which address: resolved once, before the tenant's issuer hears of it.
pub(crate) struct LoginRequest {
    /// `None`: the slug names no tenant. Such requests do all that others do.
    pub(crate) tenant: Option<Tenant>,
    pub(crate) address: AddressId,
    pub(crate) client: IpAddr,
    /// What the caller presented as device cookies; nothing unless it is ours.
    pub(crate) device_cookies: Vec<String>,
}

pub(crate) enum IssuerMessage {
    RequestCode(Arc<LoginRequest>, Reply<Outcome<()>>),
    Verify(Arc<LoginRequest>, Guess, Reply<Outcome<Verdict>>),
    /// Time to see whether anybody still asks.
    Tick,
}

/// What somebody typed, and the session it would begin.
pub(crate) struct Guess {
    pub(crate) typed: TypedCode,
    pub(crate) session: SessionKey,
    pub(crate) ended: Option<SessionKey>,
}

/// What every issuer works with.
#[derive(Clone)]
pub(crate) struct IssuerDeps {
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) login: Handle<LedgerMessage<LoginBatch>>,
    pub(crate) verify: Handle<LedgerMessage<VerifyBatch>>,
    pub(crate) idle: Duration,
}

pub(crate) struct Issuer {
    pub(crate) deps: IssuerDeps,
    pub(crate) slot: IssuerSlot,
    pub(crate) issuers: Issuers,
}

pub(crate) struct IssuerState {
    rng: SecretRng,
    /// Messages since the last tick.
    handled: u64,
}

impl Issuer {
    fn request_code(
        &self,
        rng: &mut SecretRng,
        request: &LoginRequest,
    ) -> Result<LoginRow, getrandom::Error> {
        let keys = self.deps.keys.load();
        let AddressId { tenant, key: address } = request.address;
        let challenge = ChallengeId::random(rng.draw()?);
        let mac = |alphabet| {
            LoginCode::derive(&keys.code_derivation, challenge, alphabet).mac(
                &keys.code_mac,
                tenant,
                address,
                alphabet,
            )
        };
        Ok(LoginRow {
            address: request.address,
            challenge,
            digit_mac: mac(Alphabet::Digits),
            base32_mac: mac(Alphabet::Base32),
            device_us: device(&keys, request).since(&keys.device, tenant, address),
            client_tag: client_tag(&keys, request),
            step_up: step_up(request.tenant),
        })
    }

    fn verify(&self, request: &LoginRequest, guess: &Guess) -> VerifyRow {
        let keys = self.deps.keys.load();
        let AddressId { tenant, key: address } = request.address;
        let mac = |alphabet| -> Option<CodeMac> {
            Some(guess.typed.read_as(alphabet)?.mac(&keys.code_mac, tenant, address, alphabet))
        };
        VerifyRow {
            address: request.address,
            digit_mac: mac(Alphabet::Digits),
            base32_mac: mac(Alphabet::Base32),
            device_us: device(&keys, request).since(&keys.device, tenant, address),
            client_tag: client_tag(&keys, request),
            session: guess.session,
            ended: guess.ended,
            decoy: (address.0.as_u128() % DECOYS) as i32,
        }
    }
}

/// The device cookie among what was presented.
pub(crate) fn device(keys: &Keys, request: &LoginRequest) -> DeviceCookie {
    DeviceCookie::read(&keys.device, request.address.tenant, &request.device_cookies)
}

/// See `challenges.step_up` in the schema. Slugs that name no tenant are as a tenant by default.
fn step_up(tenant: Option<Tenant>) -> i16 {
    let (may, must) = tenant.map_or((true, false), |t| (t.steps_up, t.tripped));
    2 * i16::from(may) + i16::from(must)
}

/// Whose row a request is about.
pub(crate) fn address_of(keys: &Keys, tenant: Option<Tenant>, slug: &TenantSlug, email: &Email) -> AddressId {
    match tenant {
        Some(tenant) => {
            AddressId { tenant: tenant.id, key: AddressKey::of(&keys.address, tenant.id, email.key()) }
        }
        None => AddressId {
            tenant: TenantId::UNKNOWN,
            key: AddressKey::of_unknown(&keys.address, slug, email.key()),
        },
    }
}

/// A keyed tag of the caller's network prefix (/32 or /64), different for each address: no one can follow a network
/// through the table.
fn client_tag(keys: &Keys, request: &LoginRequest) -> i64 {
    let prefix: Vec<u8> = match request.client {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    };
    let address = request.address;
    let mac = keys.client_tag.mac128(&[address.tenant.0.as_bytes(), address.key.0.as_bytes(), &prefix]);
    let mut word = [0; 8];
    word.copy_from_slice(&mac[..8]);
    i64::from_be_bytes(word)
}

/// Passes a row on to a ledger with the request's own admission and reply port.
fn pass<B: crate::ledger::Batch>(
    ledger: &Handle<LedgerMessage<B>>,
    row: B::Row,
    reply: Reply<Outcome<B::Answer>>,
    admission: Admission,
) where
    Ledger<B>: Actor<Message = LedgerMessage<B>>,
{
    // a ledger between two lives drops the reply port: the caller is told at once
    if ledger.forward(LedgerMessage::Put(row, reply), admission).is_err() {
        tracing::debug!(ledger = ledger.meter.kind, "not there");
    }
}

impl Actor for Issuer {
    type Message = IssuerMessage;
    type State = IssuerState;

    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send_after(self.deps.idle, IssuerMessage::Tick);
        Ok(IssuerState { rng: SecretRng::new()?, handled: 0 })
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        admission: Option<Admission>,
        state: &mut Self::State,
    ) -> Result<(), Failure> {
        match (message, admission) {
            (IssuerMessage::RequestCode(request, reply), Some(admission)) => {
                state.handled += 1;
                match self.request_code(&mut state.rng, &request) {
                    Ok(row) => pass(&self.deps.login, row, reply, admission),
                    Err(error) => {
                        tracing::error!(%error, "the operating system gives no random numbers");
                        let _ = reply.send(Err(Refusal::Unavailable));
                    }
                }
            }
            (IssuerMessage::Verify(request, guess, reply), Some(admission)) => {
                state.handled += 1;
                pass(&self.deps.verify, self.verify(&request, &guess), reply, admission);
            }
            (IssuerMessage::Tick, _) if state.handled == 0 => {
                // out of the directory first: what was sent before is still handled by the drain
                self.issuers.forget(self.slot, context);
                context.retire();
            }
            (IssuerMessage::Tick, _) => {
                state.handled = 0;
                context.send_after(self.deps.idle, IssuerMessage::Tick);
            }
            // requests always have admissions
            (_, None) => {}
        }
        Ok(())
    }
}
