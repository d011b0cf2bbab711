-- Deletes a tenant's test codes whose time is over.
DELETE FROM test_codes
WHERE tenant_id = $1 AND address_key >= '00000000-0000-0000-0000-000000000000'
    AND expires_us <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
