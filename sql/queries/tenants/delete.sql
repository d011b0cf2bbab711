-- Deletes a frozen tenant with all that belongs to it, but for its events. $2 actor and $3 context of the event.
WITH gone AS MATERIALIZED (
    SELECT tenant_id, slug FROM tenants WHERE slug = $1 AND frozen_us IS NOT NULL FOR UPDATE
),
challenges_gone AS (DELETE FROM challenges WHERE tenant_id = (SELECT tenant_id FROM gone)),
sessions_gone AS (DELETE FROM sessions WHERE tenant_id = (SELECT tenant_id FROM gone)),
hours_gone AS (DELETE FROM tenant_hours WHERE tenant_id = (SELECT tenant_id FROM gone)),
-- the others follow it
tenant_gone AS (DELETE FROM tenants WHERE tenant_id = (SELECT tenant_id FROM gone)),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.tenant_deleted', tenant_id, $2::text::jsonb, jsonb_build_array(event_target('tenant', slug)), '{}'
    FROM gone
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $3::text::jsonb FROM noted WHERE $3::text IS NOT NULL
)
SELECT count(*) FROM gone
