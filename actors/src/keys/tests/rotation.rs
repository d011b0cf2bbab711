//! Keys follow each other, and nobody who verifies or refreshes notices.

use super::super::schedule::{KEPT, LEAD, PURPOSE_LEAD};
use super::*;
use doorcode_domain::{RefreshToken, SessionSecret, TokenPosition};
use futures_util::future::join_all;
use jsonwebtoken::{DecodingKey, Validation};

const LEAD_S: i64 = LEAD.as_secs() as i64;
const KEPT_S: i64 = KEPT.as_secs() as i64;

/// Two replicas that start on an empty database have the same keys, and sign at once.
#[tokio::test]
async fn replicas_that_start_together_have_the_same_keys() {
    let world = World::new().await;
    let vaults: Vec<_> = (0..6).map(|_| world.vault(1)).collect();
    let read = join_all(vaults.iter().map(|vault| vault.start(es256()))).await;
    let keys: Vec<Keys> = read.into_iter().map(Result::unwrap).collect();
    let first = token(&keys[0], world.now_s());
    for keys in &keys {
        assert_eq!(keys.jwks, super::super::key_set(&keys.signing).unwrap());
        assert!(verifies(keys, &first, world.now_s()));
        assert_eq!(kids(&keys.jwks), kids(&read_kids(&world).await));
        assert_eq!(
            keys.address.mac128(&[b"x"]),
            vaults[0].directory_keys().await.unwrap().address.mac128(&[b"x"])
        );
    }
    assert_eq!(world.states().await, ["active"]);
    // with another master key: nothing is read, and nothing is added
    let stranger = world.vault(2).start(es256()).await;
    assert!(matches!(stranger, Err(KeyError::Wrap(WrapError::WrongKey))));
    assert_eq!(world.states().await, ["active"]);
}

async fn read_kids(world: &World) -> String {
    world.vault(1).read(Algorithm::Es256).await.unwrap().jwks.to_string()
}

/// Masters that race on an empty database: one wins as a whole, the other can read nothing.
#[tokio::test]
async fn two_master_keys_never_share_a_database() {
    let world = World::new().await;
    let vaults: Vec<_> = (0..8).map(|n| world.vault(n % 2)).collect();
    let read = join_all(vaults.iter().map(|vault| vault.start(es256()))).await;
    let won: Vec<bool> = read.iter().map(Result::is_ok).collect();
    assert!(won == [true, false].repeat(4) || won == [false, true].repeat(4), "{won:?}");
}

/// D11: of many who make a successor at once, one does; and the states follow the clock.
#[tokio::test]
async fn d11_replicas_never_make_two_successors() {
    let world = World::new().await;
    let vaults: Vec<_> = (0..6).map(|_| world.vault(1)).collect();
    vaults[0].start(es256()).await.unwrap();
    world.clock.advance_s(30 * DAY_S - LEAD_S - 1);
    join_all(vaults.iter().map(|vault| vault.tend(es256()))).await.into_iter().for_each(|r| drop(r.unwrap()));
    assert_eq!(world.states().await, ["active"], "not yet");
    world.clock.advance_s(1);
    join_all(vaults.iter().map(|vault| vault.tend(es256()))).await.into_iter().for_each(|r| drop(r.unwrap()));
    assert_eq!(world.states().await, ["active", "next"]);
    // by hand as well, and again: the one that waits is told
    let by_hand = join_all(vaults.iter().map(|vault| vault.rotate_signing(Algorithm::Es256, LEAD))).await;
    let next = world.signing().await[1].0.clone();
    assert!(by_hand.into_iter().all(|told| told.is_ok_and(|told| told.waited && told.name == next)));
    world.clock.advance_s(LEAD_S);
    assert_eq!(world.states().await, ["retiring", "active"]);
    world.clock.advance_s(KEPT_S - 1);
    vaults[1].tend(es256()).await.unwrap();
    assert_eq!(world.states().await, ["retiring", "active"]);
    world.clock.advance_s(1);
    assert_eq!(world.states().await, ["gone", "active"]);
    assert_eq!(kids(&vaults[2].read(Algorithm::Es256).await.unwrap().jwks), [next], "gone is not published");
    vaults[1].tend(es256()).await.unwrap();
    assert_eq!(world.states().await, ["active"], "gone is deleted");
    // several rotations by hand at once: one line, never a fork
    let by_hand = join_all(vaults.iter().map(|vault| vault.rotate_signing(Algorithm::Es256, LEAD))).await;
    assert_eq!(by_hand.iter().filter(|told| told.as_ref().is_ok_and(|told| !told.waited)).count(), 1);
    assert_eq!(world.states().await, ["active", "next"]);
}

