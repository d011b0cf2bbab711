-- Gives the slug of tenant $1, or of the one that webhook $2 belongs to, if it is frozen.
SELECT t.slug FROM tenants t
WHERE t.tenant_id = coalesce($1::uuid, (SELECT w.tenant_id FROM webhooks w WHERE w.webhook_id = $2::uuid)) AND t.frozen_us IS NOT NULL
