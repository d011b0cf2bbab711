//! A service that does as it is told: what a real service answers to real callers is tried elsewhere, over Postgres.

use crate::http::LoginApi;
use doorcode_actors::{
    Caller, HandedOver, Login, OwnSession, RefreshError, Refusal, TreeSnapshot, VerifyError,
};
use doorcode_domain::Email;
use doorcode_domain::{AccessClaims, CustomerId, PkceChallenge, SessionKey, TenantId, TenantSlug, TypedCode};
use futures_util::future::{BoxFuture, pending, ready};
use std::sync::{Arc, Mutex};
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) const ACME: TenantId = TenantId(Uuid::from_u128(0xacce));
pub(crate) const OTHER: TenantId = TenantId(Uuid::from_u128(0x07e5));

/// What it answers, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Script {
    asked: Arc<Mutex<Vec<String>>>,
    mood: Mood,
    tree: TreeSnapshot,
}

#[derive(Clone, Copy, Default)]
pub(crate) enum Mood {
    /// Code 123456 is right, refresh token `good-…` is good; nothing else is.
    #[default]
    Sound,
    /// Refuses everything so.
    Refuses(Refusal),
    /// Never answers.
    Hangs,
}

impl Script {
    pub(crate) fn new(mood: Mood) -> Self {
        Self { mood, ..Self::default() }
    }

    /// Shows this tree of actors.
    pub(crate) fn showing(tree: TreeSnapshot) -> Self {
        Self { tree, ..Self::default() }
    }

    /// What was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn answer<'a, T: Send + 'a, E: From<Refusal> + Send + 'a>(
        &self,
        question: String,
        outcome: Result<T, E>,
    ) -> BoxFuture<'a, Result<T, E>> {
        self.asked.lock().unwrap().push(question);
        match self.mood {
            Mood::Sound => Box::pin(ready(outcome)),
            Mood::Refuses(refusal) => Box::pin(ready(Err(refusal.into()))),
            Mood::Hangs => Box::pin(pending()),
        }
    }
}

fn login() -> Login {
    Login {
        access_token: "a.b.c".to_owned(),
        refresh_token: Zeroizing::new("dcr_next".to_owned()),
        customer_id: CustomerId(Uuid::from_u128(1)),
        tenant_id: ACME,
        expires_in_s: 3_600,
        refresh_life_s: 604_800,
        device_cookie: None,
    }
}

impl LoginApi for Script {
    fn request_code<'a>(
        &'a self,
        _: &'a Caller,
        tenant: &'a TenantSlug,
        email: &'a Email,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        self.answer(format!("login {} {}", tenant.as_str(), email.as_str()), Ok(()))
    }

    fn verify<'a>(
        &'a self,
        caller: &'a Caller,
        _: &'a TenantSlug,
        _: &'a Email,
        code: &'a TypedCode,
        presented: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Login, VerifyError>> {
        let code = code.read_as(doorcode_domain::Alphabet::Digits).map(|code| code.reveal());
        let right = matches!(self.mood, Mood::Sound) && code.is_some_and(|code| *code == "123456");
        let device: Vec<_> = caller.device_cookies.iter().map(|(_, value)| value).collect();
        let question = format!("verify presented={presented:?} device={device:?}");
        self.answer(question, if right { Ok(login()) } else { Err(VerifyError::Rejected) })
    }

    fn refresh<'a>(&'a self, _: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<Login, RefreshError>> {
        let good = token.starts_with("good");
        self.answer(format!("refresh {token}"), if good { Ok(login()) } else { Err(RefreshError::Rejected) })
    }

    fn hand_over<'a>(
        &'a self,
        _: &'a Caller,
        tenant: &'a TenantSlug,
        _: &'a Email,
        _: &'a TypedCode,
        _: &'a PkceChallenge,
    ) -> BoxFuture<'a, Result<HandedOver, VerifyError>> {
        self.answer(format!("handover {}", tenant.as_str()), Err(VerifyError::Rejected))
    }

    fn exchange<'a>(
        &'a self,
        _: &'a Caller,
        code: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Login, RefreshError>> {
        self.answer(format!("exchange {code}"), Err(RefreshError::Rejected))
    }

    fn logout<'a>(&'a self, _: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<(), Refusal>> {
        self.answer(format!("logout {token}"), Ok(()))
    }

    fn logout_all<'a>(&'a self, _: &'a Caller, token: &'a str) -> BoxFuture<'a, Result<(), Refusal>> {
        self.answer(format!("logout_all {token}"), Ok(()))
    }

    fn read_access_token(&self, _: &str) -> Option<AccessClaims> {
        None
    }

    fn own_sessions<'a>(
        &'a self,
        _: &'a Caller,
        claims: &'a AccessClaims,
    ) -> BoxFuture<'a, Result<Option<Vec<OwnSession>>, Refusal>> {
        self.answer(format!("sessions {}", claims.sid), Ok(None))
    }

    fn end_own_session<'a>(
        &'a self,
        _: &'a Caller,
        _: &'a AccessClaims,
        session: SessionKey,
    ) -> BoxFuture<'a, Result<Option<bool>, Refusal>> {
        self.answer(format!("end {}", session.0), Ok(None))
    }

    fn jwks(&self) -> Arc<str> {
        Arc::from("{\"keys\":[]}")
    }

    fn metadata(&self) -> String {
        r#"{"issuer":"x"}"#.to_owned()
    }

    fn ready(&self) -> BoxFuture<'_, Result<Vec<String>, Vec<String>>> {
        match self.mood {
            Mood::Sound => Box::pin(ready(Ok(Vec::new()))),
            Mood::Refuses(_) => Box::pin(ready(Err(vec!["ledger.login".to_owned()]))),
            Mood::Hangs => Box::pin(pending()),
        }
    }

    fn snapshot(&self) -> TreeSnapshot {
        self.tree.clone()
    }
}
