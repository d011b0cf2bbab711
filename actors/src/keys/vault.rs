//! The keys in the database: read, made on first use, followed by successors.

use super::schedule::{KEPT, KeyState, PURPOSE_LEAD, is_due};
use super::signing::{SigningKey, SigningKeyError};
use super::wrap::MasterKey;
use super::{
    ADDRESS, CLIENT_TAG, CODE_DERIVATION, CODE_MAC, DEVICE, KeyError, Keys, PURPOSES, REFRESH_MAC,
    SESSION_HASH, Scheduled, WEBHOOK_SECRET, key_set, label,
};
use crate::settings::{Algorithm, TokenSettings};
use crate::store::keys::{NewSigningKey, Overlap, WrappedKey, WrappedSigningKey};
use crate::store::{Store, micros};
use doorcode_domain::{Clock, MacKey, Micros};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use zeroize::Zeroizing;

/// What keys this replica wants.
#[derive(Clone, Copy)]
pub(crate) struct KeyPolicy {
    /// Of new signing keys.
    pub(crate) algorithm: Algorithm,
    /// For how long a key signs.
    pub(crate) rotation: Duration,
    /// For how long it is published before.
    pub(crate) publish_ahead: Duration,
}

impl From<&TokenSettings> for KeyPolicy {
    fn from(tokens: &TokenSettings) -> Self {
        Self {
            algorithm: tokens.algorithm,
            rotation: tokens.key_rotation,
            publish_ahead: tokens.publish_ahead,
        }
    }
}

/// A key's name and when it is used from.
pub(crate) struct Successor {
    pub(crate) name: String,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) active_us: Micros,
    /// It was there already, waiting.
    pub(crate) waited: bool,
}

/// The keys that administration needs. None of them rotates.
pub(crate) struct DirectoryKeys {
    /// Makes the keyed form under which an address is found.
    pub(crate) address: MacKey,
    /// Of codes.
    pub(crate) code_mac: MacKey,
    /// Makes codes of random ids.
    pub(crate) code_derivation: MacKey,
    /// Makes the secrets of webhooks.
    pub(crate) webhook_secret: MacKey,
}

/// The tables of keys, and the key that opens them.
pub(crate) struct Vault {
    pub(crate) store: Store,
    pub(crate) master: MasterKey,
    clock: Clock,
}

/// Purpose keys as read.
#[derive(Default)]
struct Purposes {
    versions: HashMap<&'static str, BTreeMap<u16, (MacKey, Micros)>>,
    /// A row's wrapped form: as long as it is there, our master key is the one.
    witness: Option<Vec<u8>>,
    now_us: Micros,
}

impl Purposes {
    fn newest(&self, purpose: &'static str) -> Result<MacKey, KeyError> {
        let newest = self.versions.get(purpose).and_then(|versions| versions.values().next_back());
        newest.map(|(key, _)| key.clone()).ok_or(KeyError::Damaged(purpose))
    }
}

impl Vault {
    pub(crate) fn new(store: Store, master: MasterKey, clock: Clock) -> Self {
        Self { store, master, clock }
    }

    fn now(&self) -> Option<Micros> {
        self.clock.sql_now()
    }

    /// What administration needs.
    pub(crate) async fn directory_keys(&self) -> Result<DirectoryKeys, KeyError> {
        let purposes = self.purposes().await?;
        Ok(DirectoryKeys {
            address: purposes.newest(ADDRESS)?,
            code_mac: purposes.newest(CODE_MAC)?,
            code_derivation: purposes.newest(CODE_DERIVATION)?,
            webhook_secret: purposes.newest(WEBHOOK_SECRET)?,
        })
    }

    /// Reads the keys, making those that do not exist yet. Of several replicas that do so at once, one wins.
    pub(crate) async fn read(&self, algorithm: Algorithm) -> Result<Keys, KeyError> {
        let purposes = self.purposes().await?;
        let signing = self.signing(algorithm, purposes.witness.as_deref()).await?;
        let refresh = purposes.versions.get(REFRESH_MAC).ok_or(KeyError::Damaged(REFRESH_MAC))?;
        let in_use = refresh.iter().rfind(|(_, (_, active_us))| *active_us <= purposes.now_us);
        let (version, _) =
            in_use.or_else(|| refresh.first_key_value()).ok_or(KeyError::Damaged(REFRESH_MAC))?;
        Ok(Keys {
            address: purposes.newest(ADDRESS)?,
            code_mac: purposes.newest(CODE_MAC)?,
            code_derivation: purposes.newest(CODE_DERIVATION)?,
            session_hash: purposes.newest(SESSION_HASH)?,
            device: purposes.newest(DEVICE)?,
            client_tag: purposes.newest(CLIENT_TAG)?,
            webhook_secret: purposes.newest(WEBHOOK_SECRET)?,
            refresh_version: *version,
            refresh: refresh.iter().map(|(version, (key, _))| (*version, key.clone())).collect(),
            jwks: key_set(&signing)?,
            signing,
        })
    }

