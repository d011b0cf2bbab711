//! The keyring: reads the keys anew now and then, so that what another replica or the command line changed is used here.

use crate::keys::{Keys, MasterKey};
use crate::runtime::{Failure, Me, Role, Ticket};
use crate::settings::Algorithm;
use crate::store::Store;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How old a snapshot may be.
const RELOAD: Duration = Duration::from_secs(30);

pub(crate) enum KeyringMessage {
    Reload,
}

pub(crate) struct Keyring {
    pub(crate) store: Store,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) algorithm: Algorithm,
    pub(crate) keys: Arc<ArcSwap<Keys>>,
}

impl Role for Keyring {
    type Message = KeyringMessage;
    type State = JoinSet<()>;

    async fn start(&self, me: &Me<Self::Message>) -> Result<Self::State, Failure> {
        me.note_after(RELOAD, KeyringMessage::Reload);
        Ok(JoinSet::new())
    }

    async fn handle(
        &self,
        me: &Me<Self::Message>,
        KeyringMessage::Reload: Self::Message,
        _: Option<Ticket>,
        tasks: &mut Self::State,
    ) -> Result<(), Failure> {
        while tasks.try_join_next().is_some() {}
        let (store, master, keys, algorithm) =
            (self.store.clone(), self.master.clone(), self.keys.clone(), self.algorithm);
        tasks.spawn(async move {
            match Keys::load(&store, &master, algorithm).await {
                Ok(loaded) => keys.store(Arc::new(loaded)),
                Err(error) => tracing::warn!(%error, "keys cannot be read anew; the last ones stay in use"),
            }
        });
        me.note_after(RELOAD, KeyringMessage::Reload);
        Ok(())
    }
}
