//! The mailers' factory, for whoever watches it.

use super::mailers::Queued;
use actor_runtime::{Fault, Place, Remote, Reply};
use arc_swap::ArcSwapOption;
use ractor::ActorRef;
use ractor::factory::FactoryMessage;
use std::sync::Arc;

/// The factory, for whoever watches it.
pub(super) struct FactoryRemote(pub(super) Arc<ArcSwapOption<ActorRef<FactoryMessage<u64, Queued>>>>);

impl Remote for FactoryRemote {
    fn ping(&self, reply: Reply<()>, place: Place) -> bool {
        let Some(target) = self.0.load_full() else { return false };
        let (port, depth) = ractor::concurrency::oneshot();
        tokio::spawn(async move {
            if depth.await.is_ok() {
                let _ = reply.send(());
            }
            drop(place);
        });
        target.cast(FactoryMessage::GetQueueDepth(port.into())).is_ok()
    }

    /// Whatever the fault, the factory ends, and every mailer with it: a mailer catches its own panics.
    fn inject(&self, _: Fault, reply: Reply<()>, _: Place) -> bool {
        self.kill();
        reply.send(()).is_ok()
    }

    fn kill(&self) {
        if let Some(target) = self.0.load_full() {
            target.kill();
        }
    }
}
