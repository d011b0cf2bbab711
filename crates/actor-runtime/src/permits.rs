//! Permits: how many messages of a kind may be accepted and not yet answered, and how many of them each flow may have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whom a message is counted against: all messages of one tenant, say, are one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow(pub u128);

/// A flow may have this many times what is free (the dynamic threshold of shared-memory switches). Alone it gets eight
/// permits of nine; the ninth admits whoever comes next at once, and from then on the first one gets no more until both
/// have the same.
const TIMES_FREE: usize = 8;

/// A stock of permits, shared by flows.
pub(crate) struct Permits {
    pub(crate) all: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    total: usize,
    /// Those that have any.
    by_flow: HashMap<Flow, usize>,
}

impl Permits {
    pub(crate) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, used: Mutex::default() })
    }

    /// One for this flow; without a flow, any that is free. `None`: it has its share, or nothing is free.
    pub(crate) fn take(self: &Arc<Self>, flow: Option<Flow>) -> Option<Permit> {
        let mut used = self.lock();
        let free = self.all.saturating_sub(used.total);
        let has = flow.and_then(|flow| used.by_flow.get(&flow).copied()).unwrap_or(0);
        if has >= free.saturating_mul(TIMES_FREE) {
            return None;
        }
        used.total += 1;
        if let Some(flow) = flow {
            used.by_flow.insert(flow, has + 1);
        }
        Some(Permit { permits: self.clone(), flow, held: AtomicBool::new(true) })
    }

    pub(crate) fn in_use(&self) -> usize {
        self.lock().total
    }

    fn give_back(&self, flow: Option<Flow>) {
        let mut used = self.lock();
        used.total = used.total.saturating_sub(1);
        let Some(flow) = flow else { return };
        if let Some(count) = used.by_flow.get_mut(&flow) {
            *count -= 1;
            if *count == 0 {
                used.by_flow.remove(&flow);
            }
        }
    }

    /// Changed in single steps: a panic in between leaves it usable.
    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit, given back once: by the message or by its caller, whoever ends first.
pub(crate) struct Permit {
    permits: Arc<Permits>,
    flow: Option<Flow>,
    held: AtomicBool,
}

impl Permit {
    pub(crate) fn release(&self) {
        if self.held.swap(false, Ordering::Relaxed) {
            self.permits.give_back(self.flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(permits: &Arc<Permits>, flow: u128) -> Vec<Permit> {
        std::iter::from_fn(|| permits.take(Some(Flow(flow)))).collect()
    }

    #[test]
    fn one_flow_leaves_permits_to_the_next() {
        let permits = Permits::new(900);
        let first = take_all(&permits, 1);
        assert_eq!((first.len(), permits.in_use()), (800, 800));
        let second = take_all(&permits, 2);
        assert_eq!(second.len(), 89, "eight of nine of what was left");
        assert!(permits.take(Some(Flow(1))).is_none() && permits.take(None).is_some());
        // what the first one gives back goes to the second, until both have the same
        let mut second = second;
        for permit in &first {
            permit.release();
            permit.release();
            second.extend(take_all(&permits, 2));
            if permits.take(Some(Flow(1))).is_some_and(|back| {
                back.release();
                true
            }) {
                break;
            }
        }
        let has = permits.lock().by_flow[&Flow(1)];
        assert!(second.len().abs_diff(has) <= 8, "{} and {has}", second.len());
        second.iter().chain(&first).for_each(Permit::release);
        assert_eq!((permits.in_use(), permits.lock().by_flow.len()), (1, 0), "the one without a flow");
    }

    #[test]
    fn few_permits_are_all_of_use() {
        for all in 1..=8 {
            assert_eq!(take_all(&Permits::new(all), 1).len(), all);
        }
    }
}
