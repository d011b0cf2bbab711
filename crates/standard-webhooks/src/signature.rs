//! What stands in the three headers of a message.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The header with the message's id: the same over all tries.
pub const ID: &str = "webhook-id";
/// The header with the seconds since 1970 of this try.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with one signature for each secret that is in use.
pub const SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
/// Bytes of a secret: the specification's limits.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret shared with a receiver: `whsec_` and 24 to 64 bytes as base64. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

/// Why a text is no secret. Does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected whsec_ and 24 to 64 random bytes as base64: echo whsec_$(openssl rand -base64 32)")]
pub struct SecretError;

impl FromStr for SigningSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretError)?);
        if !LENGTH.contains(&bytes.len()) {
            return Err(SecretError);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The value of [`SIGNATURE`]: `v1,` and the HMAC-SHA256 of `id.timestamp.body` as base64, for each secret, separated by
/// spaces. Several secrets are in use while one follows another: the receiver needs to know one of them.
///
/// `id` has no `.` in it, or another message could have the same signature.
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let signatures = secrets.iter().map(|SigningSecret(key)| {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{timestamp_s}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature =
            sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"]
            .map(|text| text.parse().unwrap());
        let both = sign(&secrets, "m", 1, b"{}");
        let [one, two] = secrets.map(|secret| sign(&[secret], "m", 1, b"{}"));
        assert_eq!(both, format!("{one} {two}"));
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_quoted() {
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_%%%"] {
            assert_eq!(text.parse::<SigningSecret>().err(), Some(SecretError), "{text}");
        }
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "[redacted]");
    }
}
