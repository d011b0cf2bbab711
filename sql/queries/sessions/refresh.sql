-- Advances each presented token's session by at most one generation; repeating a request gives the same successor.
--
-- $1 now in µs, or NULL for the database's clock. $2 to $5 one array per column, rows unique by (tenant, session).
-- $6 idle life, $7 how long a retry gets its first answer again; µs.
-- verdict: 0 unknown, expired or disabled; 1 rotated; 2 the same successor again; 3 a new branch of it; 4 theft, ended;
-- 5 ahead of the row (the database lost a write), accepted.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
asked AS (
    SELECT i.*, clock.now_us
    FROM clock, unnest($2::uuid[], $3::uuid[], $4::int[], $5::int[]) AS i (tenant_id, session_key, at_generation, at_branch)
),
held AS MATERIALIZED (
    SELECT a.*, s.customer_id, s.created_us, s.generation, s.branch, s.prev_branch, s.rotated_us, s.idle_until_us, s.expires_us
    FROM asked a JOIN sessions s USING (tenant_id, session_key)
    -- one lock order for all replicas
    ORDER BY tenant_id, session_key
    FOR UPDATE OF s
),
judged AS MATERIALIZED (
    SELECT h.*, CASE
        WHEN least(h.idle_until_us, h.expires_us) <= h.now_us THEN 0
        WHEN NOT EXISTS (
            SELECT FROM customers k JOIN tenants t USING (tenant_id)
            WHERE k.tenant_id = h.tenant_id AND k.customer_id = h.customer_id AND NOT k.disabled AND NOT t.disabled) THEN 0
        WHEN (at_generation, at_branch) = (generation, branch) THEN 1
        WHEN (at_generation, at_branch) > (generation, branch) THEN 5
        WHEN (at_generation, at_branch) = (generation - 1, prev_branch)
            THEN CASE WHEN h.now_us <= h.rotated_us + $7::bigint THEN 2 ELSE 3 END
        ELSE 4
    END AS verdict
    FROM held h
),
moved AS (
    UPDATE sessions s SET
        generation = CASE WHEN j.verdict IN (1, 5) THEN j.at_generation + 1 ELSE s.generation END,
        branch = CASE WHEN j.verdict IN (1, 5) THEN 0 WHEN j.verdict = 3 THEN s.branch + 1 ELSE s.branch END,
        prev_branch = CASE WHEN j.verdict IN (1, 5) THEN j.at_branch ELSE s.prev_branch END,
        rotated_us = CASE WHEN j.verdict IN (1, 3, 5) THEN greatest(s.rotated_us, j.now_us) ELSE s.rotated_us END,
        idle_until_us = greatest(s.idle_until_us, j.now_us + $6::bigint)
    FROM judged j
    WHERE s.tenant_id = j.tenant_id AND s.session_key = j.session_key AND j.verdict IN (1, 2, 3, 5)
    RETURNING s.*
),
ended AS (
    DELETE FROM sessions s USING judged j
    WHERE s.tenant_id = j.tenant_id AND s.session_key = j.session_key AND j.verdict = 4
)
SELECT a.tenant_id, a.session_key, coalesce(j.verdict, 0) AS verdict, m.customer_id, m.created_us,
    m.generation, m.branch, m.rotated_us, least(m.idle_until_us, m.expires_us) - a.now_us AS left_us
FROM asked a LEFT JOIN judged j USING (tenant_id, session_key) LEFT JOIN moved m USING (tenant_id, session_key)
