//! All that HTTP ever sees of the actors: what callers may do, the published keys, and health.

use crate::address_id::AddressId;
use crate::error::{RefreshError, Refusal, VerifyError};
use crate::keys::minter::MinterMessage;
use crate::keys::{AccessTokenError, Keys};
use crate::ledger::{Ledger, LedgerMessage, LogoutBatch, Outcome, RefreshBatch};
use crate::login::caller::Caller;
use crate::login::grant::{Grant, new_secret};
use crate::login::issuer::{Ask, IssuerMessage, Question};
use crate::login::issuers::{IssuerSlot, Issuers, TenantDirectory};
use crate::login::quota::LimitKey;
use crate::login::request::{Guess, LoginRequest, address_of};
use crate::mail::note::Note;
use crate::mail::notifier::NoticeCounts;
use crate::store::Store;
use crate::store::challenges::GuessOutcome;
use crate::store::sessions::{Moved, RefreshVerdict, SessionId};
use crate::upkeep::guess_stats::GuessCounts;
use crate::upkeep::observer::{ActorRows, Observability, TreeSnapshot};
use crate::upkeep::portals::PortalMap;
use actor_runtime::{Actor, Admission, Flow, Handle, Pool, Reply, until};
use arc_swap::ArcSwap;
use doorcode_domain::Email;
use doorcode_domain::{
    AccessClaims, Clock, CustomerId, Micros, RefreshToken, SessionKey, SessionSecret, TenantId, TenantSlug,
    TokenPosition, TypedCode,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// What a successful login or refresh returns.
pub struct Login {
    /// JWT.
    pub access_token: String,
    /// `dcr_…`.
    pub refresh_token: Zeroizing<String>,
    /// Who.
    pub customer_id: CustomerId,
    /// Where.
    pub tenant_id: TenantId,
    /// Life of the access token in seconds.
    pub expires_in_s: i64,
    /// Seconds until the session ends at the latest if nobody refreshes it: the cookie's `Max-Age`.
    pub refresh_life_s: i64,
    /// A device cookie's new value, if this login made or renewed one.
    pub device_cookie: Option<String>,
}

/// The actors' one way in. Cheap to clone.
#[derive(Clone)]
pub struct LoginService(pub(crate) Arc<Inner>);

/// What the verbs work with.
pub(crate) struct Inner {
    pub(crate) issuer_url: String,
    pub(crate) idle: Duration,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) own_turns: Semaphore,
    pub(crate) tenants: TenantDirectory,
    pub(crate) guesses: GuessCounts,
    pub(crate) notices: NoticeCounts,
    pub(crate) issuers: Issuers,
    pub(crate) refresh: Handle<LedgerMessage<RefreshBatch>>,
    pub(crate) logout: Handle<LedgerMessage<LogoutBatch>>,
    pub(crate) logout_all: Handle<LedgerMessage<LogoutBatch>>,
    pub(crate) minters: Pool<MinterMessage>,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
    pub(crate) portals: Arc<ArcSwap<PortalMap>>,
    pub(crate) observability: Arc<Observability>,
}

/// A request that passed admission, and the issuer it goes to.
struct Admitted {
    request: Arc<LoginRequest>,
    slot: IssuerSlot,
    admission: Admission,
}

impl LoginService {
    /// `/login`. `Ok` means committed: the mail, if one is due, survives a crash. Says nothing of the account.
    pub async fn request_code(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        email: &Email,
    ) -> Result<(), Refusal> {
        let outcome = async {
            let admitted = self.admit(caller, slug, email).await?;
            self.ask_issuer(admitted, slug, Question::Code).await
        };
        let outcome = outcome.await;
        self.0.observability.busiest.saw(slug, outcome.err());
        let outcomes = &self.0.observability.outcomes;
        caller.came_to(match &outcome {
            Ok(()) => &outcomes.login_accepted,
            Err(Refusal::TenantLimited { .. }) => &outcomes.login_tenant_limited,
            Err(_) => &outcomes.login_refused,
        });
        outcome
    }

    /// `/verify` and `/token`: one budget, one rule. `presented` is the refresh token of the portal's cookie, if
    /// one came along: its session ends when this one begins, if both are of one tenant (E8).
    pub async fn verify(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        email: &Email,
        typed: &TypedCode,
        presented: Option<&str>,
    ) -> Result<Login, VerifyError> {
        let (grant, device_cookie) =
            self.spend_code(caller, slug, email, typed, presented, |_| new_secret()).await?;
        let mut login =
            self.mint(caller, grant).await.map_err(|refusal| self.verify_refused(caller, slug, refusal))?;
        login.device_cookie = Some(device_cookie);
        caller.came_to(&self.0.observability.outcomes.verify_logged_in);
        Ok(login)
    }

    /// A code for a session whose secret is `secret`, with the device cookie's new value.
    pub(super) async fn spend_code(
        &self,
        caller: &Caller,
        slug: &TenantSlug,
        email: &Email,
        typed: &TypedCode,
        presented: Option<&str>,
        secret: impl FnOnce(TenantId) -> Result<SessionSecret, Refusal>,
    ) -> Result<(Grant, String), VerifyError> {
        let outcomes = &self.0.observability.outcomes;
        let refused = |refusal| self.verify_refused(caller, slug, refusal);
        let admitted = self.admit(caller, slug, email).await.map_err(refused)?;
        let request = admitted.request.clone();
        let tenant_id = request.address.tenant;
        let secret = secret(tenant_id).map_err(refused)?;
        let session = secret.key(&self.0.keys.load().session_hash, tenant_id);
        let ended =
            presented.and_then(|text| self.read_token(text)).filter(|(token, _)| token.tenant == tenant_id);
        let guess = Guess { typed: typed.clone(), session, ended: ended.map(|(_, key)| key) };
        let verdict =
            self.ask_issuer(admitted, slug, |reply| Question::Guess(guess, reply)).await.map_err(refused)?;
        if verdict.tested {
            outcomes.verify_test_code.add();
            tracing::info!(event = "login_test", tenant = %tenant_id.0, session = %session.0,
                "a test code was used");
        }
        if verdict.counted {
            self.0.guesses.add(tenant_id, matches!(verdict.guess, GuessOutcome::LoggedIn(_)));
        }
        self.0.notices.saw(request.address, &verdict, || Note::of(caller.language, caller.client));
        let customer = match verdict.guess {
            GuessOutcome::LoggedIn(customer) => customer,
            GuessOutcome::Wrong => {
                caller.came_to(&outcomes.verify_wrong);
                return Err(VerifyError::Rejected);
            }
            GuessOutcome::NotEvaluated => {
                caller.came_to(&outcomes.verify_not_evaluated);
                return Err(VerifyError::Rejected);
            }
        };
        caller.trail.about_session(SessionId { tenant: tenant_id, key: session });
        let grant = Grant {
            tenant: tenant_id,
            customer,
            secret,
            session,
            position: TokenPosition { generation: 0, branch: 0 },
            auth_us: verdict.now_us,
            issued_us: verdict.now_us,
            left: self.0.idle,
            claims: verdict.claims,
        };
        Ok((grant, self.device_cookie(&request, verdict.now_us)))
    }

    fn verify_refused(&self, caller: &Caller, slug: &TenantSlug, refusal: Refusal) -> VerifyError {
        let outcomes = &self.0.observability.outcomes;
        self.0.observability.busiest.saw(slug, Some(refusal));
        let limited = matches!(refusal, Refusal::TenantLimited { .. });
        caller.came_to(if limited { &outcomes.verify_tenant_limited } else { &outcomes.verify_refused });
        VerifyError::Refused(refusal)
    }

    /// `/refresh`.
    pub async fn refresh(&self, caller: &Caller, token: &str) -> Result<Login, RefreshError> {
        let Some((token, session)) = self.read_token(token) else {
            caller.came_to(&self.0.observability.outcomes.refresh_forged);
            return Err(RefreshError::Rejected);
        };
        self.advance(caller, token, session).await
    }

