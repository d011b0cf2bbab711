-- Gives the live sessions of the customer whose live session $3 is presented, the newest first; nothing if that one has ended.
--
-- $1 now in µs, or NULL for the database's clock. $2 tenant, $3 session.
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
)
SELECT s.session_key, s.created_us, s.rotated_us, s.browser
FROM clock CROSS JOIN presented p CROSS JOIN LATERAL (
    SELECT s.session_key, s.created_us, s.rotated_us, s.browser FROM sessions s
    WHERE s.customer_id = p.customer_id AND s.tenant_id IS NOT DISTINCT FROM p.tenant_id
        AND least(s.idle_until_us, s.expires_us) > clock.now_us
    OFFSET 0
) s
ORDER BY s.created_us DESC, s.session_key
