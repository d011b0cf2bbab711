-- Puts rows of tenants/export.sql ($1, a JSON object each) into their tables, and says how many it took.
--
-- It takes none of another tenant than $2, or of a table that it does not know. References are looked at when the statement is
-- done, so the order of its rows is of no concern.
WITH given AS MATERIALIZED (
    SELECT l.line ->> 'table' AS name, l.line -> 'row' AS row FROM unnest($1::text[]::jsonb[]) AS l (line)
),
tenants_put AS (
    INSERT INTO tenants
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::tenants, g.row) r
    WHERE g.name = 'tenants' AND r.tenant_id = $2
    RETURNING 1
),
origins_put AS (
    INSERT INTO origins
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::origins, g.row) r
    WHERE g.name = 'origins' AND r.tenant_id = $2
    RETURNING 1
),
admin_keys_put AS (
    INSERT INTO admin_keys
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::admin_keys, g.row) r
    WHERE g.name = 'admin_keys' AND r.tenant_id = $2
    RETURNING 1
),
webhooks_put AS (
    INSERT INTO webhooks
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::webhooks, g.row) r
    WHERE g.name = 'webhooks' AND r.tenant_id = $2
    RETURNING 1
),
tenant_hours_put AS (
    INSERT INTO tenant_hours
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::tenant_hours, g.row) r
    WHERE g.name = 'tenant_hours' AND r.tenant_id = $2
    RETURNING 1
),
customers_put AS (
    INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us, external_id, locale, claims, updated_us)
    SELECT r.tenant_id, r.customer_id, r.address_key, r.email, r.disabled, r.created_us, r.external_id, r.locale, r.claims, r.updated_us FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::customers, g.row) r
    WHERE g.name = 'customers' AND r.tenant_id = $2
    RETURNING 1
),
challenges_put AS (
    INSERT INTO challenges
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::challenges, g.row) r
    WHERE g.name = 'challenges' AND r.tenant_id = $2
    RETURNING 1
),
sessions_put AS (
    INSERT INTO sessions
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::sessions, g.row) r
    WHERE g.name = 'sessions' AND r.tenant_id = $2
    RETURNING 1
),
test_codes_put AS (
    INSERT INTO test_codes
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::test_codes, g.row) r
    WHERE g.name = 'test_codes' AND r.tenant_id = $2
    RETURNING 1
),
suppressed_addresses_put AS (
    INSERT INTO suppressed_addresses
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::suppressed_addresses, g.row) r
    WHERE g.name = 'suppressed_addresses' AND r.tenant_id = $2
    RETURNING 1
),
notices_put AS (
    INSERT INTO notices
    SELECT r.* FROM given g CROSS JOIN LATERAL jsonb_populate_record(NULL::notices, g.row) r
    WHERE g.name = 'notices' AND r.tenant_id = $2
    RETURNING 1
)
SELECT (SELECT count(*) FROM tenants_put)
    + (SELECT count(*) FROM origins_put)
    + (SELECT count(*) FROM admin_keys_put)
    + (SELECT count(*) FROM webhooks_put)
    + (SELECT count(*) FROM tenant_hours_put)
    + (SELECT count(*) FROM customers_put)
    + (SELECT count(*) FROM challenges_put)
    + (SELECT count(*) FROM sessions_put)
    + (SELECT count(*) FROM test_codes_put)
    + (SELECT count(*) FROM suppressed_addresses_put)
    + (SELECT count(*) FROM notices_put) AS taken
