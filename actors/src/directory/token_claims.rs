//! What a tenant lets into its access tokens.

use super::DirectoryError;
use doorcode_domain::AccessClaims;
use std::str::FromStr;

/// Entries of a tenant's list at most.
pub(super) const TOKEN_CLAIMS_MAX: usize = 10;

/// Names beside our own that readers of tokens give a meaning to (RFC 7519, RFC 9068, OpenID Connect): a customer's claim
/// must not pass for one.
const RESERVED: [&str; 16] = [
    "nbf",
    "acr",
    "azp",
    "act",
    "may_act",
    "cnf",
    "nonce",
    "at_hash",
    "scope",
    "token_use",
    "email",
    "email_verified",
    "external_id",
    "locale",
    "username",
    "preferred_username",
];

/// One entry: `email`, `external_id`, `locale`, or `claims.NAME`, which is in the token under NAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaim(String);

impl TokenClaim {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenClaim {
    type Err = DirectoryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |reason| Err(DirectoryError::BadTokenClaim { claim: text.to_owned(), reason });
        let Some(name) = text.strip_prefix("claims.") else {
            return match text {
                "email" | "external_id" | "locale" => Ok(Self(text.to_owned())),
                _ => refused("expected email, external_id, locale or claims.NAME"),
            };
        };
        if AccessClaims::NAMES.contains(&name) || RESERVED.contains(&name) {
            return refused("this name has a meaning of its own in tokens: choose another");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
            return refused("expected 1 to 64 of a-z, A-Z, 0-9 and _ behind claims.");
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_refused() {
        for good in ["email", "external_id", "locale", "claims.plan", "claims.Roles_2"] {
            assert_eq!(good.parse::<TokenClaim>().unwrap().as_str(), good);
        }
        for name in AccessClaims::NAMES.iter().chain(&RESERVED) {
            assert!(format!("claims.{name}").parse::<TokenClaim>().is_err(), "{name}");
        }
        for bad in ["", "plan", "sub", "claims", "claims.", "claims.a.b", "claims.a b", "claims.é", "Email"]
        {
            assert!(bad.parse::<TokenClaim>().is_err(), "{bad}");
        }
        assert!(format!("claims.{}", "a".repeat(65)).parse::<TokenClaim>().is_err());
    }
}
