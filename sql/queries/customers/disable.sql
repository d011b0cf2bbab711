-- Disables a customer and ends all of its sessions, in one step.
-- $1 tenant, $2 address key; $3 actor and $4 context of the events.
WITH customer AS (
    UPDATE customers SET disabled = true, updated_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id, external_id
), locked AS (
    -- In key order, as the ledger locks them, so that the two cannot deadlock.
    SELECT s.tenant_id, s.session_key FROM sessions s
    WHERE s.customer_id = (SELECT customer_id FROM customer) AND s.tenant_id IS NOT DISTINCT FROM $1
    ORDER BY s.session_key
    FOR UPDATE
), ended AS (
    DELETE FROM sessions s USING locked l
    WHERE s.tenant_id = ANY (ARRAY[l.tenant_id]) AND s.session_key = l.session_key
    RETURNING s.session_key
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), n.type, $1, $3::text::jsonb, n.targets, '{}'
    FROM (
        SELECT 'customer.updated' AS type, jsonb_build_array(customer_target(c.customer_id, c.external_id)) AS targets FROM customer c
        UNION ALL
        SELECT 'session.revoked' AS type, jsonb_build_array(event_target('session', e.session_key::text), event_target('customer', c.customer_id::text)) AS targets
        FROM ended e CROSS JOIN customer c
    ) n
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT c.customer_id, (SELECT count(*) FROM ended) FROM customer c
