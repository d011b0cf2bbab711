-- Enables a customer. It must log in anew.
UPDATE customers SET disabled = false WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id, 0::bigint
