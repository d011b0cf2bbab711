//! Verifies an access token with `jsonwebtoken`. Fetching the key set is left to the HTTP client you have.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};
use serde_json::Value;

/// `keys` is what `/.well-known/jwks.json` said at most 300 s ago; fetch it again when a key is not in it.
pub fn verify(token: &str, keys: &JwkSet, issuer: &str, tenant_id: &str) -> Result<Value, String> {
    let header = decode_header(token).map_err(|error| error.to_string())?;
    if header.typ.as_deref() != Some("at+jwt") {
        return Err("not an access token".to_owned());
    }
    let jwk = header.kid.and_then(|kid| keys.find(&kid)).ok_or("signed with an unknown key")?;
    // the key says which algorithm, never the token
    let algorithm: Algorithm = match jwk.common.key_algorithm {
        Some(algorithm) => algorithm.to_string().parse().map_err(|_| "unknown algorithm")?,
        None => return Err("the key names no algorithm".to_owned()),
    };
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[format!("{issuer}/t/{tenant_id}")]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.leeway = 30;
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let read: Result<TokenData<Value>, _> = decode(token, &key, &validation);
    read.map(|token| token.claims).map_err(|error| error.to_string())
}
