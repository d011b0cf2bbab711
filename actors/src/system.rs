//! All actors, wired and started in order, and stopped in reverse.

use crate::error::Refusal;
use crate::issuer::IssuerKit;
use crate::janitor::{Janitor, SweepCounts};
use crate::keyring::Keyring;
use crate::keys::{KeyError, KeyPolicy, Keys, MasterKey, Vault};
use crate::ledger::{Batch, FlushCounts, Ledger, LedgerMessage, LedgerSettings};
use crate::ledger::{LoginBatch, LogoutAllBatch, LogoutBatch, RefreshBatch, VerifyBatch};
use crate::mail::Sender;
use crate::mailer::{MailerKit, mailers};
use crate::minter::Minter;
use crate::observe::{Ask, Observer, Probe, Sights};
use crate::portals::{PortalMap, Portals};
use crate::postmaster::{MailCounts, Postmaster};
use crate::quota::{Quotas, TenantLimit};
use crate::runtime::{
    ChildSpec, Fault, Handle, Meter, Pool, Role, Supervisor, SupervisorExit, Tolerance, child,
};
use crate::service::{LoginService, Parts};
use crate::settings::Settings;
use crate::store::challenges::LoginPolicy;
use crate::store::{DatabaseUrlError, Store, StoreError, micros};
use crate::tally::{GuessCounts, Tally};
use crate::tenants::{Issuers, TenantDirectory, Tenants};
use arc_swap::ArcSwap;
use doorcode_domain::TenantId;
use futures_util::future::BoxFuture;
use ractor::Actor;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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

/// Makes one kind of actor fail; the key is its kind.
type Injector = Box<dyn Fn(Fault, Instant) -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

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
    kinds: Arc<Vec<(&'static str, Injector)>>,
    issuers: Issuers,
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
                issuer.inject(fault, until).await
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
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let store = Store::new(&settings.database)?;
        check_durability(&store, settings.database.allow_unsafe).await?;
        let master = MasterKey::new(&settings.master_key).map_err(KeyError::from)?;
        let vault = Arc::new(Vault::new(store.clone(), master, settings.clock.clone()));
        let keys = vault.start(KeyPolicy::from(&settings.tokens)).await?;
        let portals = PortalMap::load(&store).await;
        let portals = portals.map_err(|error| StartError::Database(error.to_string()))?;
        let sender = parse_from(&settings.mail.from)?;
        let snapshots = (Arc::new(ArcSwap::from_pointee(keys)), Arc::new(ArcSwap::from_pointee(portals)));
        let wiring = Wiring::new(settings, store.clone(), vault, snapshots, sender);
        let Built { service, specs, faults } = wiring.build();
        let exit = SupervisorExit::default();
        let supervisor = Supervisor { tolerance: Tolerance::default(), exit: exit.clone() };
        let (root, ended) = ractor::ActorRuntime::spawn(None, supervisor, specs)
            .await
            .map_err(|error| StartError::Actors(error.to_string()))?;
        Ok(Self { service, root, ended: Some(ended), exit, store, faults })
    }

    /// The actors' one door.
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
fn parse_from(text: &str) -> Result<Sender, StartError> {
    let (name, address) = match text.rsplit_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches('>')),
        None => ("", text),
    };
    let name = (!name.is_empty()).then(|| name.to_owned());
    Sender::new(address.trim(), name).map_err(|error| StartError::From(error.to_string()))
}

