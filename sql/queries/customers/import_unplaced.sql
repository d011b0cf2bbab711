-- Gives the lines of an import whose address is still no customer: another one has their id.
SELECT i.line
FROM customers_import i
WHERE NOT EXISTS (SELECT FROM customers c WHERE c.tenant_id = $1 AND c.address_key = i.address_key)
ORDER BY i.line
