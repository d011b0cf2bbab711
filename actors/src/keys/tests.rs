//! Keys in a real Postgres, on a clock that is told the time.

mod rewrap;
mod rotation;

use super::*;
use crate::settings::{Algorithm, DatabaseSettings};
use crate::store::{Store, migrate};
use crate::test_cluster::Cluster;
use crate::test_settings::database;
use doorcode_domain::{AccessClaims, Clock, CustomerId, ManualClock, SessionKey, TenantId};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;
use uuid::Uuid;
use zeroize::Zeroizing;

const ISSUER: &str = "https://login.example.org";
/// 2027-01-15, in seconds.
const START_S: i64 = 1_800_000_000;
const DAY_S: i64 = 86_400;

/// One server for all tests of this file, as long as one of them runs.
static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A migrated database of its own, and a clock for all who use it.
struct World {
    settings: DatabaseSettings,
    clock: ManualClock,
    _cluster: Arc<Cluster>,
}

impl World {
    async fn new() -> Self {
        let cluster = {
            let mut shared = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let cluster = Arc::new(Cluster::start());
                *shared = Arc::downgrade(&cluster);
                cluster
            })
        };
        let name = format!("keys_{}", Uuid::new_v4().simple());
        let settings = database(&cluster.url);
        crate::store::connect(&settings)
            .await
            .unwrap()
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let (base, query) = cluster.url.split_once('?').unwrap_or((&cluster.url, ""));
        let (server, _) = base.rsplit_once('/').unwrap();
        let settings = database(&format!("{server}/{name}?{query}"));
        migrate(&settings).await.unwrap();
        Self { settings, clock: ManualClock::at(START_S * 1_000_000), _cluster: cluster }
    }

    fn store(&self) -> Store {
        Store::new(&self.settings).unwrap()
    }

    /// What a replica has whose master key is made of this byte.
    fn vault(&self, master: u8) -> Arc<Vault> {
        let master = MasterKey::new(&[master; 32]).unwrap();
        Arc::new(Vault::new(self.store(), master, Clock::Manual(self.clock.clone())))
    }

    fn admin(&self, master: u8) -> KeyAdmin {
        let master = MasterKey::new(&[master; 32]).unwrap();
        KeyAdmin { vault: Vault::new(self.store(), master, Clock::Manual(self.clock.clone())) }
    }

    fn now_s(&self) -> i64 {
        self.clock.now() / 1_000_000
    }

    /// Kid, algorithm and state of every signing key.
    async fn signing(&self) -> Vec<(String, String, &'static str)> {
        let rows = self.store().signing_keys(Some(self.clock.now())).await.unwrap();
        rows.into_iter().map(|row| (row.kid.clone(), row.algorithm.clone(), row.state().as_str())).collect()
    }

    async fn states(&self) -> Vec<&'static str> {
        self.signing().await.into_iter().map(|(_, _, state)| state).collect()
    }

    async fn execute(&self, statement: &str) -> u64 {
        crate::store::connect(&self.settings).await.unwrap().execute(statement, &[]).await.unwrap()
    }
}

fn policy(algorithm: Algorithm) -> KeyPolicy {
    KeyPolicy { algorithm, rotation: Duration::from_secs(30 * DAY_S as u64), publish_ahead: LEAD }
}

fn es256() -> KeyPolicy {
    policy(Algorithm::Es256)
}

fn claims(iat_s: i64) -> AccessClaims {
    let id = Uuid::from_u128;
    AccessClaims::new(ISSUER, TenantId(id(1)), CustomerId(id(2)), SessionKey(id(3)), id(4), START_S, iat_s)
}

/// A token issued at that second by a replica with these keys.
fn token(keys: &Keys, iat_s: i64) -> String {
    keys.signer_at(iat_s).unwrap().sign(&claims(iat_s)).unwrap()
}

fn verifies(keys: &Keys, token: &str, now_s: i64) -> bool {
    keys.verify(token, ISSUER, Some(TenantId(Uuid::from_u128(1))), now_s).is_ok()
}

fn kids(jwks: &str) -> Vec<String> {
    let set: JwkSet = serde_json::from_str(jwks).unwrap();
    set.keys.into_iter().map(|key| key.common.key_id.unwrap()).collect()
}
