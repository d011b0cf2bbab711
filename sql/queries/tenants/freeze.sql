-- Freezes a tenant ($2), or lets it go on: of one that is frozen nothing is written. $3 actor and $4 context of the event.
WITH changed AS (
    UPDATE tenants SET frozen_us = CASE WHEN $2 THEN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint END
    WHERE slug = $1 AND (frozen_us IS NULL) = $2
    RETURNING tenant_id, slug
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), CASE WHEN $2 THEN 'admin.tenant_frozen' ELSE 'admin.tenant_unfrozen' END, tenant_id, $3::text::jsonb, jsonb_build_array(event_target('tenant', slug)), '{}'
    FROM changed
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT count(*) FROM changed
