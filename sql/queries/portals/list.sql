-- Gives every open tenant's slug and origins, as of one moment.
SELECT t.tenant_id, t.slug, coalesce(o.origins, '{}') AS origins
FROM tenants t LEFT JOIN (
    SELECT tenant_id, array_agg(origin) AS origins FROM origins GROUP BY tenant_id
) o USING (tenant_id)
WHERE NOT t.disabled
