-- Looks at each mail's address before the mail leaves: whether its code can still be used, and where it goes.
--
-- That is the stored address of an enabled customer of an enabled tenant who has no test code and is not suppressed; the typed one ($7), if it
-- is no customer and may become one; or nowhere (`slug` NULL).
-- $1 now in µs, or NULL for the database's clock. $2 to $7 one array per column; `place` tells the rows of the answer apart.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
)
SELECT i.place, c.left_us, coalesce(k.email, i.typed_email) AS email, k.email IS NULL AS is_new, k.locale, k.customer_id, t.slug, t.name, t.portal_host, t.colour,
    t.reply_to, t.locale AS tenant_locale, t.mail_providers
FROM clock
CROSS JOIN unnest($2::int[], $3::uuid[], $4::uuid[], $5::uuid[], $6::boolean[], $7::text[]) AS i (place, tenant_id, address_key, challenge_id, known, typed_email)
CROSS JOIN LATERAL (
    SELECT c.expires_us - clock.now_us AS left_us FROM challenges c
    WHERE (c.tenant_id, c.address_key) = (i.tenant_id, i.address_key)
        AND c.challenge_id = i.challenge_id AND is_alive(c, i.known, clock.now_us) AND NOT is_ahead(c.expires_us, clock.now_us)
    LIMIT 1
) c
LEFT JOIN LATERAL (
    SELECT k.email, k.locale, k.customer_id, NOT k.disabled
        -- who has a test code gets no mail
        AND (SELECT x.expires_us FROM test_codes x WHERE (x.tenant_id, x.address_key) = (i.tenant_id, i.address_key)
            AND x.expires_us > clock.now_us LIMIT 1) IS NULL
        -- what bounces hurts the mails that do not
        AND (SELECT x.until_us FROM suppressed_addresses x WHERE (x.tenant_id, x.address_key) = (i.tenant_id, i.address_key)
            AND x.until_us > clock.now_us LIMIT 1) IS NULL AS is_mailed
    FROM customers k
    WHERE (k.tenant_id, k.address_key) = (i.tenant_id, i.address_key) AND (k.tenant_id, k.address_key) >= (i.tenant_id, i.address_key)
    LIMIT 1
) k ON true
LEFT JOIN LATERAL (
    SELECT t.slug, t.name, t.portal_host, t.colour, t.reply_to, t.locale, t.mail_providers FROM tenants t
    WHERE t.tenant_id = i.tenant_id AND NOT t.disabled
        AND CASE WHEN k.email IS NULL THEN admits_signup(t.signup, i.typed_email) ELSE k.is_mailed END
    LIMIT 1
) t ON true
