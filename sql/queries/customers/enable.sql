-- Enables a customer. It must log in anew. $3 actor and $4 context of the event.
WITH customer AS (
    UPDATE customers SET disabled = false, updated_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id, external_id
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'customer.updated', $1, $3::text::jsonb, jsonb_build_array(customer_target(customer_id, external_id)), '{}'
    FROM customer
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT customer_id, 0::bigint FROM customer