    /// What a replica does when it starts: as `read`, and where the configured algorithm is another than that of the
    /// newest key, a key of it follows. Only here: two configurations at once must not answer each other for ever.
    pub(crate) async fn start(&self, policy: KeyPolicy) -> Result<Keys, KeyError> {
        let keys = self.read(policy.algorithm).await?;
        let newest = self.newest_signing_key().await?;
        if newest.algorithm == policy.algorithm.jose_name() {
            return Ok(keys);
        }
        self.succeed(&newest, policy.algorithm, policy.publish_ahead, None).await?;
        self.read(policy.algorithm).await
    }

    /// What a replica does all the time: a successor where it is time for one, forgetting what is of no use, reading.
    pub(crate) async fn tend(&self, policy: KeyPolicy) -> Result<Keys, KeyError> {
        let newest = self.newest_signing_key().await?;
        let period_us = micros(policy.rotation);
        if is_due(&newest, period_us, policy.publish_ahead) {
            self.succeed(&newest, policy.algorithm, policy.publish_ahead, Some(period_us)).await?;
        }
        let gone = self.store.sweep_keys(self.now()).await?;
        if gone > 0 {
            tracing::info!(gone, "keys deleted whose time was over");
        }
        self.read(policy.algorithm).await
    }

    /// A signing key that takes over after `lead`, or one that waits to do so by then. One that waits for longer never signs.
    pub(crate) async fn rotate_signing(
        &self,
        algorithm: Algorithm,
        lead: Duration,
    ) -> Result<Successor, KeyError> {
        let newest = self.newest_signing_key().await?;
        let in_time = newest.active_us <= newest.now_us.saturating_add(micros(lead));
        if newest.state() == KeyState::Next && in_time && newest.algorithm == algorithm.jose_name() {
            let (name, active_us) = (newest.kid, newest.active_us);
            return Ok(Successor { name, algorithm: Some(algorithm), active_us, waited: true });
        }
        self.succeed(&newest, algorithm, lead, None).await?.ok_or(KeyError::Raced)
    }

    /// A version of the refresh key that follows the newest one, or the one that waits to do so. Tokens of the one
    /// before are good for `kept` after that.
    pub(crate) async fn rotate_refresh(&self, kept: Duration) -> Result<Successor, KeyError> {
        let rows = self.store.purpose_keys(self.now()).await?;
        let newest =
            rows.iter().rfind(|row| row.purpose == REFRESH_MAC).ok_or(KeyError::Damaged(REFRESH_MAC))?;
        let successor =
            |version, active_us, waited| Successor { name: version, algorithm: None, active_us, waited };
        if newest.active_us > newest.now_us {
            return Ok(successor(newest.version.to_string(), newest.active_us, true));
        }
        let wrapped = self.wrap_successor(newest)?;
        let overlap = Overlap { lead: PURPOSE_LEAD, kept };
        let active_us = self.store.succeed_purpose_key(self.now(), newest, &wrapped, &overlap).await?;
        Ok(successor((newest.version + 1).to_string(), active_us.ok_or(KeyError::Raced)?, false))
    }

    /// New material for the version after `newest`, wrapped; an error if our master key does not open `newest`.
    pub(super) fn wrap_successor(&self, newest: &WrappedKey) -> Result<Vec<u8>, KeyError> {
        self.master.unwrap(&label(&newest.purpose, newest.version), &newest.wrapped)?;
        Ok(self.master.wrap(&label(&newest.purpose, newest.version + 1), &random()?)?)
    }

    async fn newest_signing_key(&self) -> Result<WrappedSigningKey, KeyError> {
        let rows = self.store.signing_keys(self.now()).await?;
        rows.into_iter().rfind(|row| row.retired_us.is_none()).ok_or(KeyError::Damaged("signing"))
    }

