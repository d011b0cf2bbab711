-- Gives the lines of an import whose address is still no customer: another one has their id.
SELECT i.line
FROM customers_import i LEFT JOIN LATERAL (
    SELECT true AS is_placed FROM customers c
    WHERE (c.tenant_id, c.address_key) = ($1, i.address_key) AND (c.tenant_id, c.address_key) >= ($1, i.address_key)
    LIMIT 1
) c ON true
WHERE c.is_placed IS NULL
ORDER BY i.line
