//! `GET /t/{slug}/login`: a tenant's login page, for portals that have none; and the form's script, for those that do.
//!
//! A tenant has the page once it has a return URL. Others, and slugs that name nobody, are a 404 alike.

use crate::http::endpoints::handover::{back_to, knows};
use crate::http::filters::{Look, answered, at, look};
use crate::http::public::Public;
use crate::http::request::fields::{CODE_CHALLENGE, RETURN_TO, STATE};
use crate::http::request::language;
use crate::http::response::reply::{self, Asset, Problem};
use crate::http::routes::{HOSTED_LOGIN, LOGIN_SCRIPT};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorcode_actors::HostedPage;
use doorcode_domain::{PkceChallenge, TenantSlug};
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use minijinja::{AutoEscape, Environment, Value, context};
use std::sync::{Arc, LazyLock};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

const PAGE: &str = include_str!("hosted.html");
/// What `clients/` builds; a test builds it anew and compares.
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let script = include_bytes!("../../../clients/element/dist/doorcode-login.js");
    Asset::new("text/javascript; charset=utf-8", script)
});
/// The portal's own, echoed; a head is bounded as a whole.
const STATE_MAX: usize = 512;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    look(edge, &HOSTED_LOGIN)
        .and(warp::path::full())
        .and(query)
        .map(|look: Look, path: FullPath, query: String| answered(page(&look, path.as_str(), &query)))
        .boxed()
}

fn page(look: &Look, path: &str, query: &str) -> Result<Response, Problem> {
    let slug = HOSTED_LOGIN.placeholder(path).and_then(|slug| TenantSlug::parse(slug).ok());
    let found = slug.and_then(|slug| Some((look.edge.portals.page(&slug)?, slug)));
    let (page, slug) = found.ok_or(Problem::NotFound)?;
    let request = Request::read(query).and_then(|request| request.checked(&page));
    let (status, problem) = match &request {
        Ok(_) => (StatusCode::OK, None),
        Err(problem) => (StatusCode::BAD_REQUEST, Some(*problem)),
    };
    let request = request.unwrap_or_default();
    let next = request.return_to.as_deref().filter(|_| request.challenge.is_none());
    let words = context! {
        lang => language::of(&look.headers).unwrap_or_default().tag(),
        name => &page.name,
        slug => slug.as_str(),
        colour => &page.colour,
        next => next.map(|url| back_to(url, None, request.state.as_deref())),
        return_to => request.return_to,
        challenge => request.challenge,
        state => request.state,
        problem,
    };
    Ok(html(status, &words))
}

/// What a portal sends a browser here with.
#[derive(Debug, Default)]
struct Request {
    return_to: Option<String>,
    state: Option<String>,
    challenge: Option<String>,
    method: Option<String>,
}

impl Request {
    /// Unknown parameters are the portal's own business; one of ours given twice is not.
    fn read(query: &str) -> Result<Self, &'static str> {
        let mut request = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let field = match &*name {
                RETURN_TO => &mut request.return_to,
                STATE => &mut request.state,
                CODE_CHALLENGE => &mut request.challenge,
                "code_challenge_method" => &mut request.method,
                _ => continue,
            };
            if field.replace(value.into_owned()).is_some() {
                return Err("This link names return_to, state or code_challenge twice.");
            }
        }
        Ok(request)
    }

    /// For whoever builds the portal: its customers cannot mend it.
    fn checked(self, page: &HostedPage) -> Result<Self, &'static str> {
        if self.return_to.as_ref().is_some_and(|url| !knows(page, url)) {
            return Err(
                "This link would lead to an address that is not registered. For the operator: doorcode \
                        tenant set SLUG return_urls=URL, compared exactly.",
            );
        }
        if self.state.as_ref().is_some_and(|state| state.chars().count() > STATE_MAX) {
            return Err("The state in this link is longer than 512 characters.");
        }
        match (&self.challenge, self.method.as_deref()) {
            (None, None) => {}
            (Some(challenge), Some("S256")) if PkceChallenge::parse(challenge).is_some() => {}
            _ => {
                return Err(
                    "This link needs code_challenge_method=S256 and a code_challenge of RFC 7636, or neither.",
                );
            }
        }
        if self.challenge.is_some() && self.return_to.is_none() {
            return Err("This link has a code_challenge, but no return_to.");
        }
        Ok(self)
    }
}

/// Scripts from here alone, the one style below by its hash, calls to here alone, no frames, no HTML from scripts.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = PAGE
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"))
        .map_or("", |style| style.0);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        STANDARD.encode(digest(&SHA256, style.as_bytes()))
    )
});

fn html(status: StatusCode, words: &Value) -> Response {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    let page = match templates.render_str(PAGE, words) {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(%error, "the hosted page cannot be written");
            return Problem::Refused(doorcode_actors::Refusal::Unavailable).into_response();
        }
    };
    let mut response = reply::typed(status, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Language"));
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// For every page alike, so any origin may read it.
pub(crate) fn route_script() -> BoxedFilter<(Response,)> {
    at(&LOGIN_SCRIPT)
        .and(warp::header::headers_cloned())
        .map(|_, asked: HeaderMap| SCRIPT.answer(&asked))
        .boxed()
}
