-- Deletes a customer and all of its sessions. The address's budgets stay: they hold no address, and guard the next one.
WITH customer AS (
    DELETE FROM customers WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id
), ended AS (
    DELETE FROM sessions s USING customer c
    WHERE s.tenant_id = $1 AND s.customer_id = c.customer_id
    RETURNING s.session_key
)
SELECT c.customer_id, (SELECT count(*) FROM ended) FROM customer c
