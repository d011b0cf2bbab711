-- Deletes what has ended of a tenant's suppressed addresses.
DELETE FROM suppressed_addresses
WHERE tenant_id = $1 AND address_key >= '00000000-0000-0000-0000-000000000000'
    AND until_us <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
