-- Adds the key that follows the newest one; of several who do so at once, one succeeds.
--
-- $1 now in µs, or NULL for the database's clock. $2 the newest key's kid, $3 its wrapped form as it was read: if the
-- master key has changed since, so has this. $4 kid, $5 algorithm, $6 PKCS#8, wrapped. $7 how long it is published
-- before it signs, $8 how long the one before stays published after that. $9 only if the newest key will then have
-- signed for that long (NULL: in any case); µs.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
before AS (
    UPDATE signing_keys SET
        -- one that waits to sign later than the new one never does
        active_us = least(active_us, now_us + $7::bigint),
        retired_us = now_us + $7::bigint,
        gone_us = now_us + $7::bigint + $8::bigint
    FROM clock
    WHERE kid = $2 AND wrapped = $3 AND retired_us IS NULL
        AND ($9::bigint IS NULL OR active_us + $9::bigint <= now_us + $7::bigint)
    RETURNING retired_us, gone_us
),
-- the one before a key that waited signs no longer than until then either
sooner AS (
    UPDATE signing_keys s SET retired_us = b.retired_us, gone_us = b.gone_us
    FROM before b
    WHERE s.retired_us > b.retired_us
)
INSERT INTO signing_keys (kid, algorithm, wrapped, created_us, active_us)
SELECT $4, $5, $6, now_us, before.retired_us
FROM clock, before
RETURNING active_us
