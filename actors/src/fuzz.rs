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
    }
}

/// The input as a text of its own, and as pairs of place and letter that change a good one.
pub fn texts(bytes: &[u8], good: &str) -> Vec<String> {
    let mut changed = good.as_bytes().to_vec();
    for pair in bytes.chunks_exact(2) {
        let place = usize::from(pair[0]) * changed.len() / 256;
        changed[place] = pair[1];
    }
    [bytes, &changed].into_iter().filter_map(|text| String::from_utf8(text.to_vec()).ok()).collect()
}
