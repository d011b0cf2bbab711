-- Gives an address its test code, in place of one that it has; nothing where five other addresses of the tenant have one.
--
-- $1 tenant, $2 address, $3 MAC, $4 life in µs. Returns when it ends.
INSERT INTO test_codes (tenant_id, address_key, base32_mac, created_us, expires_us)
SELECT $1, $2, $3, now_us, now_us + $4::bigint
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock
WHERE (
    SELECT count(*) FROM test_codes t
    WHERE t.tenant_id = $1 AND t.address_key >= '00000000-0000-0000-0000-000000000000' AND t.address_key IS DISTINCT FROM $2
) < 5
ON CONFLICT (tenant_id, address_key) DO UPDATE
SET base32_mac = excluded.base32_mac, created_us = excluded.created_us, expires_us = excluded.expires_us
RETURNING expires_us
