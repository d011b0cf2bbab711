//! How the actors are wired: who knows whom, and the order in which they start.

use crate::keys::minter::{Minter, MinterMessage};
use crate::keys::{KeyPolicy, Keys, Vault};
use crate::ledger::{Batch, FlushCounts, Ledger, LedgerMessage, LedgerSettings};
use crate::ledger::{LoginBatch, LogoutBatch, Reach, RefreshBatch, VerifyBatch};
use crate::login::busiest::Busiest;
use crate::login::issuer::IssuerDeps;
use crate::login::issuers::{Issuers, TenantDirectory, Tenants};
use crate::login::own_sessions;
use crate::login::quota::{Leases, TenantLimit};
use crate::login::service::{Inner, LoginService};
use crate::mail::capacity::MailCapacity;
use crate::mail::counts::MailCounts;
use crate::mail::dispatcher::{MailDispatcher, MailDispatcherMessage};
use crate::mail::mailers::{MailerDeps, mailers};
use crate::mail::notifier::{self, NoticeCounts, Notifier};
use crate::mail::{Sender, Templates};
use crate::outcomes::Outcomes;
use crate::settings::Settings;
use crate::store::{Store, challenges::LoginPolicy};
use crate::system::{FaultInjector, SystemDeps};
use crate::upkeep::guess_stats::{self, GuessCounts, GuessStats};
use crate::upkeep::janitor::{self, Janitor, SweepCounts};
use crate::upkeep::keyring::{self, Keyring};
use crate::upkeep::observer::{self, Observability, Observer};
use crate::upkeep::portals::{self, PortalMap, Portals};
use crate::webhooks::counts::WebhookCounts;
use crate::webhooks::{self, Webhooks};
use actor_runtime::{
    Actor, ChildSpec, Handle, Meter, Periodic, PeriodicMessage, PeriodicTask, Pool, Rhythm, child,
};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Inner on the way to becoming a system.
pub(crate) struct SystemBuilder {
    settings: Settings,
    deps: SystemDeps,
    store: Store,
    vault: Arc<Vault>,
    keys: Arc<ArcSwap<Keys>>,
    portals: Arc<ArcSwap<PortalMap>>,
    sender: Sender,
    templates: Arc<Templates>,
    specs: Vec<ChildSpec>,
    meters: Vec<Arc<Meter>>,
    ledgers: Vec<(&'static str, Arc<FlushCounts>)>,
    outcomes: Arc<Outcomes>,
}

pub(crate) struct BuiltSystem {
    pub(crate) service: LoginService,
    pub(crate) specs: Vec<ChildSpec>,
    pub(crate) faults: FaultInjector,
}

impl SystemBuilder {
    pub(crate) fn new(
        settings: Settings,
        deps: SystemDeps,
        store: Store,
        vault: Arc<Vault>,
        (keys, portals): (Arc<ArcSwap<Keys>>, Arc<ArcSwap<PortalMap>>),
        (sender, templates): (Sender, Arc<Templates>),
    ) -> Self {
        Self {
            settings,
            deps,
            store,
            vault,
            keys,
            portals,
            sender,
            templates,
            specs: Vec::new(),
            meters: Vec::new(),
            ledgers: Vec::new(),
            outcomes: Arc::default(),
        }
    }

    /// Adds a child, and makes it visible.
    fn add<R: Actor>(&mut self, handle: &Handle<R::Message>, make: impl Fn() -> R + Send + Sync + 'static) {
        self.specs.push(child(handle, make));
        self.show(&handle.meter);
    }

    /// Adds a child that works in rounds.
    fn add_periodic<T: PeriodicTask>(
        &mut self,
        handle: &Handle<PeriodicMessage>,
        rhythm: Rhythm,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) {
        let meter = handle.meter.clone();
        self.add(handle, move || Periodic::new(make(), rhythm, meter.clone()));
    }

    /// Its row is in `/actors`, it is asked whether it answers, and it can be told to fail.
    fn show(&mut self, meter: &Arc<Meter>) {
        if !self.meters.iter().any(|shown| shown.kind == meter.kind) {
            self.meters.push(meter.clone());
        }
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
        let settings = LedgerSettings {
            max_in_flight: database.max_in_flight.get(),
            batch_max: database.batch_max.get(),
        };
        let meter = handle.meter.clone();
        self.add(&handle, move || Ledger {
            batch: batch.clone(),
            settings,
            meter: meter.clone(),
            counts: counts.clone(),
        });
        handle
    }

