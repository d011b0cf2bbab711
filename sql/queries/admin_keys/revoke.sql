-- Ends a key of the admin API, from the next request on. $2 actor and $3 context of the event.
WITH gone AS (
    DELETE FROM admin_keys WHERE key_id = $1 RETURNING key_id, tenant_id
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.key_revoked', tenant_id, $2::text::jsonb, jsonb_build_array(event_target('admin_key', key_id)), '{}'
    FROM gone
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $3::text::jsonb FROM noted WHERE $3::text IS NOT NULL
)
SELECT count(*) FROM gone
