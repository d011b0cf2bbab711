-- Commits one login per address: at most one mail each, one code alive at a time, every budget advanced. Never reads customers.
-- Of a frozen tenant nothing is written; its id is returned (`frozen`).
--
-- $1 now in µs, or NULL for the database's clock. $2 to $9 one array per column, rows unique by (tenant, address); $10 which
-- part of the flush's mail the row belongs to (from 1) * 65536 + its place among the records of that part.
-- $11 life of a code, $12 cool-down, $13 and $14 the mail budget's burst and period. All in µs.
-- The mail, one row of the outbox per part: $15 its version, $16 its holder, $17 to $20 one array per column: id, lane,
-- lease in µs (0: free for whoever claims it), records. $21 by row: the tag of the asking network (/24, /48).
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
asked AS (
    SELECT i.*, clock.now_us, is_fresh_device(i.device_us, clock.now_us) AS known,
        (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = i.tenant_id) IS NOT NULL AS frozen
    FROM clock CROSS JOIN unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::bigint[], $8::bigint[], $9::smallint[], $10::int[], $21::bigint[])
        AS i (tenant_id, address_key, challenge_id, digit_mac, base32_mac, device_us, client_tag, step_up, slot, network_tag)
),
written AS (
    INSERT INTO challenges AS c (
        tenant_id, address_key, challenge_id, digit_mac, base32_mac, expires_us,
        s_mail_tat, s_quiet_us, k_mail_tat, k_quiet_us,
        touched_us, device_us, client_tag, step_up, alphabet, s_guesses, k_guesses, known_asked, mail_now, slot,
        share_tags, share_tats)
    SELECT
        tenant_id, address_key, challenge_id, digit_mac, base32_mac, now_us + $11::bigint,
        CASE WHEN known THEN 0 ELSE now_us + $14::bigint END, CASE WHEN known THEN 0 ELSE now_us + $12::bigint END,
        CASE WHEN known THEN now_us + $14::bigint ELSE 0 END, CASE WHEN known THEN now_us + $12::bigint ELSE 0 END,
        now_us, device_us, client_tag, step_up, CASE WHEN step_up = 3 AND NOT known THEN 1 ELSE 0 END, 5, 5, known, true, slot,
        ARRAY[network_tag], ARRAY[CASE WHEN known THEN 0 ELSE now_us + $14::bigint END, 0]
    FROM asked WHERE NOT frozen
    -- one lock order for all replicas
    ORDER BY tenant_id, address_key
    ON CONFLICT (tenant_id, address_key) DO UPDATE SET (
        challenge_id, digit_mac, base32_mac, expires_us, alphabet, s_guesses, k_guesses, known_asked,
        s_mail_tat, s_quiet_us, k_mail_tat, k_quiet_us, share_tags, share_tats,
        touched_us, device_us, client_tag, step_up, slot, mail_now
    ) = (
        SELECT
            CASE WHEN does >= 2 THEN excluded.challenge_id ELSE c.challenge_id END,
            CASE WHEN does >= 2 THEN excluded.digit_mac ELSE c.digit_mac END,
            CASE WHEN does >= 2 THEN excluded.base32_mac ELSE c.base32_mac END,
            CASE WHEN does >= 2 THEN excluded.expires_us ELSE c.expires_us END,
            CASE does WHEN 2 THEN 0 WHEN 3 THEN 1 ELSE c.alphabet END,
            CASE WHEN does >= 2 THEN 5 ELSE c.s_guesses END,
            CASE WHEN does >= 2 THEN 5 ELSE c.k_guesses END,
            CASE does WHEN 0 THEN c.known_asked WHEN 1 THEN c.known_asked OR known ELSE known END,
            CASE WHEN does > 0 AND NOT known THEN gcra_next(c.s_mail_tat, excluded.touched_us, $14::bigint)
                ELSE gcra_settled(c.s_mail_tat, excluded.touched_us, $13::int, $14::bigint) END,
            CASE WHEN does > 0 AND NOT known THEN excluded.touched_us + $12::bigint ELSE c.s_quiet_us END,
            CASE WHEN does > 0 AND known THEN gcra_next(c.k_mail_tat, excluded.touched_us, $14::bigint)
                ELSE gcra_settled(c.k_mail_tat, excluded.touched_us, $13::int, $14::bigint) END,
            CASE WHEN does > 0 AND known THEN excluded.touched_us + $12::bigint ELSE c.k_quiet_us END,
            CASE WHEN does > 0 AND NOT known THEN share_tags_next(c, excluded.share_tags[1], excluded.touched_us) ELSE c.share_tags END,
            CASE WHEN does > 0 AND NOT known THEN share_tats_next(c, excluded.share_tags[1], excluded.touched_us, $14::bigint, 0) ELSE c.share_tats END,
            greatest(c.touched_us, excluded.touched_us), excluded.device_us, excluded.client_tag, excluded.step_up, excluded.slot,
            does > 0
        -- each once: OFFSET keeps them from being copied to wherever they are used
        FROM (SELECT known, decide_login(c, excluded, known, $13::int, $14::bigint) AS does
              FROM (SELECT is_known(c, excluded) AS known OFFSET 0) k OFFSET 0) j
    )
    RETURNING c.slot, c.mail_now, c.challenge_id, c.expires_us, c.alphabet
        + CASE WHEN is_known(c, c.device_us, c.client_tag, c.touched_us) THEN 2 ELSE 0 END AS flags
),
due AS (
    SELECT slot >> 16 AS part, count(*) AS mails, max(expires_us) AS expires_us, string_agg(
        int2send((slot & 65535)::smallint) || uuid_send(challenge_id) || int2send(flags::smallint), '') AS due
    FROM written
    WHERE mail_now
    GROUP BY slot >> 16
),
posted AS (
    INSERT INTO outbox (batch_id, version, lane, holder, leased_us, asked_us, expires_us, attempts, mails, asked, due)
    SELECT ($17::uuid[])[part], $15::smallint, ($18::smallint[])[part], $16::uuid, now_us + ($19::bigint[])[part], now_us,
        expires_us, 0, mails, ($20::bytea[])[part], due
    FROM clock CROSS JOIN due
    RETURNING batch_id, asked_us, expires_us, due
)
SELECT batch_id, asked_us, expires_us, due, NULL::uuid AS frozen FROM posted
UNION ALL
SELECT NULL, NULL, NULL, NULL, tenant_id FROM asked WHERE frozen
