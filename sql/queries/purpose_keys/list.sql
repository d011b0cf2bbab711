-- Lists every version of every purpose key, wrapped, and the time.
--
-- $1 now in µs, or NULL for the database's clock.
SELECT purpose, version, wrapped, created_us, active_us, gone_us,
    coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
FROM purpose_keys
ORDER BY purpose, version
