-- Gives the customer of an address.
SELECT customer_id, email, disabled, created_us, external_id, locale, claims::text, greatest(created_us, updated_us)
FROM customers
WHERE tenant_id = $1 AND address_key = $2
