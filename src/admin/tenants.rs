//! Tenants and their origins.

use super::problem::AdminProblem;
use super::{Call, page, read};
use crate::http::request::body::Payload;
use crate::http::response::reply;
use crate::views;
use doorcode_actors::directory::{NewTenant, Signup, StepUp, TenantChange};
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use std::fmt::Display;
use std::str::FromStr;
use warp::reply::Response;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    slug: String,
    name: String,
    portal_host: Option<String>,
    step_up: Option<StepUp>,
    #[serde(default)]
    origins: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<String>,
    #[serde(default, deserialize_with = "given")]
    portal_host: Option<Option<String>>,
    step_up: Option<StepUp>,
    origins: Option<Vec<String>>,
    return_urls: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    colour: Option<Option<String>>,
    token_claims: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    locale: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    reply_to: Option<Option<String>>,
    signup: Option<SignupRule>,
    mail_providers: Option<Vec<String>>,
    new_device_notice: Option<bool>,
    disabled: Option<bool>,
}

/// `closed`, `open`, or domains.
#[derive(Deserialize)]
#[serde(untagged)]
enum SignupRule {
    Word(String),
    Domains(Vec<String>),
}

impl SignupRule {
    fn read(self) -> Result<Signup, AdminProblem> {
        let text = match self {
            Self::Word(word) => word,
            Self::Domains(domains) => domains.join(","),
        };
        parse("signup", &text)
    }
}

/// Tells `null`, which takes something away, from a field that is not there.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> Result<T, AdminProblem> {
    text.parse().map_err(|error| AdminProblem::invalid("invalid_tenant", format!("{field}: {error}")))
}

fn optional<T: FromStr<Err: Display>>(
    field: &str,
    text: Option<Option<String>>,
) -> Result<Option<Option<T>>, AdminProblem> {
    text.map(|text| text.map(|text| parse(field, &text)).transpose()).transpose()
}

fn parse_all<T: FromStr<Err: Display>>(field: &str, texts: &[String]) -> Result<Vec<T>, AdminProblem> {
    texts.iter().map(|text| parse(field, text)).collect()
}

/// Tenants themselves are for keys of all tenants.
fn all_tenants(call: &Call) -> Result<(), AdminProblem> {
    match call.holder.tenant {
        None => Ok(()),
        Some(_) => Err(AdminProblem::new(
            StatusCode::FORBIDDEN,
            "key_of_one_tenant",
            "This key is for one tenant only",
        )),
    }
}

pub(super) async fn list(call: &Call) -> Result<Response, AdminProblem> {
    let size = call.number("page_size", 100, 1_000)?;
    let after = call.parameter("page_token").unwrap_or_default();
    if let Some(own) = call.holder.tenant {
        // not out of a page of all: its token would name others
        let keys = call.directory.admin_keys(Some(own)).await?;
        let slug = keys.into_iter().find_map(|key| key.tenant).filter(|slug| *slug > after);
        let tenant = match slug {
            Some(slug) => vec![views::tenant(&call.directory.tenant(&slug).await?)],
            None => Vec::new(),
        };
        return Ok(page(tenant, None));
    }
    let tenants = call.directory.tenants_after(&after, size).await?;
    let full = u32::try_from(tenants.len()).is_ok_and(|length| length >= size);
    let next = tenants.last().filter(|_| full).map(|tenant| tenant.slug.clone());
    Ok(page(tenants.iter().map(views::tenant).collect(), next))
}

pub(super) async fn add(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    all_tenants(call)?;
    let new: New = read(body)?;
    let new = NewTenant {
        slug: new.slug,
        name: new.name,
        portal_host: new.portal_host.map(|host| parse("portal_host", &host)).transpose()?,
        step_up: new.step_up.unwrap_or(call.step_up),
        origins: parse_all("origins", &new.origins)?,
    };
    let tenant = call.directory.add_tenant(&new).await?;
    Ok(reply::json(StatusCode::CREATED, &views::tenant(&tenant)))
}

pub(super) async fn show(call: &Call) -> Result<Response, AdminProblem> {
    Ok(reply::json(StatusCode::OK, &views::tenant(&call.tenant().await?)))
}

pub(super) async fn change(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let slug = call.tenant().await?.slug;
    let change: Change = read(body)?;
    let disabled = change.disabled;
    let change = TenantChange {
        name: change.name,
        portal_host: optional("portal_host", change.portal_host)?,
        step_up: change.step_up,
        origins: change.origins.map(|origins| parse_all("origins", &origins)).transpose()?,
        return_urls: change.return_urls.map(|urls| parse_all("return_urls", &urls)).transpose()?,
        signup: change.signup.map(SignupRule::read).transpose()?,
        token_claims: change.token_claims.map(|claims| parse_all("token_claims", &claims)).transpose()?,
        colour: optional("colour", change.colour)?,
        locale: optional("locale", change.locale)?,
        reply_to: optional("reply_to", change.reply_to)?,
        mail_providers: change.mail_providers,
        new_device_notice: change.new_device_notice,
    };
    let mut tenant = call.directory.change_tenant(&slug, &change).await?;
    if let Some(disabled) = disabled {
        call.directory.disable_tenant(&slug, disabled).await?;
        tenant.disabled = disabled;
    }
    Ok(reply::json(StatusCode::OK, &views::tenant(&tenant)))
}
