-- Suppresses those of some addresses that are customers', for a time; of two ends the later one counts.
--
-- $1 time in µs. $2 and $3 one array per column, rows unique: tenants and address keys. $4 reason; $5 actor of the events.
-- Returns whose they were.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
),
asked AS MATERIALIZED (
    SELECT i.*, clock.now_us
    FROM clock CROSS JOIN ROWS FROM (unnest($2::uuid[], $3::uuid[]), generate_series(1, cardinality($2::uuid[])))
        AS i (tenant_id, address_key, place)
),
found AS MATERIALIZED (
    SELECT a.*, k.customer_id, k.external_id
    FROM asked a CROSS JOIN LATERAL (
        SELECT k.customer_id, k.external_id FROM customers k
        WHERE (k.tenant_id, k.address_key) = (a.tenant_id, a.address_key) AND (k.tenant_id, k.address_key) >= (a.tenant_id, a.address_key)
        LIMIT 1
    ) k
),
suppressed AS (
    INSERT INTO suppressed_addresses AS s (tenant_id, address_key, reason, since_us, until_us)
    SELECT tenant_id, address_key, $4::text, now_us, now_us + $1::bigint
    FROM found ORDER BY tenant_id, address_key
    ON CONFLICT (tenant_id, address_key) DO UPDATE
    SET reason = excluded.reason, until_us = greatest(s.until_us, excluded.until_us)
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'customer.mail_suppressed', tenant_id, $5::text::jsonb,
        jsonb_build_array(customer_target(customer_id, external_id)), jsonb_build_object('reason', $4::text)
    FROM found
)
SELECT tenant_id FROM found
