//! Which portal.

use crate::keys::sha256;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// A tenant: UUIDv4, visible to callers as `tenant_id` and in the audience of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl TenantId {
    /// Stands for every slug that names no tenant, so that logins for unknown portals write rows like any other.
    pub const UNKNOWN: TenantId = TenantId(Uuid::nil());

    /// Tells tenants' cookies apart in one browser; public, so a plain hash will do.
    pub fn cookie_tag(&self) -> String {
        let digest = sha256(&[b"doorcode cookie tag", self.0.as_bytes()]);
        digest[..5].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a caller typed for `tenant_slug`: 1 to 100 characters, compared exactly.
///
/// Only `[a-z0-9-]` can name a tenant; any other text is simply unknown, never an error of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantSlug(String);

/// Why a text cannot be a slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SlugError {
    /// No character at all.
    #[error("a slug has at least 1 character")]
    TooShort,
    /// More than 100 code points.
    #[error("a slug has at most 100 characters")]
    TooLong,
    /// For a new tenant only.
    #[error("a slug is made of a-z, 0-9 and '-' only")]
    Characters,
}

impl TenantSlug {
    /// What a request may carry: 1 to 100 code points of anything.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        match text.chars().take(101).count() {
            0 => Err(SlugError::TooShort),
            101 => Err(SlugError::TooLong),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// What a new tenant may be called.
    pub fn parse_new(text: &str) -> Result<Self, SlugError> {
        let slug = Self::parse(text)?;
        if slug.can_exist() { Ok(slug) } else { Err(SlugError::Characters) }
    }

    /// Whether any tenant could have this slug; if not, nobody needs to ask the database.
    pub fn can_exist(&self) -> bool {
        self.0.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }

    /// The text as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_code_points() {
        assert_eq!(TenantSlug::parse(""), Err(SlugError::TooShort));
        assert!(TenantSlug::parse(&"😀".repeat(100)).is_ok());
        assert_eq!(TenantSlug::parse(&"😀".repeat(101)), Err(SlugError::TooLong));
    }

    #[test]
    fn only_plain_slugs_can_exist() {
        assert!(TenantSlug::parse("acme-2").is_ok_and(|s| s.can_exist()));
        for odd in ["ACME", "a b", "../../etc", "acme\0", "ä"] {
            assert!(TenantSlug::parse(odd).is_ok_and(|s| !s.can_exist()), "{odd:?}");
            assert_eq!(TenantSlug::parse_new(odd), Err(SlugError::Characters));
        }
    }

    #[test]
    fn cookie_tags_differ_by_tenant() {
        let (a, b) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        assert_eq!(a.cookie_tag().len(), 10);
        assert_ne!(a.cookie_tag(), b.cookie_tag());
    }
}
