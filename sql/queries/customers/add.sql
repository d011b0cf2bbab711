-- Makes a customer, or nothing if the address is one already.
INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us)
VALUES ($1, $2, $3, $4, false, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (tenant_id, address_key) DO NOTHING
