-- Makes customers by their external ids, or changes them to what is given, and ends the sessions of those that are disabled and the test codes of addresses that are left.
--
-- $1 tenant. $2 to $8 one array per column, external ids and address keys unique in them: external_id, address_key, email, locale,
-- claims as text, disabled, customer_id (of a new one). $9 actor and $10 context of the events.
-- A customer without an external id who has the address is given the id.
-- verdict: 0 the address belongs to another customer, 1 made, 2 changed, 3 as it was.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
),
asked AS MATERIALIZED (
    SELECT $1::uuid AS tenant_id, i.external_id, i.address_key, i.email, i.locale, i.claims::jsonb AS claims, i.disabled, i.new_id, i.place, clock.now_us
    FROM clock CROSS JOIN ROWS FROM (
        unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::uuid[]), generate_series(1, cardinality($2::text[]))
    ) AS i (external_id, address_key, email, locale, claims, disabled, new_id, place)
),
found AS MATERIALIZED (
    SELECT a.*, x.row AS by_id, k.row AS by_address
    FROM asked a LEFT JOIN LATERAL (
        SELECT c AS row FROM customers c
        WHERE c.external_key = external_key(a.tenant_id, a.external_id) AND (c.tenant_id, c.external_id) IS NOT DISTINCT FROM (a.tenant_id, a.external_id)
        LIMIT 1
    ) x ON true LEFT JOIN LATERAL (
        SELECT c AS row FROM customers c
        WHERE (c.tenant_id, c.address_key) = (a.tenant_id, a.address_key) AND (c.tenant_id, c.address_key) >= (a.tenant_id, a.address_key)
        LIMIT 1
    ) k ON true
),
judged AS MATERIALIZED (
    SELECT f.*, coalesce((by_id).customer_id, (by_address).customer_id, new_id) AS customer_id,
        coalesce((by_id).created_us, (by_address).created_us, now_us) AS created_us,
        CASE
            WHEN (by_id).customer_id IS NULL AND (by_address).customer_id IS NULL THEN 1
            WHEN (by_id).customer_id IS NULL AND (by_address).external_id IS NULL THEN 2
            WHEN (by_id).customer_id IS NULL OR (by_address).customer_id <> (by_id).customer_id THEN 0
            WHEN ((by_id).email, (by_id).claims, (by_id).disabled) = (email, claims, disabled)
                AND (by_id).locale IS NOT DISTINCT FROM locale THEN 3
            ELSE 2
        END AS verdict
    FROM found f
),
made AS (
    INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us, external_id, locale, claims)
    SELECT tenant_id, customer_id, address_key, email, disabled, now_us, external_id, locale, claims
    FROM judged WHERE verdict = 1
    ORDER BY address_key
),
changed AS (
    UPDATE customers c SET address_key = j.address_key, email = j.email, disabled = j.disabled, external_id = j.external_id,
        locale = j.locale, claims = j.claims, updated_us = j.now_us
    FROM judged j
    WHERE c.tenant_id = ANY (ARRAY[j.tenant_id]) AND c.customer_id = j.customer_id
        AND (c.tenant_id, c.customer_id) >= (j.tenant_id, j.customer_id) AND j.verdict = 2
),
-- a test code is of one address and ends with it
left_behind AS (
    DELETE FROM test_codes t USING judged j
    WHERE t.tenant_id = ANY (ARRAY[j.tenant_id]) AND t.address_key = (j.by_id).address_key
        AND j.verdict = 2 AND (j.by_id).address_key <> j.address_key
),
-- and so does what a provider said of it
forgotten AS (
    DELETE FROM suppressed_addresses s USING judged j
    WHERE s.tenant_id = ANY (ARRAY[j.tenant_id]) AND s.address_key = (j.by_id).address_key
        AND j.verdict = 2 AND (j.by_id).address_key <> j.address_key
),
to_end AS MATERIALIZED (
    SELECT s.tenant_id, s.session_key, i.customer_id
    -- one lock order for all replicas
    FROM (
        SELECT s.tenant_id, s.session_key, j.customer_id FROM judged j CROSS JOIN LATERAL (
            SELECT s.tenant_id, s.session_key FROM sessions s
            WHERE s.customer_id = j.customer_id AND s.tenant_id IS NOT DISTINCT FROM j.tenant_id
            OFFSET 0
        ) s
        WHERE j.disabled AND j.verdict = 2
        ORDER BY s.tenant_id, s.session_key
    ) i CROSS JOIN LATERAL (
        SELECT s.tenant_id, s.session_key FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (i.tenant_id, i.session_key)
        LIMIT 1
        FOR UPDATE
    ) s
),
ended AS (
    DELETE FROM sessions s USING to_end d
    WHERE s.tenant_id = ANY (ARRAY[d.tenant_id]) AND s.session_key = d.session_key
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), n.type, $1, $9::text::jsonb, n.targets, '{}'
    FROM (
        SELECT CASE verdict WHEN 1 THEN 'customer.created' ELSE 'customer.updated' END AS type,
            jsonb_build_array(customer_target(customer_id, external_id)) AS targets
        FROM judged WHERE verdict IN (1, 2)
        UNION ALL
        SELECT 'session.revoked', jsonb_build_array(event_target('session', session_key::text), event_target('customer', customer_id::text))
        FROM to_end
    ) n
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $10::text::jsonb FROM noted WHERE $10::text IS NOT NULL
)
SELECT customer_id, email, disabled, created_us, external_id, locale, claims::text,
    CASE WHEN verdict = 3 THEN greatest(created_us, (by_id).updated_us) ELSE now_us END, verdict
FROM judged
ORDER BY place
