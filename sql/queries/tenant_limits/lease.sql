-- Leases up to $3 requests of a slug's limit to one replica: no more than the limit admits, over all replicas.
--
-- What was leased under a clock that has been put back since counts as the burst, and keeps nobody waiting until that time.
--
-- $1 now in µs, or NULL for the database's clock. $4 burst, $5 period in µs. Returns how many were granted, and how long
-- until the next one would be, µs.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
leased AS (
    INSERT INTO tenant_limits AS l (slug_hash, tat, leased_us, granted)
    SELECT $2::uuid, now_us + least($3::bigint, $4::bigint) * $5::bigint, now_us, least($3::bigint, $4::bigint) FROM clock
    ON CONFLICT (slug_hash) DO UPDATE SET
        tat = greatest(gcra_settled(l.tat, excluded.leased_us, $4::bigint, $5::bigint), excluded.leased_us)
            + limit_grants(l.tat, excluded.leased_us, $3::bigint, $4::bigint, $5::bigint) * $5::bigint,
        leased_us = excluded.leased_us,
        granted = limit_grants(l.tat, excluded.leased_us, $3::bigint, $4::bigint, $5::bigint)
    RETURNING l.tat, l.granted
)
SELECT granted, greatest(0, tat - ($4::bigint - 1) * $5::bigint - now_us) AS wait_us FROM leased, clock
