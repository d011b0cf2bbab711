//! All actors, started in order and stopped in reverse.

use crate::database_url::DatabaseUrlError;
use crate::keys::{KeyError, KeyPolicy, MasterKey, Vault};
use crate::login::service::LoginService;
use crate::mail::{Sender, TemplateError, Templates, Transport};
use crate::outside_faults::OutsideFaults;
use crate::settings::{MailSettings, Settings};
use crate::store::{Store, StoreError};
use crate::system_builder::{BuiltSystem, SystemBuilder};
use crate::upkeep::portals::PortalMap;
use actor_runtime::{Fault, Instance, Label, Meter, Supervisor, SupervisorExit, Tolerance};
use arc_swap::ArcSwap;
use doorcode_domain::Clock;
use ractor::Actor;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// Why nothing was started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database's address.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The database.
    #[error(
        "the database cannot be used: {0}. Check database.url (or DATABASE_URL) and that PostgreSQL runs"
    )]
    Database(String),
    /// Between us and it.
    #[error(
        "a pooler between doorcode and PostgreSQL loses prepared statements. Use PgBouncer 1.21 or later with \
         max_prepared_statements, or pool_mode = session, or connect to PostgreSQL directly"
    )]
    Pooler,
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
    /// An operator's templates.
    #[error("mail.templates: {0}")]
    Templates(#[from] TemplateError),
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
    pub(crate) meters: Arc<[Arc<Meter>]>,
    pub(crate) outside: OutsideFaults,
}

/// How long an actor has to read a fault.
const FAULT_READ_WITHIN: Duration = Duration::from_secs(2);

/// How long the pooler's check may take.
const POOLER_WITHIN: Duration = Duration::from_secs(5);

impl FaultInjector {
    /// Makes an actor fail: `panic`, `error`, `hang`, or `slow` by so many milliseconds (0: no longer). `actor` is a
    /// kind (the first of it that lives), `issuer/<slug or id of a tenant>`, or an id of `/actors/rows`. Returns when it has read
    /// the message. Or, for so many milliseconds: `database` can be told to `drop` its link, `mail` to `refuse`; `mail` can
    /// be `slow`, as an actor.
    pub async fn inject(&self, actor: &str, fault: &str, ms: u64) -> Result<(), String> {
        if let Some(done) = self.outside.inject(actor, fault, ms) {
            return done;
        }
        let fault = match fault {
            "panic" => Fault::Panic,
            "error" => Fault::Error,
            "hang" => Fault::Hang,
            "slow" => Fault::Slow(Duration::from_millis(ms)),
            other => return Err(format!("{other:?} is no fault: expected panic, error, hang or slow")),
        };
        let instance = self.find(actor)?;
        if instance.inject(fault, Instant::now() + FAULT_READ_WITHIN).await {
            Ok(())
        } else {
            Err(format!(
                "{actor} did not read the message: it is between two lives, hangs, or takes no faults"
            ))
        }
    }

    fn find(&self, actor: &str) -> Result<Arc<Instance>, String> {
        let (kind, label) = match actor.split_once('/') {
            Some((kind, label)) => (kind, Some(label)),
            None => (actor, None),
        };
        let all = || self.meters.iter().flat_map(|meter| meter.instances());
        let found = match (actor.parse::<u64>(), label) {
            (Ok(id), _) => all().find(|one| one.id == id),
            (_, Some(whom)) => all().find(|one| {
                let is_whom = |label: &Label| &*label.id == whom || label.slug.as_deref() == Some(whom);
                one.meter.kind == kind && one.label().is_some_and(is_whom)
            }),
            _ => all().filter(|one| one.meter.kind == kind).max_by_key(|one| one.is_alive()),
        };
        found.ok_or_else(|| {
            let kinds: Vec<_> = self.meters.iter().map(|meter| meter.kind).collect();
            format!("{actor:?} is no actor that is there now: expected an id, or one of {kinds:?}, or issuer/<slug or id of a tenant>")
        })
    }
}

impl System {
    /// Starts everything. The database must be migrated.
    pub async fn start(settings: Settings, deps: SystemDeps) -> Result<Self, StartError> {
        let store = Store::new(&settings.database)?;
        check_durability(&store, deps.allow_unsafe).await?;
        check_pooler(&store).await?;
        let master = MasterKey::new(&deps.master_key).map_err(KeyError::from)?;
        let vault = Arc::new(Vault::new(store.clone(), master, deps.clock.clone()));
        let keys = vault.start(KeyPolicy::from(&settings.tokens)).await?;
        let portals = PortalMap::load(&store).await;
        let portals = portals.map_err(|error| StartError::Database(error.to_string()))?;
        let sender = sender(&settings.mail)?;
        let templates = Arc::new(Templates::load(settings.mail.templates.as_deref())?);
        let snapshots = (Arc::new(ArcSwap::from_pointee(keys)), Arc::new(ArcSwap::from_pointee(portals)));
        let builder =
            SystemBuilder::new(settings, deps, store.clone(), vault, snapshots, (sender, templates));
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

async fn check_pooler(store: &Store) -> Result<(), StartError> {
    // a pooler with a single server connection cannot be asked by two; it mixes up nothing
    match timeout(POOLER_WITHIN, store.check_prepared()).await {
        Ok(Err(error)) if error.is_misprepared() => Err(StartError::Pooler),
        Ok(Err(error)) => Err(StartError::Database(error.to_string())),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

async fn check_durability(store: &Store, allow_unsafe: bool) -> Result<(), StartError> {
    let rows = store
        .query("SELECT current_setting('fsync') = 'on', current_setting('synchronous_commit') <> 'off'", &[])
        .await
        .map_err(|error: StoreError| match error.is_misprepared() {
            true => StartError::Pooler,
            false => StartError::Database(error.to_string()),
        })?;
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
