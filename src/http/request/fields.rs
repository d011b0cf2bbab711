//! From JSON fields to the domain's words: all complaints at once, in the order in which the fields are declared.

use crate::http::request::body::Payload;
use crate::http::request::json::{Field, Fields};
use crate::http::response::detail::Detail;
use crate::http::response::reply::Problem;
use doorcode_actors::directory::Reason;
use doorcode_domain::{Email, PkceChallenge, SpecialUse, TenantSlug, TypedCode};
use zeroize::Zeroizing;

/// `/login`.
#[derive(Debug)]
pub(crate) struct LoginBody {
    /// Whom to mail.
    pub email: Email,
    /// At which portal.
    pub tenant: TenantSlug,
}

/// `/verify` and `/token`.
#[derive(Debug)]
pub(crate) struct CodeBody {
    /// What was typed.
    pub code: TypedCode,
    /// Whose.
    pub email: Email,
    /// At which portal.
    pub tenant: TenantSlug,
}

/// `/handover`.
#[derive(Debug)]
pub(crate) struct HandoverBody {
    /// What was typed.
    pub code: CodeBody,
    /// Where the login goes on. Not yet compared with the tenant's URLs.
    pub return_to: String,
    /// For the portal, unread.
    pub state: Option<String>,
    /// Who may take it.
    pub challenge: PkceChallenge,
}

/// `/exchange`.
#[derive(Debug)]
pub(crate) struct ExchangeBody {
    /// From the redirect's `code`.
    pub code: Zeroizing<String>,
    /// RFC 7636.
    pub verifier: Zeroizing<String>,
}

/// `/hooks/mail/{provider}`.
#[derive(Debug)]
pub(crate) struct MailReportBody {
    /// From `type`.
    pub reason: Reason,
    /// Whose mail did not arrive, or was not wanted.
    pub email: Email,
    /// Where the mail was for. `None`: at any tenant.
    pub tenant: Option<TenantSlug>,
}

/// Also a query's parameter of the hosted page.
pub(crate) const RETURN_TO: &str = "return_to";
/// See [`RETURN_TO`].
pub(crate) const STATE: &str = "state";
/// See [`RETURN_TO`].
pub(crate) const CODE_CHALLENGE: &str = "code_challenge";
const TYPE: &str = "type";
const CODE_VERIFIER: &str = "code_verifier";
const CODE: &str = "code";
const CODE_CHARACTERS: usize = 6;
const EMAIL: &str = "email";
const TENANT_SLUG: &str = "tenant_slug";
const TENANT_SLUG_MAX: usize = 100;
const REFRESH_TOKEN: &str = "refresh_token";

impl LoginBody {
    /// Reads `/login`'s body.
    pub(crate) fn read(payload: &Payload, taken: SpecialUse) -> Result<Self, Problem> {
        let fields = payload.required().map_err(invalid)?;
        let mut details = Vec::new();
        let email = email(&fields, taken, &mut details)?;
        let tenant = tenant(&fields, &mut details)?;
        match (email, tenant) {
            (Some(email), Some(tenant)) => Ok(Self { email, tenant }),
            _ => Err(Problem::Invalid(details)),
        }
    }
}

impl CodeBody {
    /// Reads `/verify`'s and `/token`'s body.
    pub(crate) fn read(payload: &Payload, taken: SpecialUse) -> Result<Self, Problem> {
        let fields = payload.required().map_err(invalid)?;
        let mut details = Vec::new();
        let code = code(&fields, &mut details)?;
        let email = email(&fields, taken, &mut details)?;
        let tenant = tenant(&fields, &mut details)?;
        match (code, email, tenant) {
            (Some(code), Some(email), Some(tenant)) => Ok(Self { code, email, tenant }),
            _ => Err(Problem::Invalid(details)),
        }
    }
}

impl HandoverBody {
    /// Reads `/handover`'s body.
    pub(crate) fn read(payload: &Payload, taken: SpecialUse) -> Result<Self, Problem> {
        let code = CodeBody::read(payload, taken)?;
        let fields = payload.required().map_err(invalid)?;
        let mut details = Vec::new();
        let return_to = fields.text(RETURN_TO, &mut details).map_err(invalid)?;
        let state = match fields.get(STATE).map_err(invalid)? {
            Field::Text(state) => Some(state.to_string()),
            Field::Absent => None,
            Field::NotAString => return Err(invalid(Detail::not_a_string(STATE))),
        };
        let challenge = fields.text(CODE_CHALLENGE, &mut details).map_err(invalid)?;
        let challenge = challenge.and_then(|text| {
            let parsed = PkceChallenge::parse(&text);
            if parsed.is_none() {
                details.push(Detail::not_valid(CODE_CHALLENGE, "a SHA-256 in base64url (RFC 7636, S256)"));
            }
            parsed
        });
        match (return_to, challenge) {
            (Some(return_to), Some(challenge)) => {
                Ok(Self { code, return_to: return_to.to_string(), state, challenge })
            }
            _ => Err(Problem::Invalid(details)),
        }
    }
}

