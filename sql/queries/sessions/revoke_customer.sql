-- Ends all sessions of a customer and makes its device cookies strangers, in one step.
WITH customer AS (
    UPDATE customers SET device_epoch = device_epoch + 1
    WHERE tenant_id = $1 AND address_key = $2
    RETURNING customer_id
), ended AS (
    DELETE FROM sessions s USING customer c
    WHERE s.tenant_id = $1 AND s.customer_id = c.customer_id
    RETURNING s.session_key
)
SELECT c.customer_id, (SELECT count(*) FROM ended) FROM customer c
