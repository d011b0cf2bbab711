-- Gives one page of a tenant's customers, after a given id, in the primary key's order.
SELECT customer_id, email, disabled, created_us
FROM customers
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR customer_id > $2)
ORDER BY customer_id
LIMIT $3
