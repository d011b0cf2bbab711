//! The language of a page, of those that the login form speaks.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// As the form has them: clients/element/src/texts.ts.
const LANGUAGES: [&str; 10] = ["en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ja", "zh-CN"];

/// The first of `Accept-Language` that there is, by its language alone if need be; English else. Browsers send their
/// user's order, so the weights need not be read.
pub fn of(headers: &HeaderMap) -> &'static str {
    let asked = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tags = asked.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
    tags.filter_map(known).next().unwrap_or("en")
}

fn known(tag: &str) -> Option<&'static str> {
    let base = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let exact = LANGUAGES.into_iter().find(|language| language.eq_ignore_ascii_case(tag));
    exact.or_else(|| LANGUAGES.into_iter().find(|language| base(language) == base(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_there_is() {
        for (asked, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("PT-br", "pt-BR"),
            ("pt", "pt-BR"),
            ("zh-TW, zh;q=0.9", "zh-CN"),
            ("sv, nl;q=0.5", "nl"),
            ("*", "en"),
            ("", "en"),
            (";;,,-", "en"),
        ] {
            let headers = [(ACCEPT_LANGUAGE, asked.parse().unwrap())].into_iter().collect();
            assert_eq!(of(&headers), language, "{asked}");
        }
    }
}
