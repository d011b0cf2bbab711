-- Ends a webhook. $2 its tenant, or NULL for anybody's; $3 actor and $4 context of the event.
WITH gone AS (
    DELETE FROM webhooks WHERE webhook_id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) RETURNING webhook_id, tenant_id
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.webhook_deleted', tenant_id, $3::text::jsonb, jsonb_build_array(event_target('webhook', webhook_id::text)), '{}'
    FROM gone
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT count(*) FROM gone
