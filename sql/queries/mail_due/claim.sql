-- Claims up to $3 mails whose lease has passed (a crash, a retry, another replica's leftovers), each for one claimant, for $2 µs.
--
-- $1 now in µs, or NULL for the database's clock.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
free AS MATERIALIZED (
    SELECT d.tenant_id, d.address_key
    FROM mail_due d, clock
    WHERE d.leased_us <= clock.now_us
    ORDER BY d.tenant_id, d.address_key
    LIMIT $3::bigint
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE mail_due d SET leased_us = clock.now_us + $2::bigint
FROM free, clock
WHERE d.tenant_id = free.tenant_id AND d.address_key = free.address_key
RETURNING d.tenant_id, d.address_key, d.challenge_id, d.alphabet, d.expires_us, d.asked_us, d.attempts, clock.now_us
