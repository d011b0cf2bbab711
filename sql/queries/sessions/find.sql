-- Finds the sessions whose ids were chosen before an answer was lost: whether the write happened after all.
SELECT s.tenant_id, s.session_key, s.customer_id, s.created_us,
    (
        SELECT c.claims FROM tenants t CROSS JOIN LATERAL (
            SELECT token_claims(t.token_claims, k) AS claims FROM customers k
            WHERE (k.tenant_id, k.customer_id) = (s.tenant_id, s.customer_id) AND (k.tenant_id, k.customer_id) >= (s.tenant_id, s.customer_id)
            LIMIT 1
        ) c
        WHERE t.tenant_id = s.tenant_id AND t.token_claims <> '{}'
    ) AS claims
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, session_key) CROSS JOIN LATERAL (
    SELECT s.* FROM sessions s
    WHERE (s.tenant_id, s.session_key) = (i.tenant_id, i.session_key)
    LIMIT 1
) s
