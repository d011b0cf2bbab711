-- Changes what is given of a tenant and leaves the rest; $3 tells whether $4, which may be NULL, is meant, $7, $12, $14 and $16 the same of $8, $13, $15 and $17.
-- $10 actor and $11 context of the event.
WITH changed AS (
    UPDATE tenants
    SET name = coalesce($2, name),
        portal_host = CASE WHEN $3 THEN $4 ELSE portal_host END,
        step_up = coalesce($5, step_up),
        return_urls = coalesce($6, return_urls),
        colour = CASE WHEN $7 THEN $8 ELSE colour END,
        token_claims = coalesce($9, token_claims),
        locale = CASE WHEN $12 THEN $13 ELSE locale END,
        reply_to = CASE WHEN $14 THEN $15 ELSE reply_to END,
        signup = CASE WHEN $16 THEN $17 ELSE signup END,
        mail_providers = CASE WHEN $18::text[] IS NULL THEN mail_providers ELSE nullif($18::text[], '{}') END,
        new_device_notice = coalesce($19, new_device_notice)
    WHERE tenant_id = $1
    RETURNING tenant_id, slug
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.tenant_updated', tenant_id, $10::text::jsonb, jsonb_build_array(event_target('tenant', slug)), '{}'
    FROM changed
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $11::text::jsonb FROM noted WHERE $11::text IS NOT NULL
)
SELECT count(*) FROM changed
