-- Holds off everybody else who gives test codes at a tenant: they are counted.
SELECT FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE
