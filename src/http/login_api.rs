//! The service as the edge sees it. [`LoginService`] is the real one; the edge's own tests have a scripted one, so that
//! parsing, cookies and sockets are tried without a database.

use doorcode_actors::{
    ActorRows, Caller, HandedOver, Login, LoginService, OwnSession, RefreshError, Refusal, TreeSnapshot,
    VerifyError,
};
use doorcode_domain::Email;
use doorcode_domain::{AccessClaims, PkceChallenge, SessionKey, TenantSlug, TypedCode};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// See [`LoginService`] for what each verb promises.
pub(crate) trait LoginApi: Send + Sync + 'static {
    /// `/login`.
    fn request_code<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
    ) -> BoxFuture<'a, Result<(), Refusal>>;

    /// `/verify` and `/token`.
    fn verify<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
        code: &'a TypedCode,
        presented: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Login, VerifyError>>;

    /// `/refresh`.
    fn refresh<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Login, RefreshError>>;

    /// `/handover`.
    fn hand_over<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
        code: &'a TypedCode,
        challenge: &'a PkceChallenge,
    ) -> BoxFuture<'a, Result<HandedOver, VerifyError>>;

    /// `/exchange`.
    fn exchange<'a>(
        &'a self,
        caller: &'a Caller,
        code: &'a str,
        verifier: &'a str,
    ) -> BoxFuture<'a, Result<Login, RefreshError>>;

    /// `/logout`.
    fn logout<'a>(&'a self, caller: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<(), Refusal>>;

    /// `/logout-all`.
    fn logout_all<'a>(&'a self, caller: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<(), Refusal>>;

    /// `/session`: what an access token says, if it is good.
    fn read_access_token(&self, token: &str) -> Option<AccessClaims>;

    /// `/sessions`.
    fn own_sessions<'a>(
        &'a self,
        caller: &'a Caller,
        claims: &'a AccessClaims,
    ) -> BoxFuture<'a, Result<Option<Vec<OwnSession>>, Refusal>>;

    /// `/sessions/{session_id}`.
    fn end_own_session<'a>(
        &'a self,
        caller: &'a Caller,
        claims: &'a AccessClaims,
        session: SessionKey,
    ) -> BoxFuture<'a, Result<Option<bool>, Refusal>>;

    /// The published keys.
    fn jwks(&self) -> Arc<str>;

    /// What middleware needs that knows the issuer's URL alone.
    fn metadata(&self) -> String;

    /// Whether every actor answers.
    fn ready(&self) -> BoxFuture<'_, Result<(), Vec<String>>>;

    /// The supervision tree.
    fn snapshot(&self) -> TreeSnapshot;

    /// A page of its actors, all or of a kind, one by one.
    fn actor_rows(&self, _kind: Option<&str>, _offset: usize, _limit: usize) -> ActorRows {
        ActorRows::default()
    }
}

impl LoginApi for LoginService {
    fn request_code<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.request_code(caller, tenant, email))
    }

    fn verify<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
        code: &'a TypedCode,
        presented: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Login, VerifyError>> {
        Box::pin(self.verify(caller, tenant, email, code, presented))
    }

    fn refresh<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Login, RefreshError>> {
        Box::pin(self.refresh(caller, token))
    }

    fn hand_over<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
        code: &'a TypedCode,
        challenge: &'a PkceChallenge,
    ) -> BoxFuture<'a, Result<HandedOver, VerifyError>> {
        Box::pin(self.hand_over(caller, tenant, email, code, challenge))
    }

    fn exchange<'a>(
        &'a self,
        caller: &'a Caller,
        code: &'a str,
        verifier: &'a str,
    ) -> BoxFuture<'a, Result<Login, RefreshError>> {
        Box::pin(self.exchange(caller, code, verifier))
    }

    fn logout<'a>(&'a self, caller: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.logout(caller, token))
    }

    fn logout_all<'a>(&'a self, caller: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(self.logout_all(caller, token))
    }

    fn read_access_token(&self, token: &str) -> Option<AccessClaims> {
        self.read_access_token(token)
            .inspect_err(|error| tracing::debug!(%error, "an access token is refused"))
            .ok()
    }

    fn own_sessions<'a>(
        &'a self,
        caller: &'a Caller,
        claims: &'a AccessClaims,
    ) -> BoxFuture<'a, Result<Option<Vec<OwnSession>>, Refusal>> {
        Box::pin(self.own_sessions(caller, claims))
    }

    fn end_own_session<'a>(
        &'a self,
        caller: &'a Caller,
        claims: &'a AccessClaims,
        session: SessionKey,
    ) -> BoxFuture<'a, Result<Option<bool>, Refusal>> {
        Box::pin(self.end_own_session(caller, claims, session))
    }

    fn jwks(&self) -> Arc<str> {
        self.jwks()
    }

    fn metadata(&self) -> String {
        self.metadata()
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Vec<String>>> {
        Box::pin(self.ready())
    }

    fn snapshot(&self) -> TreeSnapshot {
        self.snapshot()
    }

    fn actor_rows(&self, kind: Option<&str>, offset: usize, limit: usize) -> ActorRows {
        self.actor_rows(kind, offset, limit)
    }
}
