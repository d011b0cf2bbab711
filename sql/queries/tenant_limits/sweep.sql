-- Deletes, among the next $2 limits behind the key $1, those that are whole again.
--
-- $3 now in µs, or NULL for the database's clock. Returns how many were looked at, how many went, and the last key.
WITH clock AS MATERIALIZED (
    SELECT coalesce($3::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
page AS MATERIALIZED (
    SELECT slug_hash FROM tenant_limits WHERE slug_hash > $1::uuid ORDER BY slug_hash LIMIT $2::bigint
),
whole AS MATERIALIZED (
    SELECT p.slug_hash
    -- one lock order for all replicas
    FROM clock CROSS JOIN (SELECT * FROM page ORDER BY slug_hash) p CROSS JOIN LATERAL (
        SELECT FROM tenant_limits l
        WHERE l.slug_hash = p.slug_hash AND l.tat < now_us
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) l
),
gone AS (
    DELETE FROM tenant_limits l USING whole w WHERE l.slug_hash = ANY (ARRAY[w.slug_hash]) RETURNING 1
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM gone) AS gone,
    (SELECT slug_hash FROM page ORDER BY slug_hash DESC LIMIT 1) AS last_hash
