-- Puts failed mails off until their next try.
--
-- $1 now in µs, or NULL for the database's clock. $6 per row, µs from now.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
late AS MATERIALIZED (
    SELECT d.tenant_id, d.address_key, i.wait_us
    FROM mail_due d
    JOIN unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[]) AS i (tenant_id, address_key, challenge_id, asked_us, wait_us)
        USING (tenant_id, address_key, challenge_id, asked_us)
    -- one lock order for all replicas
    ORDER BY d.tenant_id, d.address_key
    FOR UPDATE OF d
)
UPDATE mail_due d SET leased_us = clock.now_us + late.wait_us, attempts = least(d.attempts + 1, 100)
FROM late, clock
WHERE d.tenant_id = late.tenant_id AND d.address_key = late.address_key
