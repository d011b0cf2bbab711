-- Notes how far webhooks have come whose leases still hold, frees them, and disables one that is gone or failed for $1 µs, with an event.
--
-- $2 to $9 one array per column, unique by id: id, end of the lease as it was claimed, last event sent or left out, failed tries of the
-- one behind it, wait in µs, whether any was sent, why the last try failed (NULL: it did not), whether the receiver is gone.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
),
held AS MATERIALIZED (
    SELECT i.webhook_id, i.after_id, i.attempts, clock.now_us + i.wait_us AS due_us, f.failing_us, i.last_error,
        CASE WHEN i.gone THEN 'gone' WHEN f.failing_us <= clock.now_us - $1::bigint THEN 'failing' END AS disabled
    FROM clock CROSS JOIN (
        SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::int[], $6::bigint[], $7::boolean[], $8::text[], $9::boolean[])
            AS i (webhook_id, leased_us, after_id, attempts, wait_us, sent, last_error, gone)
        -- one lock order for all replicas
        ORDER BY webhook_id
    ) i CROSS JOIN LATERAL (
        SELECT w.failing_us FROM webhooks w WHERE w.webhook_id = i.webhook_id AND w.leased_us = i.leased_us LIMIT 1 FOR UPDATE
    ) w CROSS JOIN LATERAL (
        SELECT CASE WHEN i.last_error IS NULL THEN NULL WHEN i.sent THEN clock.now_us ELSE coalesce(w.failing_us, clock.now_us) END AS failing_us
    ) f
),
settled AS (
    UPDATE webhooks w SET after_id = h.after_id, attempts = h.attempts, due_us = h.due_us, leased_us = 0, failing_us = h.failing_us,
        last_error = h.last_error, disabled = h.disabled
    FROM held h
    WHERE w.webhook_id = ANY (ARRAY[h.webhook_id])
    RETURNING w.webhook_id, w.tenant_id, w.disabled
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.webhook_disabled', tenant_id, '{"type": "service", "id": null}', jsonb_build_array(event_target('webhook', webhook_id::text)), jsonb_build_object('reason', disabled)
    FROM settled WHERE disabled IS NOT NULL
)
SELECT webhook_id, disabled FROM settled
