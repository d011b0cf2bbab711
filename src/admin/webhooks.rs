//! Where events are sent.

use super::problem::AdminProblem;
use super::{Call, page, read};
use crate::http::request::body::Payload;
use crate::http::response::reply;
use crate::views;
use doorcode_actors::directory::{NewWebhook, WebhookChange, WithSecret};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;
use warp::reply::Response;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    url: String,
    /// A slug. Of a key of one tenant: always that one.
    tenant: Option<String>,
    #[serde(default)]
    types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    url: Option<String>,
    types: Option<Vec<String>>,
    disabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    event_id: Uuid,
}

fn id(call: &Call) -> Result<Uuid, AdminProblem> {
    Uuid::try_parse(call.name(0))
        .map_err(|_| AdminProblem::invalid("invalid_webhook_id", "A webhook's id is a UUID"))
}

/// The only time that a secret is shown.
fn with_secret(status: StatusCode, (webhook, secret): &WithSecret) -> Response {
    let mut body = views::webhook(webhook);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("secret".to_owned(), json!(**secret));
    }
    reply::json(status, &body)
}

pub(super) async fn list(call: &Call) -> Result<Response, AdminProblem> {
    let webhooks = call.directory.webhooks(call.holder.tenant).await?;
    Ok(page(webhooks.iter().map(views::webhook).collect(), None))
}

pub(super) async fn add(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let New { url, tenant, types } = read(body)?;
    let own = call.holder.tenant;
    let tenant = match tenant {
        None => own,
        Some(slug) => match call.directory.tenant(&slug).await?.tenant_id {
            tenant if own.is_none_or(|own| own == tenant) => Some(tenant),
            _ => return Err(AdminProblem::no_such_tenant(&slug)),
        },
    };
    let added = call.directory.add_webhook(&NewWebhook { tenant, url, types }, call.allow_private).await?;
    Ok(with_secret(StatusCode::CREATED, &added))
}

pub(super) async fn show(call: &Call) -> Result<Response, AdminProblem> {
    let webhook = call.directory.webhook(call.holder.tenant, id(call)?).await?;
    Ok(reply::json(StatusCode::OK, &views::webhook(&webhook)))
}

pub(super) async fn change(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let Change { url, types, disabled } = read(body)?;
    let change = WebhookChange { url, types, disabled };
    let changed =
        call.directory.change_webhook(call.holder.tenant, id(call)?, change, call.allow_private).await?;
    Ok(reply::json(StatusCode::OK, &views::webhook(&changed)))
}

pub(super) async fn delete(call: &Call) -> Result<Response, AdminProblem> {
    call.directory.delete_webhook(call.holder.tenant, id(call)?).await?;
    Ok(reply::no_content())
}

pub(super) async fn replace_secret(call: &Call) -> Result<Response, AdminProblem> {
    let replaced = call.directory.replace_webhook_secret(call.holder.tenant, id(call)?).await?;
    Ok(with_secret(StatusCode::OK, &replaced))
}

pub(super) async fn replay(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    let Replay { event_id } = read(body)?;
    let webhook = call.directory.replay_webhook(call.holder.tenant, id(call)?, event_id).await?;
    Ok(reply::json(StatusCode::OK, &views::webhook(&webhook)))
}
