//! The keyring: reads the keys anew now and then, so that what another replica or the command line changed is used
//! here, and makes the next signing key when it is time.

use crate::keys::{KeyError, KeyPolicy, Keys, RELOAD, Vault, WrapError};
use actor_runtime::{Failure, PeriodicTask, Rhythm};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const RHYTHM: Rhythm = Rhythm { interval: RELOAD, limit: RELOAD };

pub(crate) struct Keyring {
    pub(crate) vault: Arc<Vault>,
    pub(crate) policy: KeyPolicy,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
}

impl PeriodicTask for Keyring {
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        match self.vault.tend(self.policy).await {
            Ok(read) => self.keys.store(Arc::new(read)),
            Err(KeyError::Wrap(WrapError::WrongKey)) => {
                return Err("the keys in the database were wrapped with another master key: restart this replica with \
                            the new one. Until then it goes on with the keys in its memory and learns of no new ones"
                    .into());
            }
            Err(error) => {
                return Err(format!("keys cannot be read anew, the last ones stay in use: {error}").into());
            }
        }
        Ok(None)
    }
}
