-- Changes what is given of a webhook; the next try is due at once, and whoever tries now has lost the lease.
--
-- $1 id, $2 its tenant, or NULL for anybody's. $3 URL, $4 types, $5 whether it is disabled, $6 the event to go on behind; NULL: as it
-- is. $7 whether another secret follows, beside which the one of now signs for $8 µs more. $9 type, $10 actor, $11 context of the event.
WITH changed AS (
    UPDATE webhooks w SET
        url = coalesce($3, url),
        types = coalesce($4, types),
        disabled = CASE WHEN $5::boolean THEN coalesce(disabled, 'by_admin') WHEN NOT $5::boolean THEN NULL ELSE disabled END,
        after_id = coalesce($6::uuid, after_id),
        secret_version = secret_version + $7::boolean::int,
        former_until_us = CASE WHEN $7::boolean THEN now_us + $8::bigint ELSE former_until_us END,
        attempts = 0, due_us = 0, leased_us = 0, failing_us = NULL, last_error = NULL
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock
    WHERE w.webhook_id = $1 AND ($2::uuid IS NULL OR w.tenant_id = $2)
    RETURNING w.webhook_id, w.tenant_id
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), $9, tenant_id, $10::text::jsonb, jsonb_build_array(event_target('webhook', webhook_id::text)), '{}'
    FROM changed
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $11::text::jsonb FROM noted WHERE $11::text IS NOT NULL
)
SELECT count(*) FROM changed
