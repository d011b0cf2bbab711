//! The janitor: deletes what has ended, a page at a time, always. Rows ≤ live sessions and budgets, and one round's worth.

use crate::store::Store;
use crate::store::sweep::{Cursor, Sweep};
use actor_runtime::{Actor, Admission, Context, Failure};
use doorcode_domain::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

const BEGINNING: Cursor = (Uuid::nil(), Uuid::nil());

pub(crate) enum JanitorMessage {
    Page,
    Swept([Cursor; 3]),
}

/// Rows deleted.
#[derive(Default)]
pub(crate) struct SweepCounts {
    pub(crate) challenges: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) tenant_limits: AtomicU64,
}

pub(crate) struct Janitor {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
    pub(crate) page: i64,
    pub(crate) counts: Arc<SweepCounts>,
}

pub(crate) struct JanitorState {
    cursors: [Cursor; 3],
    tasks: JoinSet<()>,
}

impl Janitor {
    fn sweep(&self, context: &Context<JanitorMessage>, state: &mut JanitorState) {
        let (store, now, page, context) =
            (self.store.clone(), self.clock.sql_now(), self.page, context.clone());
        let (mut cursors, counts) = (state.cursors, self.counts.clone());
        state.tasks.spawn(async move {
            let tables = [
                (Sweep::Challenges, &counts.challenges),
                (Sweep::Sessions, &counts.sessions),
                (Sweep::TenantLimits, &counts.tenant_limits),
            ];
            for (cursor, (table, count)) in cursors.iter_mut().zip(tables) {
                match store.sweep(table, *cursor, page, now).await {
                    Ok(swept) => {
                        count.fetch_add(swept.gone.unsigned_abs(), Relaxed);
                        *cursor = swept.next.unwrap_or(BEGINNING);
                    }
                    Err(error) => {
                        tracing::warn!(%error, ?table, "a page cannot be swept; the next round will")
                    }
                }
            }
            context.send(JanitorMessage::Swept(cursors));
        });
    }
}

impl Actor for Janitor {
    type Message = JanitorMessage;
    type State = JanitorState;

    async fn start(&self, context: &Context<Self::Message>) -> Result<Self::State, Failure> {
        context.send_after(self.interval, JanitorMessage::Page);
        Ok(JanitorState { cursors: [BEGINNING; 3], tasks: JoinSet::new() })
    }

    async fn handle(
        &self,
        context: &Context<Self::Message>,
        message: Self::Message,
        _: Option<Admission>,
        state: &mut Self::State,
    ) -> Result<(), Failure> {
        match message {
            JanitorMessage::Page => self.sweep(context, state),
            JanitorMessage::Swept(cursors) => {
                while state.tasks.try_join_next().is_some() {}
                state.cursors = cursors;
                // a full page behind us: more is likely to come, so do not dawdle
                let behind = cursors != [BEGINNING; 3];
                context.send_after(
                    if behind { self.interval / 10 } else { self.interval },
                    JanitorMessage::Page,
                );
            }
        }
        Ok(())
    }
}
