-- Publishes signing keys of another cell, which sign nothing here: they were active until 0.
--
-- $1 to $4 one array per column; $5 how long one is published whose end is not known yet, µs.
INSERT INTO signing_keys AS s (kid, algorithm, wrapped, created_us, active_us, retired_us, gone_us)
SELECT i.kid, i.algorithm, i.wrapped, now_us, 0, 0, coalesce(i.gone_us, now_us + $5::bigint)
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock
CROSS JOIN unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[]) AS i (kid, algorithm, wrapped, gone_us)
ON CONFLICT (kid) DO UPDATE SET gone_us = excluded.gone_us WHERE s.active_us = 0
