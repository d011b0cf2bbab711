-- Makes a tenant, or nothing if the slug is taken.
INSERT INTO tenants (tenant_id, slug, name, portal_host, step_up, disabled, created_us)
VALUES ($1, $2, $3, $4, $5, false, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (slug) DO NOTHING