    /// Makes a key and puts it behind `newest`; nothing if somebody else was first, or it is not time.
    async fn succeed(
        &self,
        newest: &WrappedSigningKey,
        algorithm: Algorithm,
        lead: Duration,
        period_us: Option<i64>,
    ) -> Result<Option<Successor>, KeyError> {
        // whoever cannot open the keys there are must not add one that the others cannot open
        self.master.unwrap(&label("signing", &newest.kid), &newest.wrapped)?;
        let key = self.new_signing_key(algorithm).await?;
        let overlap = Overlap { lead, kept: KEPT };
        let added = self.store.succeed_signing_key(self.now(), newest, &key, &overlap, period_us).await?;
        Ok(added.map(|active_us| {
            tracing::info!(
                kid = key.kid,
                algorithm = key.algorithm,
                active_us,
                "a new signing key is published"
            );
            Successor { name: key.kid, algorithm: Some(algorithm), active_us, waited: false }
        }))
    }

    async fn new_signing_key(&self, algorithm: Algorithm) -> Result<NewSigningKey, KeyError> {
        let der = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm))
            .await
            .map_err(|_| SigningKeyError::Library)??;
        let kid = SigningKey::from_pkcs8(algorithm, &der)?.kid;
        let wrapped = self.master.wrap(&label("signing", &kid), &der)?;
        Ok(NewSigningKey { kid, algorithm: algorithm.jose_name(), wrapped })
    }

    async fn purposes(&self) -> Result<Purposes, KeyError> {
        let read = self.read_purposes().await?;
        let missing = PURPOSES.into_iter().filter(|purpose| !read.versions.contains_key(purpose));
        let fresh = missing
            .map(|purpose| Ok((purpose, self.master.wrap(&label(purpose, 1), &random()?)?)))
            .collect::<Result<Vec<_>, KeyError>>()?;
        if fresh.is_empty() {
            return Ok(read);
        }
        self.store.add_purpose_keys(self.now(), &fresh, read.witness.as_deref()).await?;
        // another replica may have been first
        self.read_purposes().await
    }

    async fn read_purposes(&self) -> Result<Purposes, KeyError> {
        let mut purposes = Purposes::default();
        for row in self.store.purpose_keys(self.now()).await? {
            // a purpose of a later version is none of ours
            let Some(purpose) = PURPOSES.into_iter().find(|name| *name == row.purpose) else { continue };
            if row.gone_us.is_some_and(|gone| gone <= row.now_us) {
                continue;
            }
            let version = u16::try_from(row.version).map_err(|_| KeyError::Damaged(purpose))?;
            let material = self.master.unwrap(&label(purpose, row.version), &row.wrapped)?;
            let key = MacKey::new(&material).map_err(|_| KeyError::Damaged(purpose))?;
            purposes.versions.entry(purpose).or_default().insert(version, (key, row.active_us));
            purposes.now_us = row.now_us;
            purposes.witness = Some(row.wrapped);
        }
        Ok(purposes)
    }

    async fn signing(
        &self,
        algorithm: Algorithm,
        witness: Option<&[u8]>,
    ) -> Result<Vec<Scheduled>, KeyError> {
        let mut rows = self.store.signing_keys(self.now()).await?;
        if rows.iter().all(|row| row.retired_us.is_some()) {
            let key = self.new_signing_key(algorithm).await?;
            let witness = witness.ok_or(KeyError::Damaged(ADDRESS))?;
            self.store.add_first_signing_key(self.now(), &key, witness).await?;
            rows = self.store.signing_keys(self.now()).await?;
        }
        let mut signing = Vec::with_capacity(rows.len());
        for row in rows.iter().filter(|row| row.state() != KeyState::Gone) {
            let der = self.master.unwrap(&label("signing", &row.kid), &row.wrapped)?;
            let key = SigningKey::from_pkcs8(Algorithm::from_jose_name(&row.algorithm)?, &der)?;
            signing.push(Scheduled { key, active_us: row.active_us });
        }
        if signing.is_empty() { Err(KeyError::Damaged("signing")) } else { Ok(signing) }
    }
}

fn random() -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let mut material = Zeroizing::new(vec![0; MacKey::BYTES]);
    aws_lc_rs::rand::fill(&mut material).map_err(|_| SigningKeyError::Library)?;
    Ok(material)
}
