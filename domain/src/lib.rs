//! The types that all of doorcode speaks in, each parsed once at the edge.
//!
//! No async, no I/O, no clock reads. Time and randomness are parameters.
//!
//! | word | what it is |
//! |---|---|
//! | [`TenantSlug`], [`TenantId`] | what a caller typed for a portal; the portal it turned out to be |
//! | [`Email`], [`AddressKey`] | an address as typed and normalised; its keyed form, the only one in the login tables |
//! | [`ChallengeId`], [`LoginCode`], [`TypedCode`], [`CodeMac`] | a random id; the code derived from it; what somebody typed; the keyed form kept in Postgres |
//! | [`RefreshToken`], [`SessionKey`] | the opaque token; the keyed form under which its session is stored |
//! | [`HandoverCode`], [`PkceChallenge`] | a hosted page's login on its way to the portal; who may take it |
//! | [`AdminKey`] | a key of the admin API: its name, and the hash of its secret |
//! | [`AccessClaims`] | what an access token says |
//! | [`Language`] | what a mail or page is written in |
//! | [`MacKey`] | one purpose's HMAC key: plain words become keyed words only through it |
//! | [`Clock`] | the database's time, or a test's |

#![forbid(unsafe_code)]

mod access;
mod address;
mod admin_key;
mod clock;
mod code;
mod customer;
mod handover;
mod keys;
mod language;
mod refresh;
mod tenant;

pub use access::{ACCESS_LIFE_S, AccessClaims, CustomerClaims};
pub use address::AddressKey;
pub use admin_key::AdminKey;
pub use clock::{Clock, ManualClock, Micros};
pub use code::{Alphabet, ChallengeId, CodeMac, LoginCode, TypedCode};
pub use customer::CustomerId;
pub use email_address::{Email, EmailError, SpecialUse};
pub use handover::{HANDOVER_LIFE_S, HandoverCode, PkceChallenge};
pub use keys::{KeyLengthError, MacKey};
pub use language::{Language, LanguageError};
pub use refresh::{
    Branch, Generation, RefreshToken, RefreshTokenError, SessionKey, SessionSecret, TokenPosition,
};
pub use tenant::{SlugError, TenantId, TenantSlug};
