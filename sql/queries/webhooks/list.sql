-- Gives all webhooks, those of one tenant ($1), one ($2), or one if it is that tenant's.
SELECT w.webhook_id, t.slug, w.url, w.types, w.created_us, w.secret_version, w.after_id, w.attempts, w.failing_us, w.last_error, w.disabled
FROM webhooks w LEFT JOIN LATERAL (SELECT t.slug FROM tenants t WHERE t.tenant_id = w.tenant_id LIMIT 1) t ON true
WHERE ($1::uuid IS NULL OR w.tenant_id = $1) AND ($2::uuid IS NULL OR w.webhook_id = $2)
ORDER BY w.created_us, w.webhook_id
