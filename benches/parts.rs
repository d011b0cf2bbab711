//! What the parts of a request cost, one by one: `cargo bench --bench parts [-- FILTER]`. docs/PERFORMANCE.md has the
//! figures. Not part of `cargo test`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot begin has nothing better to do")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use divan::{Bencher, black_box};
use doorcode_domain::{
    AddressKey, Alphabet, ChallengeId, Email, LoginCode, MacKey, RefreshToken, SessionSecret, TenantId,
    TokenPosition,
};
use governor::{Quota, RateLimiter};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::num::NonZeroU32;
use uuid::Uuid;
use zeroize::Zeroizing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

fn key() -> MacKey {
    MacKey::new(&Zeroizing::new(vec![7; 32])).unwrap()
}

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

#[divan::bench(args = ["ada@example.com", "Ada.Lovelace+tag@Example.COM", "ada@bücher.example", "no address"])]
fn email(text: &str) -> bool {
    Email::parse(black_box(text)).is_ok()
}

#[divan::bench]
fn address_key(bencher: Bencher) {
    let (key, email) = (key(), Email::parse("ada@example.com").unwrap());
    bencher.bench(|| AddressKey::of(&key, TENANT, black_box(email.key())));
}

#[divan::bench(args = [Alphabet::Digits, Alphabet::Base32])]
fn code_derivation(bencher: Bencher, alphabet: Alphabet) {
    let (key, challenge) = (key(), ChallengeId(Uuid::from_u128(2)));
    bencher.bench(|| LoginCode::derive(&key, black_box(challenge), alphabet));
}

#[divan::bench]
fn code_mac(bencher: Bencher) {
    let (key, email) = (key(), Email::parse("ada@example.com").unwrap());
    let address = AddressKey::of(&key, TENANT, email.key());
    let code = LoginCode::derive(&key, ChallengeId(Uuid::from_u128(2)), Alphabet::Digits);
    bencher.bench(|| code.mac(&key, TENANT, black_box(address), Alphabet::Digits));
}

#[divan::bench]
fn challenge_id(bencher: Bencher) {
    let mut random = ChaCha20Rng::from_seed([7; 32]);
    bencher.bench_local(|| ChallengeId::random(&mut random));
}

fn token() -> RefreshToken {
    RefreshToken {
        tenant: TENANT,
        secret: SessionSecret::from_random(Zeroizing::new([7; 16])),
        position: TokenPosition { generation: 3, branch: 0 },
    }
}

#[divan::bench]
fn refresh_token_write(bencher: Bencher) {
    let (key, token) = (key(), token());
    bencher.bench(|| black_box(&token).encode(1, &key));
}

#[divan::bench]
fn refresh_token_read(bencher: Bencher) {
    let key = key();
    let text = token().encode(1, &key);
    bencher.bench(|| RefreshToken::decode(black_box(&text), |_| Some(&key)));
}

/// Signing as the minters do it: the key pair is read once.
mod sign {
    use super::*;

    /// As long as an access token's header and claims.
    const MESSAGE: [u8; 600] = [b'a'; 600];

    #[divan::bench]
    fn es256(bencher: Bencher) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        bencher.bench(|| pair.sign(&SystemRandom::new(), black_box(&MESSAGE)).unwrap());
    }

    #[divan::bench]
    fn eddsa(bencher: Bencher) {
        let pair = Ed25519KeyPair::generate().unwrap();
        bencher.bench(|| pair.try_sign(black_box(&MESSAGE)).unwrap());
    }

    #[divan::bench]
    fn rs256(bencher: Bencher) {
        let pair = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        bencher.bench_local(|| {
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), black_box(&MESSAGE), &mut signature).unwrap();
        });
    }
}

/// One client's limit, alone and with four threads at the same table.
#[divan::bench(threads = [1, 4])]
fn limiter(bencher: Bencher) {
    let quota = Quota::per_minute(NonZeroU32::new(30).unwrap());
    let limiter = RateLimiter::dashmap(quota);
    bencher.counter(1_u32).bench(|| limiter.check_key(black_box(&0x7f00_0001_u128)).is_ok());
}
