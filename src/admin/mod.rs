//! The admin API: what the command line does with tenants and customers, over HTTP, for holders of a key.
//!
//! Order of checks: path and method (404, 405), the key (401), its limit (429), its scopes and tenant (403, 404), the
//! body (408, 413, 415, 422), then the [`Directory`]. Every change is an event, written in the statement that makes it.

mod customers;
mod events;
mod problem;
pub(crate) mod routes;
mod suppressions;
mod tenants;
mod webhooks;

use crate::http::Exchange;
use crate::http::request::body::{BodyLimits, Payload, payload};
use crate::http::response::reply::{self, Problem};
use doorcode_actors::Directory;
use doorcode_actors::directory::{Author, KeyHolder, StepUp, Tenant};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, Method};
use problem::AdminProblem;
use routes::{Action, AdminRoute, Found};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// Bytes of a body; a batch of 1,000 customers with 1 KiB each fits.
const BODY_MAX: usize = 1024 * 1024;
/// Requests at work at once; one more is 503. Each has one connection to the database, of which there are fewer.
const IN_FLIGHT: usize = 32;

/// Everything the admin API works with.
pub(crate) struct Admin {
    directory: Directory,
    /// By key id: as many as there are keys.
    limiter: DefaultKeyedRateLimiter<String>,
    places: Arc<Semaphore>,
    body_timeout: Duration,
    /// Of a new tenant that says nothing of it.
    step_up: StepUp,
    /// Of a code.
    code_life: Duration,
    /// Whether webhooks may lead into this network.
    allow_private: bool,
}

/// A request whose caller may make it.
struct Call {
    /// On behalf of the caller.
    directory: Directory,
    holder: KeyHolder,
    action: Action,
    step_up: StepUp,
    code_life: Duration,
    allow_private: bool,
    names: Vec<String>,
    query: String,
    jsonl: bool,
    _place: OwnedSemaphorePermit,
}

impl Admin {
    /// Each key may call `per_second` times a second; `step_up` is for new tenants; `allow_private`: see `[webhooks]`.
    pub(crate) fn new(
        directory: Directory,
        per_second: NonZeroU32,
        body_timeout: Duration,
        step_up: StepUp,
        code_life: Duration,
        allow_private: bool,
    ) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(per_second));
        Self {
            directory,
            limiter,
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            body_timeout,
            step_up,
            code_life,
            allow_private,
        }
    }

    /// All that begins with `/v1/admin/`; never rejects but with `not_found`.
    pub(crate) fn filter(self) -> BoxedFilter<(Response,)> {
        let limits = BodyLimits { max_bytes: BODY_MAX, timeout: self.body_timeout };
        let admin = Arc::new(self);
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::path::full()
            .and(warp::method())
            .and(warp::header::headers_cloned())
            .and(warp::ext::get::<Exchange>())
            .and(query)
            .and_then(move |path: FullPath, method: Method, headers: HeaderMap, exchange: Exchange, query| {
                let admin = admin.clone();
                async move {
                    let (route, names) = admin.route(&path, &method, &exchange)?;
                    admin.admit(route, names, &headers, &exchange, query).await.map_err(warp::reject::custom)
                }
            })
            .and(payload(limits))
            .then(async |call: Call, body: Payload| {
                answer(&call, &body).await.unwrap_or_else(AdminProblem::into_response)
            })
            .recover(recover)
            .unify()
            .boxed()
    }

    fn route(
        &self,
        path: &FullPath,
        method: &Method,
        exchange: &Exchange,
    ) -> Result<(&'static AdminRoute, Vec<String>), Rejection> {
        match routes::find(method, path.as_str()) {
            Found::Route(route, names) => {
                exchange.enter(route.name);
                Ok((route, names))
            }
            Found::Methods(methods) => Err(warp::reject::custom(AdminProblem::no_method(&methods))),
            Found::Nothing => Err(warp::reject::custom(AdminProblem::from(Problem::NotFound))),
        }
    }

    async fn admit(
        &self,
        route: &'static AdminRoute,
        names: Vec<String>,
        headers: &HeaderMap,
        exchange: &Exchange,
        query: String,
    ) -> Result<Call, AdminProblem> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| AdminProblem::overloaded())?;
        crate::http::filters::sound(exchange)?;
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let token = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let holder = match token {
            Some(token) => self.directory.key_holder(token).await?,
            None => None,
        };
        let holder = holder.ok_or_else(AdminProblem::unauthorized)?;
        self.limiter.check_key(&holder.key_id).map_err(|_| AdminProblem::limited())?;
        if !holder.scopes.contains(&route.scope) {
            return Err(AdminProblem::new(
                http::StatusCode::FORBIDDEN,
                "missing_scope",
                format!("This key lacks the scope {}", route.scope.as_str()),
            ));
        }
        let author = Author::admin_key(&holder.key_id, exchange.peer(), text(USER_AGENT), exchange.id());
        let jsonl = text(http::header::ACCEPT).is_some_and(|accept| accept.contains("application/x-ndjson"));
        Ok(Call {
            directory: self.directory.on_behalf_of(author),
            holder,
            action: route.action,
            step_up: self.step_up,
            code_life: self.code_life,
            allow_private: self.allow_private,
            names,
            query,
            jsonl,
            _place: place,
        })
    }
}

