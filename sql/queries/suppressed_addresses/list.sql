-- Gives a page of a tenant's suppressed addresses, after a given key, with their customers.
--
-- $1 tenant, $2 the key behind which the page begins, $3 rows.
SELECT s.address_key, k.customer_id, k.external_id, k.email, s.reason, s.since_us, s.until_us
FROM (
    SELECT * FROM suppressed_addresses
    WHERE tenant_id = $1 AND address_key > $2
        AND until_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    ORDER BY address_key
    LIMIT $3
) s CROSS JOIN LATERAL (
    SELECT k.customer_id, k.external_id, k.email FROM customers k
    WHERE (k.tenant_id, k.address_key) = (s.tenant_id, s.address_key) AND (k.tenant_id, k.address_key) >= (s.tenant_id, s.address_key)
    LIMIT 1
) k
ORDER BY s.address_key
