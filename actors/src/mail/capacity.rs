//! How many mails may be in memory, and whose. What does not fit waits in Postgres.

use doorcode_domain::TenantId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the mails in memory, by tenant.
pub(crate) struct MailCapacity {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    total: usize,
    by_tenant: HashMap<TenantId, usize>,
}

impl Used {
    fn add(&mut self, tenant: TenantId) {
        self.total += 1;
        *self.by_tenant.entry(tenant).or_default() += 1;
    }

    fn remove(&mut self, tenant: TenantId) {
        self.total = self.total.saturating_sub(1);
        if let Some(count) = self.by_tenant.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.by_tenant.remove(&tenant);
            }
        }
    }
}

impl MailCapacity {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::default() })
    }

    /// Whether any mail is in memory.
    pub(crate) fn is_used(&self) -> bool {
        self.lock().total > 0
    }

    /// How many more mails fit.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.lock().total)
    }

    /// Which of these tenants' mails fit. A tenant may have as many in memory as there is room left: alone, it gets half
    /// of it, and always leaves some to whoever comes next (the dynamic threshold of shared-memory switches).
    pub(crate) fn reserve(
        self: &Arc<Self>,
        tenants: impl Iterator<Item = TenantId>,
    ) -> (Vec<bool>, Reservation) {
        let mut used = self.lock();
        let mut reserved = Vec::new();
        let fits = tenants.map(|tenant| {
            let has = used.by_tenant.get(&tenant).copied().unwrap_or(0);
            let fits = used.total < self.limit && has < self.limit - used.total;
            if fits {
                used.add(tenant);
                reserved.push(tenant);
            }
            fits
        });
        let fits = fits.collect();
        drop(used);
        (fits, Reservation { capacity: self.clone(), tenants: reserved })
    }

    /// A mail came into memory.
    pub(crate) fn take(&self, tenant: TenantId) {
        self.lock().add(tenant);
    }

    /// A mail left it.
    pub(crate) fn release(&self, tenant: TenantId) {
        self.lock().remove(tenant);
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for the mails of a flush, until it is known which of them are due.
pub(crate) struct Reservation {
    capacity: Arc<MailCapacity>,
    tenants: Vec<TenantId>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.capacity.lock();
        self.tenants.iter().for_each(|tenant| used.remove(*tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn one_tenant_leaves_room_to_the_next() {
        let (capacity, tenant) = (MailCapacity::new(1_000), |n| TenantId(Uuid::from_u128(n)));
        let (first, held) = capacity.reserve(std::iter::repeat_n(tenant(1), 2_000));
        assert_eq!(first.iter().filter(|fits| **fits).count(), 500);
        let (second, _held) = capacity.reserve(std::iter::repeat_n(tenant(2), 2_000));
        assert_eq!(second.iter().filter(|fits| **fits).count(), 250);
        assert_eq!(capacity.room(), 250);
        drop(held);
        assert_eq!(capacity.room(), 750);
    }
}
