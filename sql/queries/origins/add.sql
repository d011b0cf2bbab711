-- Gives an origin to a tenant, or nothing if it belongs to one already.
INSERT INTO origins (origin, tenant_id) VALUES ($1, $2) ON CONFLICT (origin) DO NOTHING
