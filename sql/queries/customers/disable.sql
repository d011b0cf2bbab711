-- Disables a customer and ends all of its sessions, in one step.
WITH customer AS (
    UPDATE customers SET disabled = true, updated_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id
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
)
SELECT c.customer_id, (SELECT count(*) FROM ended) FROM customer c
