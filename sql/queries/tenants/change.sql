-- Changes what is given of a tenant and leaves the rest; $3 tells whether $4, which may be NULL, is meant, $7 the same of $8.
UPDATE tenants
SET name = coalesce($2, name),
    portal_host = CASE WHEN $3 THEN $4 ELSE portal_host END,
    step_up = coalesce($5, step_up),
    return_urls = coalesce($6, return_urls),
    colour = CASE WHEN $7 THEN $8 ELSE colour END,
    token_claims = coalesce($9, token_claims)
WHERE tenant_id = $1
