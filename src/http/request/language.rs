//! The language that a browser asks for.

use doorcode_domain::Language;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// The first of `Accept-Language` that doorcode speaks.
pub(crate) fn of(headers: &HeaderMap) -> Option<Language> {
    Language::accepted(headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?)
}