    /// Everything, in start order. The order of drains is the reverse: whoever promises before whoever keeps it.
    pub(crate) fn build(mut self) -> BuiltSystem {
        self.keyring();
        self.portals();
        let (mail, mail_dispatcher) = self.mail();
        let mails = mail.counts.clone();
        let notices = self.notifier(mail.capacity.clone());
        let login = self.login(mail, mail_dispatcher);
        let verify = self.verify();
        let refresh = self.refresh();
        let permits = Some(self.settings.admission.ledger_permits.get());
        let ending = |reach| LogoutBatch { store: self.store.clone(), clock: self.deps.clock.clone(), reach };
        let (one, all) = (ending(Reach::One), ending(Reach::All));
        let logout = self.ledger("ledger.logout", permits, one);
        let logout_all = self.ledger("ledger.logout_all", permits, all);
        let minters = self.minters();
        let (issuers, leases) = self.issuers(login, verify);
        let guesses = self.guess_stats();
        let swept = self.janitor();
        let webhooks = self.webhooks();
        let tenants = TenantDirectory::new(self.store.clone(), self.deps.clock.clone());
        let observability = self.observer(mails, leases, (swept, webhooks), tenants.clone());

        let SystemBuilder { settings, deps, store, keys, portals, specs, meters, .. } = self;
        let faults = FaultInjector { meters: meters.into(), outside: store.faults.clone() };
        let service = LoginService(Arc::new(Inner {
            issuer_url: settings.public_url.trim_end_matches('/').to_owned(),
            idle: settings.tokens.refresh_idle,
            clock: deps.clock.clone(),
            store,
            own_turns: Semaphore::new(own_sessions::AT_ONCE),
            tenants,
            guesses,
            notices,
            issuers,
            refresh,
            logout,
            logout_all,
            minters,
            keys,
            portals,
            observability,
        }));
        BuiltSystem { service, specs, faults }
    }

    fn keyring(&mut self) {
        let (vault, keys, policy) =
            (self.vault.clone(), self.keys.clone(), KeyPolicy::from(&self.settings.tokens));
        let keyring = Handle::new(Meter::new("keyring", None));
        self.add_periodic(&keyring, keyring::RHYTHM, move || Keyring {
            vault: vault.clone(),
            policy,
            keys: keys.clone(),
        });
    }

    fn portals(&mut self) {
        let (store, map) = (self.store.clone(), self.portals.clone());
        let portals = Handle::new(Meter::new("portals", None));
        self.add_periodic(&portals, portals::RHYTHM, move || Portals {
            store: store.clone(),
            map: map.clone(),
        });
    }

    fn mail(&mut self) -> (MailDispatcher, Handle<MailDispatcherMessage>) {
        let settings = self.settings.mail.clone();
        let counts: Arc<MailCounts> = Arc::default();
        let deps = MailerDeps {
            transport: self.deps.transport.clone(),
            sender: self.sender.clone(),
            templates: self.templates.clone(),
            keys: self.keys.clone(),
            deadline: settings.deadline,
            suppression: (settings.suppression_refused, self.store.clone()),
            counts: counts.clone(),
            faults: self.store.faults.clone(),
            meter: Meter::under("mailers", "mailer", None),
        };
        let mailer = deps.meter.clone();
        let (pool, mailers) = mailers(deps, (settings.workers.get(), settings.workers_max.get()));
        self.show(&mailers.instance.meter);
        self.show(&mailer);
        let dispatcher = MailDispatcher {
            store: self.store.clone(),
            clock: self.deps.clock.clone(),
            mailers: pool,
            capacity: MailCapacity::new(settings.queue.get()),
            holder: Uuid::new_v4(),
            lease: settings.lease,
            deadline: settings.deadline,
            // several within the part of a lease in which its mails may be begun
            tick: settings.sweep.min(settings.lease.saturating_sub(settings.deadline) / 4),
            batch_max: self.settings.database.batch_max.get(),
            keys: self.keys.clone(),
            signup: self.settings.signup_limits,
            counts,
        };
        let (handle, made) = (Handle::new(Meter::new("mail_dispatcher", None)), dispatcher.clone());
        self.add(&handle, move || made.clone());
        // drained before the dispatcher, which notes what the mailers report
        self.specs.push(mailers);
        (dispatcher, handle)
    }

    fn notifier(&mut self, capacity: Arc<MailCapacity>) -> NoticeCounts {
        let (store, clock, counts) = (self.store.clone(), self.deps.clock.clone(), NoticeCounts::default());
        let (transport, sender, templates) =
            (self.deps.transport.clone(), self.sender.clone(), self.templates.clone());
        let (handle, noted) = (Handle::new(Meter::new("notifier", None)), counts.clone());
        self.add_periodic(&handle, notifier::RHYTHM, move || Notifier {
            store: store.clone(),
            clock: clock.clone(),
            counts: noted.clone(),
            capacity: capacity.clone(),
            transport: transport.transport(sender.clone(), templates.clone()),
        });
        counts
    }

    fn login(
        &mut self,
        mail: MailDispatcher,
        mail_dispatcher: Handle<MailDispatcherMessage>,
    ) -> Handle<LedgerMessage<LoginBatch>> {
        let batch = LoginBatch {
            store: self.store.clone(),
            clock: self.deps.clock.clone(),
            policy: LoginPolicy::of(&self.settings),
            mail_dispatcher,
            capacity: mail.capacity,
            holder: mail.holder,
            lease: mail.lease,
            counts: mail.counts,
        };
        self.ledger("ledger.login", None, batch)
    }

