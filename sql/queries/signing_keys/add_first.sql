-- Adds a signing key that signs at once, if there is none of its algorithm yet; of two replicas, one wins.
INSERT INTO signing_keys (kid, algorithm, wrapped, created_us, active_us)
SELECT $1, $2, $3, n.now_us, n.now_us
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) n
WHERE NOT EXISTS (SELECT FROM signing_keys WHERE algorithm = $2 AND retired_us IS NULL)
