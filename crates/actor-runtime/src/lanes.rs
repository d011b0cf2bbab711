//! A queue with lanes that take turns: each gives an item, then it is the next one's turn.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Items by lane. Unbounded: whoever fills it bounds it.
pub struct Lanes<K, T> {
    /// None is empty.
    lanes: HashMap<K, VecDeque<T>>,
    /// Each lane once, the next one in front.
    turns: VecDeque<K>,
    len: usize,
}

impl<K, T> Default for Lanes<K, T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }
}

impl<K: Clone + Eq + Hash, T> Lanes<K, T> {
    /// Items in all lanes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Items in a lane.
    pub fn len_of(&self, lane: &K) -> usize {
        self.lanes.get(lane).map_or(0, VecDeque::len)
    }

    /// The lane with most items. Linear in the lanes.
    pub fn longest(&self) -> Option<&K> {
        self.lanes.iter().max_by_key(|(_, items)| items.len()).map(|(lane, _)| lane)
    }

    /// Puts an item behind the others of its lane. A new lane's turn is the last.
    pub fn push(&mut self, lane: K, item: T) {
        let items = self.lanes.entry(lane.clone()).or_default();
        if items.is_empty() {
            self.turns.push_back(lane);
        }
        items.push_back(item);
        self.len += 1;
    }

    /// Puts an item in front of all others: its lane is the next. Linear in the lanes.
    pub fn push_front(&mut self, lane: K, item: T) {
        let items = self.lanes.entry(lane.clone()).or_default();
        if !items.is_empty() {
            self.turns.retain(|other| *other != lane);
        }
        self.turns.push_front(lane);
        items.push_front(item);
        self.len += 1;
    }

    /// Lanes with items, the next one first.
    pub fn lanes(&self) -> impl Iterator<Item = &K> {
        self.turns.iter()
    }

    /// The oldest item of the lane whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.pop_where(|_| true)
    }

    /// The same of those lanes that may give one; the others keep their places. Linear in the lanes that may not.
    pub fn pop_where(&mut self, may_give: impl FnMut(&K) -> bool) -> Option<T> {
        let place = self.turns.iter().position(may_give)?;
        let lane = self.turns.remove(place)?;
        let items = self.lanes.get_mut(&lane)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// The newest item of a lane. Linear in the lanes when that empties it.
    pub fn pop_newest(&mut self, lane: &K) -> Option<T> {
        let items = self.lanes.get_mut(lane)?;
        let item = items.pop_back();
        if items.is_empty() {
            self.lanes.remove(lane);
            self.turns.retain(|other| other != lane);
        }
        self.len -= usize::from(item.is_some());
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_turns() {
        let mut lanes = Lanes::default();
        for (lane, item) in [('a', 1), ('a', 2), ('a', 3), ('b', 4), ('c', 5), ('c', 6)] {
            lanes.push(lane, item);
        }
        assert_eq!((lanes.pop(), lanes.len()), (Some(1), 5));
        lanes.push_front('c', 7);
        assert_eq!((lanes.len_of(&'c'), lanes.longest()), (3, Some(&'c')));
        assert_eq!((lanes.pop(), lanes.pop_newest(&'c')), (Some(7), Some(6)));
        assert_eq!((lanes.pop_newest(&'b'), lanes.pop_newest(&'b')), (Some(4), None));
        assert_eq!(
            (lanes.pop_where(|lane| *lane == 'c'), lanes.pop_where(|lane| *lane == 'b')),
            (Some(5), None)
        );
        assert!(lanes.lanes().eq(&['a']));
        let rest: Vec<_> = std::iter::from_fn(|| lanes.pop()).collect();
        assert_eq!((rest, lanes.is_empty(), lanes.longest()), (vec![2, 3], true, None));
    }
}
