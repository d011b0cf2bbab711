-- Gives every open tenant's slug, origins and hosted page, as of one moment.
SELECT t.tenant_id, t.slug, t.name, t.colour, t.return_urls, coalesce(o.origins, '{}') AS origins
FROM tenants t CROSS JOIN LATERAL (
    SELECT array_agg(o.origin) AS origins FROM origins o WHERE o.tenant_id = t.tenant_id
) o
WHERE NOT t.disabled