/// A verifier elsewhere that asks for the key set when its copy is 300 s old, and never in between.
struct Verifier {
    set: JwkSet,
    fetched_s: i64,
}

impl Verifier {
    fn verifies(&mut self, published: &str, token: &str, now_s: i64) -> Result<(), String> {
        if now_s - self.fetched_s >= 300 {
            self.set = serde_json::from_str(published).unwrap();
            self.fetched_s = now_s;
        }
        let header = jsonwebtoken::decode_header(token).unwrap();
        let kid = header.kid.unwrap();
        let jwk =
            self.set.find(&kid).ok_or_else(|| format!("{kid} is not in the set of {}", self.fetched_s))?;
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false; // on a clock of ours, below
        validation.set_audience(&[format!("{ISSUER}/t/{}", Uuid::from_u128(1))]);
        validation.set_issuer(&[ISSUER]);
        let key = DecodingKey::from_jwk(jwk).unwrap();
        let read = jsonwebtoken::decode::<AccessClaims>(token, &key, &validation);
        let claims = read.map_err(|error| error.to_string())?.claims;
        if claims.exp > now_s { Ok(()) } else { Err("expired".to_owned()) }
    }
}

/// A replica that reads its keys every 30 s, out of step with the others.
struct Replica {
    vault: Arc<Vault>,
    keys: Keys,
    phase_s: i64,
}

/// D11: a verifier with a cached key set reads every token, from its first second to its last, through rotations by
/// age, by hand and to other algorithms, whichever of two replicas signed it and whichever published the set.
#[tokio::test]
async fn d11_no_verification_fails_through_rotations() {
    let world = World::new().await;
    let mut policy = es256();
    policy.rotation = Duration::from_secs(7_200);
    let mut replicas = Vec::new();
    for phase_s in [0, 17] {
        let vault = world.vault(1);
        let keys = vault.start(policy).await.unwrap();
        replicas.push(Replica { vault, keys, phase_s });
    }
    let mut verifiers: Vec<Verifier> = (0..3)
        .map(|n| Verifier { set: JwkSet { keys: vec![] }, fetched_s: START_S - 300 + 83 * n })
        .collect();
    for (verifier, at) in verifiers.iter_mut().zip(0..) {
        verifier.set = serde_json::from_str(&replicas[at % 2].keys.jwks).unwrap();
    }
    let (mut tokens, mut checked) = (std::collections::VecDeque::new(), 0);
    let mut signers = std::collections::BTreeSet::new();
    for step in 0i64..2_400 {
        world.clock.advance_s(10);
        let now_s = world.now_s();
        for replica in &mut replicas {
            if (now_s + replica.phase_s) % 30 < 10 {
                replica.keys = replica.vault.tend(policy).await.unwrap();
            }
        }
        match step {
            1_000 => drop(world.vault(1).rotate_signing(Algorithm::Es256, LEAD).await.unwrap()),
            1_900 => {
                // another algorithm in the configuration: one replica restarts, later the other
                policy.algorithm = Algorithm::EdDsa;
                replicas[0].keys = replicas[0].vault.start(policy).await.unwrap();
            }
            1_950 => replicas[1].keys = replicas[1].vault.start(policy).await.unwrap(),
            _ => {}
        }
        // both sign the same second alike, though they read the keys at different times
        let [one, two] = [&replicas[0].keys, &replicas[1].keys];
        assert_eq!(one.signer_at(now_s).unwrap().kid, two.signer_at(now_s).unwrap().kid, "at step {step}");
        signers.insert(one.signer_at(now_s).unwrap().kid.clone());
        let fresh = token(&replicas[(step % 2) as usize].keys, now_s);
        tokens.push_back((now_s, fresh.clone()));
        let oldest = tokens.front().filter(|(iat, _)| now_s - iat >= 3_590).map(|(_, token)| token.clone());
        tokens.retain(|(iat, _)| now_s - iat < 3_590);
        for (at, verifier) in verifiers.iter_mut().enumerate() {
            let published = replicas[(step as usize / 7 + at) % 2].keys.jwks.clone();
            // the last second of a token is each verifier's turn in turn
            let oldest = oldest.as_ref().filter(|_| step % 3 == at as i64);
            for token in [Some(&fresh), oldest].into_iter().flatten() {
                if let Err(error) = verifier.verifies(&published, token, now_s) {
                    panic!("verifier {at} at step {step}: {error}");
                }
                checked += 1;
            }
        }
        if let Some(oldest) = oldest {
            assert!(verifies(&replicas[0].keys, &oldest, now_s), "our own reading at step {step}");
        }
    }
    assert!(signers.len() >= 5, "{} keys signed", signers.len());
    assert!(checked > 8_000, "{checked}");
    assert!(kids(&replicas[0].keys.jwks).len() <= 3);
}

