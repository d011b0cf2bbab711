-- Evaluates at most the guesses each lane has left and consumes at most one live code, in the statement that makes its session.
--
-- Every row makes one durable write: to its challenge, or to a decoy where there is none.
-- $1 now in µs, or NULL for the database's clock. $2 to $10 one array per column, rows unique by (tenant, address):
-- digit_mac and base32_mac are NULL where the typed code cannot be read that way; session_key is chosen beforehand;
-- ended_key is the session to end if this one begins (NULL: none); decoy is a slot.
-- $11 idle and $12 absolute life of a session in µs; $13 sessions that a customer may have. $14 by row: until when, by the
-- database's clock, its caller waits; a row that is decided later, or of a frozen tenant, is not evaluated (`late`).
-- $15 by row: the tag of the asking network (/24, /48); $16 by row: as `challenges.step_up`; $17 by row: `sessions.browser`.
-- $18 and $19 by row: the address that was typed and an id, for a customer that the right code may make (NULL: none).
-- `claims`: what the session's tokens say of the customer, as JSON.
-- `tested`: whether it was a test code that was right.
-- `new_device`: whether it was right, from a client that is not known at an address that knows others.
-- `counted`: whether the guess counts toward the tenant-wide trip.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
asked AS MATERIALIZED (
    SELECT i.*, clock.now_us, (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = i.tenant_id) IS NOT NULL AS frozen
    FROM clock CROSS JOIN ROWS FROM (
        unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::bigint[], $8::uuid[], $9::uuid[], $10::int[], $14::timestamptz[], $15::bigint[], $16::smallint[], $17::text[], $18::text[], $19::uuid[]),
        generate_series(1, cardinality($2::uuid[]))
    ) AS i (tenant_id, address_key, typed_digit_mac, typed_base32_mac, at_device_us, at_client_tag, session_key, ended_key, decoy, deadline, network_tag, at_step_up, browser, typed_email, new_customer, place)
    -- one lock order for all replicas
    ORDER BY tenant_id, address_key
),
held AS MATERIALIZED (
    SELECT a.*, c.row, t.base32_mac AS test_mac,
        -- a test code takes the place of the live one and is guessed as base32
        CASE WHEN t.base32_mac IS NULL THEN (c.row).alphabet ELSE 1::smallint END AS alphabet,
        is_known(c.row, a.at_device_us, a.at_client_tag, a.now_us) AS known,
        -- read anew: the row's lock may have been long in coming
        clock_timestamp() > a.deadline AS late
    FROM (SELECT * FROM asked WHERE NOT frozen) a CROSS JOIN LATERAL (
        SELECT c AS row FROM challenges c
        WHERE (c.tenant_id, c.address_key) = (a.tenant_id, a.address_key)
        LIMIT 1
        FOR UPDATE
    ) c LEFT JOIN LATERAL (
        SELECT t.base32_mac FROM test_codes t
        WHERE (t.tenant_id, t.address_key) = (a.tenant_id, a.address_key) AND t.expires_us > a.now_us
        LIMIT 1
    ) t ON true
),
weighed AS MATERIALIZED (
    SELECT h.*,
        NOT late
            AND (h.row).expires_us > now_us AND NOT is_ahead((h.row).expires_us, now_us)
            AND CASE WHEN known THEN (h.row).k_guesses ELSE (h.row).s_guesses END > 0
            AND may_guess(h.row, known, alphabet, now_us)
            -- digits: not after a trip, and not more than the network's share
            AND (known OR alphabet = 1
                 OR NOT is_tripped(known, at_step_up) AND share_admits_digits(h.row, network_tag, now_us)) AS evaluated,
        coalesce(CASE WHEN alphabet = 0 THEN (h.row).digit_mac = typed_digit_mac
                      ELSE coalesce(test_mac, (h.row).base32_mac) = typed_base32_mac END, false) AS same
    FROM held h
),
judged AS MATERIALIZED (
    SELECT w.*, evaluated AND same AS hit, evaluated AND NOT same AS missed,
        evaluated AND NOT same AND (
            CASE WHEN known THEN (w.row).k_guesses ELSE (w.row).s_guesses END = 1
            -- one period later than now, the budget is as it will be after this miss
            OR NOT may_guess(w.row, known, alphabet, now_us - guess_period_us(known, alphabet))
        ) AS burned,
        CASE WHEN evaluated AND same THEN (
            SELECT CASE
                WHEN k.customer_id IS NULL AND admits_signup(t.signup, w.typed_email) THEN w.new_customer
                WHEN NOT k.disabled THEN k.customer_id
            END
            FROM tenants t LEFT JOIN LATERAL (
                SELECT k.customer_id, k.disabled FROM customers k
                WHERE (k.tenant_id, k.address_key) = (w.tenant_id, w.address_key) AND (k.tenant_id, k.address_key) >= (w.tenant_id, w.address_key)
                LIMIT 1
            ) k ON true
            WHERE t.tenant_id = w.tenant_id AND NOT t.disabled
        ) END AS customer_id
    FROM weighed w
),
written AS (
    UPDATE challenges c SET
        expires_us = CASE WHEN j.hit OR is_ahead(c.expires_us, j.now_us) THEN 0 ELSE c.expires_us END,
        s_guesses = c.s_guesses - CASE WHEN j.evaluated AND NOT j.known THEN 1 ELSE 0 END,
        k_guesses = c.k_guesses - CASE WHEN j.evaluated AND j.known THEN 1 ELSE 0 END,
        -- a miss is charged to its lane by the live code's alphabet; a success refills nothing
        s_digit_tat = CASE WHEN j.missed AND NOT j.known AND j.alphabet = 0
            THEN gcra_next(c.s_digit_tat, j.now_us, guess_period_us(false, 0::smallint)) ELSE c.s_digit_tat END,
        s_base32_tat = CASE WHEN j.missed AND NOT j.known AND j.alphabet = 1
            THEN gcra_next(c.s_base32_tat, j.now_us, guess_period_us(false, 1::smallint)) ELSE c.s_base32_tat END,
        k_digit_tat = CASE WHEN j.missed AND j.known AND j.alphabet = 0
            THEN gcra_next(c.k_digit_tat, j.now_us, guess_period_us(true, 0::smallint)) ELSE c.k_digit_tat END,
        k_base32_tat = CASE WHEN j.missed AND j.known AND j.alphabet = 1
            THEN gcra_next(c.k_base32_tat, j.now_us, guess_period_us(true, 1::smallint)) ELSE c.k_base32_tat END,
        -- the cool-down does not apply after a code was used, burned or outlived its clock: its guesses or its lane's budget are spent
        s_quiet_us = CASE WHEN j.hit OR (j.burned AND NOT j.known) OR is_ahead(c.expires_us, j.now_us) THEN 0 ELSE c.s_quiet_us END,
        k_quiet_us = CASE WHEN j.hit OR (j.burned AND j.known) OR is_ahead(c.expires_us, j.now_us) THEN 0 ELSE c.k_quiet_us END,
        share_tags = CASE WHEN j.missed AND NOT j.known AND j.alphabet = 0
            THEN share_tags_next(c, j.network_tag, j.now_us) ELSE c.share_tags END,
        share_tats = CASE WHEN j.missed AND NOT j.known AND j.alphabet = 0
            THEN share_tats_next(c, j.network_tag, j.now_us, 0, guess_period_us(false, 0::smallint)) ELSE c.share_tats END,
        touched_us = greatest(c.touched_us, j.now_us),
        -- a success makes its network prefix known: newest first, at most 8
        known_tags = CASE WHEN j.customer_id IS NULL THEN c.known_tags
            ELSE (j.at_client_tag || array_remove(c.known_tags, j.at_client_tag))[1:8] END,
        known_days = CASE WHEN j.customer_id IS NULL THEN c.known_days
            ELSE ((j.now_us / 86400000000)::int || CASE
                WHEN array_position(c.known_tags, j.at_client_tag) IS NULL THEN c.known_days
                ELSE c.known_days[1:array_position(c.known_tags, j.at_client_tag) - 1]
                    || c.known_days[array_position(c.known_tags, j.at_client_tag) + 1:] END)[1:8] END
    FROM judged j
    WHERE c.tenant_id = ANY (ARRAY[j.tenant_id]) AND c.address_key = j.address_key
),
-- one that somebody else makes at this moment is an error: nothing is done, the ledger asks again and then it is there
signed_up AS (
    INSERT INTO customers (tenant_id, customer_id, address_key, email, disabled, created_us)
    SELECT tenant_id, new_customer, address_key, typed_email, false, now_us
    FROM judged WHERE customer_id = new_customer
    ORDER BY tenant_id, address_key
),
begun AS (
    INSERT INTO sessions (tenant_id, session_key, customer_id, created_us, rotated_us, idle_until_us, expires_us, browser)
    SELECT tenant_id, session_key, customer_id, now_us, now_us, now_us + $11::bigint, now_us + $12::bigint, browser
    FROM judged WHERE customer_id IS NOT NULL
    ORDER BY tenant_id, session_key
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(now_us), 'session.created', tenant_id, event_target('customer', customer_id::text),
        jsonb_build_array(event_target('session', session_key::text)), '{}'::jsonb
    FROM judged WHERE customer_id IS NOT NULL
    UNION ALL
    SELECT event_id(now_us), 'customer.created', tenant_id, event_target('customer', customer_id::text),
        jsonb_build_array(customer_target(customer_id, NULL)), '{}'::jsonb
    FROM judged WHERE customer_id = new_customer
    UNION ALL
    SELECT event_id(now_us), 'login.test', tenant_id, event_target('customer', customer_id::text),
        jsonb_build_array(event_target('session', session_key::text)), '{}'::jsonb
    FROM judged WHERE customer_id IS NOT NULL AND test_mac IS NOT NULL
),
surplus AS MATERIALIZED (
    SELECT tenant_id, ended_key AS session_key FROM judged WHERE customer_id IS NOT NULL
    UNION
    -- the new session takes a place: of the others, the oldest go
    SELECT j.tenant_id, o.session_key FROM judged j CROSS JOIN LATERAL (
        SELECT s.session_key FROM sessions s
        WHERE s.customer_id = j.customer_id AND s.tenant_id IS NOT DISTINCT FROM j.tenant_id
          AND s.session_key IS DISTINCT FROM j.ended_key AND least(s.idle_until_us, s.expires_us) > j.now_us
        ORDER BY s.created_us DESC, s.session_key
        OFFSET $13::bigint - 1
    ) o
),
to_delete AS MATERIALIZED (
    SELECT d.tenant_id, d.session_key
    -- one lock order for all replicas
    FROM (SELECT * FROM surplus ORDER BY tenant_id, session_key) d CROSS JOIN LATERAL (
        SELECT FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (d.tenant_id, d.session_key)
        LIMIT 1
        FOR UPDATE
    ) s
),
ended AS (
    DELETE FROM sessions s USING to_delete d
    WHERE s.tenant_id = ANY (ARRAY[d.tenant_id]) AND s.session_key = d.session_key
),
decoy AS (
    SELECT slot FROM decoys
    WHERE slot = ANY (ARRAY(SELECT a.decoy FROM asked a LEFT JOIN held h USING (place) WHERE h.place IS NULL))
    ORDER BY slot
    FOR UPDATE
),
decoy_touched AS (
    UPDATE decoys SET touched_us = clock.now_us FROM clock WHERE slot = ANY (ARRAY(SELECT slot FROM decoy))
)
SELECT a.tenant_id, a.address_key, a.now_us, j.customer_id,
    coalesce(j.evaluated, false) AS evaluated, coalesce(j.missed, false) AS missed, coalesce(j.known, false) AS known,
    coalesce(j.alphabet, 0::smallint) AS alphabet, coalesce(j.hit AND j.test_mac IS NOT NULL, false) AS tested,
    coalesce(j.customer_id IS NOT NULL AND NOT j.known AND (j.row).known_tags <> '{}', false) AS new_device,
    coalesce(j.evaluated, false) OR a.typed_digit_mac IS NULL
        OR NOT is_tripped(coalesce(j.known, is_fresh_device(a.at_device_us, a.now_us)), a.at_step_up) AS counted,
    CASE WHEN j.customer_id = a.new_customer THEN (
        -- it is not there yet for this statement
        SELECT token_claims(t.token_claims, jsonb_populate_record(NULL::customers, jsonb_build_object('email', a.typed_email)))
        FROM tenants t WHERE t.tenant_id = a.tenant_id AND t.token_claims <> '{}'
    ) WHEN j.customer_id IS NOT NULL THEN (
        SELECT c.claims FROM tenants t CROSS JOIN LATERAL (
            SELECT token_claims(t.token_claims, k) AS claims FROM customers k
            WHERE (k.tenant_id, k.customer_id) = (j.tenant_id, j.customer_id) AND (k.tenant_id, k.customer_id) >= (j.tenant_id, j.customer_id)
            LIMIT 1
        ) c
        WHERE t.tenant_id = j.tenant_id AND t.token_claims <> '{}'
    ) END AS claims,
    a.frozen OR coalesce(j.late, false) AS late, clock_timestamp() AS read_at
FROM asked a LEFT JOIN judged j USING (place)
