-- Closes or opens a tenant. Its sessions stay: they are refused while it is closed.
UPDATE tenants SET disabled = $2 WHERE slug = $1
