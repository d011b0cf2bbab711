-- Deletes, among the next $3 sessions behind the key ($1, $2), those that ended by themselves.
--
-- $4 now in µs, or NULL for the database's clock. Returns how many were looked at, how many went, and the last key.
WITH clock AS MATERIALIZED (
    SELECT coalesce($4::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
page AS MATERIALIZED (
    SELECT tenant_id, session_key FROM sessions
    WHERE (tenant_id, session_key) > ($1::uuid, $2::uuid)
    ORDER BY tenant_id, session_key
    LIMIT $3::bigint
),
empty AS MATERIALIZED (
    SELECT p.tenant_id, p.session_key
    -- one lock order for all replicas
    FROM clock CROSS JOIN (SELECT * FROM page ORDER BY tenant_id, session_key) p CROSS JOIN LATERAL (
        SELECT FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (p.tenant_id, p.session_key) AND least(s.idle_until_us, s.expires_us) <= now_us
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) s
),
gone AS (
    DELETE FROM sessions s USING empty e
    WHERE s.tenant_id = ANY (ARRAY[e.tenant_id]) AND s.session_key = e.session_key
    RETURNING 1
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM gone) AS gone,
    (SELECT tenant_id FROM page ORDER BY tenant_id DESC, session_key DESC LIMIT 1) AS last_tenant,
    (SELECT session_key FROM page ORDER BY tenant_id DESC, session_key DESC LIMIT 1) AS last_session
