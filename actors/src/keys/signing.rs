//! Signing keys: made, read, published, used.
//!
//! The key pair is parsed once and kept: `jsonwebtoken::encode` parses it at each call, which costs as much as signing.

use crate::settings::Algorithm;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorcode_domain::AccessClaims;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::json;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a signing key is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SigningKeyError {
    /// Not made by this version.
    #[error("signing algorithm {0:?} is not known: expected ES256, EdDSA or RS256")]
    Algorithm(String),
    /// Damaged.
    #[error("the signing key {0} cannot be read")]
    Material(String),
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

impl Algorithm {
    /// Its name in JOSE (RFC 7518, RFC 8037).
    pub fn jose_name(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Rs256 => "RS256",
        }
    }

    pub(crate) fn from_jose_name(name: &str) -> Result<Self, SigningKeyError> {
        [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256]
            .into_iter()
            .find(|a| a.jose_name() == name)
            .ok_or_else(|| SigningKeyError::Algorithm(name.to_owned()))
    }
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Pair {
    /// The half that checks, bound to the one algorithm this key is for (D4).
    fn public(&self) -> Option<ParsedPublicKey> {
        match self {
            Pair::Es256(pair) => ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, pair.public_key()),
            Pair::EdDsa(pair) => ParsedPublicKey::new(&signature::ED25519, pair.public_key()),
            Pair::Rs256(pair) => {
                ParsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, pair.public_key())
            }
        }
        .ok()
    }
}

/// A key pair, its published half, and the token header that names it.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) jwk: Jwk,
    pair: Pair,
    pub(super) public: ParsedPublicKey,
    /// `{"alg":…,"kid":…,"typ":"at+jwt"}`, encoded.
    header: String,
}

impl SigningKey {
    /// Makes a new key; returns its PKCS#8 form for wrapping. RSA takes a second.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
        let library = |_| SigningKeyError::Library;
        let der = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(library)?;
                pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec()
            }
            Algorithm::EdDsa => Ed25519KeyPair::generate()
                .and_then(|pair| pair.to_pkcs8v1())
                .map_err(library)?
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa3072).map_err(library)?;
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(library)?.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(der))
    }

    /// Reads a key from its PKCS#8 form. Its `kid` is its thumbprint (RFC 7638).
    pub(crate) fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, SigningKeyError> {
        let material = || SigningKeyError::Material(algorithm.jose_name().to_owned());
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (pair, public) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                    .map_err(|_| material())?;
                // SEC 1 section 2.3.3: 4, x, y
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..65).map(|xy| xy.split_at(32)).ok_or_else(material)?;
                let public = json!({"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)});
                (Pair::Es256(pair), public)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| material())?;
                let public = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())});
                (Pair::EdDsa(pair), public)
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| material())?;
                let key = pair.public_key();
                let n = key.modulus().big_endian_without_leading_zero().to_vec();
                let e = key.exponent().big_endian_without_leading_zero().to_vec();
                (Pair::Rs256(pair), json!({"kty": "RSA", "n": b64(&n), "e": b64(&e)}))
            }
        };
        let mut public = public;
        let bare: Jwk = serde_json::from_value(public.clone()).map_err(|_| material())?;
        let kid = bare.thumbprint(ThumbprintHash::SHA256).map_err(|_| material())?;
        public["kid"] = json!(kid);
        public["alg"] = json!(algorithm.jose_name());
        public["use"] = json!("sig");
        let jwk = serde_json::from_value(public).map_err(|_| material())?;
        // Spelled out, members in this order, for ever: replicas of two versions compare headers as text.
        let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"at+jwt"}}"#, algorithm.jose_name());
        let public = pair.public().ok_or_else(material)?;
        Ok(Self { header: b64(header.as_bytes()), kid, jwk, pair, public })
    }

    /// The first part of every token that this key signs.
    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    /// Whether this key made that signature, by this key's one algorithm.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// Signs claims into a compact JWS (RFC 7515 section 7.1).
    pub(crate) fn sign(&self, claims: &AccessClaims) -> Result<String, SigningKeyError> {
        let body = serde_json::to_vec(claims).map_err(|_| SigningKeyError::Library)?;
        let mut token = String::with_capacity(1_024);
        token.push_str(&self.header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(body, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let library = |_| SigningKeyError::Library;
        match &self.pair {
            Pair::Es256(pair) => {
                Ok(pair.sign(&SystemRandom::new(), message).map_err(library)?.as_ref().to_vec())
            }
            Pair::EdDsa(pair) => Ok(pair.try_sign(message).map_err(library)?.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(library)?;
                Ok(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_domain::{CustomerId, SessionKey, TenantId};
    use jsonwebtoken::{DecodingKey, Validation};
    use uuid::Uuid;

    fn claims() -> AccessClaims {
        let id = Uuid::from_u128;
        AccessClaims::new(
            "https://a.example",
            TenantId(id(1)),
            CustomerId(id(2)),
            SessionKey(id(3)),
            id(4),
            10,
            4_000_000_000,
        )
    }

    /// D1, D2: another library reads what we sign, by the published key alone.
    #[test]
    fn jsonwebtoken_verifies_every_algorithm() {
        for (algorithm, theirs) in [
            (Algorithm::Es256, jsonwebtoken::Algorithm::ES256),
            (Algorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
            (Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
        ] {
            let key = SigningKey::from_pkcs8(algorithm, &SigningKey::generate(algorithm).unwrap()).unwrap();
            let token = key.sign(&claims()).unwrap();
            let mut validation = Validation::new(theirs);
            validation.set_audience(&[format!("https://a.example/t/{}", Uuid::from_u128(1))]);
            let decoding = DecodingKey::from_jwk(&key.jwk).unwrap();
            let read = jsonwebtoken::decode::<AccessClaims>(&token, &decoding, &validation).unwrap();
            assert_eq!(read.claims, claims());
            assert_eq!(read.header.kid.as_deref(), Some(key.kid.as_str()));
            assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
        }
    }

    /// D9: no private member is published.
    #[test]
    fn the_published_key_has_no_private_member() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let key = SigningKey::from_pkcs8(algorithm, &SigningKey::generate(algorithm).unwrap()).unwrap();
            let published = serde_json::to_value(&key.jwk).unwrap();
            for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(published.get(member).is_none(), "{member} in {published}");
            }
        }
    }

    /// D10: the thumbprint of the key in RFC 8037 appendix A.3.
    #[test]
    fn thumbprint_is_that_of_rfc_8037() {
        let jwk: Jwk = serde_json::from_value(json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        }))
        .unwrap();
        assert_eq!(
            jwk.thumbprint(ThumbprintHash::SHA256).unwrap(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}
