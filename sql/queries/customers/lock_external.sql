-- Gives the customer of an external id and keeps others from changing it until the transaction ends.
SELECT customer_id, email, disabled, created_us, external_id, locale, claims::text, greatest(created_us, updated_us), address_key
FROM customers
WHERE external_key = external_key($1, $2) AND (tenant_id, external_id) IS NOT DISTINCT FROM ($1, $2)
FOR UPDATE