impl ExchangeBody {
    /// Reads `/exchange`'s body.
    pub(crate) fn read(payload: &Payload) -> Result<Self, Problem> {
        let fields = payload.required().map_err(invalid)?;
        let mut details = Vec::new();
        let code = fields.text(CODE, &mut details).map_err(invalid)?;
        let verifier = fields.text(CODE_VERIFIER, &mut details).map_err(invalid)?;
        match (code, verifier) {
            (Some(code), Some(verifier)) => Ok(Self { code, verifier }),
            _ => Err(Problem::Invalid(details)),
        }
    }
}

impl MailReportBody {
    /// Reads a report's body.
    pub(crate) fn read(payload: &Payload, taken: SpecialUse) -> Result<Self, Problem> {
        let fields = payload.required().map_err(invalid)?;
        let mut details = Vec::new();
        let reason = fields.text(TYPE, &mut details).map_err(invalid)?;
        let reason = reason.and_then(|text| match text.as_str() {
            "bounce" => Some(Reason::Bounce),
            "complaint" => Some(Reason::Complaint),
            _ => {
                details.push(Detail::not_valid(TYPE, "bounce or complaint"));
                None
            }
        });
        let email = email(&fields, taken, &mut details)?;
        let tenant = match fields.get(TENANT_SLUG).map_err(invalid)? {
            Field::Absent => None,
            _ => tenant(&fields, &mut details)?,
        };
        match (reason, email) {
            (Some(reason), Some(email)) if details.is_empty() => Ok(Self { reason, email, tenant }),
            _ => Err(Problem::Invalid(details)),
        }
    }
}

/// `/refresh`'s and `/logout`'s token; `None` means "use the cookie": left out, or `""`.
pub(crate) fn refresh_token(payload: &Payload) -> Result<Option<Zeroizing<String>>, Problem> {
    let fields = payload.optional().map_err(invalid)?;
    match fields.get(REFRESH_TOKEN).map_err(invalid)? {
        Field::Text(token) if !token.is_empty() => Ok(Some(token)),
        Field::Text(_) | Field::Absent => Ok(None),
        Field::NotAString => Err(invalid(Detail::not_a_string(REFRESH_TOKEN))),
    }
}

fn code(fields: &Fields<'_>, details: &mut Vec<Detail>) -> Result<Option<TypedCode>, Problem> {
    let Some(text) = fields.text(CODE, details).map_err(invalid)? else { return Ok(None) };
    match text.chars().count() {
        CODE_CHARACTERS => return Ok(Some(TypedCode::new(&text))),
        count if count < CODE_CHARACTERS => details.push(Detail::too_short(CODE, CODE_CHARACTERS)),
        _ => details.push(Detail::too_long(CODE, CODE_CHARACTERS)),
    }
    Ok(None)
}

fn email(
    fields: &Fields<'_>,
    taken: SpecialUse,
    details: &mut Vec<Detail>,
) -> Result<Option<Email>, Problem> {
    let Some(text) = fields.text(EMAIL, details).map_err(invalid)? else { return Ok(None) };
    match Email::parse_with(&text, taken) {
        Ok(email) => return Ok(Some(email)),
        Err(reason) => details.push(Detail::not_an_email(EMAIL, &reason)),
    }
    Ok(None)
}

fn tenant(fields: &Fields<'_>, details: &mut Vec<Detail>) -> Result<Option<TenantSlug>, Problem> {
    let Some(text) = fields.text(TENANT_SLUG, details).map_err(invalid)? else { return Ok(None) };
    match TenantSlug::parse(&text) {
        Ok(slug) => return Ok(Some(slug)),
        Err(doorcode_domain::SlugError::TooShort) => details.push(Detail::too_short(TENANT_SLUG, 1)),
        Err(_) => details.push(Detail::too_long(TENANT_SLUG, TENANT_SLUG_MAX)),
    }
    Ok(None)
}

fn invalid(detail: Detail) -> Problem {
    Problem::Invalid(vec![detail])
}
