//! Fuzz targets of what the actors read, run by `doorcode::fuzz`: what must hold for any text that a caller may present.

use crate::keys::SigningKey;
use crate::keys::verify::verify;
use crate::login::device_cookie::DeviceCookie;
use crate::settings::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorcode_domain::{AccessClaims, AddressKey, CustomerId, MacKey, SessionKey, TenantId};
use std::sync::OnceLock;
use uuid::Uuid;
use zeroize::Zeroizing;

const ISSUER: &str = "https://login.example.org";
const IAT: i64 = 1_800_000_000;
/// Of base64url (RFC 4648 section 5).
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// No text but the one that we wrote reads as a device cookie of its tenant; at another tenant not even that.
pub fn device_cookie(bytes: &[u8]) {
    let Ok(key) = MacKey::new(&Zeroizing::new(vec![7; MacKey::BYTES])) else { return };
    let (tenant, other) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
    let address = |n| AddressKey(Uuid::from_u128(n));
    let cookie = DeviceCookie::default().with(&key, tenant, address(1), 5).with(&key, tenant, address(2), 6);
    let good = cookie.encode(&key, tenant);
    for text in texts(bytes, &good) {
        let read = DeviceCookie::decode(&key, tenant, &text);
        assert_eq!(read, (text == good).then(|| cookie.clone()), "{text:?}");
        assert_eq!(DeviceCookie::decode(&key, other, &text), None, "{text:?}");
    }
}

/// No text but one that we signed reads as an access token; and one with our signature under anything else names us, a
/// tenant of ours and a time that has not passed.
pub fn access_token(bytes: &[u8]) {
    static KEY: OnceLock<Option<SigningKey>> = OnceLock::new();
    let made =
        || SigningKey::from_pkcs8(Algorithm::EdDsa, &SigningKey::generate(Algorithm::EdDsa).ok()?).ok();
    let Some(key) = KEY.get_or_init(made) else { return };
    let id = Uuid::from_u128;
    let (tenant, session) = (TenantId(id(1)), SessionKey(id(3)));
    let claims = AccessClaims::new(ISSUER, tenant, CustomerId(id(2)), session, id(4), IAT, IAT);
    let Ok(good) = key.sign(&claims) else { return };
    let read = |text: &str| verify([key].into_iter(), text, ISSUER, None, IAT);
    for text in texts(bytes, &good) {
        assert_eq!(read(&text).is_ok(), text == good, "{text:?}");
    }
    let signed = format!("{}.{}", key.header(), URL_SAFE_NO_PAD.encode(bytes));
    let Ok(signature) = key.signature(signed.as_bytes()) else { return };
    if let Ok(claims) = read(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))) {
        assert_eq!(claims.iss, ISSUER);
        assert_eq!(claims.aud, format!("{ISSUER}/t/{}", claims.tenant_id.0));
        assert!(claims.exp >= IAT - 30 && claims.iat <= IAT + 30);
        let said = serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
        let nbf = said.get("nbf").and_then(serde_json::Value::as_i64);
        assert!(nbf.is_none_or(|nbf| nbf <= IAT + 30), "{said}");
    }
}

/// Texts that only look like the good one, all of them from the input: the input itself; the good one with letters changed,
/// one for each three bytes (how far from the end, and the letter); with the rest of the input put in there; cut off there;
/// and with another last letter of one of its parts, where base64 leaves bits that stand for nothing.
pub fn texts(bytes: &[u8], good: &str) -> Vec<String> {
    let from_end = |far: &[u8], length: usize| {
        let far = far.iter().take(2).fold(0, |far, byte| far << 8 | usize::from(*byte));
        length - 1 - far % length
    };
    let mut changed = good.as_bytes().to_vec();
    for triple in bytes.chunks_exact(3) {
        let place = from_end(triple, good.len());
        changed[place] = triple[2];
    }
    let mut longer = good.as_bytes().to_vec();
    let mut shorter = longer.clone();
    let mut respelled = longer.clone();
    if let [letter, part, more @ ..] = bytes {
        shorter.truncate(from_end(bytes, good.len()));
        let place = from_end(bytes, good.len() + 1);
        longer.splice(place..place, more.iter().copied());
        let ends: Vec<_> = good.match_indices('.').map(|(end, _)| end).chain([good.len()]).collect();
        respelled[ends[usize::from(*part) % ends.len()] - 1] = LETTERS[usize::from(*letter) % LETTERS.len()];
    }
    let all = [bytes.to_vec(), changed, longer, shorter, respelled];
    all.into_iter().filter_map(|text| String::from_utf8(text).ok()).collect()
}
