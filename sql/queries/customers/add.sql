-- Makes a customer, or nothing if the address is one already. $8 actor and $9 context of the event.
WITH made AS (
    INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us, external_id, locale, claims)
    VALUES ($1, $2, $3, $4, false, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, $5, $6, $7::text::jsonb)
    ON CONFLICT (tenant_id, address_key) DO NOTHING
    RETURNING customer_id, external_id
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'customer.created', $1, $8::text::jsonb, jsonb_build_array(customer_target(customer_id, external_id)), '{}'
    FROM made
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $9::text::jsonb FROM noted WHERE $9::text IS NOT NULL
)
SELECT count(*) FROM made
