-- Finds a tenant by its slug: what an issuer needs to know of it.
--
-- $2 now in µs, or NULL for the database's clock. `tripped`: failed guesses of the last 24 hours outgrew 100 + 0.3 per success.
WITH clock AS MATERIALIZED (
    SELECT (coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) / 3600000000)::int AS hour
)
SELECT t.tenant_id, t.step_up, t.disabled, t.signup IS NOT NULL AS signs_up, is_sprayed(g.failures, g.successes) AS tripped
FROM clock CROSS JOIN tenants t CROSS JOIN LATERAL (
    SELECT sum(h.failures) AS failures, sum(h.successes) AS successes
    FROM tenant_hours h WHERE h.tenant_id = t.tenant_id AND h.hour > clock.hour - 24
) g
WHERE t.slug = $1
