-- Finds the sessions whose ids were chosen before an answer was lost: whether the write happened after all.
SELECT s.tenant_id, s.session_key, s.customer_id, s.created_us
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, session_key) CROSS JOIN LATERAL (
    SELECT s.* FROM sessions s
    WHERE (s.tenant_id, s.session_key) = (i.tenant_id, i.session_key)
    LIMIT 1
) s
