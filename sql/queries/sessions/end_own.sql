-- Ends session $4 if it is of the customer whose live session $3 is presented.
--
-- $1 now in µs, or NULL for the database's clock. $2 tenant. Returns whether $3 is live, and whether $4 was ended; of a frozen tenant nothing.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
presented AS MATERIALIZED (
    SELECT s.tenant_id, s.customer_id FROM clock CROSS JOIN LATERAL (
        SELECT s.tenant_id, s.customer_id FROM sessions s
        WHERE (s.tenant_id, s.session_key) = ($2::uuid, $3::uuid) AND least(s.idle_until_us, s.expires_us) > clock.now_us
            AND NOT (SELECT t.disabled FROM tenants t WHERE t.tenant_id = $2::uuid)
        LIMIT 1
    ) s
),
held AS MATERIALIZED (
    SELECT s.tenant_id, s.session_key FROM presented p CROSS JOIN LATERAL (
        SELECT s.tenant_id, s.session_key FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (p.tenant_id, $4::uuid)
            AND (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = $2::uuid) IS NULL AND s.customer_id IS NOT DISTINCT FROM p.customer_id
        LIMIT 1
        FOR UPDATE
    ) s
),
ended AS (
    DELETE FROM sessions s USING held h
    WHERE s.tenant_id = ANY (ARRAY[h.tenant_id]) AND s.session_key = h.session_key
    RETURNING s.tenant_id, s.session_key, s.customer_id
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id((SELECT now_us FROM clock)), 'session.revoked', tenant_id, event_target('customer', customer_id::text),
        jsonb_build_array(event_target('session', session_key::text)), '{}'
    FROM ended
)
SELECT EXISTS (SELECT FROM presented) AS live, EXISTS (SELECT FROM ended) AS ended
WHERE (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = $2::uuid) IS NULL
