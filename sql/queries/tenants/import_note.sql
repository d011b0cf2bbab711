-- Notes that a tenant has come from another cell. $2 rows, $3 actor and $4 context of the event.
WITH noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.tenant_imported', t.tenant_id, $3::text::jsonb, jsonb_build_array(event_target('tenant', t.slug)), jsonb_build_object('rows', $2::bigint)
    FROM (SELECT tenant_id, slug FROM tenants WHERE tenant_id = $1) t
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT
