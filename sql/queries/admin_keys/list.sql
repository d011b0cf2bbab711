-- Gives all keys of the admin API, or those of one tenant, never their secrets.
SELECT k.key_id, k.name, k.scopes, t.slug, k.created_us, k.expires_us, k.last_used_us
FROM admin_keys k LEFT JOIN LATERAL (SELECT t.slug FROM tenants t WHERE t.tenant_id = k.tenant_id LIMIT 1) t ON true
WHERE $1::uuid IS NULL OR k.tenant_id = $1
ORDER BY k.created_us, k.key_id
