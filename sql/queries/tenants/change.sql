-- Changes what is given of a tenant and leaves the rest; $3 tells whether $4, which may be NULL, is meant.
UPDATE tenants
SET name = coalesce($2, name),
    portal_host = CASE WHEN $3 THEN $4 ELSE portal_host END,
    step_up = coalesce($5, step_up)
WHERE tenant_id = $1
