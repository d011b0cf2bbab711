//! Customers and their sessions.

use super::problem::AdminProblem;
use super::{Call, page, read};
use crate::http::request::body::Payload;
use crate::http::response::reply;
use crate::views;
use doorcode_actors::directory::{
    Claims, CustomerChange, CustomerData, DirectoryError, ExternalId, Locale, Placed, Whom,
};
use doorcode_domain::{CustomerId, SessionKey};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use warp::reply::Response;

/// Customers of one batch.
const BATCH_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    email: String,
    locale: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    customers: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    email: Option<String>,
    #[serde(default, deserialize_with = "super::tenants::given")]
    locale: Option<Option<String>>,
    claims: Option<Map<String, Value>>,
    disabled: Option<bool>,
}

fn data(external_id: ExternalId, put: Put) -> Result<CustomerData, AdminProblem> {
    Ok(CustomerData {
        external_id,
        email: put.email,
        locale: put.locale.map(|locale| locale.parse()).transpose()?,
        claims: Claims::new(put.claims)?,
        disabled: put.disabled,
    })
}

fn external_id(call: &Call) -> Result<ExternalId, AdminProblem> {
    Ok(call.name(1).parse()?)
}

pub(super) async fn list(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    if let Some(email) = call.parameter("email") {
        let found = match call.directory.customer(&tenant.slug, &email).await {
            Ok(customer) => vec![views::customer(&customer)],
            Err(DirectoryError::NoSuchCustomer { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        return Ok(page(found, None));
    }
    let after = match call.parameter("page_token") {
        None => None,
        Some(token) => Some(CustomerId(Uuid::try_parse(&token).map_err(|_| {
            AdminProblem::invalid("invalid_query", "page_token is what next_page_token said")
        })?)),
    };
    let customers =
        call.directory.customers(&tenant.slug, after, call.number("page_size", 100, 1_000)?).await?;
    let next = customers.next.map(|id| id.0.to_string());
    Ok(page(customers.customers.iter().map(views::customer).collect(), next))
}

pub(super) async fn show(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let customer = call.directory.customer(&tenant.slug, Whom::ExternalId(&external_id(call)?)).await?;
    Ok(reply::json(StatusCode::OK, &views::customer(&customer)))
}

pub(super) async fn put(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let data = data(external_id(call)?, read(body)?)?;
    let Placed { customer, new } = call.directory.put_customer(&tenant.slug, data).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(reply::json(status, &views::customer(&customer)))
}

/// Each customer is an answer of its own; the whole is 200 unless it is no batch.
pub(super) async fn put_many(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let Batch { customers } = read(body)?;
    if customers.len() > BATCH_MAX {
        return Err(AdminProblem::invalid("batch_too_large", "A batch has at most 1,000 customers"));
    }
    let rows: Vec<Result<CustomerData, AdminProblem>> = customers.into_iter().map(batch_row).collect();
    let good: Vec<CustomerData> = rows.iter().filter_map(|row| row.as_ref().ok().cloned()).collect();
    let mut placed = call.directory.put_customers(&tenant.slug, &good).await?.into_iter();
    let items: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let answer = row.and_then(|_| match placed.next() {
                Some(placed) => Ok(placed?),
                None => Err(AdminProblem::overloaded()),
            });
            match answer {
                Ok(Placed { customer, new }) => {
                    json!({ "status": if new { 201 } else { 200 }, "customer": views::customer(&customer) })
                }
                Err(problem) => json!({ "status": problem.status().as_u16(), "error": problem }),
            }
        })
        .collect();
    Ok(reply::json(StatusCode::OK, &json!({ "items": items })))
}

/// What a PUT has, and the `external_id` that is in its path.
fn batch_row(mut row: Value) -> Result<CustomerData, AdminProblem> {
    let invalid = |why: String| {
        AdminProblem::invalid("invalid_body", format!("The customer is not as it must be: {why}"))
    };
    let id = row.as_object_mut().and_then(|fields| fields.remove("external_id"));
    let Some(Value::String(id)) = id else {
        return Err(invalid("external_id is missing, or no string".to_owned()));
    };
    let put = serde_json::from_value(row).map_err(|error| invalid(error.to_string()))?;
    data(id.parse()?, put)
}

pub(super) async fn change(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let Change { email, locale, claims, disabled } = read(body)?;
    let locale = match locale {
        None => None,
        Some(None) => Some(None),
        Some(Some(text)) => Some(Some(text.parse::<Locale>()?)),
    };
    let change = CustomerChange { email, locale, claims: claims.map(Claims::new).transpose()?, disabled };
    let customer = call.directory.change_customer(&tenant.slug, &external_id(call)?, change).await?;
    Ok(reply::json(StatusCode::OK, &views::customer(&customer)))
}

pub(super) async fn delete(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    call.directory.delete_customer(&tenant.slug, Whom::ExternalId(&external_id(call)?)).await?;
    Ok(reply::no_content())
}

/// What the database has of one person: for data-subject requests (GDPR, article 15).
pub(super) async fn export(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let id = external_id(call)?;
    let customer = call.directory.customer(&tenant.slug, Whom::ExternalId(&id)).await?;
    let sessions = call.directory.sessions(&tenant.slug, Whom::ExternalId(&id)).await?;
    let sessions: Vec<Value> = sessions.iter().map(views::session).collect();
    let body = json!({ "customer": views::customer(&customer), "tenant": tenant.slug, "sessions": sessions });
    Ok(reply::json(StatusCode::OK, &body))
}

/// A code that nobody mails, for whoever may pass it on.
pub(super) async fn issue_code(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let issued = call.directory.issue_code(&tenant.slug, &external_id(call)?, call.code_life).await?;
    let body = json!({ "code": issued.code.as_str(), "expires_at": views::iso(issued.expires_us) });
    Ok(reply::json(StatusCode::CREATED, &body))
}

pub(super) async fn sessions(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let sessions = call.directory.sessions(&tenant.slug, Whom::ExternalId(&external_id(call)?)).await?;
    Ok(page(sessions.iter().map(views::session).collect(), None))
}

pub(super) async fn revoke_sessions(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    call.directory.revoke_sessions(&tenant.slug, Whom::ExternalId(&external_id(call)?)).await?;
    Ok(reply::no_content())
}

pub(super) async fn revoke_session(call: &Call) -> Result<Response, AdminProblem> {
    let tenant = call.tenant().await?;
    let id = Uuid::try_parse(call.name(1))
        .map_err(|_| AdminProblem::invalid("invalid_session_id", "A session id is a UUID"))?;
    call.directory.revoke_session(&tenant.slug, SessionKey(id)).await?;
    Ok(reply::no_content())
}