/// Parts on the way to becoming a system.
struct Wiring {
    settings: Settings,
    store: Store,
    vault: Arc<Vault>,
    keys: Arc<ArcSwap<Keys>>,
    portals: Arc<ArcSwap<PortalMap>>,
    sender: Sender,
    specs: Vec<ChildSpec>,
    meters: Vec<Arc<Meter>>,
    ledgers: Vec<(&'static str, Arc<FlushCounts>)>,
    probes: Vec<Probe>,
    injectors: Vec<(&'static str, Injector)>,
}

struct Built {
    service: LoginService,
    specs: Vec<ChildSpec>,
    faults: FaultInjector,
}

impl Wiring {
    fn new(
        settings: Settings,
        store: Store,
        vault: Arc<Vault>,
        (keys, portals): (Arc<ArcSwap<Keys>>, Arc<ArcSwap<PortalMap>>),
        sender: Sender,
    ) -> Self {
        Self {
            settings,
            store,
            vault,
            keys,
            portals,
            sender,
            specs: Vec::new(),
            meters: Vec::new(),
            ledgers: Vec::new(),
            probes: Vec::new(),
            injectors: Vec::new(),
        }
    }

    /// Adds a child, and makes it visible.
    fn add<R: Role>(&mut self, handle: &Handle<R::Message>, make: impl Fn() -> R + Send + Sync + 'static) {
        self.specs.push(child(handle, make));
        self.show(handle);
    }

    fn show<M: Send + 'static>(&mut self, handle: &Handle<M>) {
        let kind = handle.meter.kind;
        if !self.meters.iter().any(|meter| meter.kind == kind) {
            self.meters.push(handle.meter.clone());
        }
        let asked = handle.clone();
        let hung = handle.clone();
        self.probes.push(Probe {
            kind,
            ask: Box::new(move |until| {
                let asked = asked.clone();
                Box::pin(async move { asked.ping(until).await.is_ok() })
            }),
            kill: Some(Box::new(move || hung.kill())),
        });
        let told = handle.clone();
        self.injectors.push((
            kind,
            Box::new(move |fault, until| {
                let told = told.clone();
                Box::pin(async move { told.inject(fault, until).await })
            }),
        ));
    }

    fn ledger<B: Batch>(
        &mut self,
        kind: &'static str,
        permits: Option<usize>,
        batch: B,
    ) -> Handle<LedgerMessage<B>> {
        let (handle, batch, counts) =
            (Handle::new(Meter::new(kind, permits)), Arc::new(batch), Arc::default());
        self.ledgers.push((kind, Arc::clone(&counts)));
        let database = &self.settings.database;
        let settings =
            LedgerSettings { flights: database.flights.max(1), batch_max: database.batch_max.max(1) };
        let meter = handle.meter.clone();
        self.add(&handle, move || Ledger {
            batch: batch.clone(),
            settings,
            meter: meter.clone(),
            counts: counts.clone(),
        });
        handle
    }

    fn build(mut self) -> Built {
        let (settings, store, clock) =
            (self.settings.clone(), self.store.clone(), self.settings.clock.clone());
        let keyring = Handle::new(Meter::new("keyring", None));
        let (vault, keys, policy) =
            (self.vault.clone(), self.keys.clone(), KeyPolicy::from(&settings.tokens));
        self.add(&keyring, {
            let keys = keys.clone();
            move || Keyring { vault: vault.clone(), policy, keys: keys.clone() }
        });

        let portals = Handle::new(Meter::new("portals", None));
        self.add(&portals, {
            let (store, map) = (store.clone(), self.portals.clone());
            move || Portals { store: store.clone(), map: map.clone() }
        });

        // mail first in the tree below the keys, so that it is drained after the ledgers that promise it
        let postmaster = Handle::new(Meter::new("postmaster", None));
        let mails: Arc<MailCounts> = Arc::default();
        let kit = MailerKit::new(
            settings.mail.transport.clone(),
            self.sender.clone(),
            keys.clone(),
            settings.mail.deadline,
            settings.codes.life,
            Arc::clone(&mails),
            postmaster.clone(),
            Meter::new("mailer", None),
        );
        self.meters.push(kit.meter.clone());
        let (pool, mailer_spec) = mailers(kit, settings.mail.workers.max(1), settings.mail.queue);
        self.add(&postmaster, {
            let (store, clock, mail, counts) =
                (store.clone(), clock.clone(), settings.mail.clone(), Arc::clone(&mails));
            move || Postmaster {
                store: store.clone(),
                clock: clock.clone(),
                mailers: pool.clone(),
                lease: mail.lease,
                deadline: mail.deadline,
                sweep: mail.sweep,
                counts: counts.clone(),
            }
        });
        // drained before the postmaster, which strikes off what the mailers report
        self.specs.push(mailer_spec);

        let login = self.ledger(
            "ledger.login",
            None,
            LoginBatch {
                store: store.clone(),
                clock: clock.clone(),
                policy: login_policy(&settings),
                postmaster: postmaster.clone(),
            },
        );
        let verify = self.ledger(
            "ledger.verify",
            None,
            VerifyBatch {
                store: store.clone(),
                clock: clock.clone(),
                idle: settings.tokens.idle,
                absolute: settings.tokens.absolute,
                sessions: settings.tokens.sessions_per_customer.into(),
            },
        );
        let permits = Some(settings.admission.sessions);
        let refresh = self.ledger(
            "ledger.refresh",
            permits,
            RefreshBatch {
                store: store.clone(),
                clock: clock.clone(),
                idle: settings.tokens.idle,
                retry_window: settings.tokens.retry_window,
            },
        );
        let logout = self.ledger("ledger.logout", permits, LogoutBatch { store: store.clone() });
        let everywhere = LogoutAllBatch { store: store.clone(), clock: clock.clone() };
        let logout_all = self.ledger("ledger.logout_all", permits, everywhere);

        let minters = Pool::new(&Meter::new("minter", None), settings.admission.minters);
        for minter in minters.members.iter() {
            let keys = keys.clone();
            self.add(minter, move || Minter { keys: keys.clone() });
        }

        let issuer_meter = Meter::new("issuer", Some(settings.admission.issuers));
        let kit = IssuerKit { keys: keys.clone(), login, verify, idle: settings.admission.issuer_idle };
        let issuers = Issuers::new(issuer_meter.clone(), kit, settings.admission.max_issuers);
        let tenants = Handle::new(Meter::new("tenants", None));
        self.add(&tenants, {
            let issuers = issuers.clone();
            move || Tenants { issuers: issuers.clone() }
        });
        self.meters.push(issuer_meter);
        self.injectors.push(("issuer", inject_issuer(issuers.clone())));

        let guesses = GuessCounts::default();
        let tally = Handle::new(Meter::new("tally", None));
        self.add(&tally, {
            let (store, clock, counts) = (store.clone(), clock.clone(), guesses.clone());
            move || Tally { store: store.clone(), clock: clock.clone(), counts: counts.clone() }
        });

        let janitor = Handle::new(Meter::new("janitor", None));
        let swept: Arc<SweepCounts> = Arc::default();
        self.add(&janitor, {
            let (store, clock, counts, settings) =
                (store.clone(), clock.clone(), Arc::clone(&swept), settings.janitor);
            move || Janitor {
                store: store.clone(),
                clock: clock.clone(),
                interval: settings.interval,
                page: settings.page,
                counts: counts.clone(),
            }
        });

        let observer = Handle::new(Meter::new("observer", None));
        self.show(&observer);
        self.probes.push(Probe { kind: "database", ask: ask_database(store.clone()), kill: None });
        let directory = TenantDirectory::new(store.clone(), clock.clone());
        let sights = Arc::new(Sights {
            meters: self.meters,
            ledgers: self.ledgers,
            outcomes: Default::default(),
            mails,
            swept,
            store: store.clone(),
            tenants: directory.clone(),
            probes: self.probes,
            silent: Default::default(),
        });
        let seen = sights.clone();
        self.specs.push(child(&observer, move || Observer { sights: seen.clone() }));

        let faults = FaultInjector { kinds: Arc::new(self.injectors), issuers: issuers.clone() };
        let limit = settings.limits.tenant.map(|(per_second, burst)| TenantLimit { per_second, burst });
        let service = LoginService(Arc::new(Parts {
            issuer_url: settings.public_url.trim_end_matches('/').to_owned(),
            idle: settings.tokens.idle,
            clock: clock.clone(),
            tenants: directory,
            quotas: Quotas::new(limit, store, clock, keys.clone()),
            guesses,
            issuers,
            refresh,
            logout,
            logout_all,
            minters,
            keys,
            portals: self.portals,
            sights,
        }));
        Built { service, specs: self.specs, faults }
    }
}

fn login_policy(settings: &Settings) -> LoginPolicy {
    let (burst, period_us, cooldown_us) = match settings.limits.mails {
        Some((burst, period, cooldown)) => {
            (i32::try_from(burst).unwrap_or(i32::MAX), micros(period), micros(cooldown))
        }
        None => (1, 0, 0),
    };
    LoginPolicy {
        life_us: micros(settings.codes.life),
        cooldown_us,
        mail_burst: burst,
        mail_period_us: period_us,
        lease_us: micros(settings.mail.lease),
    }
}

/// Hits one live issuer.
fn inject_issuer(issuers: Issuers) -> Injector {
    Box::new(move |fault, until| {
        let issuers = issuers.clone();
        Box::pin(async move {
            let live = issuers.live();
            let Some(first) = live.first() else { return Err(Refusal::Unavailable) };
            first.inject(fault, until).await
        })
    })
}

fn ask_database(store: Store) -> Ask {
    Box::new(move |until| {
        let store = store.clone();
        Box::pin(async move {
            matches!(tokio::time::timeout_at(until, store.query("SELECT 1", &[])).await, Ok(Ok(_)))
        })
    })
}
