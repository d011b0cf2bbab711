-- Makes a customer, or nothing if the address is one already.
INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us, external_id, locale, claims)
VALUES ($1, $2, $3, $4, false, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, $5, $6, $7::text::jsonb)
ON CONFLICT (tenant_id, address_key) DO NOTHING
