//! What waits for a flush: per tenant in turn, per key in order.

use super::{Batch, Entry, KEY_QUEUE, KNOWN_PLACES, Waiter};
use actor_runtime::Lanes;
use doorcode_domain::TenantId;
use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet, VecDeque};

/// A key's line: its head is due or on its way, the others wait behind it.
struct Line<B: Batch> {
    /// `None` while a flush has it.
    head: Option<Entry<B>>,
    behind: VecDeque<Entry<B>>,
}

/// Fair over tenants: each gives one row in turn, so a burst of one does not delay the others' rows.
pub(crate) struct Queue<B: Batch> {
    lines: HashMap<B::Key, Line<B>>,
    due: Lanes<TenantId, B::Key>,
    in_flight: HashSet<B::Key>,
}

impl<B: Batch> Queue<B> {
    pub(crate) fn new() -> Self {
        Self { lines: HashMap::new(), due: Lanes::default(), in_flight: HashSet::new() }
    }

    /// How many rows are due.
    pub(crate) fn due(&self) -> usize {
        self.due.len()
    }

    /// Nothing is due. Rows behind a in_flight head do not count: they become due when it lands.
    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Adds a request: to the row that waits if one write serves both, else behind it. Full lines give it back.
    pub(crate) fn put(&mut self, row: B::Row, waiter: Waiter<B::Answer>) -> Result<(), Waiter<B::Answer>> {
        let (key, tenant) = (B::key(&row), B::tenant(&row));
        match self.lines.entry(key.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(Line {
                    head: Some(Entry { row, waiters: vec![waiter] }),
                    behind: VecDeque::new(),
                });
                self.due.push(tenant, key);
            }
            Slot::Occupied(mut slot) => {
                let line = slot.get_mut();
                let places = KEY_QUEUE + if B::is_known(&row) { KNOWN_PLACES } else { 0 };
                let full = line.behind.len() >= places;
                let last = match line.behind.back_mut() {
                    Some(last) => Some(last),
                    None => line.head.as_mut(),
                };
                match last {
                    Some(last) if B::same(&last.row, &row) => last.waiters.push(waiter),
                    _ if full => return Err(waiter),
                    _ => line.behind.push_back(Entry { row, waiters: vec![waiter] }),
                }
            }
        }
        Ok(())
    }

    /// The next row, whose key is then in_flight until [`release`](Self::release).
    pub(crate) fn take(&mut self) -> Option<Entry<B>> {
        loop {
            let key = self.due.pop()?;
            if let Some(entry) = self.lines.get_mut(&key).and_then(|line| line.head.take()) {
                self.in_flight.insert(key);
                return Some(entry);
            }
        }
    }

    /// A key landed: the next in its line is due.
    pub(crate) fn release(&mut self, key: &B::Key) {
        self.in_flight.remove(key);
        let Some(line) = self.lines.get_mut(key) else { return };
        match line.behind.pop_front() {
            Some(next) => {
                let tenant = B::tenant(&next.row);
                line.head = Some(next);
                self.due.push(tenant, key.clone());
            }
            None => {
                self.lines.remove(key);
            }
        }
    }

    /// Every key landed.
    pub(crate) fn release_all(&mut self) {
        for key in std::mem::take(&mut self.in_flight) {
            self.release(&key);
        }
    }
}
