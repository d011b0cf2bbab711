-- Ends the sessions of the presented tokens, whatever generation each token is of; returns those of frozen tenants, of which nothing is ended.
WITH asked AS MATERIALIZED (
    SELECT i.*, (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = i.tenant_id) IS NOT NULL AS frozen
    FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, session_key)
),
gone AS MATERIALIZED (
    SELECT s.tenant_id, s.session_key
    -- one lock order for all replicas
    FROM (SELECT * FROM asked WHERE NOT frozen ORDER BY tenant_id, session_key) i CROSS JOIN LATERAL (
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
    SELECT event_id(NULL), 'session.revoked', tenant_id, event_target('customer', customer_id::text),
        jsonb_build_array(event_target('session', session_key::text)), '{}'
    FROM ended
)
SELECT tenant_id, session_key FROM asked WHERE frozen
