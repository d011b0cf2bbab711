//! All actors, started in order and stopped in reverse.

use crate::error::Refusal;
use crate::keys::{KeyError, KeyPolicy, MasterKey, Vault};
use crate::login::issuers::Issuers;
use crate::login::service::LoginService;
use crate::mail::{Sender, Transport};
use crate::settings::{MailSettings, Settings};
use crate::store::{DatabaseUrlError, Store, StoreError};
use crate::system_builder::{BuiltSystem, SystemBuilder};
use crate::upkeep::portals::PortalMap;
use actor_runtime::{Fault, Supervisor, SupervisorExit, Tolerance};
use arc_swap::ArcSwap;
use doorcode_domain::{Clock, TenantId};
use futures_util::future::BoxFuture;
use ractor::Actor;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Why nothing was started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database's address.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database.
    #[error(
        "the database does not answer: {0}. Check database.url (or DATABASE_URL) and that PostgreSQL runs"
    )]
    Database(String),
    /// A setting of the server that would lose what was promised.
    #[error(
        "the database has {0} off: a code answered with 200 could be lost. Turn it on, or use another server"
    )]
    NotDurable(&'static str),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The sender's address.
    #[error("mail.from is not an address: {0}")]
    From(String),
    /// The root.
    #[error("the actors cannot be started: {0}")]
    Actors(String),
}

/// What the actors work with that is no setting.
#[derive(Clone)]
pub struct SystemDeps {
    /// Whose clock counts.
    pub clock: Clock,
    /// How mail leaves.
    pub transport: Transport,
    /// 32 bytes that wrap every other key.
    pub master_key: Zeroizing<Vec<u8>>,
    /// Tests only: accept a server that may forget (`fsync` or `synchronous_commit` off).
    pub allow_unsafe: bool,
}

/// Makes one kind of actor fail; the key is its kind.
pub(crate) type Injector =
    Box<dyn Fn(Fault, Instant) -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

/// The running actors.
pub struct System {
    service: LoginService,
    root: ractor::ActorRef<<Supervisor as Actor>::Msg>,
    /// `None` once the root has ended: a handle answers only once.
    ended: Option<JoinHandle<()>>,
    exit: SupervisorExit,
    store: Store,
    faults: FaultInjector,
}

/// Makes actors fail, for `dev` and tests.
#[derive(Clone)]
pub struct FaultInjector {
    pub(crate) kinds: Arc<Vec<(&'static str, Injector)>>,
    pub(crate) issuers: Issuers,
}

impl FaultInjector {
    /// The kinds that can be told to fail.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|(kind, _)| *kind).collect()
    }

    /// Makes an actor of that kind fail: `panic`, `error` or `hang`; `issuer/<tenant id>` is that tenant's. Returns when
    /// it has read the message.
    pub async fn inject(&self, kind: &str, fault: &str) -> Result<(), String> {
        let fault = match fault {
            "panic" => Fault::Panic,
            "error" => Fault::Error,
            "hang" => Fault::Hang,
            other => return Err(format!("{other:?} is no fault: expected panic, error or hang")),
        };
        let until = Instant::now() + Duration::from_secs(2);
        let done = match kind.strip_prefix("issuer/") {
            Some(tenant) => {
                let tenant = tenant.parse().map_err(|_| format!("{tenant:?} is no tenant's id"))?;
                let issuer = self.issuers.of(TenantId(tenant)).ok_or("that tenant has no issuer now")?;
                issuer.inject(fault, until).await.map_err(Refusal::from)
            }
            None => {
                let (_, injector) = self.kinds.iter().find(|(name, _)| *name == kind).ok_or_else(|| {
                    format!("{kind:?} is no kind of actor: expected one of {:?}", self.kinds())
                })?;
                injector(fault, until).await
            }
        };
        done.map_err(|refusal| refusal.to_string())
    }
}

impl System {
    /// Starts everything. The database must be migrated.
    pub async fn start(settings: Settings, deps: SystemDeps) -> Result<Self, StartError> {
        let store = Store::new(&settings.database)?;
        check_durability(&store, deps.allow_unsafe).await?;
        let master = MasterKey::new(&deps.master_key).map_err(KeyError::from)?;
        let vault = Arc::new(Vault::new(store.clone(), master, deps.clock.clone()));
        let keys = vault.start(KeyPolicy::from(&settings.tokens)).await?;
        let portals = PortalMap::load(&store).await;
        let portals = portals.map_err(|error| StartError::Database(error.to_string()))?;
        let sender = sender(&settings.mail)?;
        let snapshots = (Arc::new(ArcSwap::from_pointee(keys)), Arc::new(ArcSwap::from_pointee(portals)));
        let builder = SystemBuilder::new(settings, deps, store.clone(), vault, snapshots, sender);
        let BuiltSystem { service, specs, faults } = builder.build();
        let exit = SupervisorExit::default();
        let supervisor = Supervisor { tolerance: Tolerance::default(), exit: exit.clone() };
        let (root, ended) = ractor::ActorRuntime::spawn(None, supervisor, specs)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        Ok(Self { service, root, ended: Some(ended), exit, store, faults })
    }

    /// The actors' one way in.
    pub fn service(&self) -> LoginService {
        self.service.clone()
    }

    /// For `dev` and tests.
    pub fn fault_injector(&self) -> FaultInjector {
        self.faults.clone()
    }

    /// Returns when the root ended by itself: it gave up.
    pub async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            // the handle only fails if the runtime is going down
            let _ = ended.await;
            self.ended = None;
        }
    }

    /// Drains everything in reverse order. `true`: the root had not given up.
    pub async fn stop(mut self) -> bool {
        self.root.stop(None);
        self.ended().await;
        self.store.close();
        !self.exit.gave_up()
    }
}

async fn check_durability(store: &Store, allow_unsafe: bool) -> Result<(), StartError> {
    let rows = store
        .query("SELECT current_setting('fsync') = 'on', current_setting('synchronous_commit') <> 'off'", &[])
        .await
        .map_err(|error: StoreError| StartError::Database(error.to_string()))?;
    let Some(row) = rows.first() else { return Ok(()) };
    match (allow_unsafe, row.get::<_, bool>(0), row.get::<_, bool>(1)) {
        (true, _, _) | (_, true, true) => Ok(()),
        (_, false, _) => Err(StartError::NotDurable("fsync")),
        (_, _, false) => Err(StartError::NotDurable("synchronous_commit")),
    }
}

/// `Name <address>` or `address`.
fn sender(mail: &MailSettings) -> Result<Sender, StartError> {
    let text = mail.from.as_deref().unwrap_or_default();
    let (name, address) = match text.rsplit_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches('>')),
        None => ("", text),
    };
    let name = (!name.is_empty()).then(|| name.to_owned());
    Sender::new(address.trim(), name).map_err(|error| StartError::From(error.to_string()))
}
