//! D4 to D8 on tokens that are almost ours.

use super::super::signing::SigningKey;
use super::{AccessTokenError, LONGEST, SKEW_S, verify};
use crate::settings::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use doorcode_domain::{
    AccessClaims, CustomerId, MacKey, RefreshToken, SessionKey, SessionSecret, TenantId, TokenPosition,
};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];
const ISSUER: &str = "https://login.example.org";
const IAT: i64 = 1_800_000_000;

fn tenant() -> TenantId {
    TenantId(Uuid::from_u128(1))
}

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pkcs8(algorithm, &SigningKey::generate(algorithm).unwrap()).unwrap()
}

fn claims() -> AccessClaims {
    let id = Uuid::from_u128;
    AccessClaims::new(ISSUER, tenant(), CustomerId(id(2)), SessionKey(id(3)), id(4), IAT - 10, IAT)
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with the key's own signature over any header and body.
fn signed(key: &SigningKey, header: &str, body: &[u8]) -> String {
    let message = format!("{header}.{}", b64(body));
    let signature = key.signature(message.as_bytes()).unwrap();
    format!("{message}.{}", b64(signature))
}

fn read(keys: &[&SigningKey], token: &str, now_s: i64) -> Result<AccessClaims, AccessTokenError> {
    verify(keys.iter().copied(), token, ISSUER, Some(tenant()), now_s)
}

fn refused(key: &SigningKey, token: &str, with: AccessTokenError) {
    assert_eq!(read(&[key], token, IAT), Err(with), "{}", &token[..token.len().min(200)]);
}

/// What a token says of itself, which is public.
fn header_of(key: &SigningKey) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(key.header()).unwrap()).unwrap()
}

/// D1: `typ` and `alg` are what they should be; D10: `kid` is the thumbprint's form.
#[test]
fn d1_header_says_what_it_is() {
    for algorithm in ALL {
        let key = key(algorithm);
        let header = header_of(&key);
        assert_eq!(header, json!({"typ": "at+jwt", "alg": algorithm.jose_name(), "kid": key.kid}));
        assert_eq!(URL_SAFE_NO_PAD.decode(&key.kid).unwrap().len(), 32);
        let token = key.sign(&claims()).unwrap();
        assert_eq!(read(&[&key], &token, IAT), Ok(claims()));
    }
}

/// D4: the key decides the algorithm; the header is not asked.
#[test]
fn d4_algorithms_cannot_be_confused() {
    let keys = ALL.map(key);
    let body = serde_json::to_vec(&claims()).unwrap();
    for key in &keys {
        for alg in [
            "none", "None", "nOnE", "NONE", "", "HS256", "HS384", "HS512", "ES256", "EdDSA", "RS256", "PS256",
        ] {
            let mut header = header_of(key);
            let own = header["alg"] == alg;
            header["alg"] = json!(alg);
            // members in our order, so that nothing but the algorithm is another
            let header = format!(r#"{{"alg":{},"kid":{},"typ":"at+jwt"}}"#, header["alg"], header["kid"]);
            let token = signed(key, &b64(&header), &body);
            assert_eq!(read(&[key], &token, IAT).is_ok(), own, "{alg} by {}", key.kid);
            let unsigned = format!("{}.{}.", b64(&header), b64(&body));
            assert!(read(&[key], &unsigned, IAT).is_err(), "{alg} without a signature");
        }
        // the other two keys' signatures under this key's header
        for other in keys.iter().filter(|other| other.kid != key.kid) {
            refused(key, &signed(other, key.header(), &body), AccessTokenError::Forged);
            assert!(read(&[&keys[0], &keys[1], &keys[2]], &signed(other, key.header(), &body), IAT).is_err());
        }
    }
}

/// D4: the published key's bytes as an HMAC secret, in each form in which somebody may have it.
#[test]
fn d4_the_public_key_is_no_hmac_secret() {
    for algorithm in ALL {
        let key = key(algorithm);
        let jwk = serde_json::to_string(&key.jwk).unwrap();
        let der = {
            use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
            let der: PublicKeyX509Der<'_> = key.public.as_der().unwrap();
            der.as_ref().to_vec()
        };
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
        for secret in [jwk.as_bytes(), &der, pem.as_bytes(), key.public.as_ref()] {
            let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            let body = b64(serde_json::to_vec(&claims()).unwrap());
            let hs256 = b64(format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, key.kid));
            for header in [hs256.as_str(), key.header()] {
                let message = format!("{header}.{body}");
                let tag = aws_lc_rs::hmac::sign(&hmac, message.as_bytes());
                assert!(read(&[&key], &format!("{message}.{}", b64(tag)), IAT).is_err());
            }
        }
    }
}

