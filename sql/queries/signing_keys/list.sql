-- Lists the signing keys that are not gone, oldest first, and the time.
SELECT kid, algorithm, wrapped, created_us, active_us, retired_us, gone_us,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
FROM signing_keys
WHERE gone_us IS NULL OR gone_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
ORDER BY active_us, kid
