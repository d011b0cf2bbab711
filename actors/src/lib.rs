//! Who acts: doorcode's supervised actors, their storage and their mail.
//!
//! `docs/ARCHITECTURE.md` has the tree and a table of the actors.
//!
//! The edge sees [`LoginService`] and starts all of it with [`System`]. `store` and `mail` are private: nobody above
//! can name a statement or a mail server.

mod address_id;
mod authorities;
mod database_url;
pub mod directory;
mod error;
#[cfg(test)]
mod fairness_tests;
#[doc(hidden)]
#[cfg(feature = "fuzzing")]
pub mod fuzz;
mod keys;
mod ledger;
mod login;
mod mail;
mod outcomes;
mod outside_faults;
mod settings;
mod step_up;
mod store;
mod system;
mod system_builder;
#[cfg(test)]
mod test_cluster;
#[cfg(test)]
mod test_settings;
mod upkeep;
mod webhooks;

pub use actor_runtime::{
    ActorSnapshot, ActorState, FailureSnapshot, HistogramSnapshot, KindSnapshot, Lanes, PeriodicSnapshot,
    ROOT, RequestId, in_request, powers_of_two, unix_seconds,
};
pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use directory::Directory;
pub use error::{RefreshError, Refusal, VerifyError};
pub use keys::{
    AccessTokenError, KeyAdmin, KeyError, KeyFile, KeyInfo, KeyState, Recovered, Rewrapped, Rotation,
    SigningKeyError, WrapError,
};
pub use login::busiest::TenantCalls;
pub use login::caller::{Caller, Trail, network_of};
pub use login::handover::HandedOver;
pub use login::service::{Login, LoginService};
pub use mail::counts::MailSnapshot;
pub use mail::{
    Alphabet, Content, Mail, MailTransport, Mailbox, Rendered, SendError, Sender, SetupError, SmtpSettings,
    StoredMail, TemplateError, Templates, TlsMode, Transport,
};
pub use settings::{
    AddressLimitSettings, AdmissionSettings, Algorithm, CodeSettings, DatabaseSettings, HookSettings,
    JanitorSettings, MailSettings, ProviderSettings, Settings, SignupLimitSettings, TenantLimitSettings,
    TokenSettings, WebhookSettings,
};
pub use store::sessions::OwnSession;
pub use store::{
    ConnectError, MigrateError, PLANNER, PoolSnapshot, check_migrated, migrate, set_role_settings,
};
pub use system::{FaultInjector, StartError, System, SystemDeps};
pub use upkeep::janitor::SweepSnapshot;
pub use upkeep::observer::{ActorRows, LedgerSnapshot, TreeSnapshot};
pub use upkeep::portals::{HostedPage, PortalMap};
pub use webhooks::counts::WebhookSnapshot;
