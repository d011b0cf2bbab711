//! `GET /openapi.json`, what an API is, for programs; and `GET /docs`, the same for people, without outside assets. The
//! public listener has the public API's, the ops listener the admin API's.

use crate::http::filters::at;
use crate::http::response::reply::{self, Asset};
use crate::http::routes::{
    OPENAPI, OPS_OPENAPI, OPS_REFERENCE, OPS_REFERENCE_SCRIPT, REFERENCE, REFERENCE_SCRIPT, Route,
};
use http::header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue};
use std::sync::LazyLock;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// Of `openapi/doorcode.yaml`, by `clients/`.
static DOCUMENT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("application/json", include_bytes!("../../../openapi/doorcode.json")));
/// Of `openapi/admin.yaml`.
static ADMIN_DOCUMENT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("application/json", include_bytes!("../../../openapi/admin.json")));
/// RapiDoc (MIT, its licence lies beside), as npm has it: compressed, for browsers all take that.
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let script = include_bytes!("../../../clients/reference/dist/rapidoc.js.gz");
    Asset::new("text/javascript; charset=utf-8", script)
});
/// RapiDoc styles its elements in place; it gets no code from strings, and calls this host only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn route() -> BoxedFilter<(Response,)> {
    routes(&DOCUMENT, [&OPENAPI, &REFERENCE, &REFERENCE_SCRIPT])
}

pub(crate) fn route_admin() -> BoxedFilter<(Response,)> {
    routes(&ADMIN_DOCUMENT, [&OPS_OPENAPI, &OPS_REFERENCE, &OPS_REFERENCE_SCRIPT])
}

fn routes(
    document: &'static LazyLock<Asset>,
    [openapi, reference, script]: [&'static Route; 3],
) -> BoxedFilter<(Response,)> {
    let asked = warp::header::headers_cloned;
    let document = at(openapi).and(asked()).map(|_, asked: HeaderMap| document.answer(&asked));
    let page = at(reference).map(|_| page());
    let script = at(script).and(asked()).map(|_, asked: HeaderMap| {
        let mut response = SCRIPT.answer(&asked);
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    });
    document.or(page).unify().or(script).unify().boxed()
}

fn page() -> Response {
    let mut response = reply::page(include_str!("reference.html"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
