-- Adds up what a replica counted, and forgets hours that no longer count.
--
-- $1 now in µs, or NULL for the database's clock. Tenants are unique.
WITH clock AS MATERIALIZED (
    SELECT (coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) / 3600000000)::int AS hour
),
old AS MATERIALIZED (
    SELECT i.tenant_id, clock.hour - 25 AS hour FROM clock CROSS JOIN unnest($2::uuid[]) AS i (tenant_id)
),
forgotten AS (
    DELETE FROM tenant_hours h USING old o
    WHERE h.tenant_id = ANY (ARRAY[o.tenant_id]) AND h.hour <= o.hour
)
INSERT INTO tenant_hours AS h (tenant_id, hour, failures, successes)
SELECT i.tenant_id, clock.hour, i.failures, i.successes
FROM clock CROSS JOIN unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS i (tenant_id, failures, successes)
-- one lock order for all replicas
ORDER BY i.tenant_id
ON CONFLICT (tenant_id, hour) DO UPDATE SET
    failures = h.failures + excluded.failures, successes = h.successes + excluded.successes