    /// The next tokens of a session, for whoever holds this token of it.
    pub(super) async fn advance(
        &self,
        caller: &Caller,
        token: RefreshToken,
        session: SessionKey,
    ) -> Result<Login, RefreshError> {
        let outcomes = &self.0.observability.outcomes;
        let refused = |refusal| {
            caller.came_to(&outcomes.refresh_refused);
            RefreshError::Refused(refusal)
        };
        let id = SessionId { tenant: token.tenant, key: session };
        caller.trail.about_session(id);
        let row = (id, token.position);
        let verdict = put(&self.0.refresh, caller.deadline, row).await.map_err(refused)?;
        let moved = match verdict {
            RefreshVerdict::Moved(moved) => moved,
            RefreshVerdict::Gone => {
                caller.came_to(&outcomes.refresh_gone);
                return Err(RefreshError::Rejected);
            }
            RefreshVerdict::Theft => {
                // counted by the ledger
                caller.trail.came_to(&outcomes.refresh_theft);
                return Err(RefreshError::Rejected);
            }
        };
        caller.came_to(match moved.how {
            Moved::Rotated => &outcomes.refresh_rotated,
            Moved::Repeated => &outcomes.refresh_repeated,
            Moved::Branched => &outcomes.refresh_branched,
            Moved::Ahead => &outcomes.refresh_ahead,
        });
        if moved.how == Moved::Ahead {
            tracing::warn!(event = "refresh_ahead", tenant = %token.tenant.0, session = %session.0,
                "a token is ahead of its session: the database lost a write");
        }
        let grant = Grant {
            tenant: token.tenant,
            customer: moved.customer,
            secret: token.secret,
            session,
            position: moved.position,
            auth_us: moved.created_us,
            issued_us: moved.rotated_us,
            left: Duration::from_micros(moved.left_us.max(0).unsigned_abs()),
            claims: moved.claims,
        };
        self.mint(caller, grant).await.map_err(refused)
    }

    /// `/logout`: ends the token's session, whatever generation it is of. Unknown and garbage tokens are `Ok` too.
    pub async fn logout(&self, caller: &Caller, token: &str) -> Result<(), Refusal> {
        let counts = &self.0.observability.outcomes;
        let counts = [&counts.logout_forged, &counts.logout_done, &counts.logout_refused];
        self.end(&self.0.logout, caller, token, counts).await
    }

    /// `/logout-all`: ends all sessions of the customer whose live session this token is of, this one included.
    pub async fn logout_all(&self, caller: &Caller, token: &str) -> Result<(), Refusal> {
        let counts = &self.0.observability.outcomes;
        let counts = [&counts.logout_all_forged, &counts.logout_all_done, &counts.logout_all_refused];
        self.end(&self.0.logout_all, caller, token, counts).await
    }

    async fn end(
        &self,
        ledger: &Handle<LedgerMessage<LogoutBatch>>,
        caller: &Caller,
        token: &str,
        [forged, done, refused]: [&crate::outcomes::Outcome; 3],
    ) -> Result<(), Refusal> {
        let Some((token, session)) = self.read_token(token) else {
            caller.came_to(forged);
            return Ok(());
        };
        let id = SessionId { tenant: token.tenant, key: session };
        caller.trail.about_session(id);
        let ended = put(ledger, caller.deadline, id).await;
        caller.came_to(if ended.is_ok() { done } else { refused });
        ended
    }

    /// `/session`: reads an access token of ours. Asks nobody: what a logout ended is told until it expires (E9).
    pub fn read_access_token(&self, token: &str) -> Result<AccessClaims, AccessTokenError> {
        self.0.keys.load().verify(token, &self.0.issuer_url, None, self.now_s())
    }

    /// For what no statement decides. This machine's clock in production; the skew allowed makes up for it.
    pub(super) fn now_s(&self) -> i64 {
        match self.0.clock.sql_now() {
            Some(now_us) => now_us / 1_000_000,
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
        }
    }

    /// Whose slug, whose origin: from memory, at most some seconds old.
    pub fn portals(&self) -> Arc<PortalMap> {
        self.0.portals.load_full()
    }

    /// The published keys: a JSON Web Key Set, ready to send.
    pub fn jwks(&self) -> Arc<str> {
        self.0.keys.load().jwks.clone()
    }

