-- Ends all sessions of the customers whose live sessions are presented, whatever generation each token is of.
--
-- $1 now in µs, or NULL for the database's clock. $2 and $3 one array per column.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
asked AS MATERIALIZED (
    SELECT DISTINCT s.tenant_id, s.customer_id
    FROM clock, sessions s JOIN unnest($2::uuid[], $3::uuid[]) AS i (tenant_id, session_key) USING (tenant_id, session_key)
    WHERE least(s.idle_until_us, s.expires_us) > clock.now_us
),
gone AS MATERIALIZED (
    SELECT s.tenant_id, s.session_key
    FROM sessions s JOIN asked USING (tenant_id, customer_id)
    -- one lock order for all replicas
    ORDER BY s.tenant_id, s.session_key
    FOR UPDATE OF s
)
DELETE FROM sessions s USING gone g
WHERE s.tenant_id = g.tenant_id AND s.session_key = g.session_key
RETURNING s.tenant_id, s.session_key
