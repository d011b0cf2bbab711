//! A queue in which networks take turns: whoever sends most waits most, and is refused first.

use actor_runtime::Lanes;
use std::net::IpAddr;

/// Requests by network prefix.
pub(crate) struct FairQueue<T> {
    lanes: Lanes<IpAddr, T>,
    /// Requests at most.
    room: usize,
}

impl<T> FairQueue<T> {
    pub(crate) fn new(room: usize) -> Self {
        Self { lanes: Lanes::default(), room }
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Adds a request behind its network's others. Returns whom there is no room for: the newest of the network with most
    /// requests, which may be this one.
    pub(crate) fn push(&mut self, network: IpAddr, item: T) -> Option<T> {
        let mut refused = None;
        if self.len() >= self.room {
            let heaviest = self.lanes.longest().copied();
            let outweighs = |other: &IpAddr| self.lanes.len_of(other) > self.lanes.len_of(&network) + 1;
            let Some(heaviest) = heaviest.filter(outweighs) else { return Some(item) };
            refused = self.lanes.pop_newest(&heaviest);
        }
        self.lanes.push(network, item);
        refused
    }

    /// Gives back what [`pop`](Self::pop) took: it is served first, and never refused for want of room.
    pub(crate) fn push_front(&mut self, network: IpAddr, item: T) {
        self.lanes.push_front(network, item);
    }

    /// The oldest request of the network whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.lanes.pop()
    }

    /// From now on there is that much room: returns whom there is none for, the newest of the heaviest first.
    pub(crate) fn set_room(&mut self, room: usize) -> Vec<T> {
        self.room = room;
        let mut refused = Vec::new();
        while self.len() > room {
            let Some(heaviest) = self.lanes.longest().copied() else { break };
            refused.extend(self.lanes.pop_newest(&heaviest));
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn networks_take_turns() {
        let mut queue = FairQueue::new(100);
        for n in 0..50 {
            assert_eq!(queue.push(ip(1), n), None);
        }
        assert_eq!(queue.push(ip(2), 100), None);
        assert_eq!(queue.push(ip(3), 200), None);
        assert_eq!(
            (queue.pop(), queue.pop(), queue.pop(), queue.pop()),
            (Some(0), Some(100), Some(200), Some(1))
        );
        assert_eq!(queue.len(), 48);
    }

    /// I2: who sends most is refused first, and cannot push anybody out.
    #[test]
    fn i2_the_heaviest_network_is_refused_first() {
        let mut queue = FairQueue::new(4);
        assert!((0..4).all(|n| queue.push(ip(1), n).is_none()));
        assert_eq!(queue.push(ip(1), 4), Some(4));
        assert_eq!(queue.push(ip(2), 100), Some(3), "the newest of the heaviest");
        assert_eq!(queue.push(ip(2), 101), Some(2), "two and two");
        assert_eq!(queue.push(ip(2), 102), Some(102), "nobody gains by another exchange");
        assert_eq!(queue.push(ip(1), 5), Some(5));
        assert!(queue.push(ip(3), 200).is_some_and(|refused| refused == 1 || refused == 101));
        let served: Vec<_> = std::iter::from_fn(|| queue.pop()).take(3).collect();
        assert_eq!(served, [0, 100, 200]);
    }

    #[test]
    fn less_room_costs_the_heaviest() {
        let mut queue = FairQueue::new(usize::MAX);
        assert!((0..10).all(|n| queue.push(ip(1), n).is_none()));
        assert_eq!(queue.push(ip(2), 100), None);
        assert_eq!(queue.set_room(3), [9, 8, 7, 6, 5, 4, 3, 2]);
        assert_eq!(queue.set_room(0).len(), 3);
        assert_eq!(queue.push(ip(3), 1), Some(1), "no room at all");
    }
}
