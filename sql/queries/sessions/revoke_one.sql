-- Ends one session. $3 actor and $4 context of the event.
WITH gone AS (
    DELETE FROM sessions WHERE tenant_id = $1 AND session_key = $2 RETURNING session_key, customer_id
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'session.revoked', $1, $3::text::jsonb, jsonb_build_array(event_target('session', session_key::text), event_target('customer', customer_id::text)), '{}'
    FROM gone
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT count(*) FROM gone
