-- Names the tenant an origin belongs to.
SELECT t.tenant_id, t.slug FROM origins o JOIN tenants t ON t.tenant_id = o.tenant_id WHERE o.origin = $1
