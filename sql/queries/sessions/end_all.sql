-- Ends all sessions of the customers whose live sessions are presented, whatever generation each token is of.
--
-- $1 now in µs, or NULL for the database's clock. $2 and $3 one array per column. Returns the sessions of frozen tenants, of which nothing is ended.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
presented AS MATERIALIZED (
    SELECT i.*, (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = i.tenant_id) IS NOT NULL AS frozen
    FROM unnest($2::uuid[], $3::uuid[]) AS i (tenant_id, session_key)
),
asked AS MATERIALIZED (
    SELECT s.tenant_id, s.customer_id
    FROM clock CROSS JOIN (SELECT * FROM presented WHERE NOT frozen) i CROSS JOIN LATERAL (
        SELECT s.tenant_id, s.customer_id FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (i.tenant_id, i.session_key) AND least(s.idle_until_us, s.expires_us) > clock.now_us
        LIMIT 1
    ) s
),
gone AS MATERIALIZED (
    SELECT s.tenant_id, s.session_key
    -- one lock order for all replicas
    FROM (
        SELECT DISTINCT ON (s.tenant_id, s.session_key) s.tenant_id, s.session_key FROM asked a CROSS JOIN LATERAL (
            SELECT s.tenant_id, s.session_key FROM sessions s
            WHERE s.customer_id = a.customer_id AND s.tenant_id IS NOT DISTINCT FROM a.tenant_id
            OFFSET 0
        ) s
        ORDER BY s.tenant_id, s.session_key
    ) i CROSS JOIN LATERAL (
        SELECT s.tenant_id, s.session_key FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (i.tenant_id, i.session_key)
        LIMIT 1
        FOR UPDATE
    ) s
),
ended AS (
    DELETE FROM sessions s USING gone g
    WHERE s.tenant_id = ANY (ARRAY[g.tenant_id]) AND s.session_key = g.session_key
    RETURNING s.tenant_id, s.session_key, s.customer_id
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id((SELECT now_us FROM clock)), 'session.revoked', tenant_id, event_target('customer', customer_id::text),
        jsonb_build_array(event_target('session', session_key::text)), '{}'
    FROM ended
)
SELECT tenant_id, session_key FROM presented WHERE frozen
