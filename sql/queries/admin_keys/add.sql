-- Makes a key of the admin API, or nothing when there are 1,000.
--
-- $1 id, $2 name, $3 SHA-256 of its secret, $4 scopes, $5 tenant or NULL, $6 its life in µs or NULL; $7 actor and $8 context of the event.
WITH made AS (
    INSERT INTO admin_keys (key_id, name, secret_hash, scopes, tenant_id, created_us, expires_us)
    SELECT $1, $2, $3, $4, $5::uuid, now_us, now_us + $6::bigint
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock
    WHERE (SELECT count(*) FROM admin_keys) < 1000
    RETURNING key_id, scopes, tenant_id, created_us, expires_us
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.key_created', tenant_id, $7::text::jsonb, jsonb_build_array(event_target('admin_key', key_id)), jsonb_build_object('scopes', scopes)
    FROM made
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $8::text::jsonb FROM noted WHERE $8::text IS NOT NULL
)
SELECT created_us, expires_us FROM made
