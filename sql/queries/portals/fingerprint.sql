-- Sums up all portals in one number: another number means that one was added, changed, closed or opened.
--
-- A hash per tenant with its origins, added up: the order of rows does not matter, and no row is locked or written.
SELECT coalesce(sum(hashtextextended(concat_ws(' ', t.tenant_id, t.slug, o.origins), 0)), 0)::text AS fingerprint
FROM tenants t LEFT JOIN (
    SELECT tenant_id, string_agg(origin, ' ' ORDER BY origin) AS origins FROM origins GROUP BY tenant_id
) o USING (tenant_id)
WHERE NOT t.disabled
