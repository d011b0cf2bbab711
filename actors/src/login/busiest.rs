//! Which tenants ask most, and who of them is refused: an operator's question, for `/metrics` where a setting allows it.
//!
//! Slugs that name no tenant are one row: a caller must not be able to make labels. Bounded: [`COUNTED`] tenants, some 100 KB.

use crate::error::Refusal;
use crate::upkeep::portals::PortalMap;
use arc_swap::ArcSwap;
use doorcode_domain::TenantSlug;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Tenants counted at once, ten times as many as may be shown. One more takes the place of who asks least, and its rank
/// ("space-saving", Metwally et al. 2005): whoever makes more than one in so many calls is counted.
const COUNTED: usize = 1_000;
/// A call counts half for the order after this time, a quarter after twice as long.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// A call's weight when it comes, so that a single one is remembered for ten half-lives.
const WEIGHT: u64 = 1 << 10;
/// The row of slugs that name no tenant; none can be called so.
const UNKNOWN: &str = "(unknown)";

/// Logins and guesses of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantCalls {
    /// Its slug, or `(unknown)`: all slugs that name no tenant.
    pub tenant: String,
    /// `/login` that was answered 200.
    pub logins: u64,
    /// Logins and guesses refused by the tenant's limit: 429.
    pub limited: u64,
    /// Logins and guesses refused otherwise: 503.
    pub unavailable: u64,
}

impl TenantCalls {
    fn add(&mut self, refusal: Option<Refusal>) {
        *match refusal {
            None => &mut self.logins,
            Some(Refusal::TenantLimited { .. }) => &mut self.limited,
            Some(Refusal::Overloaded | Refusal::Unavailable | Refusal::Late) => &mut self.unavailable,
        } += 1;
    }
}

/// Counts by tenant, of this process.
pub(crate) struct Busiest {
    /// 0: nothing is counted.
    shown: usize,
    portals: Arc<ArcSwap<PortalMap>>,
    table: Mutex<Table>,
}

impl Busiest {
    pub(crate) fn new(shown: usize, portals: Arc<ArcSwap<PortalMap>>) -> Self {
        Self { shown, portals, table: Mutex::new(Table::new(Instant::now())) }
    }

    /// A login that was answered (no refusal), or a login or guess that was refused.
    pub(crate) fn saw(&self, slug: &TenantSlug, refusal: Option<Refusal>) {
        if self.shown > 0 {
            let is_known = self.portals.load().of_slug(slug).is_some();
            self.table().add(is_known.then(|| slug.as_str()), refusal, Instant::now());
        }
    }

    /// Unknown slugs, then the busiest tenants. Nothing if it is off.
    pub(crate) fn snapshot(&self) -> Vec<TenantCalls> {
        if self.shown == 0 { Vec::new() } else { self.table().busiest(self.shown) }
    }

    /// Changed in single steps: a panic in between leaves it usable.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls of a tenant, and how many lately: the order.
type Row = (TenantCalls, u64);

struct Table {
    tenants: HashMap<String, Row>,
    unknown: TenantCalls,
    /// When the order was last made older.
    aged: Instant,
}

impl Table {
    fn new(now: Instant) -> Self {
        let unknown = TenantCalls { tenant: UNKNOWN.to_owned(), ..Default::default() };
        Self { tenants: HashMap::new(), unknown, aged: now }
    }

    fn add(&mut self, tenant: Option<&str>, refusal: Option<Refusal>, now: Instant) {
        let Some(tenant) = tenant else { return self.unknown.add(refusal) };
        self.age(now);
        let (calls, lately) = self.row(tenant);
        calls.add(refusal);
        *lately += WEIGHT;
    }

    fn row(&mut self, tenant: &str) -> &mut Row {
        let mut rank = 0;
        if !self.tenants.contains_key(tenant) && self.tenants.len() >= COUNTED {
            let least = self.tenants.values().min_by_key(|(_, lately)| *lately);
            if let Some((TenantCalls { tenant: least, .. }, lately)) = least.cloned() {
                self.tenants.remove(&least);
                rank = lately;
            }
        }
        let calls = || TenantCalls { tenant: tenant.to_owned(), ..Default::default() };
        self.tenants.entry(tenant.to_owned()).or_insert_with(|| (calls(), rank))
    }

    fn age(&mut self, now: Instant) {
        let times = now.saturating_duration_since(self.aged).as_secs() / HALF_LIFE.as_secs();
        if times > 0 {
            self.aged = now;
            let by = u32::try_from(times).unwrap_or(u32::MAX);
            self.tenants.values_mut().for_each(|(_, lately)| *lately = lately.checked_shr(by).unwrap_or(0));
        }
    }

    fn busiest(&self, shown: usize) -> Vec<TenantCalls> {
        let mut rows: Vec<&Row> = self.tenants.values().collect();
        rows.sort_unstable_by_key(|(calls, lately)| (Reverse(*lately), &calls.tenant));
        let busiest = rows.into_iter().take(shown).map(|(calls, _)| calls);
        std::iter::once(&self.unknown).chain(busiest).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED: Refusal = Refusal::TenantLimited { retry_after_s: 1 };

    fn names(table: &Table, shown: usize) -> Vec<String> {
        table.busiest(shown).into_iter().map(|row| row.tenant).collect()
    }

    /// However many tenants there are: so many rows, and those who make more than their share of the noise are among them.
    #[test]
    fn thousands_of_tenants_are_a_bounded_table() {
        let start = Instant::now();
        let mut table = Table::new(start);
        for round in 0..4 {
            for n in 0..5_000 {
                table.add(Some(&format!("t{n}")), None, start);
                if n % 50 == 0 {
                    table.add(Some("loud"), Some(LIMITED), start);
                    table.add(Some("refused"), Some(Refusal::Overloaded), start);
                }
            }
            assert!(table.tenants.len() <= COUNTED, "{round}");
            assert_eq!(table.busiest(10).len(), 11);
        }
        assert_eq!(names(&table, 2), [UNKNOWN, "loud", "refused"]);
        let rows = table.busiest(2);
        assert_eq!((rows[1].limited, rows[2].unavailable, rows[0].logins), (400, 400, 0));
    }

    /// What callers write is no label, and takes nobody's place.
    #[test]
    fn unknown_slugs_are_one_row() {
        let now = Instant::now();
        let mut table = Table::new(now);
        (0..5_000).for_each(|_| table.add(None, None, now));
        table.add(None, Some(LIMITED), now);
        let unknown = TenantCalls { tenant: UNKNOWN.to_owned(), logins: 5_000, limited: 1, unavailable: 0 };
        assert_eq!(table.busiest(100), [unknown]);
        assert!(!TenantSlug::parse(UNKNOWN).unwrap().can_exist(), "no tenant can be taken for it");
    }

    /// The order is of the last minutes; the counts of who is shown only grow.
    #[test]
    fn who_was_loud_long_ago_makes_way_and_its_counts_stay() {
        let now = Instant::now();
        let mut table = Table::new(now);
        (0..1_000).for_each(|_| table.add(Some("old"), None, now));
        assert_eq!(names(&table, 1), [UNKNOWN, "old"]);
        let later = now + HALF_LIFE * 9;
        (0..3).for_each(|_| table.add(Some("new"), None, later));
        assert_eq!(names(&table, 1), [UNKNOWN, "new"]);
        (0..5).for_each(|_| table.add(Some("old"), None, later));
        assert_eq!((names(&table, 1)[1].as_str(), table.busiest(1)[1].logins), ("old", 1_005));
    }
}
