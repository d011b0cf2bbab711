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

/// Makes the trait and its implementation of one list: name, arguments behind the caller, result, error.
macro_rules! login_api {
    ($($(#[$doc:meta])* $verb:ident($($word:ident: $kind:ty),*) -> $good:ty, $bad:ty;)*) => {
        /// See [`LoginService`] for what each verb promises.
        pub(crate) trait LoginApi: Send + Sync + 'static {
            $(
                $(#[$doc])*
                fn $verb<'a>(&'a self, caller: &'a Caller, $($word: $kind),*) -> BoxFuture<'a, Result<$good, $bad>>;
            )*

            /// `/session`: what an access token says, if it is good.
            fn read_access_token(&self, token: &str) -> Option<AccessClaims>;

            /// The published keys.
            fn jwks(&self) -> Arc<str>;

            /// What middleware needs that knows the issuer's URL alone.
            fn metadata(&self) -> String;

            /// Whether every actor answers, and what an operator should know all the same.
            fn ready(&self) -> BoxFuture<'_, Result<Vec<String>, Vec<String>>>;

            /// The supervision tree.
            fn snapshot(&self) -> TreeSnapshot;

            /// A page of its actors, all or of a kind, one by one.
            fn actor_rows(&self, _kind: Option<&str>, _offset: usize, _limit: usize) -> ActorRows {
                ActorRows::default()
            }
        }

        impl LoginApi for LoginService {
            $(
                fn $verb<'a>(&'a self, caller: &'a Caller, $($word: $kind),*) -> BoxFuture<'a, Result<$good, $bad>> {
                    Box::pin(self.$verb(caller, $($word),*))
                }
            )*

            fn read_access_token(&self, token: &str) -> Option<AccessClaims> {
                self.read_access_token(token)
                    .inspect_err(|error| tracing::debug!(%error, "an access token is refused"))
                    .ok()
            }

            fn jwks(&self) -> Arc<str> {
                self.jwks()
            }

            fn metadata(&self) -> String {
                self.metadata()
            }

            fn ready(&self) -> BoxFuture<'_, Result<Vec<String>, Vec<String>>> {
                Box::pin(self.ready())
            }

            fn snapshot(&self) -> TreeSnapshot {
                self.snapshot()
            }

            fn actor_rows(&self, kind: Option<&str>, offset: usize, limit: usize) -> ActorRows {
                self.actor_rows(kind, offset, limit)
            }
        }
    };
}

login_api! {
    /// `/login`.
    request_code(tenant: &'a TenantSlug, email: &'a Email) -> (), Refusal;

    /// `/verify` and `/token`.
    verify(tenant: &'a TenantSlug, email: &'a Email, code: &'a TypedCode, presented: Option<&'a str>) -> Login, VerifyError;

    /// `/refresh`.
    refresh(token: &'a str) -> Login, RefreshError;

    /// `/handover`.
    hand_over(tenant: &'a TenantSlug, email: &'a Email, code: &'a TypedCode, challenge: &'a PkceChallenge)
        -> HandedOver, VerifyError;

    /// `/exchange`.
    exchange(code: &'a str, verifier: &'a str) -> Login, RefreshError;

    /// `/logout`.
    logout(token: &'a str) -> (), Refusal;

    /// `/logout-all`.
    logout_all(token: &'a str) -> (), Refusal;

    /// `/sessions`.
    own_sessions(claims: &'a AccessClaims) -> Option<Vec<OwnSession>>, Refusal;

    /// `/sessions/{session_id}`.
    end_own_session(claims: &'a AccessClaims, session: SessionKey) -> Option<bool>, Refusal;
}
