-- Adds the first signing key, which signs at once; of several replicas, one succeeds.
--
-- $1 now in µs, or NULL for the database's clock. $2 kid, $3 algorithm, $4 PKCS#8, wrapped. $5 a wrapped purpose key of
-- this database as it was read: whoever wraps with a master key that is no longer the one adds nothing.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
witness AS MATERIALIZED (
    SELECT 1 FROM purpose_keys WHERE wrapped = $5 FOR SHARE
)
INSERT INTO signing_keys (kid, algorithm, wrapped, created_us, active_us)
SELECT $2, $3, $4, now_us, now_us
FROM clock, witness
WHERE NOT EXISTS (SELECT FROM signing_keys WHERE retired_us IS NULL)
ON CONFLICT DO NOTHING
