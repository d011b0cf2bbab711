-- Adds the first versions of purpose keys, all or none; if another replica was first, its keys stay.
--
-- $1 now in µs, or NULL for the database's clock. $2, $3 one array per column. $4 a wrapped key of this database as it
-- was read, or NULL if it had none: whoever wraps with a master key that is no longer the one adds nothing.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
witness AS MATERIALIZED (
    SELECT 1 FROM purpose_keys WHERE wrapped = $4::bytea FOR SHARE
)
INSERT INTO purpose_keys (purpose, version, wrapped, created_us, active_us)
SELECT i.purpose, 1, i.wrapped, now_us, now_us
FROM clock, unnest($2::text[], $3::bytea[]) AS i (purpose, wrapped)
WHERE EXISTS (SELECT FROM witness) OR ($4::bytea IS NULL AND NOT EXISTS (SELECT FROM purpose_keys))
ON CONFLICT (purpose, version) DO NOTHING