/// A successor is published for as long as the policy says before it signs. In an emergency one takes over at once, as far
/// as verifiers can follow, and the one that waited never signs.
#[tokio::test]
async fn d11_an_emergency_does_not_wait_for_old_key_sets() {
    let world = World::new().await;
    let (vault, mut policy) = (world.vault(1), es256());
    policy.publish_ahead = Duration::from_secs(DAY_S as u64);
    vault.start(policy).await.unwrap();
    world.clock.advance_s(29 * DAY_S);
    let keys = vault.tend(policy).await.unwrap();
    assert_eq!(world.states().await, ["active", "next"]);
    let [first, waits] = [0, 1].map(|n| kids(&keys.jwks)[n].clone());
    let in_a_day = world.now_s() + DAY_S;
    let signer = |keys: &Keys, at_s: i64| keys.signer_at(at_s).unwrap().kid.clone();
    assert_eq!([signer(&keys, in_a_day - 1), signer(&keys, in_a_day)], [first.clone(), waits.clone()]);

    let made = vault.rotate_signing(Algorithm::Es256, LEAD).await.unwrap();
    assert!(!made.waited);
    let again = vault.rotate_signing(Algorithm::Es256, LEAD).await.unwrap();
    assert!(again.waited && again.name == made.name);
    let soon = world.now_s() + LEAD_S;
    assert_eq!(made.active_us, soon * 1_000_000);
    let keys = vault.read(Algorithm::Es256).await.unwrap();
    assert_eq!(
        [signer(&keys, soon - 1), signer(&keys, soon), signer(&keys, in_a_day)],
        [first, made.name.clone(), made.name.clone()]
    );
    world.clock.advance_s(LEAD_S + KEPT_S);
    assert_eq!(kids(&vault.tend(policy).await.unwrap().jwks), [made.name], "both of before are gone");
}

