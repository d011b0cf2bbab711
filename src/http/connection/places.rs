//! Who holds how many connections: all callers together, one client, one network.
//!
//! A connection costs a descriptor and memory for as long as its caller likes. Without a share for each client, one of
//! them holds all places with sockets that say nothing (G7).

use crate::http::request::client::{Prefix, TrustedProxies};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A network (/24, IPv6 /48) may hold as many connections as so many clients.
const CLIENTS_PER_NETWORK: usize = 5;

/// The places of one listener.
pub(crate) struct Places {
    permits: Arc<Semaphore>,
    all: u32,
    per_client: usize,
    proxies: TrustedProxies,
    held: Held,
}

/// Connections by holder; at most two entries per open connection.
type Held = Arc<Mutex<HashMap<Holder, usize>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Client(Prefix),
    Network(Prefix),
}

/// One connection's place; free again when dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    held: Held,
    holders: Option<[Holder; 2]>,
}

impl Places {
    /// `all` connections, `per_client` of them of one client. Proxies hold any number: theirs are many clients'.
    pub(crate) fn new(all: usize, per_client: usize, proxies: TrustedProxies) -> Self {
        let permits = Arc::new(Semaphore::new(all.clamp(1, Semaphore::MAX_PERMITS)));
        let all = u32::try_from(permits.available_permits()).unwrap_or(u32::MAX);
        Self { permits, all, per_client: per_client.max(1), proxies, held: Held::default() }
    }

    /// A place for a connection from here. None: it is to be closed at once.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<Place> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let exempt = self.proxies.contains(peer.to_canonical());
        let holders =
            (!exempt).then(|| [Holder::Client(Prefix::fine(peer)), Holder::Network(Prefix::coarse(peer))]);
        let mut held = lock(&self.held);
        let mut shares = holders.iter().flatten().zip([1, CLIENTS_PER_NETWORK]);
        let is_over = |(holder, clients): (&Holder, usize)| {
            held.get(holder).is_some_and(|count| *count >= self.per_client.saturating_mul(clients))
        };
        if shares.any(is_over) {
            return None;
        }
        holders.iter().flatten().for_each(|holder| *held.entry(*holder).or_default() += 1);
        Some(Place { _permit: permit, held: self.held.clone(), holders })
    }

    /// Waits until no place is taken; none is given any more.
    pub(crate) async fn all_free(&self) {
        let _ = self.permits.acquire_many(self.all).await;
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.all as usize - self.permits.available_permits()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        for holder in self.holders.iter().flatten() {
            if let Some(count) = held.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    held.remove(holder);
                }
            }
        }
    }
}

fn lock(held: &Mutex<HashMap<Holder, usize>>) -> MutexGuard<'_, HashMap<Holder, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Places, peer: &str, times: usize) -> Vec<Place> {
        (0..times).filter_map(|_| places.take(peer.parse().unwrap())).collect()
    }

    #[test]
    fn clients_and_networks_have_their_shares() {
        let places = Places::new(100, 3, TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]));
        let ann = take(&places, "2001:db8::1", 10);
        assert_eq!(ann.len(), 3);
        assert!(take(&places, "2001:db8::ffff", 1).is_empty(), "the same /64");
        let site: Vec<_> = (1..10).flat_map(|n| take(&places, &format!("2001:db8:0:{n}::1"), 10)).collect();
        assert_eq!(site.len(), 12, "five clients' share, of which one was used");
        assert!(take(&places, "::ffff:192.0.2.1", 10).len() == 3 && take(&places, "192.0.2.2", 1).len() == 1);
        let proxy = take(&places, "10.0.0.1", 200);
        assert_eq!((proxy.len(), places.taken()), (85, 100), "all that is free");
        drop((ann, site, proxy));
        assert_eq!((places.taken(), lock(&places.held).len()), (0, 0), "nothing is left behind");
        assert_eq!(take(&places, "2001:db8::1", 10).len(), 3);
    }
}
