-- Makes a tenant, or nothing if the slug is taken. $6 actor and $7 context of the event.
WITH made AS (
    INSERT INTO tenants (tenant_id, slug, name, portal_host, step_up, disabled, created_us)
    VALUES ($1, $2, $3, $4, $5, false, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    ON CONFLICT (slug) DO NOTHING
    RETURNING tenant_id, slug
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.tenant_created', tenant_id, $6::text::jsonb, jsonb_build_array(event_target('tenant', slug)), '{}'
    FROM made
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $7::text::jsonb FROM noted WHERE $7::text IS NOT NULL
)
SELECT count(*) FROM made
