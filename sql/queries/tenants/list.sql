-- Gives every tenant with its origins, by slug.
SELECT t.tenant_id, t.slug, t.name, t.portal_host, t.step_up, t.disabled, t.created_us,
       ARRAY(SELECT o.origin FROM (SELECT o.origin FROM origins o WHERE o.tenant_id = t.tenant_id OFFSET 0) o ORDER BY o.origin) AS origins,
       t.return_urls, t.colour, t.token_claims, t.locale, t.reply_to, t.signup, t.mail_providers, t.new_device_notice, t.frozen_us
FROM tenants t
ORDER BY t.slug
