-- Takes purpose keys of another cell; of those that are here it takes their end only, once one is known.
--
-- $1 to $5 one array per column; $6 how long until every replica knows a version that is new here, µs.
INSERT INTO purpose_keys AS p (purpose, version, wrapped, created_us, active_us, gone_us)
SELECT i.purpose, i.version, i.wrapped, now_us, greatest(i.active_us, now_us + $6::bigint), i.gone_us
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock
CROSS JOIN unnest($1::text[], $2::int[], $3::bytea[], $4::bigint[], $5::bigint[]) AS i (purpose, version, wrapped, active_us, gone_us)
ON CONFLICT (purpose, version) DO UPDATE SET gone_us = coalesce(excluded.gone_us, p.gone_us)
