-- Lists the signing keys in the order in which they sign, and the time.
--
-- $1 now in µs, or NULL for the database's clock.
SELECT kid, algorithm, wrapped, created_us, active_us, retired_us, gone_us,
    coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
FROM signing_keys
-- the one without a successor is the last also if it took over in the same microsecond
ORDER BY active_us, retired_us NULLS LAST, kid