/// The algorithm of the configuration takes over through a published key; back and forth, and only at a start.
#[tokio::test]
async fn another_algorithm_follows_as_any_key_does() {
    let world = World::new().await;
    let vault = world.vault(1);
    vault.start(es256()).await.unwrap();
    for (algorithm, published) in [(Algorithm::EdDsa, 2), (Algorithm::Rs256, 3), (Algorithm::Es256, 4)] {
        let before = token(&vault.read(Algorithm::Es256).await.unwrap(), world.now_s());
        let keys = vault.start(policy(algorithm)).await.unwrap();
        let signer = |keys: &Keys| keys.signer_at(world.now_s()).unwrap().kid.clone();
        assert_eq!(kids(&keys.jwks).len(), published, "the ones before are still needed");
        assert_eq!(signer(&keys), *kids(&keys.jwks).iter().nth_back(1).unwrap(), "the one before signs on");
        // a second start, and replicas with the old configuration that stay as they are, change nothing
        vault.start(policy(algorithm)).await.unwrap();
        vault.tend(es256()).await.unwrap();
        world.clock.advance_s(LEAD_S);
        let keys = vault.read(algorithm).await.unwrap();
        assert_eq!(signer(&keys), *kids(&keys.jwks).last().unwrap());
        assert!(token(&keys, world.now_s()) != before && verifies(&keys, &before, world.now_s()));
        assert_eq!(world.signing().await.last().unwrap().1, algorithm.jose_name());
    }
}

/// A retried refresh asks for a token of the same second: the same key signs it, also after another took over.
#[tokio::test]
async fn a_repeated_token_has_the_signer_of_its_time() {
    let world = World::new().await;
    let vault = world.vault(1);
    vault.start(policy(Algorithm::EdDsa)).await.unwrap();
    vault.rotate_signing(Algorithm::EdDsa, LEAD).await.unwrap();
    world.clock.advance_s(LEAD_S - 1);
    let (keys, iat) = (vault.read(Algorithm::EdDsa).await.unwrap(), world.now_s());
    let first = token(&keys, iat);
    world.clock.advance_s(20);
    let again = vault.read(Algorithm::EdDsa).await.unwrap();
    assert_eq!(token(&again, iat), first);
    assert_ne!(token(&again, world.now_s()).split('.').next(), first.split('.').next());
}

/// A new refresh key signs when every replica knows it; tokens of the old one are good for a session's life; the same
/// (generation, branch) under either key is the same token.
#[tokio::test]
async fn refresh_tokens_survive_a_rotation_of_their_key() {
    let world = World::new().await;
    let (vault, absolute) = (world.vault(1), Duration::from_secs(30 * DAY_S as u64));
    let keys = vault.start(es256()).await.unwrap();
    let refresh = RefreshToken {
        tenant: TenantId(Uuid::from_u128(1)),
        secret: SessionSecret::from_random(Zeroizing::new([3; 16])),
        position: TokenPosition { generation: 4, branch: 1 },
    };
    let encode =
        |keys: &Keys| refresh.encode(keys.refresh_version, keys.refresh(keys.refresh_version).unwrap());
    let decode = |keys: &Keys, text: &str| RefreshToken::decode(text, |version| keys.refresh(version));
    let old = encode(&keys);
    let made = join_all((0..4).map(|_| vault.rotate_refresh(absolute))).await;
    assert_eq!(made.iter().filter(|made| made.as_ref().is_ok_and(|made| !made.waited)).count(), 1);
    assert!(vault.rotate_refresh(absolute).await.unwrap().waited);
    let early = vault.read(Algorithm::Es256).await.unwrap();
    assert_eq!(early.refresh_version, 1, "a replica that has not read it yet must not meet its tokens");
    world.clock.advance_s(PURPOSE_LEAD.as_secs() as i64);
    let late = vault.read(Algorithm::Es256).await.unwrap();
    assert_eq!(late.refresh_version, 2);
    let new = encode(&late);
    assert_ne!(*new, *old);
    for text in [&old, &new] {
        assert_eq!(decode(&late, text).as_ref(), Ok(&refresh));
        assert_eq!(decode(&early, text).as_ref(), Ok(&refresh), "also where it does not sign yet");
    }
    // the database's name of the session did not change
    let name = |keys: &Keys| refresh.secret.key(&keys.session_hash, refresh.tenant);
    assert_eq!(name(&late), name(&keys));
    world.clock.advance_s(30 * DAY_S - 1);
    assert!(decode(&vault.tend(es256()).await.unwrap(), &old).is_ok());
    world.clock.advance_s(1);
    let last = vault.tend(es256()).await.unwrap();
    assert!(decode(&last, &old).is_err() && decode(&last, &new).is_ok());
}
