-- Names the tenant an origin belongs to.
SELECT t.tenant_id, t.slug
FROM origins o CROSS JOIN LATERAL (SELECT t.tenant_id, t.slug FROM tenants t WHERE t.tenant_id = o.tenant_id LIMIT 1) t
WHERE o.origin = $1
