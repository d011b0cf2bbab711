//! Portals: which slug and which web origin belong to which tenant, in memory, because every browser call asks.
//!
//! Every [`LOOK`] Postgres sums all of them up in one number (0.1 s for 100,000 tenants); only when that number is another are they read anew, whole.
//! A change by the command line or another replica is seen within [`LOOK`] and the time of two statements. While
//! Postgres is away, the last ones stay. Memory: a slug, an id, the origins and the hosted page of each open tenant.

use crate::store::portals::Portal;
use crate::store::{Store, StoreError};
use actor_runtime::{Failure, PeriodicTask, Rhythm};
use arc_swap::ArcSwap;
use doorcode_domain::{TenantId, TenantSlug};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often to look whether something changed. A look that takes longer than its limit is given up.
const LOOK: Duration = Duration::from_secs(2);
pub(crate) const RHYTHM: Rhythm = Rhythm { interval: LOOK, limit: Duration::from_secs(30) };

/// A tenant's hosted login page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedPage {
    /// Whose.
    pub tenant: TenantId,
    /// Stands above the form.
    pub name: String,
    /// `#rrggbb`.
    pub colour: Option<String>,
    /// Where it may send people back to; never empty.
    pub return_urls: Vec<String>,
}

/// The portals of all open tenants, as of one moment.
#[derive(Debug, Default)]
pub struct PortalMap {
    slugs: HashMap<Box<str>, TenantId>,
    /// Of the tenants that have one.
    pages: HashMap<TenantId, Arc<HostedPage>>,
    origins: HashMap<Box<str>, TenantId>,
    fingerprint: String,
}

impl PortalMap {
    /// The tenant of a slug.
    pub fn of_slug(&self, slug: &TenantSlug) -> Option<TenantId> {
        self.slugs.get(slug.as_str()).copied()
    }

    /// The tenant that owns an origin, in the spelling in which browsers send it.
    pub fn of_origin(&self, origin: &str) -> Option<TenantId> {
        self.origins.get(origin).copied()
    }

    /// The hosted login page of a slug.
    pub fn page(&self, slug: &TenantSlug) -> Option<Arc<HostedPage>> {
        self.pages.get(&self.of_slug(slug)?).cloned()
    }

    /// The sum is taken first: a change in between is found by the next look.
    pub(crate) async fn load(store: &Store) -> Result<Self, StoreError> {
        let fingerprint = store.portals_fingerprint().await?;
        Ok(Self::new(fingerprint, store.portals().await?))
    }

    fn new(fingerprint: String, portals: Vec<Portal>) -> Self {
        let mut map = Self { fingerprint, ..Self::default() };
        for Portal { tenant, slug, name, colour, return_urls, origins } in portals {
            if !return_urls.is_empty() {
                map.pages.insert(tenant, Arc::new(HostedPage { tenant, name, colour, return_urls }));
            }
            map.slugs.insert(slug.into_boxed_str(), tenant);
            map.origins.extend(origins.into_iter().map(|origin| (origin.into_boxed_str(), tenant)));
        }
        map
    }
}

/// Keeps the map fresh.
pub(crate) struct Portals {
    pub(crate) store: Store,
    pub(crate) map: Arc<ArcSwap<PortalMap>>,
}

impl PeriodicTask for Portals {
    /// While Postgres is away, the last ones stay in use.
    async fn run(&mut self) -> Result<Option<Duration>, Failure> {
        if self.store.portals_fingerprint().await? != self.map.load().fingerprint {
            self.map.store(Arc::new(PortalMap::load(&self.store).await?));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// F12: origins are compared whole; a closed tenant, which the statement leaves out, has none.
    #[test]
    fn f12_a_portal_is_found_by_its_exact_names_only() {
        let acme = TenantId(Uuid::from_u128(1));
        let portals = vec![Portal {
            tenant: acme,
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            colour: None,
            return_urls: Vec::new(),
            origins: vec!["https://portal.acme.com".to_owned()],
        }];
        let map = PortalMap::new("1".to_owned(), portals);
        assert_eq!(map.of_slug(&TenantSlug::parse("acme").unwrap()), Some(acme));
        assert_eq!(map.of_origin("https://portal.acme.com"), Some(acme));
        for other in
            ["https://portal.acme.com/", "http://portal.acme.com", "https://x.portal.acme.com", "null", ""]
        {
            assert_eq!(map.of_origin(other), None, "{other:?}");
        }
        assert_eq!(map.of_slug(&TenantSlug::parse("ACME").unwrap()), None);
        assert_eq!(map.page(&TenantSlug::parse("acme").unwrap()), None, "no return URL, no page");
    }
}
