//! What the issuer says of itself (RFC 8414, OpenID Connect Discovery 1.0): what middleware needs that is given the issuer's
//! URL alone.

use super::Keys;
use doorcode_domain::AccessClaims;
use jsonwebtoken::jwk::KeyAlgorithm;
use serde::Serialize;

/// No endpoint is named: those that doorcode has are not OAuth's.
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    jwks_uri: String,
    /// Both lists are empty on purpose: left out, they would mean OAuth's defaults.
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
    subject_types_supported: [&'static str; 1],
    /// Of access tokens. There are no others, but this is where middleware looks.
    id_token_signing_alg_values_supported: Vec<&'a KeyAlgorithm>,
    claims_supported: &'static [&'static str],
}

impl Keys {
    /// The metadata of `issuer`, as JSON.
    pub(crate) fn metadata(&self, issuer: &str) -> String {
        let mut algorithms: Vec<&KeyAlgorithm> = Vec::new();
        for algorithm in self.published().filter_map(|key| key.jwk.common.key_algorithm.as_ref()) {
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        let metadata = Metadata {
            issuer,
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            response_types_supported: [],
            grant_types_supported: [],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
            claims_supported: &AccessClaims::NAMES,
        };
        // strings and lists of strings always are JSON
        serde_json::to_string(&metadata).unwrap_or_default()
    }
}
