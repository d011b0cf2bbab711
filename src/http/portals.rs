//! What the edge must know of tenants: to whom an origin or a slug belongs.

use doorcode_actors::{HostedPage, LoginService};
use doorcode_domain::{TenantId, TenantSlug};
use std::sync::Arc;

/// Answers from memory, never waits: every browser call asks.
pub(crate) trait Portals: Send + Sync {
    /// The tenant of a slug.
    fn of_slug(&self, slug: &TenantSlug) -> Option<TenantId>;

    /// The tenant that owns an origin (`https://portal.acme.com`). An origin belongs to one tenant.
    fn of_origin(&self, origin: &str) -> Option<TenantId>;

    /// The hosted login page of a slug, if its tenant has one. Default: nobody has.
    fn page(&self, _slug: &TenantSlug) -> Option<Arc<HostedPage>> {
        None
    }
}

/// What the database says, some seconds ago at most.
impl Portals for LoginService {
    fn of_slug(&self, slug: &TenantSlug) -> Option<TenantId> {
        self.portals().of_slug(slug)
    }

    fn of_origin(&self, origin: &str) -> Option<TenantId> {
        self.portals().of_origin(origin)
    }

    fn page(&self, slug: &TenantSlug) -> Option<Arc<HostedPage>> {
        self.portals().page(slug)
    }
}

/// No tenant has an origin of its own: portals are served from the same host as doorcode.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) struct SameHostOnly;

#[cfg(any(test, feature = "fuzzing"))]
impl Portals for SameHostOnly {
    fn of_slug(&self, _: &TenantSlug) -> Option<TenantId> {
        None
    }

    fn of_origin(&self, _: &str) -> Option<TenantId> {
        None
    }
}