/// Whatever was rejected is answered in this API's shape.
async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let problem = match rejection.find::<AdminProblem>() {
        Some(problem) => problem.clone(),
        None => rejection.find::<Problem>().cloned().unwrap_or(Problem::NotFound).into(),
    };
    Ok(problem.into_response())
}

async fn answer(call: &Call, body: &Payload) -> Result<Response, AdminProblem> {
    match call.action {
        Action::ListTenants => tenants::list(call).await,
        Action::AddTenant => tenants::add(call, body).await,
        Action::ShowTenant => tenants::show(call).await,
        Action::ChangeTenant => tenants::change(call, body).await,
        Action::ListCustomers => customers::list(call).await,
        Action::ShowCustomer => customers::show(call).await,
        Action::PutCustomer => customers::put(call, body).await,
        Action::ChangeCustomer => customers::change(call, body).await,
        Action::DeleteCustomer => customers::delete(call).await,
        Action::PutCustomers => customers::put_many(call, body).await,
        Action::ExportCustomer => customers::export(call).await,
        Action::IssueCode => customers::issue_code(call).await,
        Action::ListSessions => customers::sessions(call).await,
        Action::RevokeSessions => customers::revoke_sessions(call).await,
        Action::RevokeSession => customers::revoke_session(call).await,
        Action::ListSuppressions => suppressions::list(call).await,
        Action::LiftSuppression => suppressions::lift(call).await,
        Action::ListKeys => events::keys(call).await,
        Action::ListEvents => events::list(call).await,
        Action::ListWebhooks => webhooks::list(call).await,
        Action::AddWebhook => webhooks::add(call, body).await,
        Action::ShowWebhook => webhooks::show(call).await,
        Action::ChangeWebhook => webhooks::change(call, body).await,
        Action::DeleteWebhook => webhooks::delete(call).await,
        Action::ReplaceWebhookSecret => webhooks::replace_secret(call).await,
        Action::ReplayWebhook => webhooks::replay(call, body).await,
    }
}

impl Call {
    fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }

    /// The tenant of the path. A key of one tenant is told that there is no other.
    async fn tenant(&self) -> Result<Tenant, AdminProblem> {
        let slug = self.name(0);
        let tenant = self.directory.tenant(slug).await?;
        match self.holder.tenant {
            Some(own) if own != tenant.tenant_id => Err(AdminProblem::no_such_tenant(slug)),
            _ => Ok(tenant),
        }
    }

    /// A value of the query; the first, if it is given more than once.
    fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }

    /// A number of the query, from 1 to `most`.
    fn number(&self, name: &'static str, default: u32, most: u32) -> Result<u32, AdminProblem> {
        let Some(text) = self.parameter(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| {
            AdminProblem::invalid("invalid_query", format!("{name} is a number from 1 to {most}"))
        })
    }
}

/// The body, as it is meant.
fn read<T: DeserializeOwned>(body: &Payload) -> Result<T, AdminProblem> {
    let bytes = body
        .json()
        .ok_or_else(|| AdminProblem::invalid("invalid_body", "The body is JSON, and Content-Type says so"))?;
    serde_json::from_slice(bytes).map_err(|error| {
        AdminProblem::invalid("invalid_body", format!("The body is not as it must be: {error}"))
    })
}

/// A page of a list.
fn page(items: Vec<serde_json::Value>, next: Option<String>) -> Response {
    reply::json(http::StatusCode::OK, &serde_json::json!({ "items": items, "next_page_token": next }))
}
