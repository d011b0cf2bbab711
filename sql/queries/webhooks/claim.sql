-- Leases at most $1 webhooks for $2 µs that are due and have events behind them, each to one claimant, the longest due first.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
),
-- as events/read.sql: younger ones could still come before it
newest AS MATERIALIZED (
    SELECT e.event_id FROM clock CROSS JOIN LATERAL (
        SELECT event_id FROM events WHERE event_id < event_floor(clock.now_us - 10000000) ORDER BY event_id DESC LIMIT 1
    ) e
),
due AS MATERIALIZED (
    SELECT w.webhook_id FROM clock CROSS JOIN newest n CROSS JOIN webhooks w
    WHERE w.disabled IS NULL AND w.due_us <= clock.now_us AND w.leased_us <= clock.now_us AND w.after_id < n.event_id
    ORDER BY w.due_us, w.webhook_id
    LIMIT $1
    FOR UPDATE OF w SKIP LOCKED
)
UPDATE webhooks w SET leased_us = clock.now_us + $2::bigint
FROM clock CROSS JOIN due d
WHERE w.webhook_id = ANY (ARRAY[d.webhook_id])
RETURNING w.webhook_id, w.tenant_id, w.url, w.types, w.secret_version, w.former_until_us > clock.now_us AS former, w.after_id, w.attempts, w.leased_us
