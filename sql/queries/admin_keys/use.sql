-- Gives what a presented key may do, if it is one and has not expired, and notes its use at most once a minute.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
),
found AS MATERIALIZED (
    SELECT k.key_id, k.scopes, k.tenant_id, clock.now_us, k.last_used_us
    FROM clock CROSS JOIN LATERAL (SELECT * FROM admin_keys k WHERE k.key_id = $1 LIMIT 1) k
    WHERE k.secret_hash = $2 AND coalesce(k.expires_us > clock.now_us, true)
),
used AS (
    UPDATE admin_keys k SET last_used_us = f.now_us
    FROM found f
    WHERE k.key_id = ANY (ARRAY[f.key_id]) AND f.last_used_us < f.now_us - 60000000
)
SELECT f.scopes, f.tenant_id FROM found f
