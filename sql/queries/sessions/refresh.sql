-- Advances each presented token's session by at most one generation; repeating a request gives the same successor.
--
-- $1 now in µs, or NULL for the database's clock. $2 to $5 one array per column, rows unique by (tenant, session).
-- $6 idle life, $7 how long a retry gets its first answer again; µs. $8 by row: until when, by the database's clock, its
-- caller waits. A row that is decided later changes nothing: by then its token may be an old one to an honest client.
-- verdict: -1 too late, or of a frozen tenant; 0 unknown, expired or disabled; 1 rotated; 2 the same successor again; 3 a new branch of it; 4 theft, ended;
-- 5 ahead of the row (the database lost a write), accepted. claims: what the next tokens say of the customer, as JSON.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
asked AS MATERIALIZED (
    SELECT i.*, clock.now_us, (SELECT t.frozen_us FROM tenants t WHERE t.tenant_id = i.tenant_id) IS NOT NULL AS frozen
    FROM clock CROSS JOIN ROWS FROM (
        unnest($2::uuid[], $3::uuid[], $4::int[], $5::int[], $8::timestamptz[]), generate_series(1, cardinality($2::uuid[]))
    ) AS i (tenant_id, session_key, at_generation, at_branch, deadline, place)
    -- one lock order for all replicas
    ORDER BY tenant_id, session_key
),
held AS MATERIALIZED (
    SELECT a.*, s.customer_id, s.created_us, s.generation, s.branch, s.prev_branch, s.rotated_us, s.idle_until_us, s.expires_us
    FROM (SELECT * FROM asked WHERE NOT frozen) a CROSS JOIN LATERAL (
        SELECT * FROM sessions s
        WHERE (s.tenant_id, s.session_key) = (a.tenant_id, a.session_key)
        LIMIT 1
        FOR UPDATE
    ) s
),
weighed AS MATERIALIZED (
    SELECT h.*, CASE
        -- read anew: the row's lock may have been long in coming
        WHEN clock_timestamp() > h.deadline THEN -1
        WHEN least(h.idle_until_us, h.expires_us) <= h.now_us THEN 0
        WHEN NOT EXISTS (
            SELECT FROM customers k
            WHERE (k.tenant_id, k.customer_id) = (h.tenant_id, h.customer_id) AND (k.tenant_id, k.customer_id) >= (h.tenant_id, h.customer_id)
                AND NOT k.disabled AND NOT (SELECT t.disabled FROM tenants t WHERE t.tenant_id = h.tenant_id)) THEN 0
        WHEN (at_generation, at_branch) = (generation, branch) THEN 1
        WHEN (at_generation, at_branch) > (generation, branch) THEN 5
        WHEN (at_generation, at_branch) = (generation - 1, prev_branch)
            THEN CASE WHEN h.now_us <= h.rotated_us + $7::bigint THEN 2 ELSE 3 END
        ELSE 4
    END AS verdict
    FROM held h
),
judged AS MATERIALIZED (
    SELECT w.*,
        -- NULL: the row does not move
        CASE WHEN verdict IN (1, 5) THEN at_generation + 1 WHEN verdict IN (2, 3) THEN generation END AS next_generation,
        CASE WHEN verdict IN (1, 5) THEN 0 WHEN verdict = 3 THEN branch + 1 ELSE branch END AS next_branch,
        CASE WHEN verdict IN (1, 5) THEN at_branch ELSE prev_branch END AS next_prev_branch,
        CASE WHEN verdict IN (1, 3, 5) THEN greatest(rotated_us, now_us) ELSE rotated_us END AS next_rotated_us,
        greatest(idle_until_us, now_us + $6::bigint) AS next_idle_until_us
    FROM weighed w
),
moved AS (
    UPDATE sessions s SET generation = j.next_generation, branch = j.next_branch, prev_branch = j.next_prev_branch,
        rotated_us = j.next_rotated_us, idle_until_us = j.next_idle_until_us
    FROM judged j
    WHERE s.tenant_id = ANY (ARRAY[j.tenant_id]) AND s.session_key = j.session_key AND j.next_generation IS NOT NULL
),
ended AS (
    DELETE FROM sessions s USING judged j
    WHERE s.tenant_id = ANY (ARRAY[j.tenant_id]) AND s.session_key = j.session_key AND j.verdict = 4
),
noted AS (
    INSERT INTO events (event_id, type, tenant_id, actor, targets, data)
    SELECT event_id(now_us), 'session.reuse_detected', tenant_id, '{"type": "service", "id": null}',
        jsonb_build_array(event_target('session', session_key::text), event_target('customer', customer_id::text)), '{}'
    FROM judged WHERE verdict = 4
)
SELECT a.tenant_id, a.session_key, CASE WHEN a.frozen THEN -1 ELSE coalesce(j.verdict, 0) END AS verdict, j.customer_id, j.created_us,
    j.next_generation AS generation, j.next_branch AS branch, j.next_rotated_us AS rotated_us,
    least(j.next_idle_until_us, j.expires_us) - a.now_us AS left_us,
    CASE WHEN j.next_generation IS NOT NULL THEN (
        SELECT c.claims FROM tenants t CROSS JOIN LATERAL (
            SELECT token_claims(t.token_claims, k) AS claims FROM customers k
            WHERE (k.tenant_id, k.customer_id) = (j.tenant_id, j.customer_id) AND (k.tenant_id, k.customer_id) >= (j.tenant_id, j.customer_id)
            LIMIT 1
        ) c
        WHERE t.tenant_id = j.tenant_id AND t.token_claims <> '{}'
    ) END AS claims,
    clock_timestamp() AS read_at
FROM asked a LEFT JOIN judged j USING (place)
