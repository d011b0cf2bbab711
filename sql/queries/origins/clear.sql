-- Takes all origins from a tenant.
DELETE FROM origins WHERE tenant_id = $1
