-- Gives one page of a tenant's customers, after a given id, in the primary key's order.
SELECT customer_id, email, disabled, created_us, external_id, locale, claims::text, greatest(created_us, updated_us)
FROM customers
WHERE tenant_id = $1 AND customer_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
ORDER BY customer_id
LIMIT $3
