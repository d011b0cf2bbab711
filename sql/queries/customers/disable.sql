-- Disables a customer and ends all of its sessions, in one step.
WITH customer AS (
    UPDATE customers SET disabled = true WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id
), ended AS (
    DELETE FROM sessions s USING customer c
    WHERE s.tenant_id = $1 AND s.customer_id = c.customer_id
    RETURNING s.session_key
)
SELECT c.customer_id, (SELECT count(*) FROM ended) FROM customer c
