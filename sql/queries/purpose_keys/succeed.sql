-- Adds the version after the newest of a purpose key; of several who do so at once, one succeeds.
--
-- $1 now in µs, or NULL for the database's clock. $2 purpose. $3 the newest version's wrapped form as it was read: if
-- the master key has changed since, so has this. $4 the new version, $5 its wrapped form. $6 how long until every
-- replica knows it and it is used, $7 how long the one before is of use after that; µs.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
before AS (
    UPDATE purpose_keys SET gone_us = greatest(active_us, now_us + $6::bigint) + $7::bigint
    FROM clock
    WHERE purpose = $2 AND version = $4::int - 1 AND wrapped = $3 AND gone_us IS NULL
    RETURNING greatest(active_us, now_us + $6::bigint) AS over_us
)
INSERT INTO purpose_keys (purpose, version, wrapped, created_us, active_us)
SELECT $2, $4::int, $5, now_us, over_us
FROM clock, before
RETURNING active_us
