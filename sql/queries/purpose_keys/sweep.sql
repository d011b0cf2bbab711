-- Deletes versions that are of no use any more. $1 now in µs, or NULL for the database's clock.
DELETE FROM purpose_keys
WHERE gone_us <= coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
RETURNING purpose, version
