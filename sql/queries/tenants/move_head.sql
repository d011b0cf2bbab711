-- Gives what a tenant's move is checked by: the time, the schema's version, and the tenant of slug $1, if there is one.
SELECT clock.now_us, (SELECT max(m.version) FROM schema_migrations m) AS schema, t.tenant_id, t.frozen_us
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) clock LEFT JOIN LATERAL (
    SELECT t.tenant_id, t.frozen_us FROM tenants t WHERE t.slug = $1 LIMIT 1
) t ON true
