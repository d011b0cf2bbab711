-- Finds a tenant by its slug: what an issuer needs to know of it.
SELECT tenant_id, step_up, disabled FROM tenants WHERE slug = $1
