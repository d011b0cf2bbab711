-- Deletes, among the next $3 challenges behind the key ($1, $2), those that hold nothing: no live code, no spent budget, no known client; ends codes of a clock that was put back.
--
-- $4 now in µs, or NULL for the database's clock. Returns how many were looked at, how many went, and the last key.
WITH clock AS MATERIALIZED (
    SELECT coalesce($4::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
page AS MATERIALIZED (
    SELECT tenant_id, address_key FROM challenges
    WHERE (tenant_id, address_key) > ($1::uuid, $2::uuid)
    ORDER BY tenant_id, address_key
    LIMIT $3::bigint
),
over AS MATERIALIZED (
    SELECT p.tenant_id, p.address_key, c.ahead
    -- one lock order for all replicas
    FROM clock CROSS JOIN (SELECT * FROM page ORDER BY tenant_id, address_key) p CROSS JOIN LATERAL (
        SELECT is_ahead(c.expires_us, now_us) AS ahead FROM challenges c
        WHERE (c.tenant_id, c.address_key) = (p.tenant_id, p.address_key)
          AND (is_ahead(c.expires_us, now_us) OR greatest(c.expires_us, c.s_mail_tat, c.s_quiet_us, c.s_digit_tat, c.s_base32_tat,
                       c.k_mail_tat, c.k_quiet_us, c.k_digit_tat, c.k_base32_tat) < now_us
          -- a device cookie lives 180 days, so must the mark that ended the older ones
          AND c.devices_from_us < now_us - 15552000000000
          AND coalesce(c.known_days[1], 0) <= now_us / 86400000000 - 90)
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) c
),
gone AS (
    DELETE FROM challenges c USING over o
    WHERE c.tenant_id = ANY (ARRAY[o.tenant_id]) AND c.address_key = o.address_key AND NOT o.ahead
    RETURNING 1
),
ended AS (
    UPDATE challenges c SET expires_us = 0, s_quiet_us = 0, k_quiet_us = 0 FROM over o
    WHERE c.tenant_id = ANY (ARRAY[o.tenant_id]) AND c.address_key = o.address_key AND o.ahead
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM gone) AS gone,
    (SELECT tenant_id FROM page ORDER BY tenant_id DESC, address_key DESC LIMIT 1) AS last_tenant,
    (SELECT address_key FROM page ORDER BY tenant_id DESC, address_key DESC LIMIT 1) AS last_address
