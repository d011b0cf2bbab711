-- Gives a customer's address a fresh code that nobody mails, in place of its live one, unless it has a test code.
--
-- What the address has spent of its budgets stays spent.
-- $1 tenant, $2 address, $3 to $5 challenge id and MACs (digits, base32), $6 life in µs, $7 customer and $8 external id; $9 actor and
-- $10 context of the event. The alphabet is base32, which no budget or trip of digits holds up, unless the tenant takes digits only.
WITH written AS (
    INSERT INTO challenges AS c (tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us, touched_us,
        alphabet, s_guesses, k_guesses, known_asked, mail_now)
    SELECT t.tenant_id, $2, $3, $4, $5, now_us + $6::bigint, now_us, t.step_up, 5, 5, true, false
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock CROSS JOIN tenants t
    WHERE t.tenant_id = $1
        AND (SELECT x.expires_us FROM test_codes x WHERE (x.tenant_id, x.address_key) = ($1, $2) AND x.expires_us > now_us LIMIT 1) IS NULL
    ON CONFLICT (tenant_id, address_key) DO UPDATE SET
        challenge_id = excluded.challenge_id, digit_mac = excluded.digit_mac, base32_mac = excluded.base32_mac,
        expires_us = excluded.expires_us, touched_us = greatest(c.touched_us, excluded.touched_us),
        alphabet = excluded.alphabet, s_guesses = 5, k_guesses = 5, known_asked = true
    RETURNING c.tenant_id, c.alphabet, c.expires_us
), noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(NULL), 'admin.code_issued', tenant_id, $9::text::jsonb,
        jsonb_build_array(customer_target($7, $8)), '{}'
    FROM written
    RETURNING event_id
),
placed AS (
    INSERT INTO event_contexts (event_id, context)
    SELECT event_id, $10::text::jsonb FROM noted WHERE $10::text IS NOT NULL
)
SELECT alphabet, expires_us FROM written
