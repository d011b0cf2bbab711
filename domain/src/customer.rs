//! Who logs in.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A customer of one tenant: UUIDv4, visible to callers as `customer_id` and `sub`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomerId(pub Uuid);
