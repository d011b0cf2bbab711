//! The statements of the directory, one file each.

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) const $name: &str = include_str!(concat!("../../../sql/queries/", $file));)*

        /// All of them, in an order in which each can be prepared, for the test that does so.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$(($file, $name)),*];
    };
}

statements! {
    TENANTS_ADD = "tenants/add.sql",
    TENANTS_LIST = "tenants/list.sql",
    CHALLENGES_ISSUE = "challenges/issue.sql",
    TEST_CODES_LOCK = "test_codes/lock.sql",
    TEST_CODES_SWEEP = "test_codes/sweep.sql",
    TEST_CODES_ADD = "test_codes/add.sql",
    TEST_CODES_REMOVE = "test_codes/remove.sql",
    TENANTS_FIND = "tenants/find.sql",
    TENANTS_NEAR = "tenants/near.sql",
    TENANTS_FIGURES = "tenants/figures.sql",
    TENANTS_CHANGE = "tenants/change.sql",
    TENANTS_SET_DISABLED = "tenants/set_disabled.sql",
    TENANTS_PAGE = "tenants/page.sql",
    TENANTS_FREEZE = "tenants/freeze.sql",
    TENANTS_WRITERS = "tenants/writers.sql",
    TENANTS_MOVE_HEAD = "tenants/move_head.sql",
    TENANTS_EXPORT_PATIENCE = "tenants/export_patience.sql",
    TENANTS_EXPORT = "tenants/export.sql",
    TENANTS_IMPORT = "tenants/import.sql",
    TENANTS_IMPORT_NOTE = "tenants/import_note.sql",
    TENANTS_DELETE = "tenants/delete.sql",
    ORIGINS_ADD = "origins/add.sql",
    ORIGINS_OWNER = "origins/owner.sql",
    ORIGINS_CLEAR = "origins/clear.sql",
    CUSTOMERS_ADD = "customers/add.sql",
    CUSTOMERS_FIND = "customers/find.sql",
    CUSTOMERS_FIND_EXTERNAL = "customers/find_external.sql",
    CUSTOMERS_LOCK_EXTERNAL = "customers/lock_external.sql",
    CUSTOMERS_PUT = "customers/put.sql",
    CUSTOMERS_LIST = "customers/list.sql",
    CUSTOMERS_END_SESSIONS = "customers/end_sessions.sql",
    CUSTOMERS_ENABLE = "customers/enable.sql",
    IMPORT_PATIENCE = "customers/import_patience.sql",
    IMPORT_STAGE = "customers/import_stage.sql",
    IMPORT_COPY = "customers/import_copy.sql",
    IMPORT_INSERT = "customers/import_insert.sql",
    IMPORT_UNPLACED = "customers/import_unplaced.sql",
    IMPORT_NOTE = "customers/import_note.sql",
    IMPORT_ANALYSE = "customers/import_analyse.sql",
    SESSIONS_LIST = "sessions/list.sql",
    SESSIONS_REVOKE_ONE = "sessions/revoke_one.sql",
    SUPPRESSED_ADD = "suppressed_addresses/add.sql",
    SUPPRESSED_LIST = "suppressed_addresses/list.sql",
    SUPPRESSED_LIFT = "suppressed_addresses/lift.sql",
    SUPPRESSED_SWEEP = "suppressed_addresses/sweep.sql",
    ADMIN_KEYS_ADD = "admin_keys/add.sql",
    ADMIN_KEYS_LIST = "admin_keys/list.sql",
    ADMIN_KEYS_REVOKE = "admin_keys/revoke.sql",
    ADMIN_KEYS_USE = "admin_keys/use.sql",
    WEBHOOKS_ADD = "webhooks/add.sql",
    WEBHOOKS_FROZEN = "webhooks/frozen.sql",
    WEBHOOKS_LIST = "webhooks/list.sql",
    WEBHOOKS_CHANGE = "webhooks/change.sql",
    WEBHOOKS_DELETE = "webhooks/delete.sql",
}
