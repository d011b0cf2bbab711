-- Closes or opens a tenant. Its sessions stay: they are refused while it is closed. $3 actor and $4 context of the event.
WITH changed AS (
    UPDATE tenants SET disabled = $2 WHERE slug = $1 RETURNING tenant_id, slug
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), CASE WHEN $2 THEN 'admin.tenant_disabled' ELSE 'admin.tenant_enabled' END, tenant_id, $3::text::jsonb, jsonb_build_array(event_target('tenant', slug)), '{}'
    FROM changed
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT count(*) FROM changed
