-- Claims notices that are due, each for one claimant, with whom they go to (`email` NULL: to nobody), and deletes those whose day is over.
--
-- $1 now in µs, or NULL for the database's clock. $2 lease in µs, $3 rows.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
due AS MATERIALIZED (
    SELECT n.*, clock.now_us FROM clock CROSS JOIN LATERAL (
        SELECT n.tenant_id, n.address_key, n.kind, n.happened_us, n.note, n.attempts, n.is_done FROM notices n
        WHERE n.due_us <= clock.now_us
        ORDER BY n.due_us
        LIMIT $3::bigint
        FOR UPDATE SKIP LOCKED
    ) n
),
over AS (
    DELETE FROM notices n USING due d
    WHERE n.tenant_id = ANY (ARRAY[d.tenant_id]) AND n.address_key = d.address_key AND n.kind = d.kind AND d.is_done
),
leased AS (
    UPDATE notices n SET due_us = d.now_us + $2::bigint, attempts = least(n.attempts + 1, 100)
    FROM due d
    WHERE n.tenant_id = ANY (ARRAY[d.tenant_id]) AND n.address_key = d.address_key AND n.kind = d.kind AND NOT d.is_done
)
SELECT d.tenant_id, d.address_key, d.kind, d.happened_us, d.note, d.attempts, k.email, false AS is_new, k.customer_id, k.locale,
    t.slug, t.name, t.portal_host, t.colour, t.reply_to, t.locale AS tenant_locale, t.mail_providers
FROM due d
LEFT JOIN LATERAL (
    SELECT k.email, k.customer_id, k.locale FROM customers k
    WHERE (k.tenant_id, k.address_key) = (d.tenant_id, d.address_key) AND (k.tenant_id, k.address_key) >= (d.tenant_id, d.address_key)
        AND NOT k.disabled
        AND (SELECT x.until_us FROM suppressed_addresses x WHERE (x.tenant_id, x.address_key) = (d.tenant_id, d.address_key)
            AND x.until_us > d.now_us LIMIT 1) IS NULL
    LIMIT 1
) k ON true
LEFT JOIN LATERAL (
    SELECT t.slug, t.name, t.portal_host, t.colour, t.reply_to, t.locale, t.mail_providers FROM tenants t
    WHERE t.tenant_id = d.tenant_id AND k.email IS NOT NULL AND NOT t.disabled
    LIMIT 1
) t ON true
WHERE NOT d.is_done