    fn verify(&mut self) -> Handle<LedgerMessage<VerifyBatch>> {
        let batch = VerifyBatch {
            store: self.store.clone(),
            clock: self.deps.clock.clone(),
            idle: self.settings.tokens.refresh_idle,
            absolute: self.settings.tokens.refresh_absolute,
            sessions: self.settings.tokens.sessions_per_customer.get().into(),
        };
        self.ledger("ledger.verify", None, batch)
    }

    fn refresh(&mut self) -> Handle<LedgerMessage<RefreshBatch>> {
        let batch = RefreshBatch {
            store: self.store.clone(),
            clock: self.deps.clock.clone(),
            idle: self.settings.tokens.refresh_idle,
            retry_window: self.settings.tokens.retry_window,
            outcomes: self.outcomes.clone(),
        };
        self.ledger("ledger.refresh", Some(self.settings.admission.ledger_permits.get()), batch)
    }

    fn minters(&mut self) -> Pool<MinterMessage> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let minters = Pool::new(&Meter::new("minter", None), cores);
        for minter in minters.members.iter() {
            let keys = self.keys.clone();
            self.add(minter, move || Minter { keys: keys.clone() });
        }
        minters
    }

    fn issuers(
        &mut self,
        login: Handle<LedgerMessage<LoginBatch>>,
        verify: Handle<LedgerMessage<VerifyBatch>>,
    ) -> (Issuers, Arc<Leases>) {
        let admission = self.settings.admission;
        let meter = Meter::under("tenants", "issuer", Some(admission.issuer_permits.get()));
        let limit = TenantLimit::of(self.settings.tenant_limits);
        let leases = Arc::new(Leases::new(limit, self.store.clone(), self.deps.clock.clone()));
        let (keys, idle) = (self.keys.clone(), admission.issuer_idle);
        let deps = IssuerDeps { keys, login, verify, leases: leases.clone(), idle };
        let issuers = Issuers::new(meter.clone(), deps, admission.max_issuers.get());
        let (tenants, watched) = (Handle::new(Meter::new("tenants", None)), issuers.clone());
        self.add(&tenants, move || Tenants { issuers: watched.clone() });
        self.show(&meter);
        (issuers, leases)
    }

    fn guess_stats(&mut self) -> GuessCounts {
        let guesses = GuessCounts::default();
        let (store, clock, counts) = (self.store.clone(), self.deps.clock.clone(), guesses.clone());
        let guess_stats = Handle::new(Meter::new("guess_stats", None));
        self.add_periodic(&guess_stats, guess_stats::RHYTHM, move || GuessStats {
            store: store.clone(),
            clock: clock.clone(),
            counts: counts.clone(),
        });
        guesses
    }

    fn janitor(&mut self) -> Arc<SweepCounts> {
        let swept: Arc<SweepCounts> = Arc::default();
        let (store, clock, counts) = (self.store.clone(), self.deps.clock.clone(), swept.clone());
        let settings = self.settings.janitor;
        let janitor = Handle::new(Meter::new("janitor", None));
        let rhythm = Rhythm { interval: settings.interval, limit: janitor::LIMIT };
        self.add_periodic(&janitor, rhythm, move || Janitor {
            store: store.clone(),
            clock: clock.clone(),
            page: settings.batch.get().into(),
            counts: counts.clone(),
            cursors: [janitor::BEGINNING; janitor::TABLES],
        });
        swept
    }

    fn webhooks(&mut self) -> Arc<WebhookCounts> {
        let counts: Arc<WebhookCounts> = Arc::default();
        let (store, keys, counted) = (self.store.clone(), self.keys.clone(), counts.clone());
        let (tls, allow_private) = (webhooks::tls(), self.settings.webhooks.allow_private);
        let webhooks = Handle::new(Meter::new("webhooks", None));
        self.add_periodic(&webhooks, webhooks::RHYTHM, move || Webhooks {
            store: store.clone(),
            keys: keys.clone(),
            tls: tls.clone(),
            allow_private,
            counts: counted.clone(),
            running: JoinSet::new(),
        });
        counts
    }

    /// Last: it sees all that were added before.
    fn observer(
        &mut self,
        mails: Arc<MailCounts>,
        leases: Arc<Leases>,
        (swept, webhooks): (Arc<SweepCounts>, Arc<WebhookCounts>),
        tenants: TenantDirectory,
    ) -> Arc<Observability> {
        let observer = Handle::new(Meter::new("observer", None));
        self.show(&observer.meter);
        let observability = Arc::new(Observability {
            meters: self.meters.clone(),
            ledgers: std::mem::take(&mut self.ledgers),
            outcomes: self.outcomes.clone(),
            mails,
            providers: self.deps.transport.0.clone(),
            leases,
            busiest: Busiest::new(self.settings.tenant_metrics, self.portals.clone()),
            swept,
            webhooks,
            store: self.store.clone(),
            tenants,
            silent: Default::default(),
        });
        let (seen, meter) = (observability.clone(), observer.meter.clone());
        self.specs.push(child(&observer, move || {
            let task = Observer { observability: seen.clone(), silences: HashMap::new() };
            Periodic::new(task, observer::RHYTHM, meter.clone())
        }));
        observability
    }
}
