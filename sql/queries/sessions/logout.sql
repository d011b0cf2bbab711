-- Ends the sessions of the presented tokens, whatever generation each token is of.
WITH gone AS MATERIALIZED (
    SELECT s.tenant_id, s.session_key
    FROM sessions s JOIN unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, session_key) USING (tenant_id, session_key)
    -- one lock order for all replicas
    ORDER BY s.tenant_id, s.session_key
    FOR UPDATE OF s
)
DELETE FROM sessions s USING gone g
WHERE s.tenant_id = g.tenant_id AND s.session_key = g.session_key
RETURNING s.tenant_id, s.session_key