/// D4: signatures that some libraries took for good ones.
#[test]
fn d4_degenerate_signatures_are_refused() {
    for algorithm in ALL {
        let key = key(algorithm);
        let token = key.sign(&claims()).unwrap();
        let (message, own) = token.rsplit_once('.').unwrap();
        let own = URL_SAFE_NO_PAD.decode(own).unwrap();
        let mut order = vec![0; own.len()];
        order[own.len() - 1] = 1;
        let mut flipped = own.clone();
        flipped[0] ^= 1;
        let short = own[..own.len() - 1].to_vec();
        let long = [own.as_slice(), &[0]].concat();
        for bad in [vec![], vec![0; own.len()], vec![0xff; own.len()], order, flipped, short, long] {
            refused(&key, &format!("{message}.{}", b64(bad)), AccessTokenError::Forged);
        }
        // the same signature in other spellings: one token, one text
        for bad in [
            URL_SAFE.encode(&own),
            STANDARD.encode(&own),
            format!("{}=", b64(&own)),
            format!(" {}", b64(&own)),
        ] {
            if bad != b64(&own) {
                refused(&key, &format!("{message}.{bad}"), AccessTokenError::Form);
            }
        }
    }
}

/// D5: nothing in a header leads anywhere; all of these carry the key's own, good signature.
#[test]
fn d5_headers_that_point_elsewhere_are_refused() {
    let key = key(Algorithm::Es256);
    let body = serde_json::to_vec(&claims()).unwrap();
    let foreign = self::key(Algorithm::Es256);
    let foreign_jwk = serde_json::to_value(&foreign.jwk).unwrap();
    for (member, value) in [
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("jwk", foreign_jwk.clone()),
        ("jwk", serde_json::to_value(&key.jwk).unwrap()),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("typ", json!("JWT")),
        ("typ", json!("AT+JWT")),
        ("typ", json!("application/at+jwt")),
        ("kid", json!("../../dev/null")),
        ("kid", json!("' OR 1=1--")),
        ("kid", json!("https://evil.example/key")),
        ("kid", json!(format!("{}\u{0}", key.kid))),
        ("kid", json!("ключ")),
        ("kid", json!([key.kid])),
        ("kid", json!({"kid": key.kid})),
        ("kid", json!(null)),
        ("kid", json!(0)),
        ("kid", json!("")),
    ] {
        let mut header = header_of(&key);
        header[member] = value;
        refused(&key, &signed(&key, &b64(header.to_string()), &body), AccessTokenError::Header);
        // and by the key that it brings along
        refused(&key, &signed(&foreign, &b64(header.to_string()), &body), AccessTokenError::Header);
    }
    for missing in ["kid", "typ", "alg"] {
        let mut header = header_of(&key);
        header.as_object_mut().unwrap().remove(missing);
        refused(&key, &signed(&key, &b64(header.to_string()), &body), AccessTokenError::Header);
    }
    // the same member twice: parsers differ on which counts
    let twice = format!(r#"{{"alg":"ES256","kid":"x","kid":"{}","typ":"at+jwt"}}"#, key.kid);
    refused(&key, &signed(&key, &b64(twice), &body), AccessTokenError::Header);
    refused(&key, &foreign.sign(&claims()).unwrap(), AccessTokenError::Header);
    let long = json!({"alg": "ES256", "kid": "k".repeat(100_000), "typ": "at+jwt"}).to_string();
    refused(&key, &signed(&key, &b64(long), &body), AccessTokenError::Form);
}

/// D6: issuer, audience and tenant, each alone.
#[test]
fn d6_tokens_for_others_are_refused() {
    let key = key(Algorithm::EdDsa);
    let other = TenantId(Uuid::from_u128(9));
    let token = key.sign(&claims()).unwrap();
    let of = |token: &str, issuer: &str, tenant| verify([&key].into_iter(), token, issuer, tenant, IAT);
    assert!(of(&token, ISSUER, Some(tenant())).is_ok());
    assert!(of(&token, ISSUER, None).is_ok());
    assert_eq!(of(&token, ISSUER, Some(other)), Err(AccessTokenError::Audience));
    for issuer in ["https://login.example.org/", "https://login.example.com", "", "login.example.org"] {
        assert_eq!(of(&token, issuer, Some(tenant())), Err(AccessTokenError::Audience), "{issuer}");
    }
    let changed: [fn(&mut AccessClaims); 6] = [
        |c| c.iss = "https://evil.example".to_owned(),
        |c| c.aud = ISSUER.to_owned(),
        |c| c.aud = format!("{ISSUER}/t/{}", Uuid::from_u128(9)),
        |c| c.aud = String::new(),
        |c| c.tenant_id = TenantId(Uuid::from_u128(9)),
        |c| c.aud.push('/'),
    ];
    for change in changed {
        let mut claims = claims();
        change(&mut claims);
        let token = key.sign(&claims).unwrap();
        assert_eq!(of(&token, ISSUER, Some(tenant())), Err(AccessTokenError::Audience), "{claims:?}");
        assert_eq!(of(&token, ISSUER, None), Err(AccessTokenError::Audience), "{claims:?}");
    }
    // a list of audiences that holds ours is a token for several readers: not one of ours
    let mut listed = serde_json::to_value(claims()).unwrap();
    listed["aud"] = json!([listed["aud"], "https://evil.example"]);
    refused(&key, &signed(&key, key.header(), listed.to_string().as_bytes()), AccessTokenError::Form);
}

/// D7: neither kind of token passes for the other.
#[test]
fn d7_refresh_and_access_tokens_do_not_mix() {
    let key = key(Algorithm::Es256);
    let mac = MacKey::new(&Zeroizing::new(vec![7; 32])).unwrap();
    let refresh = RefreshToken {
        tenant: tenant(),
        secret: SessionSecret::from_random(Zeroizing::new([3; 16])),
        position: TokenPosition { generation: 0, branch: 0 },
    }
    .encode(1, &mac);
    refused(&key, &refresh, AccessTokenError::Form);
    refused(&key, &format!("{}.{}.", key.header(), *refresh), AccessTokenError::Forged);
    let access = key.sign(&claims()).unwrap();
    assert!(RefreshToken::decode(&access, |_| Some(&mac)).is_err());
    assert!(RefreshToken::decode(&format!("dcr_{access}"), |_| Some(&mac)).is_err());
}

/// D8: to the second.
#[test]
fn d8_times_are_enforced_with_little_skew() {
    const { assert!(SKEW_S <= 60) };
    let key = key(Algorithm::Es256);
    let token = key.sign(&claims()).unwrap();
    let exp = claims().exp;
    assert!(read(&[&key], &token, exp + SKEW_S - 1).is_ok());
    assert_eq!(read(&[&key], &token, exp + SKEW_S), Err(AccessTokenError::Expired));
    assert!(read(&[&key], &token, IAT - SKEW_S).is_ok());
    assert_eq!(read(&[&key], &token, IAT - SKEW_S - 1), Err(AccessTokenError::Early));
    let with = |member: &str, value: Value| {
        let mut body = serde_json::to_value(claims()).unwrap();
        body[member] = value;
        signed(&key, key.header(), body.to_string().as_bytes())
    };
    assert!(read(&[&key], &with("nbf", json!(IAT)), IAT).is_ok());
    refused(&key, &with("nbf", json!(IAT + 61)), AccessTokenError::Early);
    refused(&key, &with("exp", json!(i64::MIN)), AccessTokenError::Expired);
    assert!(read(&[&key], &with("exp", json!(i64::MAX)), IAT).is_ok());
    for bad in [json!("1"), json!(null), json!(1.5), json!(u64::MAX), json!([1])] {
        refused(&key, &with("exp", bad), AccessTokenError::Form);
    }
}

/// Bodies and shapes that are none.
#[test]
fn junk_is_refused() {
    let key = key(Algorithm::Es256);
    let own = key.header();
    for junk in ["", ".", "..", "...", "a", "a.b", "a.b.c", "Bearer x.y.z"] {
        assert!(read(&[&key], junk, IAT).is_err(), "{junk:?}");
    }
    refused(&key, &"a.".repeat(50_000), AccessTokenError::Form);
    for body in [&b"{}"[..], b"", b"null", b"[]", b"\xff\xfe", b"{\"iss\":1}"] {
        refused(&key, &signed(&key, own, body), AccessTokenError::Form);
    }
    let token = key.sign(&claims()).unwrap();
    assert!(token.len() < LONGEST, "{}", token.len());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        assert!(read(&[&key], &String::from_utf8(bytes).unwrap(), IAT).is_err(), "changed at {at}");
    }
    let none: [&SigningKey; 0] = [];
    assert_eq!(read(&none, &token, IAT), Err(AccessTokenError::Header));
}
