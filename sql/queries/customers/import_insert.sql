-- Makes customers of an import's rows, in key order, leaving addresses and ids that exist as they are.
INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us, external_id, locale, claims)
SELECT $1, customer_id, address_key, email, false, (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
    external_id, locale, claims::jsonb
FROM customers_import
ORDER BY address_key
ON CONFLICT DO NOTHING
