-- Deletes keys that signed no token that may still be valid. $1 now in µs, or NULL for the database's clock.
DELETE FROM signing_keys
WHERE gone_us <= coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
RETURNING kid
