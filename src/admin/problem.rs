//! Why the admin API did nothing: `{"detail": "…", "code": "…"}`. Texts are for people, codes for programs.

use crate::http::response::reply::{Problem, json, phrase};
use doorcode_actors::directory::{DirectoryError, ProfileError};
use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use std::borrow::Cow;
use warp::reject::Reject;
use warp::reply::Response;

/// An answer that is no success.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AdminProblem {
    detail: Cow<'static, str>,
    code: Cow<'static, str>,
    #[serde(skip)]
    status: StatusCode,
    #[serde(skip)]
    allow: Option<String>,
}

impl Reject for AdminProblem {}

impl AdminProblem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), code: code.into(), status, allow: None }
    }

    pub(super) fn invalid(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub(super) fn no_such_tenant(slug: &str) -> Self {
        DirectoryError::NoSuchTenant { slug: slug.to_owned() }.into()
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_key", "This needs a valid admin key")
    }

    pub(super) fn limited() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", phrase(StatusCode::TOO_MANY_REQUESTS))
    }

    pub(super) fn overloaded() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", phrase(StatusCode::SERVICE_UNAVAILABLE))
    }

    pub(super) fn no_method(allow: &[&str]) -> Self {
        Self { allow: Some(allow.join(", ")), ..Problem::MethodNotAllowed("").into() }
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = json(self.status, &self);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        response
    }

    /// For an answer inside a batch.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

/// What went wrong before anybody knew what was meant: the code is the status's name.
impl From<Problem> for AdminProblem {
    fn from(problem: Problem) -> Self {
        let status = problem.status();
        let code = phrase(status).to_ascii_lowercase().replace(' ', "_");
        Self { detail: phrase(status).into(), code: code.into(), status, allow: None }
    }
}

impl From<DirectoryError> for AdminProblem {
    fn from(error: DirectoryError) -> Self {
        use DirectoryError as E;
        let (status, code) = match &error {
            E::NoSuchTenant { .. } => (StatusCode::NOT_FOUND, "tenant_not_found"),
            E::NoSuchCustomer { .. } => (StatusCode::NOT_FOUND, "customer_not_found"),
            E::NoSuchSession { .. } => (StatusCode::NOT_FOUND, "session_not_found"),
            E::NoSuchKey { .. } => (StatusCode::NOT_FOUND, "key_not_found"),
            E::NoSuchWebhook { .. } => (StatusCode::NOT_FOUND, "webhook_not_found"),
            E::TooManyWebhooks => (StatusCode::CONFLICT, "too_many_webhooks"),
            E::BadWebhookUrl { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_url"),
            E::BadEventTypes => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_types"),
            E::TenantExists { .. } => (StatusCode::CONFLICT, "tenant_exists"),
            // Whose it is, the command line may say; the key may be another tenant's.
            E::OriginTaken { origin, .. } => {
                let detail = format!("the origin {origin} belongs to another tenant");
                return Self::new(StatusCode::CONFLICT, "origin_taken", detail);
            }
            E::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
            E::ExternalIdTaken => (StatusCode::CONFLICT, "external_id_taken"),
            E::Disabled => (StatusCode::CONFLICT, "disabled"),
            E::Frozen { .. } => (StatusCode::SERVICE_UNAVAILABLE, "tenant_moves"),
            E::HasTestCode => (StatusCode::CONFLICT, "has_test_code"),
            E::TwiceInBatch => (StatusCode::CONFLICT, "twice_in_batch"),
            E::BadSlug { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_slug"),
            E::BadName => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_name"),
            E::TooManyReturnUrls => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_return_urls"),
            E::TooManyOrigins => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_origins"),
            E::BadMailProviders => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_mail_providers"),
            E::TooManyTokenClaims => (StatusCode::UNPROCESSABLE_ENTITY, "too_many_token_claims"),
            E::BadProfile(error) => return (*error).into(),
            // The address stands in the message; an answer repeats none.
            E::BadEmail { reason, .. } => {
                return Self::invalid("invalid_email", format!("email is not a mail address: {reason}"));
            }
            error => {
                tracing::error!(%error, "an admin request failed");
                return Self::overloaded();
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<ProfileError> for AdminProblem {
    fn from(error: ProfileError) -> Self {
        let code = match error {
            ProfileError::ExternalId => "invalid_external_id",
            ProfileError::Locale => "invalid_locale",
            ProfileError::Claims => "invalid_claims",
        };
        Self::invalid(code, error.to_string())
    }
}