    /// What middleware needs that knows the issuer's URL alone: JSON.
    pub fn metadata(&self) -> String {
        self.0.keys.load().metadata(&self.0.issuer_url)
    }

    /// Asks the actors and the database, all at once, whether they answer: `/readyz`. The error names who does not.
    pub async fn ready(&self) -> Result<Vec<String>, Vec<String>> {
        let silent = self.0.observability.ask_all(Duration::from_secs(1)).await;
        if silent.is_empty() { Ok(self.0.observability.remarks()) } else { Err(silent) }
    }

    /// The supervision tree with its counters: `/actors`, `/metrics`, the live page.
    pub fn snapshot(&self) -> TreeSnapshot {
        self.0.observability.snapshot()
    }

    /// Actors one by one, all or of a kind, a page of them: `/actors/rows`.
    pub fn actor_rows(&self, kind: Option<&str>, offset: usize, limit: usize) -> ActorRows {
        self.0.observability.rows(kind, offset, limit)
    }

    /// A permit, then the tenant: what every request to an issuer needs. The issuer holds the tenant's limit.
    async fn admit(&self, caller: &Caller, slug: &TenantSlug, email: &Email) -> Result<Admitted, Refusal> {
        // slugs that name no tenant are one flow, or a flood of ever new ones would have a share each
        let portal = self.0.portals.load().of_slug(slug);
        let flow = flow(portal.unwrap_or(TenantId::UNKNOWN));
        let admission = Admission::admit(&self.0.issuers.meter, Some(flow), caller.deadline)?;
        let tenant = self.0.tenants.find(slug, portal.is_some()).await?;
        let keys = self.0.keys.load();
        let address = address_of(&keys, tenant, slug, email);
        caller.trail.about_address(address);
        let request = LoginRequest {
            tenant,
            address,
            email: email.clone(),
            limit: LimitKey::of(&keys, slug, tenant.is_some()),
            client: caller.client,
            language: caller.language,
            device_cookies: caller.device_cookies.clone(),
            browser: caller.browser.clone(),
        };
        Ok(Admitted { request: Arc::new(request), slot: self.0.issuers.slot(tenant, slug), admission })
    }

    /// To the tenant's issuer; its ledger answers.
    async fn ask_issuer<A>(
        &self,
        Admitted { request, slot, admission }: Admitted,
        slug: &TenantSlug,
        question: impl FnOnce(Reply<Outcome<A>>) -> Question,
    ) -> Result<A, Refusal> {
        let (deadline, _permit) = (admission.deadline, admission.caller_permit());
        let (reply, answer) = oneshot::channel();
        let ask = Ask { request, what: question(reply) };
        self.0.issuers.send((slot, slug), IssuerMessage::Ask(ask), admission)?;
        until(deadline, answer).await?
    }

    /// The device cookie after a login: what the browser had, and this address.
    fn device_cookie(&self, request: &LoginRequest, now_us: Micros) -> String {
        let keys = self.0.keys.load();
        let AddressId { tenant, key: address } = request.address;
        request.device(&keys).with(&keys.device, tenant, address, now_us).encode(&keys.device, tenant)
    }

    /// Reads a token of ours; anything else never reaches Postgres.
    fn read_token(&self, text: &str) -> Option<(RefreshToken, SessionKey)> {
        let keys = self.0.keys.load();
        let token = RefreshToken::decode(text, |version| keys.refresh(version)).ok()?;
        let session = token.secret.key(&keys.session_hash, token.tenant);
        Some((token, session))
    }
}

/// One row into a ledger; its outcome.
async fn put<B: crate::ledger::Batch>(
    ledger: &Handle<LedgerMessage<B>>,
    deadline: Instant,
    row: B::Row,
) -> Result<B::Answer, Refusal>
where
    Ledger<B>: Actor<Message = LedgerMessage<B>>,
{
    let flow = flow(B::tenant(&row));
    ledger.call_of(flow, deadline, |reply| LedgerMessage::Put(row, reply)).await?
}

/// Admission shares permits by tenant.
fn flow(tenant: TenantId) -> Flow {
    Flow(tenant.0.as_u128())
}
