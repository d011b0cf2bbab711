-- Deletes a customer, its sessions and its known devices. The address's budgets stay: they hold no address.
WITH customer AS (
    DELETE FROM customers WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id
), forgotten AS (
    UPDATE challenges
    SET devices_from_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, known_tags = '{}', known_days = '{}'
    WHERE tenant_id = $1 AND address_key = $2 AND EXISTS (SELECT FROM customer)
    RETURNING address_key
), locked AS (
    -- After the challenge and in key order, as the ledger locks them, so that the two cannot deadlock.
    SELECT s.session_key
    FROM sessions s JOIN customer c ON s.customer_id = c.customer_id
    WHERE s.tenant_id = $1 AND (SELECT count(*) FROM forgotten) >= 0
    ORDER BY s.session_key
    FOR UPDATE OF s
), ended AS (
    DELETE FROM sessions s USING locked l
    WHERE s.tenant_id = $1 AND s.session_key = l.session_key
    RETURNING s.session_key
)
SELECT c.customer_id, (SELECT count(*) FROM ended) FROM customer c
