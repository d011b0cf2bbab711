-- Enables a customer. It must log in anew.
UPDATE customers SET disabled = false, updated_us = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    WHERE tenant_id = $1 AND address_key = $2 RETURNING customer_id, 0::bigint
