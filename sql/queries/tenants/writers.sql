-- Gives the transactions that write tenants' rows at this moment: each may have begun before a tenant was frozen, and not know it.
SELECT DISTINCT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()
    AND relation = ANY (ARRAY['challenges', 'sessions', 'customers', 'tenants', 'origins', 'test_codes',
        'suppressed_addresses', 'admin_keys', 'webhooks']::regclass[]::oid[])
