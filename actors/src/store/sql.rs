//! The table of statements: every `.sql` file under `sql/queries` that the running service uses, embedded.
//! A test prepares every file of that folder against the migrated schema.

macro_rules! statements {
    ($($name:ident = $path:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../../../sql/queries/", $path));)*
    };
}

statements! {
    LOGIN = "challenges/login.sql";
    VERIFY = "challenges/verify.sql";
    SWEEP_CHALLENGES = "challenges/sweep.sql";
    REFRESH = "sessions/refresh.sql";
    LOGOUT = "sessions/logout.sql";
    END_ALL_SESSIONS = "sessions/end_all.sql";
    LIST_OWN_SESSIONS = "sessions/list_own.sql";
    END_OWN_SESSION = "sessions/end_own.sql";
    FIND_SESSIONS = "sessions/find.sql";
    SWEEP_SESSIONS = "sessions/sweep.sql";
    CLAIM_OUTBOX = "outbox/claim.sql";
    RESOLVE_OUTBOX = "outbox/resolve.sql";
    SETTLE_OUTBOX = "outbox/settle.sql";
    ADD_SUPPRESSED = "suppressed_addresses/add.sql";
    SWEEP_SUPPRESSED = "suppressed_addresses/sweep.sql";
    ADD_NOTICES = "notices/add.sql";
    CLAIM_NOTICES = "notices/claim.sql";
    SETTLE_NOTICES = "notices/settle.sql";
    ADD_GUESSES = "tenant_hours/add.sql";
    LEASE_LIMIT = "tenant_limits/lease.sql";
    SWEEP_LIMITS = "tenant_limits/sweep.sql";
    READ_EVENTS = "events/read.sql";
    CLAIM_WEBHOOKS = "webhooks/claim.sql";
    SETTLE_WEBHOOKS = "webhooks/settle.sql";
    SWEEP_EVENTS = "events/sweep.sql";
    SWEEP_EVENT_CONTEXTS = "events/sweep_contexts.sql";
    RESOLVE_TENANT = "tenants/resolve.sql";
    FINGERPRINT_PORTALS = "portals/fingerprint.sql";
    LIST_PORTALS = "portals/list.sql";
    LIST_PURPOSE_KEYS = "purpose_keys/list.sql";
    ADD_PURPOSE_KEYS = "purpose_keys/add.sql";
    SUCCEED_PURPOSE_KEY = "purpose_keys/succeed.sql";
    SWEEP_PURPOSE_KEYS = "purpose_keys/sweep.sql";
    ADOPT_PURPOSE_KEYS = "purpose_keys/adopt.sql";
    REWRAP_PURPOSE_KEYS = "purpose_keys/rewrap.sql";
    LIST_SIGNING_KEYS = "signing_keys/list.sql";
    ADD_FIRST_SIGNING_KEY = "signing_keys/add_first.sql";
    SUCCEED_SIGNING_KEY = "signing_keys/succeed.sql";
    SWEEP_SIGNING_KEYS = "signing_keys/sweep.sql";
    ADOPT_SIGNING_KEYS = "signing_keys/adopt.sql";
    REWRAP_SIGNING_KEYS = "signing_keys/rewrap.sql";
    LOCK_KEYS = "signing_keys/lock.sql";
    LOCK_FOR_RECOVERY = "recovery/lock.sql";
    RECOVER_CODES = "recovery/codes.sql";
    RECOVER_MAILS = "recovery/mails.sql";
    RECOVER_SESSIONS = "recovery/sessions.sql";
}

/// The migrations, in order.
pub(crate) const MIGRATIONS: &[(i32, &str, &str)] = &[
    (1, "tenants", include_str!("../../../sql/migrations/0001_tenants.sql")),
    (2, "customers", include_str!("../../../sql/migrations/0002_customers.sql")),
    (3, "challenges", include_str!("../../../sql/migrations/0003_challenges.sql")),
    (4, "rules", include_str!("../../../sql/migrations/0004_rules.sql")),
    (5, "sessions", include_str!("../../../sql/migrations/0005_sessions.sql")),
    (6, "keys", include_str!("../../../sql/migrations/0006_keys.sql")),
    (7, "tenant_limits", include_str!("../../../sql/migrations/0007_tenant_limits.sql")),
    (8, "lookups", include_str!("../../../sql/migrations/0008_lookups.sql")),
    (9, "outbox", include_str!("../../../sql/migrations/0009_outbox.sql")),
    (10, "hosted_page", include_str!("../../../sql/migrations/0010_hosted_page.sql")),
    (11, "strangers", include_str!("../../../sql/migrations/0011_strangers.sql")),
    (12, "customer_profiles", include_str!("../../../sql/migrations/0012_customer_profiles.sql")),
    (13, "own_sessions", include_str!("../../../sql/migrations/0013_own_sessions.sql")),
    (14, "token_claims", include_str!("../../../sql/migrations/0014_token_claims.sql")),
    (15, "test_codes", include_str!("../../../sql/migrations/0015_test_codes.sql")),
    (16, "admin", include_str!("../../../sql/migrations/0016_admin.sql")),
    (17, "mail", include_str!("../../../sql/migrations/0017_mail.sql")),
    (18, "signup", include_str!("../../../sql/migrations/0018_signup.sql")),
    (19, "sprays", include_str!("../../../sql/migrations/0019_sprays.sql")),
    (20, "mail_providers", include_str!("../../../sql/migrations/0020_mail_providers.sql")),
    (21, "suppressed_addresses", include_str!("../../../sql/migrations/0021_suppressed_addresses.sql")),
    (22, "notices", include_str!("../../../sql/migrations/0022_notices.sql")),
    (23, "event_targets", include_str!("../../../sql/migrations/0023_event_targets.sql")),
    (24, "webhooks", include_str!("../../../sql/migrations/0024_webhooks.sql")),
    (25, "clock_steps", include_str!("../../../sql/migrations/0025_clock_steps.sql")),
    (26, "moves", include_str!("../../../sql/migrations/0026_moves.sql")),
    (27, "untouched_shares", include_str!("../../../sql/migrations/0027_untouched_shares.sql")),
];
