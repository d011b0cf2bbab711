//! One flush: what its statement came to, and what is done when that is not known.
//!
//! Nothing is sent again for somebody who waits no longer. A caller who was told 503 may have asked again meanwhile and be
//! further on, so that the same request is now an old one, or one too many.

use super::{Answers, Batch, Entry, FlushCounts, Waiter};
use crate::error::Refusal;
use crate::store::StoreError;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// How often a row is sent at most.
const TRIES: u32 = 2;
/// Between two tries to find out what a lost answer was.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(50);

/// Writes entries and answers everybody who waits. A statement that wrote nothing is tried once more, in halves if the
/// server gave it up; one that the server refuses for its data is halved until the row to blame stands alone; a lost
/// answer is looked up.
pub(super) async fn commit<B: Batch>(batch: &B, counts: &FlushCounts, entries: Vec<Entry<B>>) {
    let mut parts = vec![(entries, TRIES)];
    while let Some((part, tries)) = parts.pop() {
        let part = awaited(part);
        if part.is_empty() {
            continue;
        }
        let again = tries > 1;
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(rows = part.len(), request_ids = request_ids(&part), "a batch is written");
        }
        match batch.write(rows(&part), &until(&part)).await {
            Ok(answers) => match answer(part, answers) {
                // too late by a clock that was wrong; the answer has put it right
                rest if again => parts.push((rest, tries - 1)),
                rest => refuse(rest),
            },
            Err(StoreError::Data(why)) if part.len() > 1 => {
                tracing::warn!(why, rows = part.len(), "a batch was refused; halving it");
                parts.extend(halves(part).map(|half| (half, tries)));
            }
            Err(StoreError::Refused(_)) if again => parts.extend(halves(part).map(|half| (half, tries - 1))),
            Err(StoreError::NoConnection(_)) if again => parts.push((part, tries - 1)),
            Err(error) => {
                counts.failed.fetch_add(1, Relaxed);
                let request_ids = request_ids(&part);
                tracing::warn!(%error, rows = part.len(), request_ids, "a batch failed");
                if B::LOOKS_UP && matches!(error, StoreError::Ambiguous(_)) {
                    find_out(batch, part).await;
                } else {
                    refuse(part);
                }
            }
        }
    }
}

/// What lost answers were, as soon as that can be found out while somebody waits for one: what takes one connection away
/// often takes all of them, and the server for a moment; and a statement that has lost its connection may still be at work.
async fn find_out<B: Batch>(batch: &B, mut part: Vec<Entry<B>>) {
    loop {
        part = awaited(part);
        if part.is_empty() {
            return;
        }
        match batch.look_up(rows(&part), &until(&part)).await {
            Ok(found) => part = answer(part, found),
            Err(error @ StoreError::Data(_)) => {
                tracing::warn!(%error, rows = part.len(), "lost answers cannot be looked up");
                return refuse(part);
            }
            Err(error) => tracing::debug!(%error, rows = part.len(), "lost answers cannot be looked up yet"),
        }
        if !part.is_empty() {
            tokio::time::sleep(LOOK_UP_PAUSE).await;
        }
    }
}

/// Ids named in one line of the log at most.
const NAMED: usize = 32;

/// Whose rows these are: as in `X-Request-Id`, separated by blanks.
fn request_ids<B: Batch>(entries: &[Entry<B>]) -> String {
    let waiters =
        entries.iter().flat_map(|entry| &entry.waiters).filter_map(|one| one.admission.request.known());
    let ids = waiters.take(NAMED).map(|id| id.to_string());
    ids.collect::<Vec<_>>().join(" ")
}

/// Those for which somebody waits.
fn awaited<B: Batch>(entries: Vec<Entry<B>>) -> Vec<Entry<B>> {
    entries.into_iter().filter(|entry| !entry.waiters.iter().all(Waiter::is_gone)).collect()
}

fn rows<B: Batch>(entries: &[Entry<B>]) -> Vec<B::Row> {
    entries.iter().map(|entry| entry.row.clone()).collect()
}

/// By row: when the last who waits for it has gone.
fn until<B: Batch>(entries: &[Entry<B>]) -> Vec<Instant> {
    let last = |entry: &Entry<B>| entry.waiters.iter().map(|waiter| waiter.admission.deadline).max();
    entries.iter().map(|entry| last(entry).unwrap_or_else(Instant::now)).collect()
}

/// The second half first: parts are taken from the end.
fn halves<B: Batch>(mut part: Vec<Entry<B>>) -> impl Iterator<Item = Vec<Entry<B>>> {
    let rest = part.split_off(part.len() / 2);
    [part, rest].into_iter()
}

/// Answers whom there is an answer for; the others.
fn answer<B: Batch>(entries: Vec<Entry<B>>, answers: Answers<B>) -> Vec<Entry<B>> {
    let answers: HashMap<B::Key, B::Answer> = answers.into_iter().collect();
    let mut rest = Vec::new();
    for entry in entries {
        match answers.get(&B::key(&entry.row)) {
            Some(answer) => {
                for waiter in entry.waiters {
                    let _ = waiter.reply.send(Ok(answer.clone()));
                }
            }
            None => rest.push(entry),
        }
    }
    rest
}

fn refuse<B: Batch>(entries: Vec<Entry<B>>) {
    for waiter in entries.into_iter().flat_map(|entry| entry.waiters) {
        let _ = waiter.reply.send(Err(Refusal::Unavailable));
    }
}
