//! The keyring: reads the keys anew now and then, so that what another replica or the command line changed is used
//! here, and makes the next signing key when it is time.

use crate::keys::{KeyError, KeyPolicy, Keys, RELOAD, Vault, WrapError};
use actor_runtime::{Actor, Admission, Context, Failure};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::task::JoinSet;

pub(crate) enum KeyringMessage {
    Reload,
}

pub(crate) struct Keyring {
    pub(crate) vault: Arc<Vault>,
    pub(crate) policy: KeyPolicy,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
}

impl Actor for Keyring {
    type Message = KeyringMessage;
    type State = JoinSet<()>;

    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send_after(RELOAD, KeyringMessage::Reload);
        Ok(JoinSet::new())
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        KeyringMessage::Reload: Self::Message,
        _: Option<Admission>,
        tasks: &mut Self::State,
    ) -> Result<(), Failure> {
        while tasks.try_join_next().is_some() {}
        let (vault, policy, keys) = (self.vault.clone(), self.policy, self.keys.clone());
        tasks.spawn(async move {
            match vault.tend(policy).await {
                Ok(read) => keys.store(Arc::new(read)),
                Err(error) => complain(&error),
            }
        });
        context.send_after(RELOAD, KeyringMessage::Reload);
        Ok(())
    }
}

fn complain(error: &KeyError) {
    match error {
        KeyError::Wrap(WrapError::WrongKey) => tracing::error!(
            "the keys in the database were wrapped with another master key: restart this replica with the new one. \
             Until then it goes on with the keys in its memory and learns of no new ones"
        ),
        error => tracing::warn!(%error, "keys cannot be read anew; the last ones stay in use"),
    }
}
