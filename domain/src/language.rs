//! The languages that doorcode speaks: in mails and on the hosted page.

use std::str::FromStr;

/// As tags (BCP 47). The login form has the same, in `clients/element/src/texts.ts`.
const TAGS: [&str; 10] = ["en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ja", "zh-CN"];

/// One of them. English is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Language(u8);

/// Why a text names none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", TAGS.join(", "))]
pub struct LanguageError;

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(tag: &str) -> Result<Self, LanguageError> {
        Self::of_tag(tag).ok_or(LanguageError)
    }
}

impl Language {
    /// All of them, English first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TAGS.len() as u8).map(Self)
    }

    /// `"pt-BR"`
    pub fn tag(self) -> &'static str {
        TAGS.get(self.index()).copied().unwrap_or("en")
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// By its place.
    pub fn of_index(index: usize) -> Option<Self> {
        u8::try_from(index).ok().filter(|index| usize::from(*index) < TAGS.len()).map(Self)
    }

    /// The one of a tag, by its language alone if need be: "de-AT" is "de", "pt" is "pt-BR".
    pub fn of_tag(tag: &str) -> Option<Self> {
        let base = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let exact = TAGS.iter().position(|language| language.eq_ignore_ascii_case(tag));
        exact
            .or_else(|| TAGS.iter().position(|language| base(language) == base(tag)))
            .and_then(Self::of_index)
    }

    /// The first that there is of an `Accept-Language` header (RFC 9110 section 12.5.4). Browsers send their user's order, so the
    /// weights need not be read.
    pub fn accepted(header: &str) -> Option<Self> {
        let tags = header.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
        tags.filter_map(Self::of_tag).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_there_is() {
        for (asked, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some("de")),
            ("PT-br", Some("pt-BR")),
            ("pt", Some("pt-BR")),
            ("zh-TW, zh;q=0.9", Some("zh-CN")),
            ("sv, nl;q=0.5", Some("nl")),
            ("*", None),
            ("", None),
            (";;,,-", None),
        ] {
            assert_eq!(Language::accepted(asked).map(Language::tag), language, "{asked}");
        }
    }

    #[test]
    fn a_place_is_a_language() {
        for language in Language::all() {
            assert_eq!(Language::of_index(language.index()), Some(language));
            assert_eq!(Language::of_tag(language.tag()), Some(language));
        }
        assert_eq!(Language::of_index(10), None);
        assert_eq!(Language::default().tag(), "en");
    }

    /// The login form in a browser cannot ask Rust.
    #[test]
    fn the_login_form_has_the_same() {
        let texts = include_str!("../../clients/element/src/texts.ts");
        let list = texts.split("export const LANGUAGES").nth(1).unwrap();
        let list = list.split('{').nth(1).unwrap().split('}').next().unwrap();
        let tags: Vec<&str> =
            list.split(',').map(|entry| entry.split(':').next().unwrap().trim().trim_matches('"')).collect();
        assert_eq!(tags, TAGS);
    }
}
