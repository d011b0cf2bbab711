-- Ends all sessions of a customer, in one step with what else is done to the customer.
-- $1 tenant, $2 address key; $3 actor and $4 context of the events. $5 what else: 'disable', 'delete', or 'forget' its devices and
-- networks, which 'delete' does too. The address's budgets stay: they hold no address.
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
), customer AS MATERIALIZED (
    SELECT customer_id, external_id FROM customers WHERE tenant_id = $1 AND address_key = $2 FOR UPDATE
), disabled AS (
    UPDATE customers SET disabled = true, updated_us = (SELECT now_us FROM clock)
    WHERE tenant_id = $1 AND address_key = $2 AND $5::text = 'disable'
), deleted AS (
    DELETE FROM customers WHERE tenant_id = $1 AND address_key = $2 AND $5 = 'delete'
), forgotten AS (
    -- Also where a sweep took the row: cookies of devices outlive it. The code of a row made here is nobody's.
    INSERT INTO challenges AS c (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, touched_us,
        devices_from_us, alphabet, s_guesses, k_guesses, known_asked, mail_now)
    SELECT $1, $2, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 0, now_us, now_us, 0, 0, 0, false, false
    FROM customer CROSS JOIN clock WHERE $5 <> 'disable'
    ON CONFLICT (tenant_id, address_key) DO UPDATE
    SET devices_from_us = excluded.devices_from_us, known_tags = '{}', known_days = '{}'
    RETURNING c.address_key
), locked AS (
    -- After the challenge and in key order, as the ledger locks them, so that the two cannot deadlock.
    SELECT s.tenant_id, s.session_key FROM sessions s
    WHERE s.customer_id = (SELECT customer_id FROM customer) AND s.tenant_id IS NOT DISTINCT FROM $1 AND (SELECT count(*) FROM forgotten) >= 0
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
        SELECT CASE $5 WHEN 'delete' THEN 'customer.deleted' ELSE 'customer.updated' END AS type,
            jsonb_build_array(customer_target(c.customer_id, c.external_id)) AS targets
        FROM customer c WHERE $5 <> 'forget'
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
