-- Tells where the mail of each due challenge goes: the stored address of an enabled customer of an enabled tenant, or nowhere.
SELECT k.tenant_id, k.address_key, k.email, t.slug, t.name, t.portal_host
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, address_key)
JOIN customers k USING (tenant_id, address_key)
JOIN tenants t ON t.tenant_id = k.tenant_id
WHERE NOT k.disabled AND NOT t.disabled
