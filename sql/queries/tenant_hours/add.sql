-- Adds up what a replica counted, notes it once when a tenant's failures outgrow what is normal, and forgets hours that no longer count.
--
-- $1 now in µs, or NULL for the database's clock. Tenants are unique. `place` is a tenant's rank here.
WITH clock AS MATERIALIZED (
    SELECT now_us, (now_us / 3600000000)::int AS hour
    FROM (SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us) c
),
counted AS MATERIALIZED (
    SELECT i.*, clock.hour, row_number() OVER (ORDER BY i.tenant_id) AS place
    FROM clock CROSS JOIN ROWS FROM (
        unnest($2::uuid[], $3::bigint[], $4::bigint[]), generate_series(1, cardinality($2::uuid[]))
    ) AS i (tenant_id, failures, successes, given)
),
forgotten AS (
    DELETE FROM tenant_hours h USING counted c
    WHERE h.tenant_id = ANY (ARRAY[c.tenant_id]) AND h.hour <= c.hour - 25
),
added AS (
    INSERT INTO tenant_hours AS h (tenant_id, hour, failures, successes)
    SELECT tenant_id, hour, failures, successes FROM counted
    -- one lock order for all replicas
    ORDER BY tenant_id
    ON CONFLICT (tenant_id, hour) DO UPDATE SET
        failures = h.failures + excluded.failures, successes = h.successes + excluded.successes
    RETURNING h.tenant_id, h.hour, h.failures, h.successes
),
ranked AS (
    SELECT a.*, row_number() OVER (ORDER BY a.tenant_id) AS place FROM added a
),
summed AS (
    SELECT r.tenant_id, r.failures + p.failures AS failures, r.successes + p.successes AS successes,
        c.failures AS new_failures, c.successes AS new_successes
    FROM ranked r JOIN counted c USING (place) CROSS JOIN LATERAL (
        SELECT coalesce(sum(h.failures), 0) AS failures, coalesce(sum(h.successes), 0) AS successes
        FROM tenant_hours h WHERE h.tenant_id = r.tenant_id AND h.hour > r.hour - 24 AND h.hour < r.hour
    ) p
)
INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
SELECT event_id(now_us), 'guesses.stepped_up', t.tenant_id, '{"type": "service", "id": null}', jsonb_build_array(event_target('tenant', t.slug)),
    jsonb_build_object('failures', s.failures, 'successes', s.successes)
FROM clock CROSS JOIN summed s CROSS JOIN LATERAL (
    SELECT t.tenant_id, t.slug FROM tenants t
    WHERE t.tenant_id = s.tenant_id AND t.step_up = 1
    LIMIT 1
) t
WHERE is_sprayed(s.failures, s.successes) AND NOT is_sprayed(s.failures - s.new_failures, s.successes - s.new_successes)
