-- Makes a webhook that begins with the events of now, or nothing when there are 1,000, or 10 for the same events' owner.
--
-- $1 id, $2 tenant or NULL, $3 URL, $4 types; $5 actor and $6 context of the event.
WITH made AS (
    INSERT INTO webhooks (webhook_id, tenant_id, url, types, created_us, after_id)
    SELECT $1, $2::uuid, $3, $4, now_us, event_floor(now_us)
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock
    WHERE (SELECT count(*) FROM webhooks) < 1000
        AND (SELECT count(*) FROM webhooks WHERE tenant_id IS NOT DISTINCT FROM $2::uuid) < 10
    RETURNING webhook_id, tenant_id
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.webhook_created', tenant_id, $5::text::jsonb, jsonb_build_array(event_target('webhook', webhook_id::text)), '{}'
    FROM made
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $6::text::jsonb FROM noted WHERE $6::text IS NOT NULL
)
SELECT count(*) FROM made
