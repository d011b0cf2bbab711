-- Lets mail to an address out again.
--
-- $1 tenant, $2 address key; $3 actor and $4 context of the event. Returns whose it is, and whether it was suppressed.
WITH customer AS MATERIALIZED (
    SELECT customer_id, external_id FROM customers WHERE tenant_id = $1 AND address_key = $2
),
lifted AS (
    DELETE FROM suppressed_addresses WHERE tenant_id = $1 AND address_key = $2 RETURNING address_key
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'customer.mail_restored', $1, $3::text::jsonb, jsonb_build_array(customer_target(customer_id, external_id)), '{}'
    FROM customer CROSS JOIN lifted
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $4::text::jsonb FROM noted WHERE $4::text IS NOT NULL
)
SELECT customer_id, (SELECT count(*) FROM lifted) FROM customer
